//! The machine that was measured on, as it tells of itself.

use std::fs::{OpenOptions, read_to_string};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::figures::median;

/// Appends that are timed to learn what an fsync costs.
const FSYNCS: usize = 200;
/// Bytes of each.
const BLOCK: usize = 4096;

/// The machine.
#[derive(Debug)]
pub struct Machine {
    /// The model of its processor.
    pub processor: String,
    /// The cores that this process may use.
    pub cores: usize,
    /// Its memory in GiB.
    pub memory_gib: f64,
    /// Its kernel.
    pub kernel: String,
    /// The file system of the data.
    pub file_system: String,
    /// What an append of 4 KiB and its fdatasync take there, in microseconds; the median.
    pub fsync_us: f64,
    /// The day, in UTC.
    pub date: String,
}

impl Machine {
    /// Looks at this machine, and at the disk below `directory`.
    pub fn look(directory: &Path) -> Result<Self> {
        let processors = read_to_string("/proc/cpuinfo").context("/proc/cpuinfo can't be read")?;
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let memory = read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
        let file_system = file_system(directory)?;
        if file_system == "tmpfs" {
            bail!(
                "{} is in memory, where an fsync costs nothing; name a directory on a disk with --dir",
                directory.display()
            );
        }
        Ok(Self {
            processor: model.map_or("unknown", |(_, model)| model).to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: kib.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0 / 1024.0,
            kernel: read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            file_system,
            fsync_us: fsync_us(directory)?,
            date: OffsetDateTime::now_utc().date().to_string(),
        })
    }
}

/// The type of the file system that `directory` is on.
fn file_system(directory: &Path) -> Result<String> {
    let directory =
        directory.canonicalize().with_context(|| format!("{} is not there", directory.display()))?;
    let mounts = read_to_string("/proc/mounts").context("/proc/mounts can't be read")?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let holding = mounts.filter(|(at, _)| directory.starts_with(at)).max_by_key(|(at, _)| at.len());
    Ok(holding.map_or("unknown", |(_, kind)| kind).to_owned())
}

fn fsync_us(directory: &Path) -> Result<f64> {
    let own =
        tempfile::tempdir_in(directory).context("no room for a data directory; name another with --dir")?;
    let mut file = OpenOptions::new().append(true).create(true).open(own.path().join("fsync"))?;
    let mut took = Vec::with_capacity(FSYNCS);
    for _ in 0..FSYNCS {
        let begun = Instant::now();
        file.write_all(&[b'.'; BLOCK])?;
        file.sync_data()?;
        took.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    median(took).context("nothing was fsynced")
}
