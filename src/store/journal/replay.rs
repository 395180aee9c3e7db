//! The entries after a checkpoint, one at a time.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;

use crate::store::host::Disk;
use crate::store::{OpenError, entry};
use crate::types::{Command, LogId, Timestamp};

use super::scan::Segment;
use super::{record, segment};

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayEntry {
    /// Its place in the journal.
    pub id: LogId,
    /// When it happened.
    pub now: Timestamp,
    /// What happened.
    pub commands: Vec<Command>,
}

/// The entries after the checkpoint, oldest first. Holds one of them at a time.
#[derive(Debug)]
pub struct Replay {
    disk: Arc<dyn Disk>,
    segments: VecDeque<Segment>,
    open: Option<Open>,
    applied: u64,
}

struct Open {
    reader: BufReader<Box<dyn Read + Send>>,
    segment: Segment,
    at: usize,
}

impl Replay {
    pub(super) fn new(disk: Arc<dyn Disk>, segments: Vec<Segment>, applied: u64) -> Self {
        Self { disk, segments: segments.into(), open: None, applied }
    }

    #[cfg(test)]
    pub(super) fn remaining(&self) -> Vec<Segment> {
        self.segments.iter().cloned().collect()
    }

    #[cfg(test)]
    pub(super) fn applied(&self) -> u64 {
        self.applied
    }

    fn step(&mut self) -> Result<Option<ReplayEntry>, OpenError> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(segment) = self.segments.pop_front() else { return Ok(None) };
                self.open = Some(Open::new(&*self.disk, segment)?);
                continue;
            };
            if open.at == open.segment.end {
                self.open = None;
                continue;
            }
            let (id, payload) = open.record()?;
            if id.index > self.applied {
                let (now, commands) =
                    entry::decode(&payload).map_err(|malformed| open.corrupt(&malformed.to_string()))?;
                return Ok(Some(ReplayEntry { id, now, commands }));
            }
        }
    }
}

impl Iterator for Replay {
    type Item = Result<ReplayEntry, OpenError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.step().transpose();
        if let Some(Err(_)) = entry {
            self.open = None;
            self.segments.clear();
        }
        entry
    }
}

impl Open {
    fn new(disk: &dyn Disk, segment: Segment) -> Result<Self, OpenError> {
        let reader = disk.reader(&segment.path, segment::position(segment::HEADER_BYTES));
        let reader = reader.map_err(|source| failed(&segment, source))?;
        Ok(Self { reader: BufReader::with_capacity(256 << 10, reader), segment, at: segment::HEADER_BYTES })
    }

    fn record(&mut self) -> Result<(LogId, Bytes), OpenError> {
        let mut bytes = vec![0; record::HEADER_BYTES];
        self.reader.read_exact(&mut bytes).map_err(|source| failed(&self.segment, source))?;
        let fits =
            |header: &record::Header| header.payload <= self.segment.end - self.at - record::HEADER_BYTES;
        let Some(header) = record::header(&bytes).filter(fits) else {
            return Err(self.corrupt("a record changed while the journal was read"));
        };
        bytes.resize(record::HEADER_BYTES + header.payload, 0);
        let payload = &mut bytes[record::HEADER_BYTES..];
        self.reader.read_exact(payload).map_err(|source| failed(&self.segment, source))?;
        if record::checksum(&bytes, self.segment.header.salt) != header.crc {
            return Err(self.corrupt("a record changed while the journal was read"));
        }
        self.at += bytes.len();
        Ok((header.id, Bytes::from(bytes).slice(record::HEADER_BYTES..)))
    }

    fn corrupt(&self, reason: &str) -> OpenError {
        let offset = segment::position(self.at);
        OpenError::Corrupt { file: self.segment.path.clone(), offset, reason: reason.to_owned() }
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("segment", &self.segment).field("at", &self.at).finish_non_exhaustive()
    }
}

fn failed(segment: &Segment, error: io::Error) -> OpenError {
    OpenError::Io { action: "read", path: segment.path.clone(), error }
}
