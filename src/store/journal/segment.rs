//! Segments: the files of the journal.
//!
//! `journal/<first index, 20 digits>.seg`, allocated in full when made, so that an fsync has no new size to store:
//!
//! | magic: 8 bytes `BBQJRNL` 0 | version: u32 = 1 | first index: u64 | salt: u64 | crc: u32 |   big-endian, 32 bytes
//!
//! then records, then zeros. A segment is made, with its header and its name on disk, before the first record goes in, and
//! only once all records of the segment before are on disk. So a whole header proves all that came before.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::store::codec::size;
use crate::store::host::{Disk, DiskFile};

/// Bytes before the first record.
pub(super) const HEADER_BYTES: usize = 32;
const MAGIC: &[u8; 8] = b"BBQJRNL\0";
const VERSION: u32 = 1;

/// What stands at the front of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) first: u64,
    pub(super) salt: u64,
}

impl Header {
    pub(super) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.first.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.salt.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Reads the header; `None` if it is not whole.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let number = |at: usize| bytes[at..at + 8].iter().fold(0_u64, |n, &byte| n << 8 | u64::from(byte));
        let header = Self { first: number(12), salt: number(20) };
        (header.encode() == *bytes).then_some(header)
    }

    /// Reads the header of a file; `None` if it is not whole.
    pub(super) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        disk.reader(path, 0)?.take(32).read_to_end(&mut bytes)?;
        Ok(Self::decode(&bytes))
    }
}

/// The name of the segment that begins with entry `first`.
pub(super) fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}.seg"))
}

/// The opposite of `path`; none if it is no segment.
pub(super) fn first_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".seg")?;
    (name.len() == 20).then(|| name.parse().ok())?
}

/// The segments of a directory, by their first index, as their names say.
pub(super) fn list(disk: &dyn Disk, directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut segments = Vec::new();
    for path in disk.list(directory)? {
        if let Some(first) = first_of(&path) {
            segments.push((first, path));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// Makes a segment. When this returns, it is on disk; its name is there for good once the directory is synced.
pub(super) fn create(
    disk: &dyn Disk,
    directory: &Path,
    header: Header,
    bytes: u64,
) -> io::Result<Box<dyn DiskFile>> {
    let file = disk.create(&path(directory, header.first))?;
    file.allocate(bytes)?;
    file.write_all_at(&header.encode(), 0)?;
    file.sync_all()?;
    Ok(file)
}

/// Opens a segment to go on at `end`. What is behind it was copied aside, and goes: a later record must never be followed
/// by one from before. What is before it is written once more: if the last server ended because an fsync failed, the kernel
/// may still show what the disk never got, and would not store it with the next fsync either.
pub(super) fn reopen(
    disk: &dyn Disk,
    path: &Path,
    (end, clean): (usize, bool),
    bytes: u64,
) -> io::Result<Box<dyn DiskFile>> {
    let file = disk.open(path)?;
    let mut records = disk.read(path)?;
    records.truncate(end);
    file.write_all_at(&records, 0)?;
    if !clean {
        file.set_len(end.try_into().map_err(io::Error::other)?)?;
    }
    if file.length()? < bytes {
        file.allocate(bytes)?;
    }
    file.sync_all()?;
    Ok(file)
}

/// Removes the segments that hold nothing after entry `applied`. The last one always stays, and so does whatever comes before a
/// segment later than `newest`, the last whose name is known to be on disk: a power cut could take both.
pub(in crate::store) fn purge(
    disk: &dyn Disk,
    directory: &Path,
    applied: u64,
    newest: u64,
) -> io::Result<u64> {
    let segments = list(disk, directory)?;
    let mut removed = 0;
    for pair in segments.windows(2) {
        let [(_, path), (next, _)] = pair else { break };
        if *next > applied.saturating_add(1) || *next > newest {
            break;
        }
        disk.remove(path)?;
        removed += 1;
    }
    Ok(removed)
}

/// A position in a file, for `write_all_at`.
pub(super) fn position(at: usize) -> u64 {
    crate::store::codec::length(at)
}

/// Whether a record of `record` bytes at `end` still belongs into a segment of `bytes`. A segment takes at least one.
pub(super) fn fits(end: usize, record: usize, bytes: u64) -> bool {
    end == HEADER_BYTES || end.saturating_add(record) <= size(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_known_bytes_and_reads_back() {
        let header = Header { first: 0x0102, salt: 0x1122_3344_5566_7788 };
        let golden = [
            &b"BBQJRNL\0"[..],
            &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88],
            &[0xea, 0x3b, 0xa2, 0xa7],
        ];
        assert_eq!(header.encode().to_vec(), golden.concat());
        assert_eq!(Header::decode(&header.encode()), Some(header));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = header.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn names_sort_as_their_numbers_do() {
        assert!(path(Path::new("j"), 9) < path(Path::new("j"), 10));
        assert!(path(Path::new("j"), u64::MAX - 1) < path(Path::new("j"), u64::MAX));
    }
}
