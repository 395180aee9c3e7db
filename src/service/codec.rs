//! Requests as prost decodes them, but none that is small on the wire and large in memory.
//!
//! An empty message or receipt takes two bytes of a request and ten times as many in memory, so the parts are counted before they
//! are built. What may be in a call is checked later, in full: see `limits.batch_items`, which this bound is never below.

use std::any::type_name;

use bytes::Buf as _;
use prost::Message;
use tokio::runtime::{Handle, RuntimeFlavor};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::ProstCodec;

use super::proto::TransactRequest;
use super::status;

/// The most fields of a request, repetitions counted: the most that `limits.batch_items` may be, and room for the others.
const FIELDS_MAX: usize = 1_001_000;

/// A request of which decoding takes long enough to hold up others on the same thread.
const LARGE: usize = 1 << 20;

/// tonic's codec with that bound.
pub struct Bounded<T, U>(ProstCodec<T, U>);

/// See [`Bounded`].
pub struct BoundedDecoder<D>(D);

impl<T, U> Default for Bounded<T, U> {
    fn default() -> Self {
        Self(ProstCodec::new())
    }
}

impl<T, U> Codec for Bounded<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = BoundedDecoder<<ProstCodec<T, U> as Codec>::Decoder>;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(self.0.decoder())
    }
}

impl<D: Decoder<Error = Status>> Decoder for BoundedDecoder<D> {
    type Item = D::Item;
    type Error = Status;

    fn decode(&mut self, request: &mut DecodeBuf<'_>) -> Result<Option<D::Item>, Status> {
        if request.remaining() >= LARGE && on_many_threads() {
            return tokio::task::block_in_place(|| self.decode_counted(request));
        }
        self.decode_counted(request)
    }
}

impl<D: Decoder<Error = Status>> BoundedDecoder<D> {
    fn decode_counted(&mut self, request: &mut DecodeBuf<'_>) -> Result<Option<D::Item>, Status> {
        // Only there are repeated fields within repeated fields.
        let within = type_name::<D::Item>() == type_name::<TransactRequest>();
        if fields(request.chunk(), within) > FIELDS_MAX {
            return Err(status::too_many_parts(FIELDS_MAX));
        }
        self.0.decode(request)
    }
}

/// Whether the runtime has threads that others of this one's tasks can go on with.
fn on_many_threads() -> bool {
    Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// How many fields there are, and those within them; up to where it is not protobuf any more, which prost will refuse, or where
/// there are too many.
fn fields(mut message: &[u8], within: bool) -> usize {
    let mut count = 0;
    while count <= FIELDS_MAX
        && let Some(tag) = varint(&mut message)
    {
        count += 1;
        let skipped = match tag & 7 {
            0 => varint(&mut message).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut message),
            // Groups: prost refuses or skips them, field by field.
            3 | 4 => Some(0),
            5 => Some(4),
            _ => None,
        };
        let part = skipped.and_then(|length| usize::try_from(length).ok());
        let Some((part, rest)) = part.and_then(|length| message.split_at_checked(length)) else { break };
        if within && tag & 7 == 2 {
            count += fields(part, false);
        }
        message = rest;
    }
    count
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    // Most are that short, and there may be a million of them.
    if let [byte @ ..0x80, rest @ ..] = *from {
        *from = rest;
        return Some(u64::from(*byte));
    }
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::proto::{AckRequest, PublishRequest};
    use super::*;

    #[test]
    fn fields_are_counted_at_both_levels() {
        let receipts = |count| vec![String::new(); count];
        let ack = |count| AckRequest { queue: "q".to_owned(), receipts: receipts(count) };
        assert_eq!(fields(&ack(5).encode_to_vec(), false), 6);
        let publish = PublishRequest { messages: vec![bytes::Bytes::new(); 7], ..PublishRequest::default() };
        let acks = vec![ack(5), ack(0)];
        let transact = TransactRequest { acks, publishes: vec![publish], ..TransactRequest::default() };
        assert_eq!(fields(&transact.encode_to_vec(), false), 3);
        assert_eq!(fields(&transact.encode_to_vec(), true), 3 + 6 + 1 + 7);
    }

    #[test]
    fn what_is_no_protobuf_is_counted_up_to_there() {
        assert_eq!(fields(&[8, 1, 8, 1, 0xff], false), 2);
        assert_eq!(fields(&[0x12, 200, 1, 2], false), 1);
        assert_eq!(fields(&[0xff; 40], true), 0);
        assert_eq!(fields(&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], false), 1);
    }
}
