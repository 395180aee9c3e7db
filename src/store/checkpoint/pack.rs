//! Packing: new messages that are still alive become chunks, which go ahead of the transaction.
//!
//! Neighbours share a chunk, however they were published. A chunk is written after its parts, so that a reader which finds it
//! finds them. Each is written by itself: nobody counts on them before the transaction, and single writes don't make readers
//! wait, as sled's batches do.

use crate::store::chunk::{self, ChunkBuilder};
use crate::store::keys::ChunkKey;
use crate::store::overlay::{Delta, LaneOverlay};
use crate::store::record::{self, Touches};
use crate::store::state::{DRAIN_BYTES, State};
use crate::types::{LaneId, Sequence, StoredMessage};

use super::Stop;
use super::plan::Plan;

/// How much was packed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Packed {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) chunks: u64,
}

/// Writes chunks.
pub(super) struct Packer<'a> {
    state: &'a State,
    packed: Packed,
    /// Bytes written since sled's threads had caught up.
    pending: usize,
}

impl<'a> Packer<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self { state, packed: Packed::default(), pending: 0 }
    }

    pub(super) fn packed(&self) -> Packed {
        self.packed
    }

    fn chunk(&mut self, key: ChunkKey, value: Vec<u8>) -> Result<(), Stop> {
        self.packed.chunks += 1;
        self.pending += value.len();
        self.state.chunks.insert(key.encode(), value)?;
        self.drain_if_much()
    }

    fn drain_if_much(&mut self) -> Result<(), Stop> {
        if self.pending >= DRAIN_BYTES {
            self.state.drain()?;
            self.pending = 0;
        }
        Ok(())
    }

    fn large(&mut self, lane: LaneId, message: &StoredMessage) -> Result<(), Stop> {
        let key = ChunkKey::new(lane, message.sequence);
        let (value, parts) = chunk::encode_large(message);
        for (part, value) in (0_u16..).zip(parts) {
            self.pending += value.len();
            self.state.parts.insert(key.part(part), value)?;
            self.drain_if_much()?;
        }
        self.chunk(key, value)
    }
}

/// Packs what was stored in a lane, whose messages from `next` on are new, and plans the records of the new chunks.
pub(super) fn lane(
    packer: &mut Packer<'_>,
    plan: &mut Plan,
    id: LaneId,
    changes: &LaneOverlay,
    next: Sequence,
) -> Result<(), Stop> {
    let mut touches = Touched { changes, id, from: next };
    let mut open: Option<ChunkBuilder> = None;
    for message in changes.messages() {
        packer.packed.messages += 1;
        packer.packed.bytes += u64::from(message.content.size());
        if let Some(chunk) = open.as_mut().filter(|chunk| chunk.takes(&message)) {
            chunk.push(&message);
            continue;
        }
        touches.record_before(message.sequence, open.as_ref().map(ChunkBuilder::first), plan)?;
        if let Some(full) = open.take() {
            packer.chunk(ChunkKey::new(id, full.first()), full.finish())?;
        }
        if ChunkBuilder::is_small(&message) {
            open = Some(ChunkBuilder::new(&message));
        } else {
            touches.record_before(message.sequence.next(), Some(message.sequence), plan)?;
            packer.large(id, &message)?;
        }
    }
    touches.record_before(Sequence(u64::MAX), open.as_ref().map(ChunkBuilder::first), plan)?;
    if let Some(last) = open {
        packer.chunk(ChunkKey::new(id, last.first()), last.finish())?;
    }
    Ok(())
}

/// The touched messages among the new ones, handed out chunk by chunk.
struct Touched<'a> {
    changes: &'a LaneOverlay,
    id: LaneId,
    from: Sequence,
}

impl Touched<'_> {
    /// Plans the record of the chunk that begins with `first` and ends before `until`.
    fn record_before(
        &mut self,
        until: Sequence,
        first: Option<Sequence>,
        plan: &mut Plan,
    ) -> Result<(), Stop> {
        if until <= self.from {
            return Ok(());
        }
        let mut touches = Touches::new();
        for (&sequence, delta) in self.changes.deltas.range(self.from..until) {
            if let Delta::Touched(touch) = delta {
                touches.insert(sequence, touch.clone());
            }
        }
        self.from = until;
        let Some((&least, _)) = touches.first_key_value() else { return Ok(()) };
        match first {
            Some(first) if first <= least => {
                plan.put_record(ChunkKey::new(self.id, first), record::encode(first, &touches), 0);
                Ok(())
            }
            _ => Err(Stop::Failed(format!(
                "message {least} of queue {} was leased but never stored",
                self.id.queue.0
            ))),
        }
    }
}

impl Plan {
    /// Plans a record, which had `before` pieces and now has these; none removes it.
    pub(super) fn put_record(&mut self, key: ChunkKey, pieces: Vec<Vec<u8>>, before: u16) {
        let name = |piece: u16| if piece == 0 { key.encode().to_vec() } else { key.part(piece).to_vec() };
        let count = u16::try_from(pieces.len()).expect("a chunk has few messages");
        self.records.extend((0..).map(name).zip(pieces.into_iter().map(Some)));
        self.records.extend((count..before).map(|piece| (name(piece), None)));
    }
}
