use crate::types::Content;

use super::*;

fn message(sequence: u64, content: &[u8]) -> StoredMessage {
    let content = Content(Bytes::copy_from_slice(content));
    StoredMessage { sequence: Sequence(sequence), published_at: Timestamp(300), content }
}

fn build(messages: &[StoredMessage]) -> Vec<u8> {
    let mut chunk = ChunkBuilder::new(&messages[0]);
    messages[1..].iter().for_each(|message| chunk.push(message));
    chunk.finish()
}

#[test]
fn a_chunk_has_known_bytes_and_reads_back() {
    let value = build(&[message(5, b"ab"), message(8, b"")]);
    let golden: [&[u8]; 3] =
        [&[0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 2], &[0, 0xac, 2, 2, b'a', b'b'], &[3, 0xac, 2, 0]];
    assert_eq!(value[8..], golden.concat());
    assert_eq!(extent(&value), Ok(Extent { last: Sequence(8), parts: 0 }));
    let slots = decode(&value, Sequence(5)).unwrap().slots;
    assert_eq!(slots.iter().map(|slot| slot.sequence.0).collect::<Vec<_>>(), [5, 8]);
    assert_eq!(slots[0].published_at, Timestamp(300));
    let Place::Here(range) = slots[0].place.clone() else { panic!("{slots:?}") };
    assert_eq!(&value[range], b"ab");
}

#[test]
fn a_large_message_goes_into_parts() {
    let content: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let large = message(5, &content);
    assert!(!ChunkBuilder::is_small(&large));
    let (value, parts) = encode_large(&large);
    assert_eq!(
        value[8..],
        [&[1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 1, 0, 0xac, 2, 0xa0, 0x8d, 6][..], &value[25..]].concat()
    );
    assert_eq!(extent(&value), Ok(Extent { last: Sequence(5), parts: 4 }));
    assert!(parts.iter().all(|part| part.len() <= VALUE_BYTES_MAX));
    let slots = decode(&value, Sequence(5)).unwrap().slots;
    let Place::Parts { length, checksum, count } = slots[0].place.clone() else { panic!("{slots:?}") };
    assert_eq!((length, count), (100_000, 4));
    let parts: Vec<Bytes> = parts.into_iter().map(Bytes::from).collect();
    assert_eq!(join(&parts, length, checksum, Sequence(5)).unwrap(), content);
    assert!(join(&parts[1..], length, checksum, Sequence(5)).is_err());
    assert!(join(&[parts[1].clone(), parts[0].clone()], length, checksum, Sequence(5)).is_err());
}

/// With its checksum made right it would otherwise end a start, which counts on from it.
#[test]
fn the_last_number_there_is_belongs_to_no_message() {
    let numbered = |sequence| ChunkBuilder::new(&message(sequence, b"x")).finish();
    assert_eq!(extent(&numbered(u64::MAX - 1)), Ok(Extent { last: Sequence(u64::MAX - 1), parts: 0 }));
    assert!(decode(&numbered(u64::MAX - 1), Sequence(u64::MAX - 1)).is_ok());
    let too_large = Malformed("a sequence is too large");
    assert_eq!(extent(&numbered(u64::MAX)), Err(too_large));
    assert_eq!(decode(&numbered(u64::MAX), Sequence(u64::MAX)).map(drop), Err(too_large));
}

#[test]
fn chunks_fill_up_to_their_bounds() {
    let mut few = ChunkBuilder::new(&message(1, &[7; 1000]));
    let mut count = 1;
    while few.takes(&message(count + 1, &[7; 1000])) {
        count += 1;
        few.push(&message(count, &[7; 1000]));
    }
    assert!(count >= 32);
    assert!(few.finish().len() <= VALUE_BYTES_MAX);
    let mut many = ChunkBuilder::new(&message(1, b""));
    (2..=512).for_each(|n| many.push(&message(n, b"")));
    assert!(!many.takes(&message(513, b"")));
    let largest = vec![0; VALUE_BYTES_MAX - MESSAGE_BYTES_MAX - HEADER_BYTES];
    let largest = StoredMessage { published_at: Timestamp(u64::MAX), ..message(u64::MAX, &largest) };
    assert!(ChunkBuilder::is_small(&largest));
    assert!(build(&[largest]).len() <= VALUE_BYTES_MAX);
}

#[test]
fn what_repeats_is_compressed_and_reads_back() {
    let orders: Vec<_> =
        (5..15).map(|n| message(n, format!("{{\"order\": {n}, \"state\": \"new\"}}").as_bytes())).collect();
    let value = build(&orders);
    assert_eq!(value[8], 2);
    let raw: usize = orders.iter().map(|order| order.content.0.len() + 4).sum();
    assert_eq!(value[19..23], u32::try_from(raw).unwrap().to_be_bytes());
    assert!(value.len() < raw / 2, "{} of {raw}", value.len());
    let decoded = decode(&value, Sequence(5)).unwrap();
    assert_eq!(decoded.slots.len(), orders.len());
    for (slot, order) in decoded.slots.iter().zip(&orders) {
        let Place::Here(range) = slot.place.clone() else { panic!("{slot:?}") };
        assert_eq!((slot.sequence, &decoded.text(&value)[range]), (order.sequence, &order.content.0[..]));
    }
}

#[test]
fn what_can_not_be_compressed_stays_as_it_is() {
    let noise: Vec<u8> =
        (0..500_u64).flat_map(|n| xxh3_64_with_seed(&n.to_be_bytes(), 1).to_be_bytes()).collect();
    assert_eq!(build(&[message(5, &noise)])[8], 0);
}

#[test]
fn no_changed_chunk_reads_back() {
    no_change_reads_back(&build(&[message(5, b"ab"), message(8, b"")]));
    no_change_reads_back(&build(&[message(5, &[b'a'; 200]), message(8, b"")]));
}

fn no_change_reads_back(value: &[u8]) {
    for bit in 0..value.len() * 8 {
        let mut bytes = value.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&bytes, Sequence(5)).is_err(), "bit {bit}");
    }
    assert!(decode(value, Sequence(6)).is_err(), "another chunk's");
}

#[test]
fn no_input_makes_decoding_panic() {
    for seed in 0..20_000_u64 {
        let random = |n: u64| xxhash_rust::xxh3::xxh3_64_with_seed(&n.to_be_bytes(), seed).to_be_bytes();
        let bytes: Vec<u8> = (0..5).flat_map(random).collect();
        let cut = usize::from(bytes[0]) % bytes.len();
        _ = extent(&bytes[..cut]);
        _ = decode(&bytes[..cut], Sequence(1));
        let body = [&[bytes[0] % 4, 0, 0, 0, 0, 0, 0, 0, 9, 0, bytes[1] % 5][..], &bytes[..cut]].concat();
        let value = checked(&body, Sequence(1));
        _ = extent(&value);
        _ = decode(&value, Sequence(1));
    }
}
