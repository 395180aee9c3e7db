//! Records: which messages of a chunk are leased, or were, and are not settled.
//!
//! Value of the `records` tree, or of one piece of it where one would pass 32 KiB:
//!
//! | checksum: u64 | version: u8 = 2 | pieces: u16 | consumers | touches |
//!
//! Both lists have a varint count before them. A consumer is three texts: name, peer, transport. A touch is, in varints:
//! sequence less that of the chunk, attempt, uncounted, epoch, size; then its state: 0 if it is ready; 1 for a lease of a
//! stream, 2 of a Receive call, and in varints the holder's id, the lease's epoch, since, deadline, duration, and which of
//! the consumers it is; 3 if it waits for a time, and that time as varint; 4 if it is dead, and why as text; 5 if it is
//! parked. If it has an ordering key, 64 is added to that number, and the key's hash, two u64, follows it. A message
//! before its queue's frontier that is in no record is settled.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::types::{
    Attempt, Consumer, Duration, Epoch, Lane, LaneId, Lease, OrderingKey, Sequence, Timestamp, Touch,
    TouchState,
};

use super::chunk::{VALUE_BYTES_MAX, checked, verified};
use super::codec::{Input, Malformed, length, put_bytes, put_varint};
use super::holder;
use super::keys::ChunkKey;

const VERSION: u8 = 2;
const HEADER_BYTES: usize = 24;
/// Added to the number of a state: an ordering key follows.
const KEYED: u8 = 64;

/// The touched messages of a chunk.
pub(super) type Touches = BTreeMap<Sequence, Touch>;

/// The pieces of a chunk's record, the first of which stands under the chunk's own key.
pub(super) fn encode(first: Sequence, touches: &Touches) -> Vec<Vec<u8>> {
    let mut pieces = vec![Piece::default()];
    for (sequence, touch) in touches {
        if !pieces.last_mut().is_some_and(|piece| piece.push(first, *sequence, touch)) {
            let mut piece = Piece::default();
            piece.push(first, *sequence, touch);
            pieces.push(piece);
        }
    }
    let count = u16::try_from(pieces.len()).expect("a chunk has few messages");
    pieces.into_iter().map(|piece| piece.finish(first, count)).collect()
}

#[derive(Default)]
struct Piece {
    consumers: Vec<u8>,
    known: HashMap<Arc<Consumer>, u64>,
    touches: Vec<u8>,
    count: u64,
}

impl Piece {
    /// False if it is full, and unchanged.
    fn push(&mut self, first: Sequence, sequence: Sequence, touch: &Touch) -> bool {
        let mut bytes = Vec::new();
        let mut consumer = Vec::new();
        let Touch { attempt, uncounted, epoch, size, lane: _, key, state } = touch;
        put_varint(&mut bytes, sequence.0 - first.0);
        for number in [attempt.0, *uncounted, epoch.0, *size] {
            put_varint(&mut bytes, u64::from(number));
        }
        bytes.push(number(state) + if key.is_some() { KEYED } else { 0 });
        if let Some(OrderingKey(key)) = key {
            key.iter().for_each(|half| bytes.extend_from_slice(&half.to_be_bytes()));
        }
        match state {
            TouchState::Ready | TouchState::Parked => {}
            TouchState::Delayed { until } => put_varint(&mut bytes, until.0),
            TouchState::Dead { reason } => put_bytes(&mut bytes, reason.as_bytes()),
            TouchState::Leased(lease) => {
                put_varint(&mut bytes, lease.holder.id().0);
                let Lease { holder: _, epoch, since, deadline, duration, consumer: who } = lease;
                let known = self.known.get(who).copied();
                let which = known.unwrap_or(length(self.known.len()));
                for number in [u64::from(epoch.0), since.0, deadline.0, duration.0, which] {
                    put_varint(&mut bytes, number);
                }
                if known.is_none() {
                    holder::put_consumer(&mut consumer, who);
                }
            }
        }
        let total = HEADER_BYTES + self.consumers.len() + consumer.len() + self.touches.len() + bytes.len();
        if total > VALUE_BYTES_MAX && self.count > 0 {
            return false;
        }
        if let Some(lease) = touch.lease().filter(|_| !consumer.is_empty()) {
            self.known.insert(lease.consumer.clone(), length(self.known.len()));
        }
        self.consumers.append(&mut consumer);
        self.touches.append(&mut bytes);
        self.count += 1;
        true
    }

