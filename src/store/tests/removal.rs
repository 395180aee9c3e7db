//! What is dead goes, at once or in the background, and nothing else.

use std::sync::Arc;

use bytes::Bytes;

use crate::store::directory::Directory;
use crate::store::host::Machine;
use crate::store::inspect::inspect;
use crate::store::keys::ChunkKey;
use crate::store::state::State;
use crate::store::sums::Sums;
use crate::store::{chunk, keys, meta, rows};
use crate::types::{Change, Content, Lane, QueueId, Sequence, StoredMessage, Timestamp};

use super::lifecycle::{create, publish};
use super::model::{Harness, content, options, set_frontier, touch};

const QUEUE: QueueId = QueueId(0);

/// Stores `count` messages of `size` bytes in one checkpoint.
fn store(harness: &mut Harness, count: u64, size: usize) {
    let messages = vec![Content(Bytes::from(vec![1; size])); usize::try_from(count).unwrap()];
    let record = &mut harness.model.queues.get_mut(&QUEUE).unwrap().record;
    let first = record.next_sequence;
    record.next_sequence = first.plus(count);
    harness.store.apply([Change::Stored {
        queue: QUEUE,
        first,
        published_at: Timestamp(1),
        messages,
        lanes: Vec::new(),
    }]);
    harness.push(&[]);
    harness.dirty_all();
    harness.checkpoint();
}

fn frontier(harness: &mut Harness, frontier: u64) {
    let record = &mut harness.model.queues.get_mut(&QUEUE).unwrap().record;
    set_frontier(record, Sequence(frontier));
    harness.push(&[]);
    harness.dirty_all();
}

#[test]
fn a_chunk_goes_when_its_last_message_is_settled() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(directory.path(), 0);
    harness.push(&[create()]);
    store(&mut harness, 3, 10_000);
    store(&mut harness, 3, 100_000);
    let touched = |n| Change::Touched { queue: QUEUE, sequence: Sequence(n), touch: touch(1) };
    let settled = |n| Change::Settled { queue: QUEUE, lane: Lane::default(), sequence: Sequence(n) };
    harness.store.apply([touched(1), touched(2), settled(2), settled(3), touched(4), settled(5)]);
    frontier(&mut harness, 6);
    harness.checkpoint();
    let has = |harness: &Harness, n| harness.read(QUEUE, Sequence(n)).is_some();
    assert!(has(&harness, 1) && has(&harness, 4) && has(&harness, 6));
    assert!(!has(&harness, 5), "a chunk of its own is gone with its message");
    harness.store.apply([settled(1)]);
    harness.push(&[]);
    harness.checkpoint();
    assert!(!has(&harness, 1) && has(&harness, 4) && has(&harness, 6));
    harness.store.apply([settled(4), settled(6)]);
    frontier(&mut harness, 7);
    harness.checkpoint();
    drop(harness);
    let inspection = inspect(directory.path()).unwrap();
    assert_eq!(inspection.queues, []);
    assert_eq!((inspection.parts, inspection.snapshot.touched.len(), inspection.sweeps), (0, 0, 0));
}

fn chunks(harness: &Harness) -> usize {
    let all = (1..100).map(Sequence).collect::<Vec<_>>();
    let found = harness.store.reader().messages(QUEUE, &all).unwrap();
    found.iter().flatten().count()
}

#[test]
fn a_chunk_stays_while_the_frontier_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(directory.path(), 0);
    harness.push(&[create()]);
    store(&mut harness, 3, 10);
    harness.store.apply((1..3).map(|n| Change::Settled {
        queue: QUEUE,
        lane: Lane::default(),
        sequence: Sequence(n),
    }));
    frontier(&mut harness, 3);
    harness.checkpoint();
    assert_eq!(chunks(&harness), 3, "message 3 is alive, and its chunk with it");
    harness.store.apply([Change::Purged {
        queue: QUEUE,
        lane: Lane::default(),
        from: Sequence(3),
        until: Sequence(4),
    }]);
    frontier(&mut harness, 4);
    harness.checkpoint();
    assert_eq!(chunks(&harness), 0, "the chunk that the frontier had moved into before is gone");
}

