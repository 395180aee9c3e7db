//! The power goes at random moments, under load, again and again; what was told must stay true.
//!
//! The data directory is on a disk of our own below a real server: it forgets what was not synced, by seed. `BBQ_POWERLOSS_ROUNDS`
//! is how often, `BBQ_POWERLOSS_SEED` repeats a run as far as chance allows.

#![expect(clippy::unwrap_used, reason = "test code")]

mod disk;
mod fault;
mod file;
#[path = "../support/history.rs"]
mod history;
#[path = "../support/load.rs"]
mod load;
mod mount;
#[path = "../support/rig.rs"]
mod rig;
mod run;
#[path = "../support/state_hashes.rs"]
mod state_hashes;
#[path = "../support/mod.rs"]
mod support;

use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use disk::Disk;
use fault::{Call, Fault, Plant, Which};
use fuser::Errno;
use mount::Mounted;
use rig::variable;
use run::{ROUNDS_A_RUN, Run, is_a_finding, mounting_is_allowed};

/// Seeds that found something once. They found it in the checker; what was found in the server needed a broken disk too.
const BITTEN: [u64; 1] = [1031];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_stays_true_however_often_the_power_goes() {
    if !mounting_is_allowed() {
        return;
    }
    for seed in BITTEN {
        Run::new(seed, Plant::Nothing).rounds(2).await;
    }
    let mut rounds = variable("BBQ_POWERLOSS_ROUNDS").unwrap_or(ROUNDS_A_RUN);
    let seed = variable("BBQ_POWERLOSS_SEED");
    let mut seed = seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    while rounds > 0 {
        let these = rounds.min(ROUNDS_A_RUN);
        eprintln!("BBQ_POWERLOSS_SEED={seed} BBQ_POWERLOSS_ROUNDS={these}");
        let mut run = Run::new(seed, Plant::Nothing);
        run.rounds(these).await;
        run.rig.show(&["sent"]);
        rounds -= these;
        seed += 1;
    }
}

/// How many runs of a few rounds a broken promise may get through.
const UNBITTEN_MAX: u64 = 20;

/// A rig that never fails shows nothing: without an fsync of its own, the server fails here.
async fn bites(plant: Plant) {
    if !mounting_is_allowed() {
        return;
    }
    for seed in 0..UNBITTEN_MAX {
        let run = async move { Run::new(seed, plant).rounds(3).await };
        let Err(ended) = tokio::spawn(run).await else { continue };
        let panic = ended.into_panic();
        let text = panic.downcast_ref::<String>().map_or("", String::as_str);
        let shown: String = text.lines().take(2).collect();
        // A run that fails by itself, as when a server reads damage under the load's hands, has shown nothing.
        if is_a_finding(text) {
            eprintln!("{plant:?} was found by run {seed}: {shown}");
            return;
        }
        eprintln!("run {seed} with {plant:?} ended without a finding: {shown}");
    }
    panic!("{UNBITTEN_MAX} runs found nothing wrong with {plant:?}");
}

