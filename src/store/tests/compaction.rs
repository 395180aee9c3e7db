//! State files that are larger than what lives: they shrink when the store opens, and wherever that stops, nothing is lost.

mod running;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::crash::copy;
use super::model::{Harness, expected, options};
use crate::store::check::check;
use crate::store::compaction::{are_equal, fill};
use crate::store::directory::Directory;
use crate::store::host::{Machine, Operation, Watched};
use crate::store::opening::open_through;
use crate::store::state::State;
use crate::store::{OpenError, StoreOptions, open};

const SEED: u64 = 11;
const ENTRIES: u64 = 900;

fn compacting() -> StoreOptions {
    StoreOptions { compaction_bytes: 1 << 20, ..options() }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path.join("state/db")).unwrap().blocks() * 512
}

/// Much has come and gone, and little lives; some entries are in the journal alone.
fn grown(path: &Path) {
    let mut harness = Harness::open(path, SEED);
    for entry in 1..=ENTRIES {
        harness.step();
        if entry % 40 == 0 {
            harness.checkpoint();
        }
    }
    harness.synced();
}

/// It opens, holds what it should, and goes on.
fn verify(path: &Path, options: &StoreOptions) -> Option<u64> {
    let mut harness = Harness::of(open(path, options).unwrap(), SEED);
    assert_eq!(harness.model, expected(SEED, harness.last.index));
    assert!(harness.last.index >= ENTRIES);
    harness.check();
    harness.step();
    harness.checkpoint();
    harness.check();
    harness.store.compacted().map(|compacted| compacted.before - compacted.after)
}

fn left(path: &Path) -> [bool; 2] {
    ["state.next", "state.old"].map(|name| path.join(name).exists())
}

#[test]
fn files_much_larger_than_what_lives_are_compacted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    grown(path);
    let before = size(path);
    assert_eq!(verify(path, &options()), None, "they are below the bound");
    assert!(verify(path, &compacting()).unwrap() > 0);
    assert!(size(path) < before / 2, "{} bytes of {before}", size(path));
    assert_eq!(left(path), [false; 2]);
    verify(path, &compacting());
    let report = check(path, |_, _| ()).unwrap();
    assert_eq!(report.damage.first, []);
}

/// What lives is not copied if it is more than a part of the files.
#[test]
fn files_full_of_what_lives_stay_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut harness = Harness::open(path, SEED);
    harness.push(&[super::lifecycle::create()]);
    for round in 0..30 {
        harness.push(&[super::lifecycle::publish(1 + round * 300, 300)]);
    }
    harness.checkpoint();
    drop(harness);
    let opened = open(path, &compacting()).unwrap();
    assert_eq!(opened.store.compacted(), None);
}

/// What a copy lacks, has too much or has otherwise is seen, in every tree, whichever row it is.
#[test]
fn a_copy_that_differs_in_one_row_is_no_copy() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path();
    grown(path);
    let directory = Directory::open(Arc::new(Machine), path, options().sled_segment_bytes).unwrap();
    let state = State::open(Arc::clone(&directory), &options()).unwrap();
    let next = path.join("state.next");
    fs::create_dir(&next).unwrap();
    let copy = State::open_at(directory, &next, &options()).unwrap();
    fill(&state, &copy).unwrap();
    assert!(are_equal(&state, &copy).unwrap());
    let mut trees = 0;
    for (name, tree) in copy.trees().unwrap() {
        let rows = tree.iter().collect::<Result<Vec<_>, _>>().unwrap();
        trees += usize::from(!rows.is_empty());
        for (key, value) in [rows.first(), rows.last()].into_iter().flatten() {
            tree.remove(key).unwrap();
            assert!(!are_equal(&state, &copy).unwrap(), "{name}: a row is missing");
            let mut other = value.to_vec();
            other.push(0);
            tree.insert(key, other).unwrap();
            assert!(!are_equal(&state, &copy).unwrap(), "{name}: a row is another");
            tree.insert(key, value).unwrap();
            let behind = [key, &[0][..]].concat();
            tree.insert(&behind, value).unwrap();
            assert!(!are_equal(&state, &copy).unwrap(), "{name}: a row is too many");
            tree.remove(&behind).unwrap();
            assert!(are_equal(&state, &copy).unwrap(), "{name}");
        }
    }
    assert!(trees >= 3, "{trees} trees have rows");
}

