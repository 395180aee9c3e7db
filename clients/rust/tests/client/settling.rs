//! Acks and nacks on their way.

use std::time::Duration;

use bbq_client::{
    Delivery, Error, Nack, ReceiptFailure, Subscription, Transport,
    proto::{self, AckResponse, NackResponse, ReceiptFailureReason},
};
use futures_util::future::join_all;
use tonic::Status;

use crate::{
    BOUND,
    fake::{Fake, Feed, published},
    within,
};

async fn held(sequences: std::ops::RangeInclusive<u64>) -> (Fake, Feed, Subscription, Vec<Delivery>) {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Http3).await;
    let mut subscription = within(client.subscribe("q").auto_extend(false).start()).await.unwrap();
    let feed = fake.feed().await;
    feed.deliver(sequences.clone()).await;
    let mut deliveries = Vec::new();
    for _ in sequences {
        deliveries.push(within(subscription.next()).await.unwrap().unwrap());
    }
    (fake, feed, subscription, deliveries)
}

fn failure(receipt: &str, reason: ReceiptFailureReason) -> proto::ReceiptFailure {
    proto::ReceiptFailure { receipt: receipt.into(), reason: reason.into() }
}

/// While one call is in flight the next batch fills: a hundred acks make two calls.
#[tokio::test]
async fn acks_are_batched() {
    let (mut fake, _feed, _subscription, mut deliveries) = held(1..=100).await;
    let first = deliveries.remove(0).ack();
    let call = fake.ack().await;
    assert_eq!(call.request.receipts, ["r1"]);
    let rest: Vec<_> = deliveries.into_iter().map(Delivery::ack).collect();
    call.answer(Ok(AckResponse::default()));
    assert_eq!(within(first).await, Ok(()));
    let call = fake.ack().await;
    assert_eq!(call.request.receipts.len(), 99);
    call.answer(Ok(AckResponse::default()));
    assert!(within(join_all(rest)).await.iter().all(Result::is_ok));
}

/// Each settlement learns what became of its own receipt.
#[tokio::test]
async fn failures_are_typed_and_reach_their_settlement() {
    let (mut fake, _feed, _subscription, deliveries) = held(1..=5).await;
    let settlements: Vec<_> = deliveries.into_iter().map(Delivery::ack).collect();
    let call = fake.ack().await;
    call.answer(Ok(AckResponse {
        failures: vec![
            failure("r5", ReceiptFailureReason::Unknown),
            failure("r2", ReceiptFailureReason::Superseded),
            failure("r4", ReceiptFailureReason::Gone),
            failure("r3", ReceiptFailureReason::Expired),
        ],
    }));
    let results = within(join_all(settlements)).await;
    let failed = |receipt: &str, why| Err(Error::Receipt { receipt: receipt.into(), why });
    assert_eq!(
        results,
        [
            Ok(()),
            failed("r2", ReceiptFailure::Superseded),
            failed("r3", ReceiptFailure::Expired),
            failed("r4", ReceiptFailure::Gone),
            failed("r5", ReceiptFailure::Unknown),
        ]
    );
}

/// A settlement is on its way without being awaited.
#[tokio::test]
async fn settlements_need_no_waiting() {
    let (mut fake, _feed, _subscription, mut deliveries) = held(1..=2).await;
    deliveries.remove(0).ack_later();
    let call = fake.ack().await;
    assert_eq!(call.request.receipts, ["r1"]);
    call.answer(Ok(AckResponse::default()));
    drop(deliveries.remove(0).ack());
    assert_eq!(fake.ack().await.request.receipts, ["r2"]);
}

