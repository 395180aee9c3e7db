//! Picks of a grant, in bytes.
//!
//! | sequence, size, offer: varints | priority: u8 | 0, or 1 and a key: two u64 |
//!
//! The priority is left out where all have none, the key where none has one; the grant's tag says so. Where there are keys,
//! the offer is one more than its place, and 0 is none: the message is parked.

use crate::types::{OrderingKey, Pick, Priority, Sequence};

use super::codec::{Input, Malformed, put_varint};
use super::entry::{flag, priority};

/// What all picks of a grant tell: what most have, priorities too, or ordering keys too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Picks {
    Plain,
    Urgent,
    Keyed,
}

impl Picks {
    pub(super) fn of(picks: &[Pick]) -> Self {
        if picks.iter().any(|pick| pick.key.is_some() || pick.offer.is_none()) {
            Self::Keyed
        } else if picks.iter().any(|pick| pick.priority != Priority::default()) {
            Self::Urgent
        } else {
            Self::Plain
        }
    }

    pub(super) fn tag(self) -> u8 {
        match self {
            Self::Plain => 6,
            Self::Urgent => 23,
            Self::Keyed => 26,
        }
    }
}

/// With keys the place of the offer is one more, 0 for none, and then come a flag and the key.
pub(super) fn put_pick(out: &mut Vec<u8>, pick: &Pick, kind: Picks) {
    let Pick { sequence, size, offer, priority, key } = pick;
    put_varint(out, sequence.0);
    put_varint(out, u64::from(*size));
    let more = u64::from(kind == Picks::Keyed);
    put_varint(out, offer.map_or(0, |offer| u64::from(offer) + more));
    if kind != Picks::Plain {
        out.push(priority.number());
    }
    if kind == Picks::Keyed {
        put_key(out, *key);
    }
}

pub(super) fn pick(input: &mut Input<'_>, tag: u8) -> Result<Pick, Malformed> {
    let keyed = tag == 26;
    Ok(Pick {
        sequence: Sequence(input.varint()?),
        size: input.varint_u32()?,
        offer: if keyed { input.varint_u32()?.checked_sub(1) } else { Some(input.varint_u32()?) },
        priority: if tag == 6 { Priority::default() } else { priority(input)? },
        key: if keyed { key(input)? } else { None },
    })
}

pub(super) fn put_key(out: &mut Vec<u8>, key: Option<OrderingKey>) {
    out.push(u8::from(key.is_some()));
    if let Some(OrderingKey(key)) = key {
        key.iter().for_each(|half| out.extend_from_slice(&half.to_be_bytes()));
    }
}

pub(super) fn key(input: &mut Input<'_>) -> Result<Option<OrderingKey>, Malformed> {
    Ok(if flag(input)? { Some(OrderingKey([input.u64()?, input.u64()?])) } else { None })
}
