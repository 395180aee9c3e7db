//! Opening, stopping, refusing; layers of reads; checkpoints.

use std::fs;

use bytes::Bytes;

use crate::store::inspect::inspect;
use crate::store::{Lookup, OpenError, Pressure, Snapshot, StoreEvent, StoreOptions, open};
use crate::types::{Change, Command, Content, EngineRecord, Lane, QueueId, Sequence, Timestamp};

use super::model::{Harness, content, options, set_frontier, touch};

const QUEUE: QueueId = QueueId(0);

pub(super) fn create() -> Command {
    Command::CreateQueue { name: "q".parse().unwrap(), settings: Default::default() }
}

pub(super) fn publish(first: u64, count: u64) -> Command {
    Command::Publish {
        queue: QUEUE,
        messages: (first..first + count).map(|n| content(QUEUE, Sequence(n))).collect(),
        facts: Vec::new(),
    }
}

fn hot(harness: &Harness, sequence: u64) -> bool {
    matches!(harness.store.lookup(QUEUE, Sequence(sequence)), Lookup::Hot(_))
}

#[test]
fn an_empty_directory_becomes_a_store() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path().to_owned(), directory.path().join("a/b/c")] {
        let opened = open(&path, &options()).unwrap();
        assert_eq!(opened.snapshot, Snapshot::default());
        assert_eq!(opened.replay.count(), 0);
        drop(opened.store);
        assert!(fs::read_to_string(path.join("FORMAT")).unwrap().starts_with("bbq format 1 "));
        fs::remove_dir_all(&path).unwrap();
    }
}

/// A kill while the store opens may leave a part of a snapshot, under a name that sled takes for a whole one.
#[test]
fn a_snapshot_that_a_kill_cut_short_does_not_keep_the_store_from_opening() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), &options()).unwrap());
    for part in [&b""[..], b"half of a snapshot, and more of it than a checksum"] {
        let path = directory.path().join("state").join("snap.7FFFFFFFFFFFFFFF.generating");
        fs::write(&path, part).unwrap();
        drop(open(directory.path(), &options()).unwrap());
        assert!(!path.exists());
    }
}

#[test]
fn a_second_opener_is_told_who_was_first() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path(), &options()).unwrap();
    let Err(error) = open(directory.path(), &options()) else { panic!("opened twice") };
    let OpenError::Locked { pid, .. } = &error else { panic!("{error}") };
    assert_eq!(*pid, std::process::id().to_string());
    assert!(error.to_string().contains(&directory.path().display().to_string()), "{error}");
    drop(first);
    open(directory.path(), &options()).unwrap();
}

#[test]
fn a_newer_or_foreign_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::write(path.join("holiday.jpg"), b"x").unwrap();
    let Err(OpenError::Foreign { found, .. }) = open(path, &options()) else { panic!("opened") };
    assert_eq!(found, "holiday.jpg");
    fs::write(path.join("FORMAT"), "bbq format 2 shards 3\n").unwrap();
    let Err(OpenError::Newer { found: 2, .. }) = open(path, &options()) else { panic!("opened") };
    fs::write(path.join("FORMAT"), "something\n").unwrap();
    let Err(OpenError::Corrupt { .. }) = open(path, &options()) else { panic!("opened") };
    assert!(!path.join("state").exists(), "nothing was made");
}

#[test]
fn an_interrupted_first_start_is_started_again() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("LOCK"), "12\n").unwrap();
    fs::write(directory.path().join("FORMAT.new"), "bbq for").unwrap();
    open(directory.path(), &options()).unwrap();
}

#[test]
fn options_out_of_bounds_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let tiny = StoreOptions { segment_bytes: 1, ..options() };
    let Err(error) = open(directory.path(), &tiny) else { panic!("opened") };
    assert_eq!(error.to_string(), "store.segment_bytes is 1, it must be 65536 to 1073741824");
    let odd = StoreOptions { sled_segment_bytes: 5 << 20, ..options() };
    assert!(matches!(
        open(directory.path(), &odd),
        Err(OpenError::Options { field: "sled_segment_bytes", .. })
    ));
}

#[test]
fn the_segment_size_of_the_state_files_stays_as_it_was_made() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), &options()).unwrap());
    let other = StoreOptions { sled_segment_bytes: 16 << 20, ..options() };
    open(directory.path(), &other).unwrap();
}

