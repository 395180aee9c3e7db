//! Backups while everything goes on, and what is made of them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::model::{Harness, choice, expected, options};
use crate::store::backup::fuzzing::{Right, restore as restore_in_memory, righted};
use crate::store::{Backup, BackupOrder, RestoreError, restore, verify};
use crate::types::{LogId, Timestamp};

/// Takes a checkpoint and begins a backup of it.
fn begin(harness: &mut Harness) -> Backup {
    let (reply, mut begun) = oneshot::channel();
    let order = BackupOrder { hold: Arc::new(()), made_at: Timestamp(7), messages_bytes: 0, reply };
    harness.store.order_backup(order);
    assert!(harness.store.checkpoint_due(), "a backup does not wait for changes");
    harness.checkpoint();
    begun.try_recv().unwrap().unwrap()
}

/// Reads a backup into a file; `between` happens between its pieces.
fn read(mut backup: Backup, file: &Path, mut between: impl FnMut()) {
    let mut bytes = Vec::new();
    while let Some(piece) = backup.next_piece().unwrap() {
        bytes.extend_from_slice(&piece);
        between();
    }
    fs::write(file, bytes).unwrap();
}

/// The restored directory holds the state after `last`, and can go on from there.
fn is_the_state_after(directory: &Path, seed: u64, last: LogId) {
    let mut harness = Harness::open(directory, seed);
    let mut model = expected(seed, last.index);
    model.engine.epoch.0 += 1 << 16;
    assert_eq!((harness.last, &harness.model), (last, &model));
    harness.check();
    for _ in 0..100 {
        harness.step();
    }
    harness.checkpoint();
    harness.check();
}

/// Whatever is published, settled, purged and deleted while a backup is read, it is the state at its entry.
#[test]
fn a_backup_is_the_state_at_one_entry_while_everything_goes_on() {
    for seed in 0..6 {
        let directory = tempfile::tempdir().unwrap();
        let mut harness = Harness::open(&directory.path().join("data"), seed);
        for index in 0..600 {
            harness.step();
            if choice(seed, index, 90, 40) == 0 {
                harness.checkpoint();
            }
        }
        let backup = begin(&mut harness);
        let last = harness.last;
        let file = directory.path().join("backup");
        let mut pieces = 0;
        read(backup, &file, || {
            pieces += 1;
            for _ in 0..200 {
                harness.step();
            }
            harness.checkpoint();
        });
        assert!(pieces >= 4, "seed {seed}: {pieces} pieces are too few to have something in between");
        harness.check();
        let held = verify(&file, |_, _| {}).unwrap();
        assert_eq!((held.applied, held.made_at), (last, Timestamp(7)));
        assert_eq!(held.bytes, fs::metadata(&file).unwrap().len());
        let restored = directory.path().join("restored");
        assert_eq!(restore(&file, &restored, &options(), |_, _| {}).unwrap(), held);
        is_the_state_after(&restored, seed, last);
        // What was put off is removed in the end, and nothing that is alive with it.
        for _ in 0..200 {
            harness.step();
        }
        harness.checkpoint();
        harness.check();
    }
}

/// The first backup of a server that has done nothing yet.
#[test]
fn a_backup_of_nothing_can_be_restored() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(&directory.path().join("data"), 1);
    harness.step();
    let backup = begin(&mut harness);
    let file = directory.path().join("backup");
    read(backup, &file, || {});
    let restored = directory.path().join("restored");
    fs::create_dir(&restored).unwrap();
    restore(&file, &restored, &options(), |_, _| {}).unwrap();
    is_the_state_after(&restored, 1, harness.last);
}

/// A damaged file is refused wherever the damage is, and what was asked for is not there, not even a part of it.
#[test]
fn a_backup_that_is_not_whole_makes_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(&directory.path().join("data"), 2);
    for _ in 0..300 {
        harness.step();
    }
    let backup = begin(&mut harness);
    let (file, restored) = (directory.path().join("backup"), directory.path().join("restored"));
    let mut ends = vec![0];
    let mut bytes = Vec::new();
    let mut backup = backup;
    while let Some(piece) = backup.next_piece().unwrap() {
        bytes.extend_from_slice(&piece);
        ends.push(bytes.len());
    }
    ends.pop();
    let refuses = |damaged: &[u8], what: &str| {
        fs::write(&file, damaged).unwrap();
        let error = restore(&file, &restored, &options(), |_, _| {}).unwrap_err();
        let known = matches!(error, RestoreError::Damaged { .. } | RestoreError::Foreign { .. });
        assert!(known, "{what}: {error}");
        let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{what}: only the first directory and the file: {left:?}");
    };
    for end in ends {
        refuses(&bytes[..end], "cut at a border");
    }
    refuses(&bytes[..bytes.len() - 1], "cut by a byte");
    for n in 0..12 {
        let place = usize::try_from(choice(3, n, 0, u64::try_from(bytes.len()).unwrap())).unwrap();
        bytes[place] ^= 0x10;
        refuses(&bytes, &format!("byte {place}"));
        bytes[place] ^= 0x10;
    }
    for place in (0..bytes.len()).step_by(bytes.len() / 300) {
        bytes[place] ^= 1;
        fs::write(&file, &bytes).unwrap();
        assert!(verify(&file, |_, _| {}).is_err(), "byte {place}");
        bytes[place] ^= 1;
    }
}

#[test]
fn a_directory_with_something_in_it_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(&directory.path().join("data"), 1);
    harness.step();
    let backup = begin(&mut harness);
    let file = directory.path().join("backup");
    read(backup, &file, || {});
    let error = restore(&file, &directory.path().join("data"), &options(), |_, _| {}).unwrap_err();
    assert!(matches!(&error, RestoreError::NotEmpty { .. }), "{error}");
    assert!(error.to_string().contains("new or empty directory"), "{error}");
    // What a killed restore left is no obstacle.
    fs::create_dir_all(directory.path().join(".new.restoring/state")).unwrap();
    restore(&file, &directory.path().join("new"), &options(), |_, _| {}).unwrap();
    assert!(!directory.path().join(".new.restoring").exists());
}

/// What is fuzzed comes as far as a start, and as far as the messages, whatever changed in the file.
#[test]
fn a_fuzzed_backup_is_restored() {
    let directory = tempfile::tempdir().unwrap();
    let mut harness = Harness::open(&directory.path().join("data"), 2);
    for _ in 0..300 {
        harness.step();
    }
    let file = directory.path().join("backup");
    read(begin(&mut harness), &file, || {});
    let mut bytes = fs::read(&file).unwrap();
    let whole = restore_in_memory(&bytes).expect("it is whole");
    assert!(whole > 10, "{whole} messages are too few");
    for right in [Right::File, Right::Rows] {
        assert_eq!(restore_in_memory(&righted(&bytes, right)), Some(whole), "{right:?}");
    }
    // Bytes of a chunk: the checksums of the file and of the chunk say so, and where both are right, nothing does.
    let chunk = bytes.windows(7).position(|window| window == b"\x06chunks").unwrap() + 40;
    let mut unnoticed = 0;
    for place in chunk..chunk + 100 {
        bytes[place] ^= 1;
        assert_eq!(restore_in_memory(&bytes), None, "byte {place}");
        assert_eq!(restore_in_memory(&righted(&bytes, Right::File)), None, "byte {place}");
        unnoticed += u32::from(restore_in_memory(&righted(&bytes, Right::Rows)) == Some(whole));
        bytes[place] ^= 1;
    }
    assert!(unnoticed > 10, "{unnoticed}: the fuzzer does not come to what is behind the checksums");
}