/// Messages may be dropped from the old end only.
#[test]
fn a_sweep_keeps_the_chunk_that_goes_on_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(directory.path(), 0);
    harness.push(&[create()]);
    store(&mut harness, 20_000, 100);
    harness.store.apply([Change::Purged {
        queue: QUEUE,
        lane: Lane::default(),
        from: Sequence(1),
        until: Sequence(19_990),
    }]);
    frontier(&mut harness, 19_990);
    harness.checkpoint();
    drop(harness);
    swept(directory.path());
    let mut harness = Harness::open(directory.path(), 0);
    assert_eq!(
        harness
            .store
            .reader()
            .untouched(QUEUE, (Sequence(19_990), Sequence(u64::MAX)), 100, 1 << 20)
            .unwrap()
            .len(),
        11
    );
    harness.store.apply([Change::Purged {
        queue: QUEUE,
        lane: Lane::default(),
        from: Sequence(19_990),
        until: Sequence(20_001),
    }]);
    frontier(&mut harness, 20_001);
    harness.checkpoint();
    drop(harness);
    assert_eq!(inspect(directory.path()).unwrap().queues, []);
}

/// A kill between the chunks that went ahead and their transaction.
#[test]
fn chunks_that_no_transaction_named_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(directory.path(), 0);
    harness.push(&[create()]);
    harness.push(&[publish(1, 5)]);
    harness.checkpoint();
    drop(harness);
    let state =
        State::open(Directory::open(Arc::new(Machine), directory.path(), 4 << 20).unwrap(), &options())
            .unwrap();
    let stray = |queue: u32, first: u64| {
        let content = Content(Bytes::from(vec![9; 70_000]));
        let message = StoredMessage { sequence: Sequence(first), published_at: Timestamp(1), content };
        let (value, parts) = chunk::encode_large(&message);
        let key = ChunkKey::new(QueueId(queue), Sequence(first));
        state.chunks.insert(key.encode(), value).unwrap();
        (0..).zip(parts).for_each(|(n, part)| state.parts.insert(key.part(n), part).unwrap());
    };
    stray(0, 6);
    stray(0, 200);
    stray(3, 1);
    // Parts alone, as their chunk comes after them.
    state.parts.insert(ChunkKey::new(QueueId(7), Sequence(1)).part(0), vec![1]).unwrap();
    state.persist().unwrap();
    drop(state);
    let harness = Harness::open(directory.path(), 0);
    harness.check();
    assert_eq!(harness.store.reader().messages(QUEUE, &[Sequence(6)]).unwrap(), [None]);
    drop(harness);
    let inspection = inspect(directory.path()).unwrap();
    assert_eq!(inspection.queues.len(), 1);
    assert_eq!(inspection.queues[0].messages, 5);
    let large = (1..=5).filter(|n| content(QUEUE, Sequence(*n)).0.len() > 30_000).count();
    assert_eq!(usize::try_from(inspection.parts).unwrap().min(1), large.min(1));
}

/// Waits for the background: inspecting needs the lock, so the store is opened and dropped until nothing is left to do.
fn swept(path: &std::path::Path) -> u32 {
    for restarts in 0..1000 {
        if inspect(path).unwrap().sweeps == 0 {
            return restarts;
        }
        drop(Harness::open(path, 0));
    }
    panic!("sweeps don't end");
}

