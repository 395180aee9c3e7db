//! Rows of the tree `transactions`, and transactions as they stand in an entry.
//!
//! | key                            | value                                                                     |
//! |--------------------------------|---------------------------------------------------------------------------|
//! | namespace, 0: u8, number: u64  | version: u8 = 1, id as text, request: two u64, at: u64, then copies        |
//!
//! Copies are a count, and for each: queue, place of the first message, how many, the number of the first that was stored, and the
//! duplicates: a count, and for each its place and the number of what is there. All of these are varints.
//!
//! In an entry a transaction is: 1 and namespace, id, request, or 0; acks: a count, and for each a queue and claims; a
//! publication.

use bytes::Bytes;

use crate::types::{
    Copies, Published, QueueId, Sequence, Timestamp, Transact, Transaction, TransactionId, TransactionKey,
};

use super::codec::{Input, Malformed, length, put_bytes, put_varint};
use super::{entry, publication};

const VERSION: u8 = 1;

pub(super) fn key((namespace, number): &TransactionKey) -> Vec<u8> {
    let mut key = namespace.as_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

pub(super) fn encode(transaction: &Transaction) -> Vec<u8> {
    let Transaction { id, request, at, copies, published } = transaction;
    let mut out = vec![VERSION];
    put_bytes(&mut out, id.as_bytes());
    for number in [request[0], request[1], at.0] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    put_varint(&mut out, length(copies.len()));
    for (Copies { queue, from, count }, Published { first, duplicates }) in copies.iter().zip(published) {
        let numbers =
            [u64::from(queue.0), u64::from(*from), u64::from(*count), first.0, length(duplicates.len())];
        numbers.into_iter().for_each(|number| put_varint(&mut out, number));
        for (place, sequence) in duplicates {
            put_varint(&mut out, u64::from(*place));
            put_varint(&mut out, sequence.0);
        }
    }
    out
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<(TransactionKey, Transaction), Malformed> {
    let end = key.iter().position(|&byte| byte == 0).ok_or(Malformed("a transaction's key is none"))?;
    let namespace =
        std::str::from_utf8(&key[..end]).map_err(|_| Malformed("a namespace is not UTF-8"))?.to_owned();
    let mut number = Input::new(&key[end + 1..]);
    let key = (namespace, number.u64()?);
    number.finish()?;
    let mut input = Input::new(value);
    input.version(VERSION)?;
    let id = input.text()?.to_owned();
    let request = [input.u64()?, input.u64()?];
    let at = Timestamp(input.u64()?);
    let (mut copies, mut published) = (Vec::new(), Vec::new());
    for _ in 0..input.count(5)? {
        let (queue, from, count) = (QueueId(input.varint_u32()?), input.varint_u32()?, input.varint_u32()?);
        copies.push(Copies { queue, from, count });
        let first = Sequence(input.varint()?);
        let count = input.count(2)?;
        let duplicate = |_| Ok((input.varint_u32()?, Sequence(input.varint()?)));
        published.push(Published { first, duplicates: (0..count).map(duplicate).collect::<Result<_, _>>()? });
    }
    input.finish()?;
    Ok((key, Transaction { id, request, at, copies, published }))
}

/// Appends a transaction as it stands in an entry.
pub(super) fn put(out: &mut Vec<u8>, Transact { id, acks, publication }: &Transact) {
    out.push(u8::from(id.is_some()));
    if let Some(TransactionId { namespace, id, request }) = id {
        put_bytes(out, namespace.as_bytes());
        put_bytes(out, id.as_bytes());
        request.iter().for_each(|half| out.extend_from_slice(&half.to_be_bytes()));
    }
    put_varint(out, length(acks.len()));
    for (queue, claims) in acks {
        put_varint(out, u64::from(queue.0));
        entry::put_claims(out, claims);
    }
    publication::put(out, publication);
}

/// Reads what `put` wrote.
pub(super) fn transact(input: &mut Input<'_>, payload: &Bytes) -> Result<Transact, Malformed> {
    let id = match input.u8()? {
        0 => None,
        1 => {
            let (namespace, id) = (input.text()?.to_owned(), input.text()?.to_owned());
            Some(TransactionId { namespace, id, request: [input.u64()?, input.u64()?] })
        }
        _ => return Err(Malformed("a flag is neither 0 nor 1")),
    };
    let mut acks = Vec::new();
    for _ in 0..input.count(2)? {
        acks.push((QueueId(input.varint_u32()?), entry::claims(input)?));
    }
    Ok(Transact { id, acks, publication: publication::publication(input, payload)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_known_bytes_and_reads_back() {
        let transaction = Transaction {
            id: "x".to_owned(),
            request: [1, 2],
            at: Timestamp(3),
            copies: vec![Copies { queue: QueueId(300), from: 4, count: 5 }],
            published: vec![Published { first: Sequence(6), duplicates: vec![(1, Sequence(7))] }],
        };
        let place = ("ns".to_owned(), 258);
        let (row, value) = (key(&place), encode(&transaction));
        assert_eq!(row, [b'n', b's', 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        let numbers = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3];
        let golden = [&[1, 1, b'x'][..], &numbers, &[1, 0xac, 2, 4, 5, 6, 1, 1, 7]].concat();
        assert_eq!(value, golden);
        assert_eq!(decode(&row, &value), Ok((place, transaction)));
        (0..value.len()).for_each(|cut| assert!(decode(&row, &value[..cut]).is_err()));
        (0..row.len()).for_each(|cut| assert!(decode(&row[..cut], &value).is_err()));
    }

    /// The largest that is remembered stays below what sled must be given.
    #[test]
    fn a_row_stays_small() {
        let most = crate::types::TRANSACTION_ENTRIES_MAX;
        let copies = vec![Copies { queue: QueueId(u32::MAX), from: u32::MAX, count: u32::MAX }; most];
        let published = vec![Published { first: Sequence(u64::MAX), duplicates: Vec::new() }; most];
        let id = "x".repeat(256);
        let transaction = Transaction { id, request: [0; 2], at: Timestamp(0), copies, published };
        assert!(encode(&transaction).len() < 32 << 10);
    }
}