#[test]
fn reads_go_through_active_frozen_and_state_in_this_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(directory.path(), 0);
    harness.push(&[create()]);
    harness.push(&[publish(1, 4)]);
    assert!(hot(&harness, 1), "in the active overlay");
    harness.begin_checkpoint();
    assert!(hot(&harness, 1), "in the frozen overlay");
    harness.store.apply([Change::Settled { queue: QUEUE, lane: Lane::default(), sequence: Sequence(2) }]);
    assert_eq!(
        harness.store.lookup(QUEUE, Sequence(2)),
        Lookup::Gone,
        "the active overlay hides the frozen one"
    );
    harness.until(|store| !store.checkpoint_running());
    assert_eq!(harness.store.lookup(QUEUE, Sequence(1)), Lookup::Cold);
    assert_eq!(harness.store.lookup(QUEUE, Sequence(2)), Lookup::Gone, "and the state files");
    assert_eq!(
        harness
            .store
            .reader()
            .untouched(QUEUE, (Sequence(1), Sequence(u64::MAX)), 99, 9_999_999)
            .unwrap()
            .len(),
        4
    );
    let touched = Change::Touched { queue: QUEUE, sequence: Sequence(3), touch: touch(1) };
    harness.store.apply([touched]);
    assert_eq!(
        harness.store.lookup(QUEUE, Sequence(3)),
        Lookup::Cold,
        "a touch does not bring the content back"
    );
    harness.store.apply([Change::Purged {
        queue: QUEUE,
        lane: Lane::default(),
        from: Sequence(4),
        until: Sequence(5),
    }]);
    assert_eq!(harness.store.lookup(QUEUE, Sequence(4)), Lookup::Gone);
    harness.store.apply([Change::Deleted { queue: QUEUE }]);
    assert_eq!(harness.store.lookup(QUEUE, Sequence(1)), Lookup::Gone);
}

#[test]
fn a_checkpoint_reads_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(directory.path(), 5);
    for _ in 0..400 {
        harness.step();
    }
    harness.checkpoint();
    harness.check();
    let (model, last) = (harness.model.clone(), harness.last);
    drop(harness);
    let inspection = inspect(directory.path()).unwrap();
    assert_eq!(inspection.snapshot.applied, last);
    assert_eq!(inspection.journal.bytes, 0);
    let touched: usize = model.queues.values().map(|queue| queue.touched.len()).sum();
    assert!(touched > 0);
    assert_eq!(inspection.snapshot.touched.len(), touched);
    assert!(inspection.queues.iter().any(|queue| queue.records > 0));
    drop(inspection);
    let harness = Harness::open(directory.path(), 5);
    assert_eq!(harness.model, model);
    harness.check();
}

/// What is published and acked between two checkpoints leaves nothing in the state files.
#[test]
fn short_lived_messages_never_reach_the_state_files() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(directory.path(), 0);
    harness.push(&[create()]);
    harness.push(&[publish(1, 100)]);
    for sequence in (1..=100).map(Sequence) {
        harness.store.apply([Change::Settled { queue: QUEUE, lane: Lane::default(), sequence }]);
    }
    set_frontier(&mut harness.model.queues.get_mut(&QUEUE).unwrap().record, Sequence(101));
    harness.dirty_all();
    harness.begin_checkpoint();
    let mut stored = None;
    while harness.store.checkpoint_running() {
        let event = harness.events.blocking_recv().unwrap();
        harness.store.handle(&event);
        if let StoreEvent::Checkpointed { messages, chunks, blobs, .. } = event {
            stored = Some((messages, chunks, blobs));
        }
    }
    assert_eq!(stored, Some((0, 0, 0)));
}

#[test]
fn single_publishes_are_packed_together() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(directory.path(), 0);
    harness.push(&[create()]);
    let small = |_| Content(Bytes::from_static(b"small"));
    for n in 1..=1000 {
        let messages: Vec<Content> = (0..1).map(small).collect();
        let change = Change::Stored {
            queue: QUEUE,
            first: Sequence(n),
            published_at: Timestamp(1),
            messages,
            lanes: Vec::new(),
        };
        harness.store.apply([change]);
    }
    let record = &mut harness.model.queues.get_mut(&QUEUE).unwrap().record;
    record.next_sequence = Sequence(1001);
    harness.dirty_all();
    harness.checkpoint();
    assert_eq!(
        harness
            .store
            .reader()
            .untouched(QUEUE, (Sequence(1), Sequence(u64::MAX)), 2000, 1 << 20)
            .unwrap()
            .len(),
        1000
    );
    drop(harness);
    let inspection = inspect(directory.path()).unwrap();
    assert_eq!((inspection.queues[0].chunks, inspection.queues[0].messages), (2, 1000));
}

