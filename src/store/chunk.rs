//! Chunks: neighbouring messages, stored together, never changed.
//!
//! Value of the `chunks` tree:
//!
//! | checksum: u64 | kind: u8 | last sequence: u64 | count: u16 | messages |
//!
//! A message of kind 0 is: what its sequence is more than the one before (the first: than that in the key), the time of
//! publishing, the content's length, all as varints, then the content. A chunk of kind 1 holds one message whose content
//! is in the `parts` tree: it ends with the length, the content's checksum (u64) and the number of parts (u16). A chunk of kind 2
//! is one of kind 0 whose messages are compressed: | their length: u32 | an LZ4 block |, where that saves an eighth or more.
//!
//! Value of the `parts` tree: | checksum: u64 | content |
//!
//! Checksums are XXH3-64 over what follows, seeded with the first sequence, so that a value under a wrong key is noticed.
//! Sequences ascend and may have gaps. No value passes 32 KiB, as sled keeps larger ones in files that it never syncs.

use std::ops::Range;

use bytes::Bytes;
use lz4_flex::block;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::types::{Sequence, StoredMessage, Timestamp};

use super::codec::{self, Input, Malformed, length, put_bytes, put_varint};

/// The longest value.
pub(super) const VALUE_BYTES_MAX: usize = 32 << 10;
/// The most messages in a chunk, so that one touched among them costs little.
pub(super) const MESSAGES_MAX: usize = 512;
const HEADER_BYTES: usize = 19;
/// The header, and the length of what is compressed.
const PACKED_HEADER_BYTES: usize = HEADER_BYTES + 4;
/// The most that a message takes besides its content: three varints.
const MESSAGE_BYTES_MAX: usize = 30;
const PART_BYTES_MAX: usize = VALUE_BYTES_MAX - 8;

/// A chunk being filled.
#[derive(Debug)]
pub(super) struct ChunkBuilder {
    value: Vec<u8>,
    first: Sequence,
    last: Sequence,
    count: u16,
}

impl ChunkBuilder {
    pub(super) fn new(message: &StoredMessage) -> Self {
        let mut value = Vec::with_capacity(4096);
        value.resize(HEADER_BYTES, 0);
        let mut chunk = Self { value, first: message.sequence, last: message.sequence, count: 0 };
        chunk.push(message);
        chunk
    }

    /// Whether a message shares its chunk with others.
    pub(super) fn is_small(message: &StoredMessage) -> bool {
        message.content.0.len() + MESSAGE_BYTES_MAX + HEADER_BYTES <= VALUE_BYTES_MAX
    }

    pub(super) fn takes(&self, message: &StoredMessage) -> bool {
        usize::from(self.count) < MESSAGES_MAX
            && self.value.len() + MESSAGE_BYTES_MAX + message.content.0.len() <= VALUE_BYTES_MAX
    }

    pub(super) fn push(&mut self, message: &StoredMessage) {
        put_varint(&mut self.value, message.sequence.0 - self.last.0);
        put_varint(&mut self.value, message.published_at.0);
        put_bytes(&mut self.value, &message.content.0);
        self.last = message.sequence;
        self.count += 1;
    }

    pub(super) fn first(&self) -> Sequence {
        self.first
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let Self { value, first, last, count } = self;
        match compressed(&value) {
            Some(value) => seal(value, 2, first, last, count),
            None => seal(value, 0, first, last, count),
        }
    }
}

/// A value whose messages are compressed, if that is worth it.
fn compressed(value: &[u8]) -> Option<Vec<u8>> {
    let messages = &value[HEADER_BYTES..];
    let mut packed = vec![0; PACKED_HEADER_BYTES + block::get_maximum_output_size(messages.len())];
    let length = block::compress_into(messages, &mut packed[PACKED_HEADER_BYTES..]).ok()?;
    packed.truncate(PACKED_HEADER_BYTES + length);
    let raw = u32::try_from(messages.len()).ok()?;
    packed[HEADER_BYTES..PACKED_HEADER_BYTES].copy_from_slice(&raw.to_be_bytes());
    (packed.len() <= value.len() - value.len() / 8).then_some(packed)
}

fn seal(mut value: Vec<u8>, kind: u8, first: Sequence, last: Sequence, count: u16) -> Vec<u8> {
    value[8] = kind;
    value[9..17].copy_from_slice(&last.0.to_be_bytes());
    value[17..19].copy_from_slice(&count.to_be_bytes());
    let checksum = xxh3_64_with_seed(&value[8..], first.0);
    value[..8].copy_from_slice(&checksum.to_be_bytes());
    value
}

/// The chunk of a message that is too large to share one, and the values of its parts.
pub(super) fn encode_large(message: &StoredMessage) -> (Vec<u8>, Vec<Vec<u8>>) {
    let content = &message.content.0;
    let parts: Vec<Vec<u8>> =
        content.chunks(PART_BYTES_MAX).map(|part| checked(part, message.sequence)).collect();
    let mut value = vec![0; HEADER_BYTES];
    put_varint(&mut value, 0);
    put_varint(&mut value, message.published_at.0);
    put_varint(&mut value, length(content.len()));
    value.extend_from_slice(&xxh3_64_with_seed(content, message.sequence.0).to_be_bytes());
    let count = u16::try_from(parts.len()).expect("messages are limited far below 2 GiB");
    value.extend_from_slice(&count.to_be_bytes());
    (seal(value, 1, message.sequence, message.sequence, 1), parts)
}

