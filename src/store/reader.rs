//! Reading messages from the state files. Blocking: for threads where that does no harm.
//!
//! A reader knows nothing of overlays, leases and frontiers: it may find messages that are gone by now. What it reads
//! of one message never changes.

use std::sync::Arc;

use bytes::Bytes;
use sled::IVec;
use tokio::sync::oneshot;

use crate::types::{Content, LaneId, Sequence, StoredMessage};

use super::chunk::{Decoded, Place, Slot};
use super::codec::Malformed;
use super::current::Current;
use super::guard::guarded;
use super::keys::ChunkKey;
use super::state::{State, corrupt, located};
use super::{ReadError, chunk};

/// Reads messages that are in no overlay. Cheap to clone. The directory stays locked until the last reader is dropped.
#[derive(Clone, Debug)]
pub struct Reader {
    current: Arc<Current>,
}

/// The state files, for one read.
struct Reading {
    state: Arc<State>,
}

impl Reader {
    pub(super) fn new(current: Arc<Current>) -> Self {
        Self { current }
    }

    fn read<T>(&self, read: impl FnOnce(&Reading) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let reading = Reading { state: self.current.get()? };
        guarded(|| read(&reading))
    }

    /// Begins a job where blocking does no harm; its outcome need not be waited for.
    pub fn blocking<T: Send + 'static>(
        self,
        job: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, String>> + Send {
        let (done, outcome) = oneshot::channel();
        let threads = Arc::clone(&self.current.threads);
        // Whoever began it may have gone.
        let ran = threads.block(Box::new(move || _ = done.send(job(&self))));
        async move {
            ran.await?;
            outcome.await.map_err(|_| "the reader failed: it has no outcome".to_owned())
        }
    }

