//! What a running server takes of its machine.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::Pid;

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
    pub fn of(pid: Pid, data: &Path) -> Self {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
        let status = status.expect("the server runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field of a process");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        Self {
            resident_kib: field("VmRSS:"),
            threads: field("Threads:"),
            tokio_threads: named(
                Path::new(&format!("/proc/{}/task", pid.as_raw_nonzero())),
                "tokio-rt-worker",
            ),
            descriptors: count(Path::new(&format!("/proc/{}/fd", pid.as_raw_nonzero()))),
            journal_kib: kib(&data.join("journal")),
            state_kib: kib(&data.join("state")),
            blobs: count(&data.join("state/blobs")),
        }
    }
}

fn count(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).expect("the directory is there");
    u64::try_from(entries.count()).expect("a few")
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