#[test]
fn a_message_of_4_mib_reads_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(directory.path(), 0);
    harness.push(&[create()]);
    let body: Bytes = (0..4_u32 << 20).map(|n| (n % 251).to_le_bytes()[0]).collect::<Vec<u8>>().into();
    let messages = vec![content(QUEUE, Sequence(1)), Content(body.clone()), content(QUEUE, Sequence(3))];
    harness.push(&[Command::Publish { queue: QUEUE, messages, facts: Vec::new() }]);
    harness.synced();
    drop(harness);
    let mut harness = Harness::open(directory.path(), 0);
    assert_eq!(harness.read(QUEUE, Sequence(2)).unwrap().content.0, body, "from the journal");
    harness.checkpoint();
    assert_eq!(harness.read(QUEUE, Sequence(2)).unwrap().content.0, body, "from the state files");
    let reader = harness.store.reader();
    assert_eq!(
        reader.untouched(QUEUE, (Sequence(1), Sequence(u64::MAX)), 9, 100).unwrap().len(),
        1,
        "bytes are bounded"
    );
    assert_eq!(
        reader.untouched(QUEUE, (Sequence(2), Sequence(u64::MAX)), 9, 100).unwrap().len(),
        1,
        "but one always fits"
    );
    assert_eq!(
        reader.untouched(QUEUE, (Sequence(1), Sequence(u64::MAX)), 2, 8 << 20).unwrap().len(),
        2,
        "messages are bounded"
    );
    assert_eq!(reader.untouched(QUEUE, (Sequence(1), Sequence(u64::MAX)), 9, 8 << 20).unwrap().len(), 3);
    assert_eq!(reader.untouched(QUEUE, (Sequence(4), Sequence(u64::MAX)), 9, 8 << 20).unwrap(), []);
    let named = reader.messages(QUEUE, &[Sequence(3), Sequence(9), Sequence(2)]).unwrap();
    assert_eq!(named.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn publishers_wait_before_grants_do() {
    let directory = tempfile::tempdir().unwrap();
    let small = StoreOptions {
        overlay_publish_bytes_max: 1 << 20,
        overlay_grant_bytes_max: 2 << 20,
        overlay_touched_max: 3,
        ..options()
    };
    let mut opened = open(directory.path(), &small).unwrap();
    let store = &mut opened.store;
    let mut stored = |first: u64| {
        let messages = vec![Content(Bytes::from(vec![0; 400 << 10]))];
        store.apply([Change::Stored {
            queue: QUEUE,
            first: Sequence(first),
            published_at: Timestamp(1),
            messages,
            lanes: Vec::new(),
        }]);
        (store.pressure(), store.checkpoint_due())
    };
    assert_eq!(stored(1), (Pressure::None, false));
    assert_eq!(stored(2), (Pressure::None, true));
    assert_eq!(stored(3), (Pressure::Publishers, true));
    assert_eq!((4..7).map(stored).last(), Some((Pressure::Grants, true)));
    for sequence in (1..7).map(Sequence) {
        opened.store.apply([Change::Settled { queue: QUEUE, lane: Lane::default(), sequence }]);
    }
    assert_eq!((opened.store.pressure(), opened.store.checkpoint_due()), (Pressure::None, false));
    let settle = |n| Change::Settled { queue: QUEUE, lane: Lane::default(), sequence: Sequence(n) };
    opened.store.apply((100..103).map(settle));
    assert!(opened.store.checkpoint_due(), "many settlements make a checkpoint due");
    opened.store.apply((103..107).map(settle));
    assert_eq!(opened.store.pressure(), Pressure::Grants);
}

/// A mistake of the engine fails the checkpoint instead of losing messages.
#[test]
fn a_checkpoint_without_its_queue_record_fails() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(directory.path(), 0);
    harness.push(&[create()]);
    harness.push(&[publish(1, 1)]);
    harness.store.begin_checkpoint(harness.last, EngineRecord::default(), crate::types::Dirty::default());
    let failed = loop {
        match harness.events.blocking_recv().unwrap() {
            StoreEvent::Failed { what } => break what,
            StoreEvent::Checkpointed { .. } => panic!("it was made"),
            StoreEvent::Written { .. } | StoreEvent::Durable { .. } | StoreEvent::Compacted(_) => {}
        }
    };
    assert!(failed.contains("queue 0 has changes but no record"), "{failed}");
}