/// A value with its checksum before it.
pub(super) fn checked(content: &[u8], first: Sequence) -> Vec<u8> {
    let mut value = xxh3_64_with_seed(content, first.0).to_be_bytes().to_vec();
    value.extend_from_slice(content);
    value
}

/// What follows the checksum of a value, if it is what was written.
pub(super) fn verified(value: &[u8], first: Sequence) -> Result<&[u8], Malformed> {
    let mut input = Input::new(value);
    let checksum = input.u64()?;
    let content = &value[8..];
    if xxh3_64_with_seed(content, first.0) != checksum {
        return Err(Malformed("its checksum does not match"));
    }
    Ok(content)
}

/// What a chunk's header says, read without looking at its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) last: Sequence,
    /// How many parts it has in the `parts` tree.
    pub(super) parts: u16,
}

/// Reads the extent of a chunk.
pub(super) fn extent(value: &[u8]) -> Result<Extent, Malformed> {
    let mut input = Input::new(value);
    input.range(8)?;
    let kind = input.u8()?;
    let last = last(&mut input)?;
    let parts = match kind {
        0 | 2 => 0,
        1 => {
            let tail = value.len().saturating_sub(2).max(HEADER_BYTES);
            Input::new(&value[tail.min(value.len())..]).u16()?
        }
        _ => return Err(Malformed("a chunk is of a kind that this program does not know")),
    };
    Ok(Extent { last, parts })
}

/// The sequence of a chunk's last message, which is not the last that there can be: a queue has a next one.
fn last(input: &mut Input<'_>) -> Result<Sequence, Malformed> {
    let last = input.u64()?;
    if last == u64::MAX {
        return Err(Malformed("a sequence is too large"));
    }
    Ok(Sequence(last))
}

/// Where a message's content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the chunk's value.
    Here(Range<usize>),
    /// In parts.
    Parts { length: u64, checksum: u64, count: u16 },
}

/// A message of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) sequence: Sequence,
    pub(super) published_at: Timestamp,
    pub(super) place: Place,
}

/// What is in a chunk.
#[derive(Clone, Debug)]
pub(super) struct Decoded {
    /// In order.
    pub(super) slots: Vec<Slot>,
    /// Its messages, if they were compressed.
    unpacked: Option<Vec<u8>>,
}

impl Decoded {
    /// What the places of the slots are places in. `value` is what was decoded.
    pub(super) fn text<'a>(&'a self, value: &'a [u8]) -> &'a [u8] {
        self.unpacked.as_deref().unwrap_or(value)
    }
}

/// Reads a chunk, checksum and all.
pub(super) fn decode(value: &[u8], first: Sequence) -> Result<Decoded, Malformed> {
    verified(value, first)?;
    let mut input = Input::new(value);
    input.range(8)?;
    let kind = input.u8()?;
    let last = last(&mut input)?;
    let count = input.u16()?;
    if kind != 2 {
        let slots = slots(input, kind, (first, last), count)?;
        return Ok(Decoded { slots, unpacked: None });
    }
    let length = codec::size(u64::from(input.u32()?));
    if length > VALUE_BYTES_MAX {
        return Err(Malformed("its messages are longer than a chunk can be"));
    }
    let packed = input.range(codec::length(input.left()))?;
    let unpacked = block::decompress(&value[packed], length);
    let unpacked = unpacked.map_err(|_| Malformed("its messages can't be decompressed"))?;
    let slots = slots(Input::new(&unpacked), 0, (first, last), count)?;
    Ok(Decoded { slots, unpacked: Some(unpacked) })
}

fn slots(
    mut input: Input<'_>,
    kind: u8,
    (first, last): (Sequence, Sequence),
    count: u16,
) -> Result<Vec<Slot>, Malformed> {
    let count = usize::from(count);
    let mut sequence = first;
    let mut slots = Vec::with_capacity(count.min(input.left()));
    for _ in 0..count {
        let more = input.varint()?;
        sequence = Sequence(sequence.0.checked_add(more).ok_or(Malformed("a sequence is too large"))?);
        let published_at = Timestamp(input.varint()?);
        let place = match kind {
            0 => Place::Here(input.sized()?),
            1 => Place::Parts { length: input.varint()?, checksum: input.u64()?, count: input.u16()? },
            _ => return Err(Malformed("a chunk is of a kind that this program does not know")),
        };
        slots.push(Slot { sequence, published_at, place });
    }
    input.finish()?;
    let ascending = slots.windows(2).all(|pair| pair[0].sequence < pair[1].sequence);
    if !ascending || slots.last().map(|slot| slot.sequence) != Some(last) {
        return Err(Malformed("its messages are not in order"));
    }
    Ok(slots)
}

/// Puts the parts of a message together.
pub(super) fn join(
    parts: &[Bytes],
    expected: u64,
    checksum: u64,
    first: Sequence,
) -> Result<Bytes, Malformed> {
    let mut content = Vec::new();
    for part in parts {
        content.extend_from_slice(verified(part, first)?);
    }
    if length(content.len()) != expected || xxh3_64_with_seed(&content, first.0) != checksum {
        return Err(Malformed("its parts are not what was stored"));
    }
    Ok(content.into())
}

#[cfg(test)]
mod tests;
