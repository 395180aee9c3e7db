//! Records of the journal: one entry each.
//!
//! | length: u32 | crc: u32 | term: u64 | index: u64 | durable: u64 | payload |   big-endian, 32 bytes before the payload
//!
//! `length` counts what follows `crc`; 0 is the end. `crc` is CRC-32 over the segment's salt, `length` and what follows
//! `crc`: the salt, which nobody outside knows, keeps a payload from passing for a record. `durable` is the highest
//! index that was known to be on disk when the record was written: it proves that a broken record at or before it was
//! once whole.

use crate::types::LogId;

/// Bytes before the payload.
pub(in crate::store) const HEADER_BYTES: usize = 32;
/// Of these, those that the length counts.
pub(super) const COUNTED: usize = HEADER_BYTES - 8;

/// What stands before the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the payload.
    pub(super) payload: usize,
    pub(super) crc: u32,
    pub(super) id: LogId,
    pub(super) durable: u64,
}

/// Fills in the header of a record whose payload begins at `HEADER_BYTES`.
pub(super) fn seal(record: &mut [u8], salt: u64, id: LogId, durable: u64) {
    let length = u32::try_from(record.len() - 8).expect("entries are limited far below 4 GiB");
    record[..4].copy_from_slice(&length.to_be_bytes());
    record[8..16].copy_from_slice(&id.term.to_be_bytes());
    record[16..24].copy_from_slice(&id.index.to_be_bytes());
    record[24..32].copy_from_slice(&durable.to_be_bytes());
    let crc = checksum(record, salt);
    record[4..8].copy_from_slice(&crc.to_be_bytes());
}

/// The checksum that a whole record should carry.
pub(super) fn checksum(record: &[u8], salt: u64) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&salt.to_be_bytes());
    crc.update(&record[..4]);
    crc.update(&record[8..]);
    crc.finalize()
}

/// Reads a header; `None` where no record can begin, such as at the zeros after the last one.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
    let number = |at: usize| bytes[at..at + 8].iter().fold(0_u64, |n, &byte| n << 8 | u64::from(byte));
    let short = |at: usize| bytes[at..at + 4].iter().fold(0_u32, |n, &byte| n << 8 | u32::from(byte));
    let payload = usize::try_from(short(0)).ok()?.checked_sub(COUNTED)?;
    let id = LogId { term: number(8), index: number(16) };
    let durable = number(24);
    let sound = id.term > 0 && durable < id.index;
    sound.then_some(Header { payload, crc: short(4), id, durable })
}

/// The record at the front of `bytes`, if it is there as it was written.
pub(super) fn whole(bytes: &[u8], salt: u64) -> Option<Header> {
    let found = header(bytes)?;
    let record = bytes.get(..HEADER_BYTES.checked_add(found.payload)?)?;
    (checksum(record, salt) == found.crc).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_known_bytes_and_reads_back() {
        let mut record = [vec![0; HEADER_BYTES], b"payload".to_vec()].concat();
        let id = LogId { term: 1, index: 0x0203 };
        seal(&mut record, 0x1122_3344_5566_7788, id, 0x0201);
        let golden = [
            &[0, 0, 0, 31, 0x00, 0xe8, 0x84, 0x9c][..],
            &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 0, 0, 2, 1],
            b"payload",
        ];
        assert_eq!(record, golden.concat());
        let header = whole(&record, 0x1122_3344_5566_7788).unwrap();
        assert_eq!((header.payload, header.id, header.durable), (7, id, 0x0201));
        assert_eq!(whole(&record, 0), None, "another segment's salt");
    }

    #[test]
    fn no_changed_or_shortened_record_is_whole() {
        let mut record = [vec![0; HEADER_BYTES], b"payload".to_vec()].concat();
        seal(&mut record, 7, LogId { term: 1, index: 2 }, 1);
        for cut in 0..record.len() {
            assert_eq!(whole(&record[..cut], 7), None);
        }
        for bit in 0..record.len() * 8 {
            record[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(whole(&record, 7), None, "bit {bit}");
            record[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(whole(&record, 7).is_some());
    }
}