/// A directory as it is after each step, and with parts of what a step makes or removes.
fn stops(home: &Path) -> Vec<(&'static str, PathBuf)> {
    let whole = home.join("whole");
    grown(&whole);
    let compacted = home.join("compacted");
    copy(&whole, &compacted);
    drop(open(&compacted, &compacting()).unwrap());
    let make = |name: &'static str, build: &dyn Fn(&Path)| {
        let path = home.join(name);
        copy(&whole, &path);
        build(&path);
        (name, path)
    };
    let next = |path: &Path| copy(&compacted.join("state"), &path.join("state.next"));
    let rename = |path: &Path, from: &str, to: &str| fs::rename(path.join(from), path.join(to)).unwrap();
    vec![
        make("1 begun", &|path| fs::create_dir(path.join("state.next")).unwrap()),
        make("1 half", &|path| {
            next(path);
            let db = fs::OpenOptions::new().write(true).open(path.join("state.next/db")).unwrap();
            db.set_len(100_000).unwrap();
        }),
        make("1 done", &|path| next(path)),
        make("2 done", &|path| {
            next(path);
            rename(path, "state", "state.old");
        }),
        make("3 done", &|path| {
            next(path);
            rename(path, "state", "state.old");
            rename(path, "state.next", "state");
        }),
        make("4 half", &|path| {
            next(path);
            rename(path, "state", "state.old");
            rename(path, "state.next", "state");
            fs::remove_file(path.join("state.old/db")).unwrap();
        }),
    ]
}

#[test]
fn a_stop_at_any_step_leaves_one_state() {
    let home = tempfile::tempdir().unwrap();
    for (name, path) in stops(home.path()) {
        for again in [options(), compacting()] {
            let copied = home.path().join("copied");
            copy(&path, &copied);
            let report = check(&copied, |_, _| ()).unwrap();
            assert_eq!(report.damage.first, [], "{name}");
            fs::remove_dir_all(&copied).unwrap();
            copy(&path, &copied);
            verify(&copied, &again);
            assert_eq!(left(&copied), [false; 2], "{name}");
            fs::remove_dir_all(&copied).unwrap();
        }
    }
}

/// Each fsync of a directory fails once: before the names change, the start goes on without; after that, the next one does.
#[test]
fn a_disk_that_refuses_on_the_way_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let whole = home.path().join("whole");
    grown(&whole);
    let (mut refused, mut went_on, mut compacted) = (0, 0, 0);
    for at in 0.. {
        let path = home.path().join("data");
        copy(&whole, &path);
        let watched = Watched::failing_after(at);
        let outcome = open_through(Arc::new(watched.clone()), &path, &compacting()).map(|opened| {
            let done = opened.store.compacted().is_some();
            drop(opened);
            done
        });
        let failed = watched.failed();
        match outcome {
            Err(OpenError::Io { error, .. }) => {
                assert!(error.to_string().contains("Input/output"));
                refused += 1;
            }
            Err(OpenError::State { reason, .. }) => {
                assert!(reason.contains("Input/output"), "{reason}");
                refused += 1;
            }
            Err(other) => panic!("{failed:?}: {other}"),
            Ok(true) => compacted += 1,
            Ok(false) => went_on += 1,
        }
        verify(&path, &options());
        assert_eq!(left(&path), [false; 2], "{failed:?}");
        fs::remove_dir_all(&path).unwrap();
        if failed.is_none() {
            break;
        }
        assert!(matches!(failed, Some((operation, _)) if operation != Operation::Remove || refused > 0));
    }
    assert!(refused > 3 && went_on > 1 && compacted > 0, "{refused}, {went_on}, {compacted}");
}
