//! Keys of the trees `chunks`, `records`, `parts`, `queues` and `sweeps`.
//!
//! | tree                | key, big-endian                                                  |
//! |---------------------|------------------------------------------------------------------|
//! | `chunks`, `records` | queue: u32, priority: u8, first sequence: u64; 13 bytes          |
//! | `records`, further  | the same, then piece: u16 from 1; 15 bytes                       |
//! | `parts`             | the same as its chunk, then part: u16; 15 bytes                  |
//! | `queues`            | queue: u32                                                       |
//! | `sweeps`            | queue: u32, from: u64                                            |
//!
//! Byte order is dispatch order: a scan from a queue's prefix meets the next message first. The priority is 0.

use crate::types::{QueueId, Sequence};

use super::codec::{Input, Malformed};

const PRIORITY: u8 = 0;

/// Names a chunk: its queue, and the first message in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ChunkKey {
    pub(super) queue: QueueId,
    pub(super) first: Sequence,
}

impl ChunkKey {
    pub(super) fn new(queue: QueueId, first: Sequence) -> Self {
        Self { queue, first }
    }

    pub(super) fn encode(self) -> [u8; 13] {
        let mut key = [0; 13];
        key[..4].copy_from_slice(&self.queue.0.to_be_bytes());
        key[4] = PRIORITY;
        key[5..].copy_from_slice(&self.first.0.to_be_bytes());
        key
    }

    /// The key of one of its parts, or of a further piece of its record.
    pub(super) fn part(self, part: u16) -> [u8; 15] {
        let mut key = [0; 15];
        key[..13].copy_from_slice(&self.encode());
        key[13..].copy_from_slice(&part.to_be_bytes());
        key
    }

    /// Takes keys of parts and pieces as well: what follows the first 13 bytes is left alone.
    pub(super) fn decode(key: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input::new(key);
        let queue = QueueId(input.u32()?);
        if input.u8()? != PRIORITY {
            return Err(Malformed("a key has a priority that this version does not know"));
        }
        Ok(Self { queue, first: Sequence(input.u64()?) })
    }
}

/// Key of the `queues` tree.
pub(super) fn queue(queue: QueueId) -> [u8; 4] {
    queue.0.to_be_bytes()
}

/// Key of the `sweeps` tree.
pub(super) fn sweep(queue: QueueId, from: Sequence) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&queue.0.to_be_bytes());
    key[4..].copy_from_slice(&from.0.to_be_bytes());
    key
}

/// Reads what `sweep` wrote.
pub(super) fn decode_sweep(key: &[u8]) -> Result<(QueueId, Sequence), Malformed> {
    let mut input = Input::new(key);
    let decoded = (QueueId(input.u32()?), Sequence(input.u64()?));
    input.finish()?;
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(queue: u32, first: u64) -> ChunkKey {
        ChunkKey::new(QueueId(queue), Sequence(first))
    }

    #[test]
    fn keys_have_known_bytes_and_read_back() {
        let sample = key(0x0102_0304, 0x05);
        assert_eq!(sample.encode(), [1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(sample.part(258)[13..], [1, 2]);
        assert_eq!(ChunkKey::decode(&sample.encode()), Ok(sample));
        assert_eq!(ChunkKey::decode(&sample.part(7)), Ok(sample));
        assert_eq!(sweep(QueueId(1), Sequence(2)), [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(decode_sweep(&sweep(QueueId(1), Sequence(2))), Ok((QueueId(1), Sequence(2))));
        assert!(ChunkKey::decode(&[0; 12]).is_err());
        assert!(ChunkKey::decode(&[1, 2, 3, 4, 9, 0, 0, 0, 0, 0, 0, 0, 5]).is_err());
    }

    #[test]
    fn byte_order_is_dispatch_order() {
        let ordered = [key(0, 0), key(0, u64::MAX), key(1, 0), key(1, 255), key(1, 256), key(u32::MAX, 1)];
        for pair in ordered.windows(2) {
            assert!(pair[0].encode() < pair[1].encode());
            assert!(pair[0].part(u16::MAX)[..] < pair[1].encode()[..]);
            assert!(pair[0].encode()[..] < pair[0].part(0)[..]);
        }
    }
}
