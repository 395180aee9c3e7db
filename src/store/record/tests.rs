use crate::types::{Holder, HolderId, TouchState};

use super::*;
use crate::types::QueueId;

const QUEUE: QueueId = QueueId(1);

fn touch(attempt: u32, lease: Option<Lease>) -> Touch {
    with(attempt, lease.map_or(TouchState::Ready, TouchState::Leased))
}

fn with(attempt: u32, state: TouchState) -> Touch {
    let (attempt, epoch, lane) = (Attempt(attempt), Epoch(2), Lane::default());
    Touch { attempt, uncounted: 1, epoch, size: 3, lane, key: None, state }
}

fn lease(consumer: &Arc<Consumer>) -> Lease {
    Lease {
        holder: Holder::Stream(HolderId(4)),
        epoch: Epoch(5),
        since: Timestamp(6),
        deadline: Timestamp(7),
        duration: Duration(8),
        consumer: consumer.clone(),
    }
}

fn read(first: Sequence, pieces: &[Vec<u8>]) -> Touches {
    let mut touches = Touches::new();
    for piece in pieces {
        assert_eq!(
            usize::from(decode(piece, ChunkKey::new(QUEUE, first), &mut touches).unwrap()),
            pieces.len()
        );
    }
    touches
}

#[test]
fn a_record_has_known_bytes_and_reads_back() {
    let consumer = Arc::new(Consumer { name: "n".into(), peer: "p".into(), transport: "h3".into() });
    let touches = Touches::from([
        (Sequence(10), touch(1, None)),
        (Sequence(12), touch(2, Some(lease(&consumer)))),
        (Sequence(13), touch(3, Some(lease(&consumer)))),
        (Sequence(14), with(0, TouchState::Delayed { until: Timestamp(300) })),
        (Sequence(15), with(4, TouchState::Dead { reason: "why".into() })),
    ]);
    let pieces = encode(Sequence(10), &touches);
    assert_eq!(pieces.len(), 1);
    let golden: [&[u8]; 6] = [
        &[2, 0, 1, 1, 1, b'n', 1, b'p', 2, b'h', b'3', 5],
        &[0, 1, 1, 2, 3, 0],
        &[2, 2, 1, 2, 3, 1, 4, 5, 6, 7, 8, 0],
        &[3, 3, 1, 2, 3, 1, 4, 5, 6, 7, 8, 0],
        &[4, 0, 1, 2, 3, 3, 0xac, 2],
        &[5, 4, 1, 2, 3, 4, 3, b'w', b'h', b'y'],
    ];
    assert_eq!(pieces[0][8..], golden.concat());
    assert_eq!(read(Sequence(10), &pieces), touches);
}

/// 512 leases of 512 consumers with long names don't fit into one value.
#[test]
fn a_long_record_goes_into_pieces() {
    let name = |n: u64| format!("{n}{}", "x".repeat(300));
    let one = |n: u64| {
        let consumer = Arc::new(Consumer { name: name(n), ..Consumer::default() });
        (Sequence(n), touch(1, Some(lease(&consumer))))
    };
    let touches: Touches = (1..=512).map(one).collect();
    let pieces = encode(Sequence(1), &touches);
    assert!(pieces.len() > 4);
    assert!(pieces.iter().all(|piece| piece.len() <= VALUE_BYTES_MAX));
    assert_eq!(read(Sequence(1), &pieces), touches);
}

#[test]
fn a_key_stands_before_its_state_and_reads_back() {
    let key = Some(OrderingKey([3, 4]));
    let touches = Touches::from([
        (Sequence(10), Touch { key, ..with(0, TouchState::Parked) }),
        (Sequence(11), Touch { key, ..with(1, TouchState::Delayed { until: Timestamp(9) }) }),
        (Sequence(12), with(1, TouchState::Ready)),
    ]);
    let pieces = encode(Sequence(10), &touches);
    assert_eq!(read(Sequence(10), &pieces), touches);
    let parked = [&[0, 0, 1, 2, 3, 64 + 5][..], &3_u64.to_be_bytes(), &4_u64.to_be_bytes()].concat();
    assert_eq!(pieces[0][13..35], parked[..]);
}

#[test]
fn no_changed_record_reads_back() {
    let touches = Touches::from([(Sequence(10), touch(1, None))]);
    let piece = encode(Sequence(10), &touches).remove(0);
    for bit in 0..piece.len() * 8 {
        let mut bytes = piece.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(
            decode(&bytes, ChunkKey::new(QUEUE, Sequence(10)), &mut Touches::new()).is_err(),
            "bit {bit}"
        );
    }
    assert!(
        decode(&piece, ChunkKey::new(QUEUE, Sequence(11)), &mut Touches::new()).is_err(),
        "another chunk's"
    );
}

#[test]
fn no_input_makes_decoding_panic() {
    for seed in 0..20_000_u64 {
        let random = |n: u64| xxhash_rust::xxh3::xxh3_64_with_seed(&n.to_be_bytes(), seed).to_be_bytes();
        let bytes: Vec<u8> = (0..6).flat_map(random).collect();
        let body = [&[2, 0, 1, bytes[0] % 2, 0, 0, 0, bytes[1] % 4][..], &bytes].concat();
        _ = decode(&checked(&body, Sequence(1)), ChunkKey::new(QUEUE, Sequence(1)), &mut Touches::new());
        _ = decode(&bytes, ChunkKey::new(QUEUE, Sequence(1)), &mut Touches::new());
    }
}
