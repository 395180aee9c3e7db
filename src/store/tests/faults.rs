//! A disk that refuses: the store says where and why, never goes on, and loses nothing that it had confirmed.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use super::model::{Harness, expected, options};
use crate::store::host::{Machine, Operation, Watched};
use crate::store::state::State;
use crate::store::{StoreEvent, directory::Directory, opening::open_through};

const SEED: u64 = 5;

/// What a run came to: the last entry that was confirmed, and what was said when something failed.
struct Outcome {
    durable: u64,
    said: Option<String>,
}

/// Handles events until all is durable and no checkpoint runs; or says what failed.
pub(super) fn settle(harness: &mut Harness) -> Option<String> {
    let last = harness.last.index;
    while harness.store.durable_index() < last || harness.store.checkpoint_running() {
        let event = harness.events.blocking_recv()?;
        if let StoreEvent::Failed { what } = event {
            return Some(what);
        }
        harness.handle(&event);
    }
    None
}

/// Starts, stops, entries over several segments, checkpoints with a purge, and a torn tail, as far as it goes.
fn run(disk: &Watched, path: &Path) -> Outcome {
    let mut durable = 0;
    for life in 1..=3_u64 {
        if life == 2 {
            tear(path);
        }
        let opened = match open_through(Arc::new(disk.clone()), path, &options()) {
            Ok(opened) => opened,
            Err(error) => return Outcome { durable, said: Some(error.to_string()) },
        };
        // Entries are read when they are replayed.
        let mut harness = match Harness::try_of(opened, SEED) {
            Ok(harness) => harness,
            Err(error) => return Outcome { durable, said: Some(error.to_string()) },
        };
        for _ in 0..2 {
            (0..20).for_each(|_| harness.step());
            harness.begin_checkpoint();
            let said = settle(&mut harness);
            durable = durable.max(harness.store.durable_index());
            if said.is_some() {
                return Outcome { durable, said };
            }
        }
    }
    Outcome { durable, said: None }
}

/// Half a record behind the last one.
fn tear(path: &Path) {
    let mut segments: Vec<_> =
        fs::read_dir(path.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    let last = segments.pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 64;
    let file = OpenOptions::new().write(true).open(last).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xa5; 99], end.try_into().unwrap()).unwrap();
}

/// Each operation fails once, those of the start included.
#[test]
fn whatever_operation_fails_the_store_says_so_and_loses_nothing() {
    let whole = tempfile::tempdir().unwrap();
    let watched = Watched::default();
    let outcome = run(&watched, &whole.path().join("data"));
    assert_eq!((outcome.durable, outcome.said), (120, None));
    let done = watched.done();
    for kind in [
        Operation::Remove,
        Operation::Create,
        Operation::Open,
        Operation::Write,
        Operation::SetLength,
        Operation::SyncAll,
        Operation::SyncData,
        Operation::SyncDirectory,
    ] {
        assert!(done.iter().any(|(operation, _)| *operation == kind), "{kind:?} is never tried");
    }
    // One in nine by number, in turn, and the first of each kind on each file.
    let seen = |at: usize| done[..at].contains(&done[at]);
    let mut struck = 0;
    for at in (0..done.len()).filter(|&at| !seen(at) || at % 9 == 0) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let watched = Watched::failing_after(at);
        let Outcome { durable, said } = run(&watched, &path);
        let Some((operation, file)) = watched.failed() else { continue };
        struck += 1;
        let said =
            said.unwrap_or_else(|| panic!("operation {at}, {operation:?} of {}: it went on", file.display()));
        assert!(said.contains("Input/output error"), "{operation:?}: {said}");
        let place = if operation == Operation::SyncDirectory { &file } else { file.parent().unwrap() };
        assert!(said.contains(place.to_str().unwrap()), "{operation:?} of {}: {said}", file.display());
        assert!(!said.contains("panicked"), "{operation:?}: {said}");
        let mut harness = Harness::open(&path, SEED);
        assert!(harness.last.index >= durable, "{operation:?} of {} lost entries", file.display());
        assert_eq!(harness.model, expected(SEED, harness.last.index));
        harness.check();
        harness.step();
        harness.synced();
    }
    assert!(struck > 40, "only {struck} operations failed");
}

/// Whoever made a directory may have been killed before it had its name on disk.
#[test]
fn directories_that_were_found_are_synced_as_if_they_were_new() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    drop(open_through(Arc::new(Machine), &path, &options()).unwrap());
    let watched = Watched::default();
    drop(open_through(Arc::new(watched.clone()), &path, &options()).unwrap());
    let done = watched.done();
    for synced in [directory.path(), &path, &path.join("journal"), &path.join("state")] {
        let synced = (Operation::SyncDirectory, synced.to_owned());
        assert!(done.contains(&synced), "{synced:?} is not among {done:?}");
    }
}

/// sled syncs its file when the last one closes it, and panics where that fails.
#[test]
fn sled_stays_open_after_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let opened = Directory::open(Arc::new(Machine), path, 4 << 20).unwrap();
    let state = State::open(opened, &options()).unwrap();
    let blobs = path.join("state/blobs");
    fs::remove_dir(&blobs).unwrap();
    let error = state.persist().unwrap_err().to_string();
    assert!(error.contains("fsync blobs"), "{error}");
    fs::create_dir(&blobs).unwrap();
    let again = state.persist().unwrap_err().to_string();
    assert!(again.contains("an earlier write or fsync"), "what failed must not be tried again: {again}");
    drop(state);
    let error =
        sled::Config::new().path(path.join("state")).segment_size(4 << 20).open().unwrap_err().to_string();
    assert!(error.contains("lock"), "it was closed: {error}");
}
