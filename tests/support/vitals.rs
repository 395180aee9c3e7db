//! What a running server takes of its machine.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::Pid;

use crate::support::eventually;

/// A look at a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vitals {
    pub resident_kib: u64,
    pub descriptors: u64,
    pub threads: u64,
    /// Those of them that are tokio's: its workers, and those for what blocks.
    pub tokio_threads: u64,
    /// Disk that the journal's files take, in KiB.
    pub journal_kib: u64,
    /// Disk that the state files take, in KiB.
    pub state_kib: u64,
    /// Files in `state/blobs`.
    pub blobs: u64,
}

impl Vitals {
    /// Looks at the process and at its data directory.
    pub async fn of(pid: Pid, data: &Path) -> Self {
        let process = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
        let status = fs::read_to_string(process.join("status")).expect("the server runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field of a process");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        // While a compaction puts new state files in place of the old ones, there are none for a moment.
        let state = async || Some(kib(&data.join("state"))).filter(|kib| *kib > 0);
        let blobs = async || fs::read_dir(data.join("state/blobs")).ok();
        Self {
            resident_kib: field("VmRSS:"),
            threads: field("Threads:"),
            tokio_threads: named(&process.join("task"), "tokio-rt-worker"),
            descriptors: entries(fs::read_dir(process.join("fd")).expect("the server runs")),
            journal_kib: kib(&data.join("journal")),
            state_kib: eventually("the state files", state).await,
            blobs: entries(eventually("the directory of large records", blobs).await),
        }
    }
}

fn entries(directory: fs::ReadDir) -> u64 {
    u64::try_from(directory.count()).expect("a few")
}

/// Tasks of this name. Those that end while it looks count for nothing.
fn named(tasks: &Path, name: &str) -> u64 {
    let tasks = fs::read_dir(tasks).expect("the server runs").flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    u64::try_from(names.filter(|of| of.trim_end() == name).count()).expect("a few")
}

/// Blocks that a directory takes. Files that go while it looks count for nothing.
fn kib(directory: &Path) -> u64 {
    let mut blocks = 0;
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if let Ok(metadata) = entry.metadata() {
            blocks += if metadata.is_dir() { kib(&entry.path()) * 2 } else { metadata.blocks() };
        }
    }
    blocks / 2
}
