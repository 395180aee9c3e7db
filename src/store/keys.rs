//! Keys of the trees `chunks`, `records`, `parts`, `queues` and `sweeps`.
//!
//! | tree                | key, big-endian                                                  |
//! |---------------------|------------------------------------------------------------------|
//! | `chunks`, `records` | queue: u32, lane: u8, first sequence: u64; 13 bytes              |
//! | `records`, further  | the same, then piece: u16 from 1; 15 bytes                       |
//! | `parts`             | the same as its chunk, then part: u16; 15 bytes                  |
//! | `queues`            | queue: u32                                                       |
//! | `sweeps`            | queue: u32, lane: u8, from: u64                                  |
//!
//! A lane is a priority, 0 to 9, or 16 more for what was published with a delay. Within a lane byte order is dispatch order: a
//! scan from its prefix meets the next message first.

use crate::types::{Lane, LaneId, QueueId, Sequence};

use super::codec::{Input, Malformed};

/// Names a chunk: its lane, and the first message in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ChunkKey {
    pub(super) lane: LaneId,
    pub(super) first: Sequence,
}

impl ChunkKey {
    pub(super) fn new(lane: impl Into<LaneId>, first: Sequence) -> Self {
        Self { lane: lane.into(), first }
    }

    pub(super) fn encode(self) -> [u8; 13] {
        let mut key = [0; 13];
        key[..4].copy_from_slice(&self.lane.queue.0.to_be_bytes());
        key[4] = self.lane.lane.number();
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
        let lane =
            Lane::new(input.u8()?).ok_or(Malformed("a key has a lane that this version does not know"))?;
        Ok(Self { lane: LaneId { queue, lane }, first: Sequence(input.u64()?) })
    }
}

/// Key of the `queues` tree.
pub(super) fn queue(queue: QueueId) -> [u8; 4] {
    queue.0.to_be_bytes()
}

/// Key of the `sweeps` tree.
pub(super) fn sweep(lane: impl Into<LaneId>, from: Sequence) -> [u8; 13] {
    ChunkKey::new(lane, from).encode()
}

/// Reads what `sweep` wrote.
pub(super) fn decode_sweep(key: &[u8]) -> Result<(LaneId, Sequence), Malformed> {
    if key.len() != 13 {
        return Err(Malformed("it is not 13 bytes"));
    }
    ChunkKey::decode(key).map(|ChunkKey { lane, first }| (lane, first))
}

/// Where the keys of a lane end: the first key of the next one, of whatever tree.
pub(super) fn end_of(lane: LaneId) -> [u8; 5] {
    let mut key = [0; 5];
    key[..4].copy_from_slice(&lane.queue.0.to_be_bytes());
    // Lanes end far below 255.
    key[4] = lane.lane.number() + 1;
    key
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
        let lane = LaneId::new(QueueId(1), Lane::new(9).unwrap());
        assert_eq!(sweep(lane, Sequence(2)), [0, 0, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(decode_sweep(&sweep(lane, Sequence(2))), Ok((lane, Sequence(2))));
        assert_eq!(end_of(lane), [0, 0, 0, 1, 10]);
        assert!(ChunkKey::decode(&[0; 12]).is_err());
        assert!(ChunkKey::decode(&[1, 2, 3, 4, 10, 0, 0, 0, 0, 0, 0, 0, 5]).is_err());
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
