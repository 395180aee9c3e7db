//! A backup that is being read.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use bytes::Bytes;

use crate::store::ReadError;
use crate::store::codec::length;
use crate::store::guard::guarded;
use crate::store::host::Spool;
use crate::store::rows::Tree;
use crate::store::state::{State, chunk_key};
use crate::types::{LogId, QueueId, Sequence, Timestamp};

use super::Hold;
use super::file::{Encoder, Header, PAYLOAD_BYTES, Rows};

/// A backup at one entry, to be read piece by piece. Until it is dropped, what it needs stays.
pub struct Backup {
    state: Arc<State>,
    /// What was copied when it began: the header, and blocks of all trees that are rewritten in place.
    spool: Box<dyn Spool>,
    spooled: u64,
    encoder: Encoder,
    /// What each queue's next message was called then: chunks from there on came later.
    next: BTreeMap<QueueId, Sequence>,
    stage: Stage,
    total_bytes: u64,
    _hold: Hold,
}

/// How far it has been read.
#[derive(Clone, Debug)]
enum Stage {
    Spool,
    /// From a key on.
    Chunks(Vec<u8>),
    Parts(Vec<u8>),
    Trailer,
    Done,
}

/// A block of rows, if there are any, and the key to go on at, if there are more.
struct Read {
    block: Option<Vec<u8>>,
    next: Option<Vec<u8>>,
}

impl Backup {
    /// Begins a backup of the checkpoint that has just been made. Nothing may be written to the state meanwhile.
    pub(in crate::store) fn begin(
        state: Arc<State>,
        applied: LogId,
        made_at: Timestamp,
        messages_bytes: u64,
        hold: Hold,
    ) -> Result<Self, ReadError> {
        let failed = |error: io::Error| ReadError::State(format!("copying for a backup: {error}"));
        let mut spool = state.spool().map_err(failed)?;
        let mut encoder = Encoder::default();
        spool.write_all(&encoder.header(Header { made_at, applied })).map_err(failed)?;
        for (name, tree) in state.trees()? {
            if name == "chunks" || name == "parts" {
                continue;
            }
            let mut rows = Rows::of(&name);
            for row in &tree {
                let (key, value) = row?;
                rows.push(&key, &value);
                if rows.is_full() {
                    spool.write_all(&encoder.block(&rows)).map_err(failed)?;
                    rows.clear();
                }
            }
            if !rows.is_empty() {
                spool.write_all(&encoder.block(&rows)).map_err(failed)?;
            }
        }
        let spooled = spool.stream_position().map_err(failed)?;
        spool.seek(SeekFrom::Start(0)).map_err(failed)?;
        let next =
            state.queue_records()?.into_iter().map(|record| (record.id, record.next_sequence)).collect();
        let total_bytes = spooled + messages_bytes;
        Ok(Self { state, spool, spooled, encoder, next, stage: Stage::Spool, total_bytes, _hold: hold })
    }

    /// How many bytes there will be, about.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// The next bytes of the file; none at its end. Blocking.
    ///
    /// # Errors
    /// The state files can't be read, or are damaged.
    pub fn next_piece(&mut self) -> Result<Option<Bytes>, ReadError> {
        guarded(|| self.read_piece())
    }

    fn read_piece(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            let piece = match self.stage.clone() {
                Stage::Spool => self.spooled_piece()?,
                Stage::Chunks(from) => {
                    let Read { block, next } = self.rows("chunks", &self.state.chunks.clone(), from)?;
                    self.stage = next.map_or(Stage::Parts(Vec::new()), Stage::Chunks);
                    block
                }
                Stage::Parts(from) => {
                    let Read { block, next } = self.rows("parts", &self.state.parts.clone(), from)?;
                    self.stage = next.map_or(Stage::Trailer, Stage::Parts);
                    block
                }
                Stage::Trailer => {
                    self.stage = Stage::Done;
                    Some(self.encoder.trailer())
                }
                Stage::Done => return Ok(None),
            };
            if let Some(piece) = piece {
                return Ok(Some(piece.into()));
            }
        }
    }

    fn spooled_piece(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let mut piece = Vec::new();
        let read = (&mut self.spool).take(length(PAYLOAD_BYTES)).read_to_end(&mut piece);
        read.map_err(|error| ReadError::State(format!("reading the copy of a backup: {error}")))?;
        if piece.is_empty() {
            self.stage = Stage::Chunks(Vec::new());
            return Ok(None);
        }
        Ok(Some(piece))
    }

    /// A block of rows of a tree from a key on, and where to go on; no block if there are no more rows.
    fn rows(&mut self, name: &str, tree: &Tree, from: Vec<u8>) -> Result<Read, ReadError> {
        let mut rows = Rows::of(name);
        let mut from = Some(from);
        while let Some(begin) = from.take() {
            for row in tree.range(begin..) {
                let (key, value) = row?;
                let chunk = chunk_key(&key)?;
                if self.next.get(&chunk.lane.queue).is_none_or(|&next| chunk.first >= next) {
                    // The rest of this queue's lane came later, or the queue is gone.
                    from = behind(&key);
                    break;
                }
                if rows.is_full() {
                    return Ok(Read { block: Some(self.encoder.block(&rows)), next: Some(key.to_vec()) });
                }
                rows.push(&key, &value);
            }
        }
        Ok(Read { block: (!rows.is_empty()).then(|| self.encoder.block(&rows)), next: None })
    }
}

/// The first key behind those with the same queue and priority; none if there can be no such key.
fn behind(key: &[u8]) -> Option<Vec<u8>> {
    let mut lane = key.get(..5)?.to_vec();
    while let Some(last) = lane.pop() {
        if let Some(more) = last.checked_add(1) {
            lane.push(more);
            return Some(lane);
        }
    }
    None
}

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backup").field("spooled", &self.spooled).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::keys::ChunkKey;

    #[test]
    fn a_lane_is_skipped_to_what_follows_it() {
        let key = ChunkKey::new(QueueId(0x0102_03ff), Sequence(9)).encode();
        assert_eq!(behind(&key), Some(vec![1, 2, 3, 0xff, 1]));
        assert_eq!(behind(&[1, 2, 0xff, 0xff, 0xff, 7]), Some(vec![1, 3]));
        assert_eq!(behind(&[0xff; 13]), None);
    }
}