    /// Messages of a lane from `from` on, before `until`, up to `messages_max`, and up to `bytes_max` bytes of content, but at least
    /// one if there is one. `until` must not be past what a checkpoint has stored: see `Store::cold_until`.
    ///
    /// # Errors
    /// The state files can't be read, or are damaged.
    pub fn untouched(
        &self,
        lane: impl Into<LaneId>,
        (from, until): (Sequence, Sequence),
        messages_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredMessage>, ReadError> {
        let lane = lane.into();
        self.read(|state| state.untouched(lane, (from, until), messages_max, bytes_max))
    }

    /// Sizes of messages of a lane from `from` on, before `until`, up to `messages_max`. See `untouched`.
    ///
    /// # Errors
    /// The state files can't be read, or are damaged.
    pub fn sizes(
        &self,
        lane: impl Into<LaneId>,
        (from, until): (Sequence, Sequence),
        messages_max: usize,
    ) -> Result<Vec<(Sequence, u32)>, ReadError> {
        let lane = lane.into();
        self.read(|state| state.sizes(lane, (from, until), messages_max))
    }

    /// The named messages of a lane, in the order of `sequences`; `None` for those that are not here. Fastest if the order ascends.
    ///
    /// # Errors
    /// The state files can't be read, or are damaged.
    pub fn messages(
        &self,
        lane: impl Into<LaneId>,
        sequences: &[Sequence],
    ) -> Result<Vec<Option<StoredMessage>>, ReadError> {
        let lane = lane.into();
        self.read(|state| state.messages(lane, sequences))
    }
}

impl Reading {
    fn untouched(
        &self,
        lane: LaneId,
        (from, until): (Sequence, Sequence),
        messages_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredMessage>, ReadError> {
        let (mut found, mut bytes, mut next) = (Vec::new(), 0, from);
        while let Some((key, value)) = self.chunk_from(lane, next, until)? {
            let decoded = decode(key, &value)?;
            let slots = &decoded.slots;
            let begin = slots.partition_point(|slot| slot.sequence < next);
            let fitting = slots.iter().skip(begin).take_while(|slot| slot.sequence < until);
            let fitting = fitting.take(messages_max - found.len()).take_while(|slot| {
                let size = content_length(slot);
                let room = (bytes == 0 && found.is_empty()) || bytes + size <= bytes_max;
                bytes += size;
                room
            });
            let end = begin + fitting.count();
            let Some(messages) = self.contents(key, decoded.text(&value), &slots[begin..end])? else { break };
            found.extend(messages);
            if end < slots.len() || found.len() >= messages_max {
                break;
            }
            next = slots.last().map_or(next, |slot| slot.sequence).next();
        }
        Ok(found)
    }

    fn sizes(
        &self,
        lane: LaneId,
        (from, until): (Sequence, Sequence),
        messages_max: usize,
    ) -> Result<Vec<(Sequence, u32)>, ReadError> {
        let (mut found, mut next) = (Vec::new(), from);
        while found.len() < messages_max
            && let Some((key, value)) = self.chunk_from(lane, next, until)?
        {
            let slots = decode(key, &value)?.slots;
            let wanted = slots.iter().filter(|slot| (next..until).contains(&slot.sequence));
            let size = |slot: &Slot| u32::try_from(content_length(slot)).unwrap_or(u32::MAX);
            let room = messages_max - found.len();
            found.extend(wanted.take(room).map(|slot| (slot.sequence, size(slot))));
            next = slots.last().map_or(next, |slot| slot.sequence).next();
        }
        Ok(found)
    }

    /// The chunk that has the first message from `from` on, before `until`.
    fn chunk_from(
        &self,
        lane: LaneId,
        from: Sequence,
        until: Sequence,
    ) -> Result<Option<(ChunkKey, IVec)>, ReadError> {
        if from >= until {
            return Ok(None);
        }
        if let Some((key, value)) = self.state.chunk_before(lane, from)?
            && located(key, &value)?.last >= from
        {
            return Ok(Some((key, value)));
        }
        self.state.chunks_between(lane, from, until).next().transpose()
    }

    fn messages(
        &self,
        lane: LaneId,
        sequences: &[Sequence],
    ) -> Result<Vec<Option<StoredMessage>>, ReadError> {
        let mut chunk: Option<(ChunkKey, IVec, Decoded)> = None;
        let mut found = Vec::with_capacity(sequences.len());
        for &sequence in sequences {
            let holds = |(key, _, decoded): &(ChunkKey, IVec, Decoded)| {
                let last = decoded.slots.last().map_or(key.first, |slot| slot.sequence);
                (key.first..=last).contains(&sequence)
            };
            if !chunk.as_ref().is_some_and(holds) {
                let located = self.state.chunk_before(lane, sequence)?;
                let decoded = |(key, value): (ChunkKey, IVec)| {
                    let messages = decode(key, &value)?;
                    Ok::<_, ReadError>((key, value, messages))
                };
                chunk = located.map(decoded).transpose()?;
            }
            let message = match &chunk {
                Some((key, value, decoded)) => {
                    let slots = &decoded.slots;
                    let at = slots.binary_search_by_key(&sequence, |slot| slot.sequence);
                    let slot = at.map_or(&[][..], |at| &slots[at..=at]);
                    self.contents(*key, decoded.text(value), slot)?.and_then(|mut messages| messages.pop())
                }
                None => None,
            };
            found.push(message);
        }
        Ok(found)
    }

    /// The messages of consecutive slots of one chunk, in one allocation; `None` if the chunk went in the meantime.
    fn contents(
        &self,
        key: ChunkKey,
        text: &[u8],
        slots: &[Slot],
    ) -> Result<Option<Vec<StoredMessage>>, ReadError> {
        let mut ranges = slots.iter().filter_map(|slot| match &slot.place {
            Place::Here(range) => Some(range),
            Place::Parts { .. } => None,
        });
        let (begin, first_end) = ranges.next().map_or((0, 0), |range| (range.start, range.end));
        let end = ranges.next_back().map_or(first_end, |range| range.end);
        let shared = Bytes::copy_from_slice(&text[begin..end]);
        let mut messages = Vec::with_capacity(slots.len());
        for slot in slots {
            let content = match &slot.place {
                Place::Here(range) => shared.slice(range.start - begin..range.end - begin),
                Place::Parts { length, checksum, count } => {
                    match self.join(key, *length, *checksum, *count)? {
                        Some(content) => content,
                        None => return Ok(None),
                    }
                }
            };
            let Slot { sequence, published_at, .. } = *slot;
            messages.push(StoredMessage { sequence, published_at, content: Content(content) });
        }
        Ok(Some(messages))
    }

    fn join(
        &self,
        key: ChunkKey,
        length: u64,
        checksum: u64,
        count: u16,
    ) -> Result<Option<Bytes>, ReadError> {
        let mut parts = Vec::with_capacity(usize::from(count));
        for part in 0..count {
            match self.state.parts.get(key.part(part))? {
                Some(value) => parts.push(Bytes::copy_from_slice(&value)),
                // The chunk goes before its parts: if it is still there, the part should be, too.
                None if self.state.chunks.contains_key(key.encode())? => {
                    return Err(corrupt("parts", key, Malformed("a part is missing")));
                }
                None => return Ok(None),
            }
        }
        let joined = chunk::join(&parts, length, checksum, key.first);
        joined.map(Some).map_err(|malformed| corrupt("parts", key, malformed))
    }
}

fn decode(key: ChunkKey, value: &[u8]) -> Result<Decoded, ReadError> {
    chunk::decode(value, key.first).map_err(|malformed| corrupt("chunks", key, malformed))
}

fn content_length(slot: &Slot) -> usize {
    match &slot.place {
        Place::Here(range) => range.len(),
        Place::Parts { length, .. } => super::codec::size(*length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_can_be_sent_and_shared() {
        fn check<T: Send + Sync + Clone>() {}
        check::<Reader>();
    }
}