/// Nacks of one kind share a call; each kind has its own.
#[tokio::test]
async fn nacks_are_batched_by_kind() {
    let (mut fake, _feed, _subscription, mut deliveries) = held(1..=4).await;
    let last = deliveries.remove(3).nack_with(Nack::dead_letter("poison"));
    let late = deliveries.remove(2).nack_with(Nack::after(Duration::from_secs(5)));
    let plain: Vec<_> = deliveries.into_iter().map(Delivery::nack).collect();
    let mut calls = vec![fake.nack().await, fake.nack().await, fake.nack().await];
    calls.sort_by_key(|call| call.request.receipts.clone());
    let kinds: Vec<_> = calls
        .iter()
        .map(|call| {
            (
                call.request.receipts.join(" "),
                call.request.delay.map(|delay| delay.seconds),
                call.request.dead_letter,
            )
        })
        .collect();
    assert_eq!(
        kinds,
        [("r1 r2".to_owned(), None, false), ("r3".to_owned(), Some(5), false), ("r4".to_owned(), None, true)]
    );
    assert_eq!(calls[2].request.reason, "poison");
    for call in calls {
        call.answer(Ok(NackResponse::default()));
    }
    assert_eq!(within(last).await, Ok(()));
    assert_eq!(within(late).await, Ok(()));
    assert!(within(join_all(plain)).await.iter().all(Result::is_ok));
}

/// An error of the call is the error of each settlement in it.
#[tokio::test]
async fn refused_call_fails_its_settlements() {
    let (mut fake, _feed, _subscription, deliveries) = held(1..=2).await;
    let settlements: Vec<_> = deliveries.into_iter().map(Delivery::ack).collect();
    fake.ack().await.answer(Err(Status::permission_denied("not here")));
    for result in within(join_all(settlements)).await {
        assert!(matches!(result, Err(Error::PermissionDenied(_))));
    }
}

/// Closing a subscription waits for what is on its way, and only then ends the stream.
#[tokio::test]
async fn close_flushes_settlements_first() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Http2).await;
    let mut subscription = within(client.subscribe("q").start()).await.unwrap();
    let feed = fake.feed().await;
    feed.deliver([1]).await;
    within(subscription.next()).await.unwrap().unwrap().ack_later();
    let close = tokio::spawn(subscription.close());
    let call = fake.ack().await;
    // A whole call goes by, which is more than closing takes if it waits for nothing.
    let publish = tokio::spawn(async move { client.publish("other", "a").await });
    fake.publish().await.answer(published(1, 1));
    assert_eq!(within(publish).await.unwrap(), Ok(1));
    assert!(!close.is_finished(), "closed before the ack was answered");
    call.answer(Ok(AckResponse::default()));
    within(close).await.unwrap();
    feed.cancelled().await;
}

/// So does closing the client, for what it held of any subscription.
#[tokio::test]
async fn closing_the_client_flushes_settlements_first() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Http3).await;
    let mut subscription = within(client.subscribe("q").start()).await.unwrap();
    let feed = fake.feed().await;
    feed.deliver([1]).await;
    within(subscription.next()).await.unwrap().unwrap().ack_later();
    drop(subscription);
    let close = tokio::spawn({
        let client = client.clone();
        async move { client.close_within(BOUND, BOUND).await }
    });
    let call = fake.ack().await;
    // A whole call goes by, which is more than closing takes if it waits for nothing.
    let publish = tokio::spawn({
        let client = client.clone();
        async move { client.publish("other", "a").await }
    });
    fake.publish().await.answer(published(1, 1));
    assert_eq!(within(publish).await.unwrap(), Ok(1));
    assert!(!close.is_finished(), "closed before the ack was answered");
    call.answer(Ok(AckResponse::default()));
    within(close).await.unwrap();
    assert_eq!(client.protocol(), None);
}

/// A message of an at-most-once queue is settled already.
#[tokio::test]
async fn empty_receipt_settles_without_a_call() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Auto).await;
    let receive = tokio::spawn({
        let client = client.clone();
        async move { client.receive("q", 1, Duration::ZERO, None).await }
    });
    let mut delivery = crate::fake::delivery(1);
    delivery.receipt.clear();
    fake.receive().await.answer(Ok(proto::ReceiveResponse { deliveries: vec![delivery] }));
    let delivery = within(receive).await.unwrap().unwrap().remove(0);
    assert_eq!(within(delivery.ack()).await, Ok(()));
    assert!(fake.acks.try_recv().is_err());
}
