//! Clients that were closed.

use std::time::Duration;

use bbq_client::{Client, Error, Transport};
use tokio::net::TcpListener;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    fake::{Certificate, Fake},
    within,
};

const BOTH: [Transport; 2] = [Transport::Http3, Transport::Http2];

/// The error of a call that came after the close, and that certainly did nothing.
fn assert_closed<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Closed(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the client is closed, and its clones with it; connect another one with `Client::connect`"
    );
    assert!(error.is_unprocessed() && !error.is_retryable());
}

/// A client that was closed makes no call any more, nor does a clone of it, or what it made before.
#[tokio::test]
async fn closed_client_makes_no_calls() {
    for transport in BOTH {
        let mut fake = Fake::start().await;
        let client = fake.client(transport).await;
        let clone = client.with_deadline(Duration::from_secs(60));
        let publisher = client.publisher("q");
        within(client.close()).await;
        assert_eq!(client.protocol(), None);
        assert_closed(within(client.publish("q", "a")).await);
        assert_closed(within(clone.receive("q", 1, Duration::from_secs(5), None)).await);
        assert_closed(within(clone.ack("q", &["r1"])).await);
        assert_closed(within(clone.subscribe("q").start()).await);
        assert_closed(within(within(publisher.publish("a")).await).await);
        assert_closed(within(publisher.flush()).await);
        assert_closed(within(within(clone.publisher("q").publish("a")).await).await);
        within(clone.close()).await;
        assert!(fake.publishes.try_recv().is_err());
        assert!(fake.receives.try_recv().is_err());
        assert!(fake.acks.try_recv().is_err());
        assert!(fake.feeds.try_recv().is_err());
    }
}

/// What is under way ends with the client, on the server's side too. Whether a call had an effect is not known.
#[tokio::test]
async fn closing_ends_what_is_under_way() {
    for transport in BOTH {
        let mut fake = Fake::start().await;
        let client = fake.client(transport).await;
        let mut subscription = within(client.subscribe("q").start()).await.unwrap();
        let feed = fake.feed().await;
        feed.deliver([1]).await;
        within(subscription.next()).await.unwrap().unwrap();
        let receive = tokio::spawn({
            let client = client.clone();
            async move { client.receive("q", 1, Duration::from_secs(60), None).await }
        });
        let call = fake.receive().await;
        within(client.close()).await;
        let error = within(receive).await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Closed(_)) && !error.is_unprocessed(), "{error:?}");
        let last = within(subscription.next()).await.unwrap();
        assert!(matches!(last, Err(Error::Closed(_))), "{last:?}");
        assert!(within(subscription.next()).await.is_none());
        // Over HTTP/3 the whole connection ends, of which the tests' server tells nobody.
        if transport == Transport::Http2 {
            call.cancelled().await;
            feed.cancelled().await;
        }
    }
}

/// A call that waits for a connection ends too, and the connection is not used.
#[tokio::test]
async fn closing_ends_waiting_for_a_connection() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let profile = Certificate::new().profile(silent.local_addr().unwrap(), Transport::Http2);
    let client = Client::connect_lazily(&profile).unwrap();
    let publish = tokio::spawn({
        let client = client.clone();
        async move { client.publish("q", "a").await }
    });
    let _accepted = within(silent.accept()).await.unwrap();
    within(client.close()).await;
    assert_closed(within(publish).await.unwrap());
}

/// A call that waits for its next try does not wait on.
#[tokio::test]
async fn closing_ends_waiting_for_another_try() {
    const HOUR: Duration = Duration::from_secs(3600);
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Http3).await;
    let patient = client.with_deadline(2 * HOUR);
    let publish = tokio::spawn(async move { patient.publish("q", "a").await });
    let details = ErrorDetails::with_retry_info(Some(HOUR));
    let full = Status::with_error_details(Code::ResourceExhausted, "full", details);
    fake.publish().await.answer(Err(full));
    within(client.close()).await;
    let error = within(publish).await.unwrap().unwrap_err();
    // What the server said, unless the client was closed before it arrived.
    assert!(matches!(error, Error::ResourceExhausted(_) | Error::Closed(_)), "{error:?}");
}