/// What is told of a broken rig, a slow machine or a server that panicked is not taken for what it was to find.
#[test]
fn a_failure_of_the_rig_is_no_finding() {
    let damaged = "error: /a/journal is damaged at byte 0: it begins with entry 171";
    let found = [
        format!("the server does not start: {damaged}"),
        "the server does not start: error: state in /a: no such row".to_owned(),
        "a replay differs: \"entry 5 left a, its replay b\"".to_owned(),
        "deleted, and there again: [Queue { name: \"scratch\" }]".to_owned(),
        "2 violations, the first of them:\nNothingIsLost".to_owned(),
    ];
    assert!(found.iter().all(|text| is_a_finding(text)));
    let failures = [
        "the server does not start: error: could not listen on 127.0.0.1:1",
        "the server does not start: thread 'main' panicked at src/main.rs",
        "called `Result::unwrap()` on an `Err` value: Unavailable",
        damaged,
        "",
    ];
    assert!(!failures.iter().any(|text| is_a_finding(text)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_is_not_synced_is_found_out() {
    bites(Plant::JournalNotSynced).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_files_that_are_only_flushed_are_found_out() {
    bites(Plant::StateNotSynced).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_is_purged_too_early_is_found_out() {
    bites(Plant::PurgedTooEarly).await;
}

/// Under load, the server ends, says where and why, loses nothing, and starts again when the cause is gone.
async fn a_fault_ends_the_server(calls: &'static [Call], which: Which, error: Errno, says: &str) {
    if !mounting_is_allowed() {
        return;
    }
    let mut run = Run::new(u64::from(rand::random::<u32>()), Plant::Nothing);
    for after in [0, 20] {
        run.broken(Fault { calls, which, after, error }, says).await;
    }
    run.rounds(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_cannot_be_written_ends_the_server() {
    a_fault_ends_the_server(&[Call::Write], Which::Journal, Errno::EIO, "Input/output error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_cannot_be_synced_ends_the_server() {
    a_fault_ends_the_server(&[Call::Sync], Which::Journal, Errno::EIO, "Input/output error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_without_room_ends_the_server() {
    a_fault_ends_the_server(&[Call::Resize], Which::Journal, Errno::ENOSPC, "No space left").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_files_that_cannot_be_written_end_the_server() {
    a_fault_ends_the_server(&[Call::Write], Which::State, Errno::EIO, "Input/output error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_files_that_cannot_be_synced_end_the_server() {
    a_fault_ends_the_server(&[Call::Sync], Which::State, Errno::EIO, "Input/output error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_files_without_room_end_the_server() {
    a_fault_ends_the_server(&[Call::Write, Call::Resize], Which::State, Errno::ENOSPC, "No space left").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_cannot_be_synced_ends_the_server() {
    a_fault_ends_the_server(&[Call::Sync], Which::Directory, Errno::EIO, "Input/output error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_file_that_cannot_be_made_ends_the_server() {
    a_fault_ends_the_server(&[Call::Create], Which::Journal, Errno::ENOSPC, "No space left").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_file_that_cannot_be_removed_ends_the_server() {
    a_fault_ends_the_server(&[Call::Remove], Which::Journal, Errno::EIO, "Input/output error").await;
}

const EACH_CALL: [&[Call]; 6] =
    [&[Call::Write], &[Call::Resize], &[Call::Sync], &[Call::Create], &[Call::Rename], &[Call::Remove]];

/// Whatever fails in a start, the server says so, and the next one has everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_in_a_start_costs_the_start_and_nothing_else() {
    if !mounting_is_allowed() {
        return;
    }
    let mut run = Run::new(u64::from(rand::random::<u32>()), Plant::Nothing);
    run.round().await;
    let mut struck = 0;
    for which in [Which::Journal, Which::State, Which::Snapshot, Which::Directory, Which::Other] {
        for calls in EACH_CALL {
            let fault = Fault { calls, which, after: 0, error: Errno::EIO };
            struck += u32::from(run.broken_at_start(fault).await);
        }
    }
    assert!(struck >= 5, "{struck} faults struck");
    run.rounds(1).await;
}

/// The rig's own promise: after an fsync that failed, the kernel shows what was written, until it is asked to forget that.
#[test]
fn what_the_kernel_remembers_is_not_always_on_the_disk() {
    if !mounting_is_allowed() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mounted = Mounted::new(Disk::default(), directory.path()).unwrap();
    let path = directory.path().join("db");
    let file = std::fs::File::create(&path).unwrap();
    file.write_all_at(&[1; 12_288], 0).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(&[2; 8192], 0).unwrap();
    let (which, error) = (Which::State, Errno::EIO);
    mounted.disk().faults.push(Fault { calls: &[Call::Sync], which, after: 0, error });
    file.sync_data().unwrap_err();
    mounted.disk().faults.clear();
    drop(file);
    let shown = || std::fs::read(&path).unwrap();
    assert_eq!(shown()[4096..], [[2; 4096], [1; 4096]].concat());
    let file = std::fs::File::open(&path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    assert_eq!(shown(), [1; 12_288]);
}

/// A slow disk slows everything down and breaks nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_syncs_are_waited_for() {
    if !mounting_is_allowed() {
        return;
    }
    let mut run = Run::new(1, Plant::Nothing);
    run.slow = Duration::from_millis(150);
    run.undisturbed(5).await;
}
