//! Stops of every kind: what was durable is there again, and nothing else than a prefix of what was appended.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::model::{Harness, choice, expected};

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Checkpoints at random places, copies of the directory as a crash leaves them, and stops: each opens with the state of the
/// last entry.
#[test]
fn a_random_history_survives_crashes() {
    for seed in 1..=4 {
        let directory = tempfile::tempdir().unwrap();
        let mut generation = 0;
        let mut harness = Harness::open(&directory.path().join("0"), seed);
        for round in 1..=700 {
            harness.step();
            let event = choice(seed, round, 7, 60);
            if event < 4 && !harness.store.checkpoint_running() {
                harness.begin_checkpoint();
            }
            if event == 4 {
                harness.until(|store| !store.checkpoint_running());
                harness.check();
            }
            if event == 5 {
                harness.synced();
                harness.until(|store| !store.checkpoint_running());
                let from = directory.path().join(generation.to_string());
                generation += 1;
                let to = directory.path().join(generation.to_string());
                copy(&from, &to);
                harness = Harness::open(&to, seed);
                assert_eq!(harness.last.index, round, "seed {seed}");
                assert_eq!(harness.model, expected(seed, round), "seed {seed}");
                harness.check();
            }
        }
        drop(harness);
        let harness = Harness::open(&directory.path().join(generation.to_string()), seed);
        assert_eq!(harness.model, expected(seed, 700), "seed {seed}");
        harness.check();
    }
}

const CHILD: &str = "BBQ_STORE_TEST_CHILD";

/// Not a test by itself: the process that the next test kills. It reports what is durable and goes on until then.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let mut harness = Harness::open(Path::new(&path), 99);
    loop {
        for _ in 0..choice(99, harness.last.index, 8, 10) {
            harness.step();
        }
        if choice(99, harness.last.index, 9, 10) == 0 && !harness.store.checkpoint_running() {
            harness.begin_checkpoint();
        }
        harness.synced();
        writeln!(std::io::stderr(), "durable {}", harness.store.durable_index()).unwrap();
        harness.step();
    }
}

/// A killed process leaves the state of an entry that is not before the last one it reported.
#[test]
fn a_killed_process_loses_nothing_that_was_durable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let mut before = 0;
    for round in 1..=12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "store::tests::crash::child_that_appends_until_it_is_killed"])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let reports = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut durable = 0;
        let mut left = 5 + choice(1, round, 1, 60);
        for line in reports {
            let line = line.unwrap();
            durable = line.strip_prefix("durable ").unwrap_or_else(|| panic!("{line}")).parse().unwrap();
            left -= 1;
            if left == 0 {
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        let harness = Harness::open(&path, 99);
        assert!(harness.last.index >= durable && durable > before, "{durable} was durable");
        before = harness.last.index;
        assert_eq!(harness.model, expected(99, harness.last.index));
        harness.check();
    }
}

#[test]
fn a_kill_while_the_state_files_are_made_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let whole = directory.path().join("whole");
    drop(Harness::open(&whole, 5));
    let conf = fs::read(whole.join("state/conf")).unwrap();
    for length in 0..=conf.len() {
        let path = directory.path().join(length.to_string());
        drop(Harness::open(&path, 5));
        fs::remove_dir_all(path.join("state")).unwrap();
        fs::create_dir(path.join("state")).unwrap();
        fs::write(path.join("state/conf"), &conf[..length]).unwrap();
        let mut harness = Harness::open(&path, 5);
        harness.step();
        harness.synced();
    }
}

/// sled writes a snapshot each time it opens; a kill may leave part of one.
#[test]
fn a_kill_while_the_state_files_open_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let state = path.join("state");
    let snapshots = || {
        let names = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.to_string_lossy().contains("snap.")).collect::<Vec<_>>()
    };
    let mut harness = Harness::open(&path, 5);
    (0..100).for_each(|_| harness.step());
    harness.begin_checkpoint();
    harness.until(|store| !store.checkpoint_running());
    drop(harness);
    // Opening what was written makes a snapshot of it.
    drop(Harness::open(&path, 5));
    let whole = fs::read(&snapshots()[0]).unwrap();
    for length in [0, 5, 20, whole.len() - 1] {
        fs::write(state.join("snap.7FFFFFFFFFFFFFFF.generating"), &whole[..length]).unwrap();
        let harness = Harness::open(&path, 5);
        assert_eq!(harness.model, expected(5, 100));
        harness.check();
        drop(harness);
        assert!(snapshots().iter().all(|path| path.extension().unwrap() != "generating"));
    }
}
