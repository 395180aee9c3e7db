//! The journal: every entry, in order, on disk before anything that follows from it leaves.
//!
//! Files are segments of records. A thread writes and syncs them; purging removes whole segments that a checkpoint made
//! useless. Opening works after any power cut: see `scan` for what counts then.

pub(super) mod fuzzing;
mod progress;
mod record;
mod replay;
mod scan;
mod segment;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::types::LogId;

use super::error::Context;
use super::host::{Disk, Machine, Threads};
use super::{Awaited, OpenError, StoreEvent};

pub(super) use progress::Progress;
pub(super) use record::HEADER_BYTES as RECORD_HEADER_BYTES;
pub use replay::{Replay, ReplayEntry};
pub(super) use segment::purge;
pub(super) use writer::Alarm;

/// How many torn tails are kept aside; the oldest go.
const TORN_MAX: usize = 8;

/// The journal's end, where entries go in. Dropping it waits until they are on disk.
#[derive(Debug)]
pub(super) struct Journal {
    entries: Option<UnboundedSender<writer::Append>>,
    thread: Option<JoinHandle<()>>,
    pub(super) progress: Progress,
}

/// A journal as opening found it.
pub(super) struct Found {
    pub(super) journal: Journal,
    pub(super) replay: Replay,
    /// The last entry, or that of the checkpoint if it is later.
    pub(super) last: LogId,
    /// Bytes that `replay` will read.
    pub(super) bytes: u64,
    pub(super) torn: Option<TornTail>,
}

/// What was behind the last whole entry of a journal, and no whole entry. No confirmed entry is in it if it is what a power cut
/// left; if the disk changed it, the entries that it held are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub file: PathBuf,
    /// Where it began there.
    pub offset: u64,
    /// How much it was.
    pub bytes: u64,
    /// The last whole entry.
    pub last: u64,
    /// The file that keeps it.
    pub kept: PathBuf,
}

/// What a journal holds, for a look at a stopped directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalSummary {
    /// The last whole entry; zero if there is none.
    pub last: LogId,
    /// Bytes of entries after the checkpoint.
    pub bytes: u64,
    /// Segments that count.
    pub segments: usize,
    /// Bytes of a torn tail that the next start cuts off.
    pub torn_bytes: usize,
}

/// Reads the journal without changing it.
pub(super) fn summarize(directory: &Path, applied: LogId) -> Result<(JournalSummary, Replay), OpenError> {
    let scan = scan::scan(&Machine, directory, applied.index)?;
    let summary = JournalSummary {
        last: scan.last,
        bytes: scan.bytes,
        segments: scan.segments.len(),
        torn_bytes: scan.torn.as_ref().map_or(0, |torn| torn.until - torn.from),
    };
    Ok((summary, Replay::new(Arc::new(Machine), scan.segments, applied.index)))
}

/// What a look at all of a journal finds.
pub(super) struct Survey {
    /// The last whole entry; zero if there is none.
    pub(super) last: LogId,
    /// A torn tail: the file, where it begins in it, and where it ends.
    pub(super) torn: Option<(PathBuf, usize, usize)>,
    /// Files that the next start removes.
    pub(super) useless: Vec<PathBuf>,
    /// All entries, those that the checkpoint holds included, as far as their segments are still there.
    pub(super) replay: Replay,
}

/// Looks at all of a journal without changing it. Without the entry of the checkpoint, nothing is said about where it begins.
pub(super) fn survey(directory: &Path, applied: Option<u64>) -> Result<Survey, OpenError> {
    let first =
        segment::list(&Machine, directory).context("list", directory)?.first().map(|(first, _)| *first);
    let applied = applied.or(first.map(|first| first.saturating_sub(1))).unwrap_or_default();
    let scan = scan::scan(&Machine, directory, applied)?;
    let torn = scan.torn.map(|torn| (torn.path, torn.from, torn.until));
    let useless = scan.unused.into_iter().chain(scan.unborn).collect();
    Ok(Survey { last: scan.last, torn, useless, replay: Replay::new(Arc::new(Machine), scan.segments, 0) })
}

