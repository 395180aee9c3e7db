//! Reading the journal after a stop of any kind: what of it counts, and what is a torn tail.
//!
//! The longest prefix of whole records counts. What follows is a torn tail, unless something later proves that the broken
//! place had once been synced: a whole record that says so, or a segment with a whole header. Then entries that were
//! confirmed are gone, and opening is refused. Scanning changes nothing.

use std::path::{Path, PathBuf};

use crate::store::OpenError;
use crate::store::codec::length;
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
        let taken = record::HEADER_BYTES + header.payload;
        if header.id.index > applied {
            scan.bytes += length(taken);
        }
        found.end += taken;
        last = header.id;
    }
    scan.last = last;
    let tail = &bytes[found.end..];
    if let Some(at) = proof(tail, salt, last.index + 1) {
        let reason =
            format!("entry {} is broken, but a record at byte {} proves it", last.index + 1, found.end + at);
        return Err(corrupt(&found.path, found.end, reason));
    }
    if let Some(last) = tail.iter().rposition(|&byte| byte != 0) {
        let (from, until) = (found.end, found.end + last + 1);
        scan.torn = Some(Torn { path: found.path.clone(), from, until });
    }
    scan.segments.push(found);
    Ok(())
}

/// Where in a tail a whole record says that entry `broken` had been synced.
///
/// Messages may hold what looks like headers, as many as fit. So a header counts only if the records between it and the
/// broken one would fit, and a checksum costs a few kilobytes, however long the record claims to be.
fn proof(tail: &[u8], salt: u64, broken: u64) -> Option<usize> {
    let mut sums = PrefixSums::default();
    search(tail, salt, broken, &mut sums)
}

fn search<'a>(tail: &'a [u8], salt: u64, broken: u64, sums: &mut PrefixSums<'a>) -> Option<usize> {
    let mut at = 0;
    while at + record::HEADER_BYTES <= tail.len() {
        let zeros = tail[at..].iter().position(|&byte| byte != 0)?;
        if zeros > 3 {
            // A record begins with at most three zeros, those of its length.
            at += zeros - 3;
            continue;
        }
        let before = length(at / record::HEADER_BYTES);
        let proves = |header: &record::Header| {
            header.durable >= broken && header.id.index <= broken.saturating_add(before)
        };
        if let Some(header) = record::header(&tail[at..]).filter(proves) {
            let end = at.saturating_add(record::HEADER_BYTES).saturating_add(header.payload);
            if sums.bytes.is_empty() {
                *sums = PrefixSums::of(tail);
            }
            if end <= tail.len() && sums.record(at, end, salt) == header.crc {
                return Some(at);
            }
        }
        at += 1;
    }
    None
}

/// CRC-32 of what a tail begins with, at every few kilobytes: that of any part of it follows from two of them.
#[derive(Default)]
struct PrefixSums<'a> {
    bytes: &'a [u8],
    sums: Vec<u32>,
    /// How many bytes went through a checksum.
    hashed: u64,
}

impl<'a> PrefixSums<'a> {
    const STEP: usize = 4096;

    fn of(bytes: &'a [u8]) -> Self {
        let mut sum = crc32fast::Hasher::new();
        let mut sums = vec![0];
        for step in bytes.chunks_exact(Self::STEP) {
            sum.update(step);
            sums.push(sum.clone().finalize());
        }
        Self { bytes, sums, hashed: length(bytes.len()) }
    }

    /// Of all before a place.
    fn before(&mut self, at: usize) -> u32 {
        let (step, rest) = (at / Self::STEP, at % Self::STEP);
        let known = length(at - rest);
        let mut sum = crc32fast::Hasher::new_with_initial_len(self.sums[step], known);
        sum.update(&self.bytes[at - rest..at]);
        self.hashed += length(rest);
        sum.finalize()
    }

    /// What `record::checksum` makes of the record from one place to another.
    fn record(&mut self, from: usize, to: usize, salt: u64) -> u32 {
        let (before, counted) = (from + record::HEADER_BYTES - record::COUNTED, to - from);
        let counted = length(counted + record::COUNTED - record::HEADER_BYTES);
        let mut head = crc32fast::Hasher::new();
        head.update(&salt.to_be_bytes());
        head.update(&self.bytes[from..from + 4]);
        // CRC(a b) = shift(CRC(a)) ^ CRC(b), where the shift depends on the length of b alone: so the sum of what comes before can
        // be taken out of that of both, and the head's put in its place.
        let shifted = head.finalize() ^ self.before(before);
        let mut sum = crc32fast::Hasher::new_with_initial_len(shifted, 0);
        sum.combine(&crc32fast::Hasher::new_with_initial_len(0, counted));
        sum.finalize() ^ self.before(to)
    }
}

fn corrupt(file: &Path, offset: usize, reason: String) -> OpenError {
    OpenError::Corrupt { file: file.to_owned(), offset: segment::position(offset), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u64 = 7;

    fn record(index: u64, durable: u64, payload: usize) -> Vec<u8> {
        let mut record = vec![0; record::HEADER_BYTES + payload];
        record::seal(&mut record, SALT, LogId { term: 1, index }, durable);
        record
    }

    /// Headers one after the other, each of a record that would go on to the end of the tail.
    fn forged(count: usize) -> Vec<u8> {
        let mut tail = Vec::new();
        for place in 0..count {
            let bytes = u32::try_from((count - place) * record::HEADER_BYTES - 8).unwrap();
            let index = 2 + length(place) / 2;
            let numbers = [1, index, index - 1].map(u64::to_be_bytes).concat();
            tail.extend([&bytes.to_be_bytes()[..], &[9; 4], &numbers].concat());
        }
        tail
    }

    #[test]
    fn a_tail_full_of_forged_headers_costs_a_few_kilobytes_each() {
        let tail = forged(20_000);
        let mut sums = PrefixSums::default();
        assert_eq!(search(&tail, SALT, 1, &mut sums), None);
        let tried = u64::from(sums.hashed > 0) * 20_000;
        let most = length(tail.len()) + tried * 2 * length(PrefixSums::STEP);
        assert!((1..=most).contains(&sums.hashed), "{} bytes were hashed, of {most}", sums.hashed);
    }

    #[test]
    fn a_record_is_found_behind_and_between_forged_headers() {
        for (count, payload) in [(0, 0), (3, 50), (129, 4000), (500, 10_000)] {
            let mut tail = forged(count);
            tail.push(0xff);
            let at = tail.len();
            tail.extend(record(2, 1, payload));
            tail.extend(forged(40));
            let expected = (at / record::HEADER_BYTES > 0).then_some(at);
            assert_eq!(proof(&tail, SALT, 1), expected, "behind {count}");
            assert_eq!(proof(&tail, SALT ^ 1, 1), None, "another segment's salt");
            assert_eq!(proof(&tail, SALT, 2), None, "it says nothing of entry 2");
        }
    }

    /// The broken entry and those behind it take room, too.
    #[test]
    fn a_record_that_comes_too_early_proves_nothing() {
        let mut tail = vec![0xff; 100];
        tail.extend(record(5, 4, 10));
        assert_eq!(proof(&tail, SALT, 1), None);
        let mut tail = vec![0xff; 128];
        tail.extend(record(5, 4, 10));
        assert_eq!(proof(&tail, SALT, 1), Some(128));
    }
}