#[test]
fn a_large_purge_is_swept_through_restarts_and_leaves_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(directory.path(), 0);
    harness.push(&[create()]);
    store(&mut harness, 20_000, 1000);
    let touched = |n| Change::Touched { queue: QUEUE, sequence: Sequence(n), touch: touch(1) };
    harness.store.apply([touched(1), touched(40)]);
    frontier(&mut harness, 41);
    harness.checkpoint();
    harness.store.apply([Change::Purged {
        queue: QUEUE,
        lane: Lane::default(),
        from: Sequence(41),
        until: Sequence(20_001),
    }]);
    frontier(&mut harness, 20_001);
    store(&mut harness, 10, 1000);
    drop(harness);
    swept(directory.path());
    let inspection = inspect(directory.path()).unwrap();
    assert!(inspection.queues[0].chunks <= 3, "{:?}", inspection.queues);
    drop(inspection);
    let harness = Harness::open(directory.path(), 0);
    let reader = harness.store.reader();
    let kept =
        reader.messages(QUEUE, &[Sequence(1), Sequence(40), Sequence(5000), Sequence(20_001)]).unwrap();
    assert_eq!(kept.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, true]);
    assert_eq!(
        reader.untouched(QUEUE, (Sequence(20_001), Sequence(u64::MAX)), 100, 1 << 20).unwrap().len(),
        10
    );
}

#[test]
fn many_dead_chunks_are_swept() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(directory.path(), 0);
    harness.push(&[create()]);
    store(&mut harness, 1200, 100_000);
    harness.store.apply([Change::Touched { queue: QUEUE, sequence: Sequence(700), touch: touch(1) }]);
    frontier(&mut harness, 1199);
    harness.checkpoint();
    drop(harness);
    swept(directory.path());
    let inspection = inspect(directory.path()).unwrap();
    assert_eq!((inspection.queues[0].chunks, inspection.parts), (3, 12));
    assert_eq!(inspection.snapshot.touched.len(), 1);
}

#[test]
fn a_deleted_queue_goes_and_its_neighbours_stay() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(directory.path(), 0);
    harness.push(&[create()]);
    store(&mut harness, 6000, 1000);
    store(&mut harness, 2, 100_000);
    harness.store.apply([Change::Touched { queue: QUEUE, sequence: Sequence(1), touch: touch(1) }]);
    frontier(&mut harness, 2);
    harness.push(&[create()]);
    let queue = QueueId(1);
    harness.push(&[crate::types::Command::Publish {
        queue,
        messages: vec![content(queue, Sequence(1))],
        facts: Vec::new(),
    }]);
    harness.checkpoint();
    harness.push(&[crate::types::Command::DeleteQueue { queue: QUEUE }]);
    harness.checkpoint();
    harness.check();
    drop(harness);
    swept(directory.path());
    let inspection = inspect(directory.path()).unwrap();
    assert_eq!(inspection.queues.iter().map(|queue| queue.queue).collect::<Vec<_>>(), [queue]);
    assert_eq!(
        (inspection.snapshot.queues.len(), inspection.snapshot.touched.len(), inspection.parts),
        (1, 0, 0)
    );
}

/// A kill after the transaction that ordered a sweep, before its first step.
#[test]
fn a_sweep_that_never_began_is_done_after_the_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(directory.path(), 0);
    harness.push(&[create()]);
    store(&mut harness, 3000, 1000);
    drop(harness);
    let state = Arc::new(
        State::open(Directory::open(Arc::new(Machine), directory.path(), 4 << 20).unwrap(), &options())
            .unwrap(),
    );
    let row = state.queues.get(keys::queue(QUEUE)).unwrap();
    state.queues.remove(keys::queue(QUEUE)).unwrap();
    state.sweeps.insert(keys::sweep(QUEUE, Sequence(0)), &meta::encode_until(Sequence(u64::MAX))).unwrap();
    let mut sums = Sums::default();
    sums.change("queues", &keys::queue(QUEUE), row.as_deref(), None);
    rows::transaction([&state.meta], |[meta]| sums.write(&meta)).unwrap();
    state.persist().unwrap();
    drop(state);
    assert!(swept(directory.path()) > 0);
    assert_eq!(inspect(directory.path()).unwrap().queues, []);
}
