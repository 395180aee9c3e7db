//! Leases that are kept while their delivery is alive.

use std::time::Duration;

use bbq_client::{
    Error, ReceiptFailure, Transport,
    proto::{ExtendResponse, ReceiptFailureReason},
};
use tonic::Status;

use crate::{fake::Fake, within};

/// Extended after half of it, with the other half to answer: a busy machine needs no more.
const LEASE: Duration = Duration::from_secs(20);

/// Held leases are extended together; one that was dropped, or is lost, is not extended any more.
#[tokio::test]
async fn leases_are_extended_while_held() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Http3).await;
    let mut subscription = within(client.subscribe("q").lease_duration(LEASE).start()).await.unwrap();
    let feed = fake.feed().await;
    feed.deliver([1, 2, 3]).await;
    let dropped = within(subscription.next()).await.unwrap().unwrap();
    let _lost = within(subscription.next()).await.unwrap().unwrap();
    let kept = within(subscription.next()).await.unwrap().unwrap();

    let call = fake.extend().await;
    assert_eq!(call.request.receipts, ["r1", "r2", "r3"]);
    assert_eq!(call.request.lease_duration.unwrap().seconds, 20);
    drop(dropped);
    call.answer(Ok(ExtendResponse {
        failures: vec![bbq_client::proto::ReceiptFailure {
            receipt: "r2".into(),
            reason: ReceiptFailureReason::Superseded.into(),
        }],
    }));

    let call = fake.extend().await;
    assert_eq!(call.request.receipts, ["r3"]);
    // A failure of the call is no reason to give up.
    call.answer(Err(Status::internal("not now")));
    let call = fake.extend().await;
    assert_eq!(call.request.receipts, ["r3"]);
    call.answer(Ok(ExtendResponse::default()));
    drop(kept);
}

/// What waits to be taken from the subscription is leased as well, so it is extended as well.
#[tokio::test]
async fn leases_are_extended_before_they_are_handed_out() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Http3).await;
    let _subscription = within(client.subscribe("q").lease_duration(LEASE).start()).await.unwrap();
    let feed = fake.feed().await;
    feed.deliver([1]).await;
    assert_eq!(fake.extend().await.request.receipts, ["r1"]);
}

/// A lease is kept while its ack is on its way.
#[tokio::test]
async fn leases_are_extended_until_the_ack_is_answered() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Http3).await;
    let mut subscription = within(client.subscribe("q").lease_duration(LEASE).start()).await.unwrap();
    let feed = fake.feed().await;
    feed.deliver([1]).await;
    let _ack = within(subscription.next()).await.unwrap().unwrap().ack();
    let _unanswered = fake.ack().await;
    assert_eq!(fake.extend().await.request.receipts, ["r1"]);
}

/// A lease can be extended by hand, and one that is lost says so.
#[tokio::test]
async fn lease_can_be_extended_by_hand() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Http3).await;
    let mut subscription = within(client.subscribe("q").auto_extend(false).start()).await.unwrap();
    let feed = fake.feed().await;
    feed.deliver([1]).await;
    let delivery = within(subscription.next()).await.unwrap().unwrap();
    let extend = delivery.extend(Duration::from_secs(90));
    let answer = async {
        let call = fake.extend().await;
        assert_eq!(call.request.lease_duration.unwrap().seconds, 90);
        call.answer(Ok(ExtendResponse {
            failures: vec![bbq_client::proto::ReceiptFailure {
                receipt: "r1".into(),
                reason: ReceiptFailureReason::Expired.into(),
            }],
        }));
    };
    let (result, ()) = within(async { tokio::join!(extend, answer) }).await;
    assert_eq!(result, Err(Error::Receipt { receipt: "r1".into(), why: ReceiptFailure::Expired }));
}
