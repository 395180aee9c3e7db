//! Backup files by the byte.

use std::io::Read;

use super::file::{BLOCK_BYTES, Decoder, HEADER_BYTES, checksum};

/// Reads to the end, or to what is wrong.
pub(in crate::store) fn read(file: impl Read) {
    let Ok(mut decoder) = Decoder::new(file) else { return };
    while let Ok(Some(block)) = decoder.next() {
        drop(block);
    }
}

/// The same bytes with the checksums that a header and blocks of these lengths should have.
pub(in crate::store) fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    if file.len() < HEADER_BYTES {
        return file;
    }
    let crc = crc32fast::hash(&file[..36]);
    file[36..HEADER_BYTES].copy_from_slice(&crc.to_be_bytes());
    let mut at = HEADER_BYTES;
    while let Some(length) =
        file.get(at..).and_then(|rest| rest.first_chunk()).map(|length| u32::from_be_bytes(*length))
    {
        let length = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(8);
        let Some(block) = file[at..].get_mut(..length).filter(|block| block.len() >= BLOCK_BYTES) else {
            break;
        };
        let crc = checksum(block);
        block[4..8].copy_from_slice(&crc.to_be_bytes());
        at += length;
    }
    file
}