/// Opens the journal behind a checkpoint, cutting off a torn tail.
pub(super) fn open(
    (disk, threads): (&Arc<dyn Disk>, &Arc<dyn Threads>),
    directory: &Path,
    segment_bytes: u64,
    applied: LogId,
    events: UnboundedSender<StoreEvent>,
) -> Result<Found, OpenError> {
    let scan = scan::scan(&**disk, directory, applied.index)?;
    // By index: a segment without entries knows which comes next, but not the term of the one before.
    if scan.last.index < applied.index {
        let reason = format!(
            "the journal ends at entry {}, but the state files hold entry {}, which it had when they were written",
            scan.last.index, applied.index
        );
        return Err(OpenError::Corrupt { file: directory.to_owned(), offset: 0, reason });
    }
    let kept = scan.torn.as_ref().map(|torn| keep_aside(&**disk, directory, torn, scan.last.index));
    let torn = kept.transpose()?;
    let last = scan.last.max(applied);
    let continued = scan.segments.last().filter(|_| scan.last.index == last.index);
    let (file, path, salt, end) = if let Some(segment) = continued {
        let clean = scan.torn.is_none();
        let file = segment::reopen(&**disk, &segment.path, (segment.end, clean), segment_bytes);
        (file.context("open", &segment.path)?, segment.path.clone(), segment.header.salt, segment.end)
    } else {
        // In the place of one that never held a record, if there is one.
        let header = segment::Header { first: last.index + 1, salt: disk.salt() };
        let path = segment::path(directory, header.first);
        let file = segment::create(&**disk, directory, header, segment_bytes).context("create", &path)?;
        (file, path, header.salt, segment::HEADER_BYTES)
    };
    disk.sync_directory(directory).context("fsync directory", directory)?;
    remove_useless(&**disk, directory, &scan, &path)?;
    let newest = segment::first_of(&path).unwrap_or(last.index + 1);
    let progress = Progress::starting_at(last.index, newest);
    let writer = writer::Writer {
        disk: Arc::clone(disk),
        threads: Arc::clone(threads),
        directory: directory.to_owned(),
        segment_bytes,
        file,
        path,
        salt,
        end,
        written: last.index,
        durable: last.index,
        progress: progress.clone(),
        events,
    };
    let (entries, receiver) = unbounded_channel();
    let thread = threads
        .run("bbq-journal", Box::pin(writer.run(receiver)))
        .context("start the journal thread for", directory)?;
    let journal = Journal { entries: Some(entries), thread, progress };
    let replay = Replay::new(Arc::clone(disk), scan.segments, applied.index);
    Ok(Found { journal, replay, last, bytes: scan.bytes, torn })
}

/// Makes the journal of a directory whose state files hold entry `applied`.
pub(super) fn begin(
    disk: &dyn Disk,
    directory: &Path,
    applied: LogId,
    segment_bytes: u64,
) -> Result<(), OpenError> {
    let header = segment::Header { first: applied.index + 1, salt: disk.salt() };
    segment::create(disk, directory, header, segment_bytes)
        .context("create", &segment::path(directory, header.first))?;
    disk.sync_directory(directory).context("fsync directory", directory)
}

/// Removes what counts no more, once the segment that goes on is on disk. Before that, a journal of which nothing is left for a moment
/// would be one that ends before its checkpoint, if that moment is the last.
fn remove_useless(
    disk: &dyn Disk,
    directory: &Path,
    scan: &scan::Scan,
    goes_on: &Path,
) -> Result<(), OpenError> {
    let useless = || scan.unused.iter().chain(&scan.unborn).filter(|useless| **useless != goes_on);
    for useless in useless() {
        disk.remove(useless).context("remove", useless)?;
    }
    if useless().next().is_some() {
        disk.sync_directory(directory).context("fsync directory", directory)?;
    }
    Ok(())
}

/// Copies a torn tail to a file of its own, for whoever wants to know what was in it.
fn keep_aside(
    disk: &dyn Disk,
    directory: &Path,
    torn: &scan::Torn,
    last: u64,
) -> Result<TornTail, OpenError> {
    let mut kept = Vec::new();
    for path in disk.list(directory).context("list", directory)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("torn-") {
            kept.push(path);
        }
    }
    kept.sort_unstable();
    for path in kept.iter().take((kept.len() + 1).saturating_sub(TORN_MAX)) {
        disk.remove(path).context("remove", path)?;
    }
    let bytes = disk.read(&torn.path).context("read", &torn.path)?;
    let tail = bytes.get(torn.from..torn.until).unwrap_or_default();
    let kept = directory.join(format!("torn-{:020}.bin", last + 1));
    disk.write(&kept, tail).context("write", &kept)?;
    // Before the original is cut off: a power cut must not take both.
    disk.open(&kept).and_then(|file| file.sync_all()).context("fsync", &kept)?;
    disk.sync_directory(directory).context("fsync directory", directory)?;
    let (offset, bytes) = (segment::position(torn.from), segment::position(torn.until - torn.from));
    Ok(TornTail { file: torn.path.clone(), offset, bytes, last, kept })
}

impl Journal {
    /// Hands over an entry. Never blocks; the events say when it is on disk. After a failure it goes nowhere.
    pub(super) fn append(&self, id: LogId, record: Vec<u8>, awaited: Awaited) {
        if let Some(entries) = &self.entries {
            _ = entries.send(writer::Append { id, record, awaited });
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.entries = None;
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
