use bytes::Bytes;

use crate::types::{Attempt, Epoch, TouchState};

use super::*;

const QUEUE: QueueId = QueueId(1);

fn stored(first: u64, count: usize) -> Change {
    let messages = vec![Content(Bytes::from_static(b"body")); count];
    Change::Stored {
        queue: QUEUE,
        first: Sequence(first),
        published_at: Timestamp(9),
        messages,
        lanes: Vec::new(),
    }
}

fn touched(sequence: u64) -> Change {
    let (attempt, epoch, lane) = (Attempt(1), Epoch(1), Lane::default());
    let touch = Touch { attempt, uncounted: 0, epoch, size: 4, lane, key: None, state: TouchState::Ready };
    Change::Touched { queue: QUEUE, sequence: Sequence(sequence), touch }
}

fn settled(sequence: u64) -> Change {
    Change::Settled { queue: QUEUE, lane: Lane::default(), sequence: Sequence(sequence) }
}

fn purged(from: u64, until: u64) -> Change {
    Change::Purged { queue: QUEUE, lane: Lane::default(), from: Sequence(from), until: Sequence(until) }
}

fn overlay(changes: impl IntoIterator<Item = Change>) -> Overlay {
    let mut overlay = Overlay::default();
    changes.into_iter().for_each(|change| overlay.apply(change));
    overlay
}

/// `h` here, `g` gone, `.` unknown, for the messages from 0.
fn picture(overlay: &Overlay, until: u64) -> String {
    let letter = |sequence| match overlay.find(QUEUE.into(), Sequence(sequence)) {
        Found::Here(message) => {
            assert_eq!((message.sequence, message.published_at), (Sequence(sequence), Timestamp(9)));
            'h'
        }
        Found::Gone => 'g',
        Found::Unknown => '.',
    };
    (0..until).map(letter).collect()
}

#[test]
fn what_was_stored_is_here_until_it_is_settled() {
    let overlay = overlay([stored(3, 3), stored(6, 1), touched(4), settled(4), settled(6)]);
    assert_eq!(picture(&overlay, 7), "...hghg");
}

#[test]
fn what_was_stored_and_settled_leaves_no_trace() {
    let overlay = overlay([stored(3, 2), touched(3), touched(4), settled(3), settled(4)]);
    assert_eq!((overlay.bytes(), overlay.touched()), (0, 0));
    assert_eq!(overlay.lanes[&QUEUE.into()].messages().count(), 0);
    assert!(overlay.lanes[&QUEUE.into()].deltas.is_empty());
}

#[test]
fn settling_an_older_message_hides_it_below() {
    let overlay = overlay([touched(1), settled(1), settled(2), touched(3)]);
    assert_eq!(picture(&overlay, 4), ".gg.");
    assert_eq!(overlay.touched(), 3);
}

#[test]
fn a_purge_hides_its_span_in_every_layer() {
    let overlay = overlay([stored(5, 1000), purged(2, 8), purged(8, 900)]);
    assert_eq!(picture(&overlay, 10), "..gggggggg");
    assert_eq!(picture(&overlay, 901).chars().rev().take(2).collect::<String>(), "hg");
    assert_eq!(overlay.lanes[&QUEUE.into()].messages().count(), 105);
    assert_eq!(overlay.lanes[&QUEUE.into()].purged.len(), 1, "spans that touch are one");
}

#[test]
fn a_deleted_queue_is_gone_and_frees_its_memory() {
    let overlay = overlay([stored(1, 5), touched(2), Change::Deleted { queue: QUEUE }]);
    assert_eq!(picture(&overlay, 3), "ggg");
    assert_eq!((overlay.bytes(), overlay.touched()), (0, 0));
}

#[test]
fn memory_is_counted_up_and_down() {
    let mut overlay = overlay([stored(1, 2), stored(3, 1)]);
    assert_eq!(overlay.bytes(), 3 * (4 + MESSAGE_COST));
    overlay.apply(touched(1));
    assert_eq!(overlay.bytes(), 3 * (4 + MESSAGE_COST) + TOUCH_COST);
    overlay.apply(settled(1));
    overlay.apply(purged(2, 3));
    assert_eq!(overlay.bytes(), 4 + MESSAGE_COST);
    assert_eq!(
        overlay.lanes[&QUEUE.into()].messages().map(|message| message.sequence.0).collect::<Vec<_>>(),
        [3]
    );
}

/// Neighbours in a lane may be far from each other by number.
#[test]
fn messages_of_two_lanes_are_found_each_in_its_own() {
    let lane = Lane::of(crate::types::Priority::MAX);
    let messages = vec![Content(Bytes::from_static(b"body")); 6];
    let lanes = vec![(1, lane), (4, lane)];
    let (first, published_at) = (Sequence(10), Timestamp(9));
    let mut overlay = overlay([Change::Stored { queue: QUEUE, first, published_at, messages, lanes }]);
    let of = |overlay: &Overlay, lane: Lane, from| {
        let found = overlay.messages_from(LaneId::new(QUEUE, lane), Sequence(from));
        found.map(|message| message.sequence.0).collect::<Vec<_>>()
    };
    assert_eq!(of(&overlay, Lane::default(), 0), [10, 12, 13, 15]);
    assert_eq!((of(&overlay, lane, 0), of(&overlay, lane, 12)), (vec![11, 14], vec![14]));
    assert!(matches!(overlay.find(LaneId::new(QUEUE, lane), Sequence(14)), Found::Here(_)));
    overlay.apply(Change::Settled { queue: QUEUE, lane, sequence: Sequence(11) });
    overlay.apply(purged(10, 13));
    assert_eq!((of(&overlay, Lane::default(), 0), of(&overlay, lane, 0)), (vec![13, 15], vec![14]));
}