    fn finish(self, first: Sequence, pieces: u16) -> Vec<u8> {
        let mut body = vec![VERSION];
        body.extend_from_slice(&pieces.to_be_bytes());
        put_varint(&mut body, length(self.known.len()));
        body.extend_from_slice(&self.consumers);
        put_varint(&mut body, self.count);
        body.extend_from_slice(&self.touches);
        checked(&body, first)
    }
}

/// What stands for a state.
fn number(state: &TouchState) -> u8 {
    match state {
        TouchState::Ready => 0,
        TouchState::Leased(Lease { holder, .. }) => holder::kind(*holder),
        TouchState::Delayed { .. } => 3,
        TouchState::Dead { .. } => 4,
        TouchState::Parked => 5,
    }
}

/// Reads one piece into `touches`; how many pieces the record has.
pub(super) fn decode(value: &[u8], key: ChunkKey, touches: &mut Touches) -> Result<u16, Malformed> {
    let ChunkKey { lane: LaneId { lane, .. }, first } = key;
    let mut input = Input::new(verified(value, first)?);
    if input.u8()? != VERSION {
        return Err(Malformed("a record has a version that this program does not know"));
    }
    let pieces = input.u16()?;
    let count = input.count(3)?;
    let consumers =
        (0..count).map(|_| holder::consumer(&mut input).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..input.count(6)? {
        let more = input.varint()?;
        let sequence = Sequence(first.0.checked_add(more).ok_or(Malformed("a sequence is too large"))?);
        let touch = touch(&mut input, lane, &consumers)?;
        touches.insert(sequence, touch);
    }
    input.finish()?;
    Ok(pieces)
}

fn touch(input: &mut Input<'_>, lane: Lane, consumers: &[Arc<Consumer>]) -> Result<Touch, Malformed> {
    let (attempt, uncounted) = (Attempt(input.varint_u32()?), input.varint_u32()?);
    let (epoch, size) = (Epoch(input.varint_u32()?), input.varint_u32()?);
    let number = input.u8()?;
    let key = if number & KEYED == 0 { None } else { Some(OrderingKey([input.u64()?, input.u64()?])) };
    let state = state(number & !KEYED, input, consumers)?;
    Ok(Touch { attempt, uncounted, epoch, size, lane, key, state })
}

fn state(number: u8, input: &mut Input<'_>, consumers: &[Arc<Consumer>]) -> Result<TouchState, Malformed> {
    Ok(match number {
        0 => TouchState::Ready,
        3 => TouchState::Delayed { until: Timestamp(input.varint()?) },
        4 => TouchState::Dead { reason: input.text()?.into() },
        5 => TouchState::Parked,
        kind => TouchState::Leased(lease(kind, input, consumers)?),
    })
}

fn lease(kind: u8, input: &mut Input<'_>, consumers: &[Arc<Consumer>]) -> Result<Lease, Malformed> {
    let holder = holder::holder_of(kind, input)?;
    let epoch = Epoch(input.varint_u32()?);
    let since = Timestamp(input.varint()?);
    let deadline = Timestamp(input.varint()?);
    let duration = Duration(input.varint()?);
    let which = usize::try_from(input.varint()?).unwrap_or(usize::MAX);
    let consumer = consumers.get(which).ok_or(Malformed("a lease names no consumer"))?.clone();
    Ok(Lease { holder, epoch, since, deadline, duration, consumer })
}

#[cfg(test)]
mod tests;
