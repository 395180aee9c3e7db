//! Segments by the byte: whatever changes in one, what is read is what was written, up to where it stops.

use std::fs;

use crate::store::host::Machine;
use crate::types::LogId;

use super::{record, scan, segment};

/// Writes a segment of records, changes the byte at `place` by `flip`, and reads it.
pub(in crate::store) fn segment(place: usize, flip: u8, payloads: &[u8]) {
    let header = segment::Header { first: 1, salt: 7 };
    let mut bytes = header.encode().to_vec();
    let mut ends = vec![bytes.len()];
    let mut rest = payloads;
    while let Some((&length, more)) = rest.split_first() {
        let (payload, more) = more.split_at(usize::from(length).min(more.len()));
        rest = more;
        let index = u64::try_from(ends.len()).unwrap_or(u64::MAX);
        let mut record = [&[0; record::HEADER_BYTES][..], payload].concat();
        // Each was written when the one before the last was on disk.
        record::seal(&mut record, header.salt, LogId { term: 1, index }, index.saturating_sub(2));
        bytes.extend(record);
        ends.push(bytes.len());
    }
    let written = bytes.clone();
    bytes.resize(bytes.len() + 64, 0);
    let at = place * bytes.len() / 256;
    bytes[at] ^= flip;
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(segment::path(directory.path(), 1), &bytes).expect("it is written");
    let Ok(scan) = scan::scan(&Machine, directory.path(), 0) else {
        assert_ne!(flip, 0, "nothing was changed");
        return;
    };
    let end = scan.segments.first().map_or(segment::HEADER_BYTES, |found| found.end);
    assert!(ends.contains(&end), "it ends between two records");
    assert!(flip != 0 || scan.segments.is_empty() || end == written.len(), "nothing was changed");
    if !scan.segments.is_empty() {
        assert_eq!(bytes[..end], written[..end], "what counts is what was written");
    }
}
