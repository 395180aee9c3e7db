//! Servers that go away and come back.

use std::sync::atomic::Ordering;

use bbq_client::{Client, Error, Transport};
use tonic::Status;

use crate::{fake::Fake, within};

const BOTH: [Transport; 2] = [Transport::Http3, Transport::Http2];

/// A subscription outlives its server, and what the old stream brought is not handed out any more.
#[tokio::test]
async fn subscription_survives_a_restart() {
    for transport in BOTH {
        let mut fake = Fake::start().await;
        let client = fake.client(transport).await;
        let mut subscription = within(client.subscribe("q").start()).await.unwrap();
        let feed = fake.feed().await;
        feed.deliver([1, 2]).await;
        assert_eq!(within(subscription.next()).await.unwrap().unwrap().sequence(), 1);
        drop(feed);
        let mut fake = within(fake.restart()).await;
        let feed = fake.feed().await;
        feed.deliver([3]).await;
        assert_eq!(within(subscription.next()).await.unwrap().unwrap().sequence(), 3);
    }
}

/// A server that is going away says UNAVAILABLE: the stream is opened again.
#[tokio::test]
async fn subscription_survives_unavailable() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Auto).await;
    let mut subscription = within(client.subscribe("q").start()).await.unwrap();
    fake.feed().await.end(Status::unavailable("draining")).await;
    let feed = fake.feed().await;
    feed.deliver([1]).await;
    assert_eq!(within(subscription.next()).await.unwrap().unwrap().sequence(), 1);
}

/// So it is when the first open meets such a server, over either transport: the subscription waits for the next one.
#[tokio::test]
async fn subscription_begins_though_the_server_is_going_away() {
    for transport in BOTH {
        let mut fake = Fake::start().await;
        fake.turned_away.store(3, Ordering::SeqCst);
        let client = fake.client(transport).await;
        let mut subscription = within(client.subscribe("q").start()).await.unwrap();
        let feed = fake.feed().await;
        feed.deliver([1]).await;
        assert_eq!(within(subscription.next()).await.unwrap().unwrap().sequence(), 1);
        assert_eq!(fake.turned_away.load(Ordering::SeqCst), 0);
    }
}

/// Where there never was a connection the subscription does not begin.
#[tokio::test]
async fn subscription_does_not_begin_without_a_server() {
    let mut fake = Fake::start().await;
    let profile = fake.profile(Transport::Http2);
    fake.stop().await;
    let client = Client::connect_lazily(&profile).unwrap();
    let error = within(client.subscribe("q").start()).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
}

/// A server that comes back with a certificate that nobody signed ends the subscription, and calls fail at their first try.
#[tokio::test]
async fn foreign_certificate_is_final() {
    for transport in BOTH {
        let mut fake = Fake::start().await;
        let client = fake.client(transport).await;
        let mut subscription = within(client.subscribe("q").start()).await.unwrap();
        let feed = fake.feed().await;
        drop(feed);
        let _impostor = within(fake.restart_as_somebody_else()).await;
        let error = within(subscription.next()).await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Certificate { .. }), "{error:?}");
        assert!(within(subscription.next()).await.is_none());
        let error = within(client.ack("q", &["r1"])).await.unwrap_err();
        assert!(matches!(error, Error::Certificate { .. }), "{error:?}");
        assert!(error.is_unprocessed() && !error.is_retryable());
        let error = within(client.subscribe("q").start()).await.unwrap_err();
        assert!(matches!(error, Error::Certificate { .. }), "{error:?}");
    }
}

/// Calls find the server again after a restart.
#[tokio::test]
async fn calls_survive_a_restart() {
    for transport in BOTH {
        let fake = Fake::start().await;
        let client = fake.client(transport).await;
        let mut fake = within(fake.restart()).await;
        let ack = tokio::spawn(async move { client.ack("q", &["r1"]).await });
        fake.ack().await.answer(Ok(bbq_client::proto::AckResponse::default()));
        assert_eq!(within(ack).await.unwrap(), Ok(Vec::new()));
    }
}

/// A settlement that met a server going away is made again; a publish is not, for it may have happened.
#[tokio::test]
async fn only_what_is_safe_is_repeated() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Auto).await;
    let calls = tokio::spawn(async move {
        let ack = client.ack("q", &["r1"]).await;
        (ack, client.publish("q", "a").await)
    });
    fake.ack().await.answer(Err(Status::unavailable("draining")));
    fake.ack().await.answer(Ok(bbq_client::proto::AckResponse::default()));
    fake.publish().await.answer(Err(Status::unavailable("draining")));
    let (ack, publish) = within(calls).await.unwrap();
    assert_eq!(ack, Ok(Vec::new()));
    assert!(matches!(publish, Err(Error::Unavailable(_))));
}
