//! Peeks and leases: pages with a bound on what they look at.

use super::*;

/// All sequences of one state, page by page, and how many pages that took.
async fn peeked(
    rig: &Rig,
    queue: &QueueName,
    state: Option<MessageState>,
    count: usize,
) -> (Vec<u64>, usize) {
    let (mut sequences, mut pages) = (Vec::new(), 0);
    let mut from = Sequence(0);
    loop {
        let page = rig.handle.peek(queue.clone(), Window { from, count }, state, 1 << 20).await.unwrap();
        assert!(page.items.len() <= count);
        assert!(page.items.iter().all(|peeked| state.is_none_or(|state| peeked.state == state)));
        sequences.extend(page.items.iter().map(|peeked| peeked.message.sequence.0));
        pages += 1;
        match page.next {
            Some(next) => from = next,
            None => return (sequences, pages),
        }
    }
}

#[tokio::test]
async fn pages_of_a_peek_join_without_gap_or_repetition() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings::default()).await;
    rig.publish(&queue, &["a", "b", "c", "d", "e", "f", "g"]).await;
    let taken = rig.receive(&queue, 4).await;
    rig.settle(&queue, taken[1].receipt, nack(crate::types::Retry::Backoff)).await;
    rig.settle(&queue, taken[2].receipt, Settlement::Ack).await;
    for count in 1..8 {
        assert_eq!(peeked(&rig, &queue, None, count).await.0, [1, 2, 4, 5, 6, 7]);
        assert_eq!(peeked(&rig, &queue, Some(MessageState::Ready), count).await.0, [2, 5, 6, 7]);
        assert_eq!(peeked(&rig, &queue, Some(MessageState::Leased), count).await.0, [1, 4]);
        assert_eq!(peeked(&rig, &queue, Some(MessageState::Delayed), count).await.0, [0; 0]);
    }
    assert_eq!(rig.receive(&queue, 1).await[0].receipt.attempt.0, 2, "a peek is no attempt");
    rig.stop().await;
}

/// A search for what is rare passes over a bounded number of messages, and goes on with the next page.
#[tokio::test]
async fn a_look_at_many_messages_comes_in_steps() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings::default()).await;
    rig.publish(&queue, &vec!["x"; 20_001]).await;
    // What a checkpoint has taken out of memory comes in several answers.
    let mut held = 0_u32;
    while held < 20_000 {
        let some = rig.receive(&queue, 10_000.min(20_000 - held)).await.len();
        held += u32::try_from(some).unwrap();
    }
    assert_eq!(peeked(&rig, &queue, Some(MessageState::Ready), 10).await, (vec![20_001], 2));
    assert_eq!(peeked(&rig, &queue, Some(MessageState::Parked), 10).await, (vec![], 2));
    let window = Window { from: Sequence(0), count: 100_000 };
    let first = rig.handle.leases(queue.clone(), window).await.unwrap();
    assert!(first.items.len() < 20_000);
    let window = Window { from: first.next.unwrap(), count: 100_000 };
    let second = rig.handle.leases(queue.clone(), window).await.unwrap();
    assert_eq!((first.items.len() + second.items.len(), second.next), (20_000, None));
    rig.stop().await;
}
