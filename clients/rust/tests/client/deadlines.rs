//! Calls that take too long.

use std::time::Duration;

use bbq_client::{Error, Transport};

use crate::{fake::Fake, within};

/// A call without an answer ends at its deadline, which the server is told, and is cancelled there.
#[tokio::test]
async fn deadline_ends_a_call() {
    for transport in [Transport::Http3, Transport::Http2] {
        let mut fake = Fake::start().await;
        let client = fake.client(transport).await.with_deadline(Duration::from_secs(1));
        let publish = tokio::spawn(async move { client.publish("q", "a").await });
        let call = fake.publish().await;
        assert!(call.metadata.contains_key("grpc-timeout"));
        let error = within(publish).await.unwrap().unwrap_err();
        assert!(matches!(error, Error::DeadlineExceeded(_)), "{error:?}");
        if transport == Transport::Http2 {
            call.cancelled().await;
        }
    }
}

/// A long poll may take its wait on top of the deadline.
#[tokio::test]
async fn receive_may_wait_beyond_the_deadline() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Http3).await.with_deadline(Duration::from_secs(1));
    let _receive = tokio::spawn(async move { client.receive("q", 1, Duration::from_secs(60), None).await });
    let call = fake.receive().await;
    let timeout = call.metadata.get("grpc-timeout").unwrap().to_str().unwrap().to_owned();
    let (number, unit) = timeout.split_at(timeout.len() - 1);
    let seconds = number.parse::<u64>().unwrap()
        / match unit {
            "u" => 1_000_000,
            "m" => 1_000,
            "S" => 1,
            unit => panic!("{unit}"),
        };
    assert!((59..=61).contains(&seconds), "{timeout}");
}
