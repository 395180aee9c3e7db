//! Messages as they come.

use std::time::Duration;

use bbq_client::{Client, Error, Transport};
use futures_util::StreamExt;
use tonic::Status;

use crate::{fake::Fake, within};

const BOTH: [Transport; 2] = [Transport::Http3, Transport::Http2];

/// Messages arrive in order, with all that is known about them.
#[tokio::test]
async fn deliveries_arrive_in_order_on_both_transports() {
    for transport in BOTH {
        let mut fake = Fake::start().await;
        let client = fake.client(transport).await;
        let builder = client.subscribe("q").max_in_flight(7).max_in_flight_bytes(9).consumer_name("me");
        let mut subscription = within(builder.lease_duration(Duration::from_secs(60)).start()).await.unwrap();
        let feed = fake.feed().await;
        assert_eq!((feed.request.max_in_flight, feed.request.max_in_flight_bytes), (7, 9));
        assert_eq!(feed.request.lease_duration.unwrap().seconds, 60);
        assert_eq!(feed.request.consumer_name, "me");
        feed.deliver([1, 2]).await;
        feed.deliver([3]).await;
        for sequence in 1..=3 {
            let delivery = within(subscription.next()).await.unwrap().unwrap();
            assert_eq!((delivery.sequence(), delivery.attempt(), delivery.queue()), (sequence, 1, "q"));
            assert_eq!(delivery.body(), &format!("m{sequence}"));
        }
    }
}

/// A subscription is a stream like any other.
#[tokio::test]
async fn subscription_is_a_stream() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Auto).await;
    let subscription = within(client.subscribe("q").start()).await.unwrap();
    let feed = fake.feed().await;
    feed.deliver([1, 2]).await;
    let both: Vec<u64> =
        within(subscription.take(2).map(|delivery| delivery.unwrap().sequence()).collect()).await;
    assert_eq!(both, [1, 2]);
}

/// A queue that is not there is told at once.
#[tokio::test]
async fn missing_queue_fails_the_start() {
    for transport in BOTH {
        let fake = Fake::start().await;
        let client = fake.client(transport).await;
        let error = within(client.subscribe("missing").start()).await.unwrap_err();
        assert!(
            matches!(&error, Error::NotFound(refusal) if refusal.message == "there is no queue \"missing\"")
        );
    }
}

/// An error that no new try would mend ends the subscription and is its last item.
#[tokio::test]
async fn final_error_is_the_last_item() {
    for status in [
        Status::not_found("gone"),
        Status::permission_denied("no"),
        Status::unauthenticated("who"),
        Status::invalid_argument("what"),
    ] {
        let mut fake = Fake::start().await;
        let client = fake.client(Transport::Auto).await;
        let mut subscription = within(client.subscribe("q").start()).await.unwrap();
        fake.feed().await.end(status.clone()).await;
        let error = within(subscription.next()).await.unwrap().unwrap_err();
        assert_eq!(error, Error::from(status));
        assert!(within(subscription.next()).await.is_none());
    }
}

/// Over HTTP/2 too, a subscription that is dropped while nothing happens is cancelled at once. (Over HTTP/3: `raw`.)
#[tokio::test]
async fn dropped_idle_subscription_is_cancelled_over_http2() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Http2).await;
    let subscription = within(client.subscribe("q").start()).await.unwrap();
    let feed = fake.feed().await;
    drop(subscription);
    feed.cancelled().await;
}

/// A call that is dropped before its answer is cancelled over HTTP/2.
#[tokio::test]
async fn dropped_call_is_cancelled_over_http2() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Http2).await;
    let publish = tokio::spawn(async move { client.publish("q", "a").await });
    let call = fake.publish().await;
    publish.abort();
    call.cancelled().await;
}

/// What a long poll brings can be settled like anything else.
#[tokio::test]
async fn received_messages_can_be_acked() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Auto).await;
    let receive = tokio::spawn({
        let client = client.clone();
        async move { client.receive("q", 5, Duration::from_secs(1), None).await }
    });
    let call = fake.receive().await;
    assert_eq!((call.request.max_messages, call.request.wait.unwrap().seconds), (5, 1));
    call.answer(Ok(bbq_client::proto::ReceiveResponse { deliveries: vec![crate::fake::delivery(4)] }));
    let delivery = within(receive).await.unwrap().unwrap().remove(0);
    let ack = delivery.ack();
    let call = fake.ack().await;
    assert_eq!(call.request.receipts, ["r4"]);
    call.answer(Ok(bbq_client::proto::AckResponse::default()));
    assert_eq!(within(ack).await, Ok(()));
}

/// Futures of the client may be spawned, and values of it shared.
#[test]
fn all_is_send_and_sync() {
    fn both<T: Send + Sync>() {}
    fn send<T: Send>(_: T) {}
    both::<Client>();
    both::<bbq_client::Subscription>();
    both::<bbq_client::Delivery>();
    both::<bbq_client::Publisher>();
    fn futures(client: &Client) {
        send(client.all_queues(""));
        send(client.publish("q", "a"));
        send(client.subscribe("q").start());
        send(client.ack("q", &["a"]));
    }
    let _ = futures;
}
