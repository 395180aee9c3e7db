//! The same while the store is open: entries, checkpoints and readers go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{ENTRIES, SEED, compacting, left, verify};
use crate::store::host::{Operation, Watched};
use crate::store::opening::open_through;
use crate::store::tests::faults::settle;
use crate::store::tests::model::{Harness, expected, options};
use crate::store::{Reader, StoreOptions, open};
use crate::types::{QueueId, Sequence};

fn at_once() -> StoreOptions {
    StoreOptions { compaction_interval_ms: 10, ..compacting() }
}

/// Reads, again and again.
fn read_on(reader: &Reader, enough: &AtomicBool) -> usize {
    let mut reads = 0;
    while !enough.load(Ordering::Relaxed) {
        reader.sizes(QueueId(1), (Sequence(1), Sequence(u64::MAX)), 50).unwrap();
        reads += 1;
    }
    reads
}

/// Entries and checkpoints; what failed, if anything did.
fn live(harness: &mut Harness, entries: u64) -> Option<String> {
    for entry in 1..=entries {
        harness.step();
        if entry % 40 == 0 {
            harness.begin_checkpoint();
            if let Some(what) = settle(harness) {
                return Some(what);
            }
        }
    }
    None
}

#[test]
fn a_running_store_gives_room_back_and_nobody_misses_a_message() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut harness = Harness::of(open(path, &at_once()).unwrap(), SEED);
    let enough = Arc::new(AtomicBool::new(false));
    let (reader, until) = (harness.store.reader(), Arc::clone(&enough));
    let reads = std::thread::spawn(move || read_on(&reader, &until));
    while harness.last.index < ENTRIES {
        assert_eq!(live(&mut harness, 40), None);
        harness.check();
    }
    enough.store(true, Ordering::Relaxed);
    assert!(reads.join().unwrap() > 0);
    assert!(harness.compacted > 2, "{}", harness.compacted);
    harness.synced();
    drop(harness);
    assert_eq!(left(path), [false; 2]);
    verify(path, &options());
}

/// A reader that is in the middle of something keeps its files, and the store goes on with them.
#[test]
fn a_read_that_does_not_end_keeps_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let watched = Watched::default();
    let opened = open_through(Arc::new(watched.clone()), path, &at_once()).unwrap();
    let mut harness = Harness::of(opened, SEED);
    let reading = harness.store.current.get().unwrap();
    let tried = || watched.done().iter().any(|(_, path)| path.ends_with("state.next"));
    while !tried() {
        assert!(harness.last.index < 10 * ENTRIES, "it does not come to that");
        assert_eq!(live(&mut harness, 40), None);
    }
    assert_eq!(live(&mut harness, 80), None);
    assert_eq!(harness.compacted, 0);
    harness.check();
    let last = harness.last.index;
    // The last try ends.
    drop(harness);
    assert_eq!(left(path), [false; 2]);
    drop(reading);
    assert_eq!(Harness::of(open(path, &options()).unwrap(), SEED).model, expected(SEED, last));
}

/// Each fsync of a directory on the way fails once: the store goes on with what it has, or ends, and the next start has everything.
#[test]
fn a_disk_that_refuses_meanwhile_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let start = Watched::default();
    drop(open_through(Arc::new(start.clone()), &home.path().join("start/data"), &at_once()).unwrap());
    let mut ended = 0;
    let places = [("state.next", 3), ("blobs", 2), ("data", 4), ("state", 2)];
    for (name, at) in places.into_iter().flat_map(|(name, places)| (0..places).map(move |at| (name, at))) {
        let path = home.path().join(format!("{name}-{at}/data"));
        let before = start
            .done()
            .iter()
            .filter(|(of, path)| *of == Operation::SyncDirectory && path.ends_with(name))
            .count();
        let watched = Watched::failing_to_sync(name, before + at);
        let opened = open_through(Arc::new(watched.clone()), &path, &at_once()).unwrap();
        let mut harness = Harness::of(opened, SEED);
        let mut what = None;
        while what.is_none() && watched.failed().is_none() {
            assert!(harness.last.index < 10 * ENTRIES, "{name} {at}: it does not come to that");
            what = live(&mut harness, 40);
        }
        what = what.or_else(|| live(&mut harness, 80));
        let durable = harness.store.durable_index();
        drop(harness);
        if let Some(what) = &what {
            assert!(what.contains("Input/output"), "{what}");
            assert_ne!(name, "state.next", "what is only copied can be left");
            ended += 1;
        }
        let harness = Harness::of(open(&path, &options()).unwrap(), SEED);
        assert!(harness.last.index >= durable, "{name} {at}: {} of {durable}", harness.last.index);
        assert_eq!(harness.model, expected(SEED, harness.last.index));
        harness.check();
        assert_eq!(left(&path), [false; 2], "{name} {at}");
        println!("{name} {at}: {what:?}");
    }
    assert!(ended > 2, "{ended}");
}
