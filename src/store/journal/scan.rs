//! Reading the journal after a stop of any kind: what of it counts, and what is a torn tail.
//!
//! The longest prefix of whole records counts. What follows is a torn tail, unless something later proves that the broken
//! place had once been synced: a whole record that says so, or a segment with a whole header. Then entries that were
//! confirmed are gone, and opening is refused. Scanning changes nothing.

use std::path::{Path, PathBuf};

use crate::store::OpenError;
use crate::store::error::Context;
use crate::store::host::Disk;
use crate::types::LogId;

use super::{record, segment};

/// A segment that counts.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) header: segment::Header,
    /// Where its records end.
    pub(super) end: usize,
}

/// A torn tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Torn {
    pub(super) path: PathBuf,
    pub(super) from: usize,
    /// Where the last byte that is not zero ends.
    pub(super) until: usize,
}

/// What a journal holds.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// In order, each going on where the one before ends.
    pub(super) segments: Vec<Segment>,
    /// Segments with nothing after the checkpoint.
    pub(super) unused: Vec<PathBuf>,
    /// The last file, if a power cut left it without a header: it never held a record.
    pub(super) unborn: Option<PathBuf>,
    pub(super) torn: Option<Torn>,
    /// The last entry; zero if there is none.
    pub(super) last: LogId,
    /// Bytes of records after the checkpoint.
    pub(super) bytes: u64,
}

impl Scan {
    /// The first file that counts proves the entries before it, even if there is nothing in it.
    fn begin(&mut self, path: &Path, first: u64, applied: u64) -> Result<(), OpenError> {
        if first > applied + 1 {
            let reason = format!("it begins with entry {first}, the checkpoint ends with {applied}");
            return Err(corrupt(path, 0, reason));
        }
        self.last.index = first.saturating_sub(1);
        Ok(())
    }
}

/// Reads a journal whose entries up to `applied` are in a checkpoint.
pub(super) fn scan(disk: &dyn Disk, directory: &Path, applied: u64) -> Result<Scan, OpenError> {
    let mut files = segment::list(disk, directory).context("list", directory)?;
    let mut scan = Scan::default();
    let needless = files.windows(2).take_while(|pair| pair[1].0 <= applied.saturating_add(1)).count();
    scan.unused = files.drain(..needless).map(|(_, path)| path).collect();
    let count = files.len();
    for (at, (first, path)) in files.into_iter().enumerate() {
        let Some(header) = segment::Header::read(disk, &path).context("read", &path)? else {
            let bytes = disk.read(&path).context("read", &path)?;
            if at + 1 < count || bytes.iter().skip(segment::HEADER_BYTES).any(|&byte| byte != 0) {
                return Err(corrupt(&path, 0, "its header is not whole, but records follow".to_owned()));
            }
            if at == 0 {
                scan.begin(&path, first, applied)?;
            }
            scan.unborn = Some(path);
            break;
        };
        if header.first != first {
            return Err(corrupt(
                &path,
                12,
                format!("its header says that it begins with entry {}", header.first),
            ));
        }
        if at == 0 {
            scan.begin(&path, first, applied)?;
        }
        let expected = scan.last.index + 1;
        if first != expected {
            let before = scan.segments.last().expect("there is one before");
            let reason = format!("entry {expected} is broken or missing, but {} proves it", path.display());
            return Err(corrupt(&before.path, before.end, reason));
        }
        read_segment(disk, &mut scan, Segment { path, header, end: segment::HEADER_BYTES }, applied)?;
    }
    Ok(scan)
}

fn read_segment(disk: &dyn Disk, scan: &mut Scan, mut found: Segment, applied: u64) -> Result<(), OpenError> {
    let bytes = disk.read(&found.path).context("read", &found.path)?;
    let salt = found.header.salt;
    let mut last = scan.last;
    while let Some(header) = record::whole(&bytes[found.end..], salt) {
        if header.id.index != last.index + 1 || header.id.term < last.term {
            let reason = format!("entry {} follows entry {last}", header.id);
            return Err(corrupt(&found.path, found.end, reason));
        }
        let length = record::HEADER_BYTES + header.payload;
        if header.id.index > applied {
            scan.bytes += crate::store::codec::length(length);
        }
        found.end += length;
        last = header.id;
    }
    scan.last = last;
    let tail = &bytes[found.end..];
    if let Some(at) = proof(tail, salt, last.index + 1) {
        let reason =
            format!("entry {} is broken, but a record at byte {} proves it", last.index + 1, found.end + at);
        return Err(corrupt(&found.path, found.end, reason));
    }
    if let Some(length) = tail.iter().rposition(|&byte| byte != 0) {
        let (from, until) = (found.end, found.end + length + 1);
        scan.torn = Some(Torn { path: found.path.clone(), from, until });
    }
    scan.segments.push(found);
    Ok(())
}

/// Where in a tail a whole record says that entry `broken` had been synced.
fn proof(tail: &[u8], salt: u64, broken: u64) -> Option<usize> {
    let mut at = 0;
    while at + record::HEADER_BYTES <= tail.len() {
        let zeros = tail[at..].iter().position(|&byte| byte != 0)?;
        if zeros > 3 {
            // A record begins with at most three zeros, those of its length.
            at += zeros - 3;
            continue;
        }
        let proves = |header: record::Header| header.durable >= broken;
        if record::header(&tail[at..]).is_some_and(proves) && record::whole(&tail[at..], salt).is_some() {
            return Some(at);
        }
        at += 1;
    }
    None
}

fn corrupt(file: &Path, offset: usize, reason: String) -> OpenError {
    OpenError::Corrupt { file: file.to_owned(), offset: segment::position(offset), reason }
}
