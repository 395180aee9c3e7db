//! Publications as they stand in an entry.
//!
//! | contents | facts | how many copies: varint | copies: queue, place of the first content from 0, how many: varints |
//!
//! Contents and facts are as those of a publish to one queue.

use bytes::Bytes;

use crate::types::{Copies, Publication, QueueId};

use super::codec::{Input, Malformed, length, put_varint};
use super::entry;

pub(super) fn put(out: &mut Vec<u8>, Publication { messages, facts, copies }: &Publication) {
    entry::put_contents(out, messages);
    entry::put_facts(out, facts);
    put_varint(out, length(copies.len()));
    for Copies { queue, from, count } in copies {
        for number in [queue.0, *from, *count] {
            put_varint(out, u64::from(number));
        }
    }
}

/// Reads what `put` wrote. The contents are slices of `payload`.
pub(super) fn publication(input: &mut Input<'_>, payload: &Bytes) -> Result<Publication, Malformed> {
    let (messages, facts) = (entry::contents(input, payload)?, entry::facts(input)?);
    let count = input.count(3)?;
    let copies = |_| {
        let queue = QueueId(input.varint_u32()?);
        Ok(Copies { queue, from: input.varint_u32()?, count: input.varint_u32()? })
    };
    Ok(Publication { messages, facts, copies: (0..count).map(copies).collect::<Result<_, _>>()? })
}
