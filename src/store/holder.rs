//! Who holds a lease, in bytes: in entries and in records.

use crate::types::{Consumer, Holder, HolderId};

use super::codec::{Input, Malformed, put_bytes, put_varint};

/// A holder is 1 for a stream or 2 for a Receive call, then its id.
pub(super) fn put_holder(out: &mut Vec<u8>, holder: Holder) {
    out.push(kind(holder));
    put_varint(out, holder.id().0);
}

/// What stands for its kind.
pub(super) fn kind(holder: Holder) -> u8 {
    match holder {
        Holder::Stream(_) => 1,
        Holder::Receive(_) => 2,
    }
}

pub(super) fn holder(input: &mut Input<'_>) -> Result<Holder, Malformed> {
    let kind = input.u8()?;
    holder_of(kind, input)
}

/// A holder whose kind was read before.
pub(super) fn holder_of(kind: u8, input: &mut Input<'_>) -> Result<Holder, Malformed> {
    Ok(match kind {
        1 => Holder::Stream(HolderId(input.varint()?)),
        2 => Holder::Receive(HolderId(input.varint()?)),
        _ => return Err(Malformed("a holder is neither a stream nor a call")),
    })
}

pub(super) fn put_consumer(out: &mut Vec<u8>, consumer: &Consumer) {
    let Consumer { name, peer, transport } = consumer;
    for text in [name, peer, transport] {
        put_bytes(out, text.as_bytes());
    }
}

pub(super) fn consumer(input: &mut Input<'_>) -> Result<Consumer, Malformed> {
    let mut text = || input.text().map(str::to_owned);
    Ok(Consumer { name: text()?, peer: text()?, transport: text()? })
}
