//! Calls that take too long.

use std::time::Duration;

use bbq_client::{Error, Transport, proto::ReceiveResponse};
use tonic::metadata::MetadataMap;

use crate::{
    fake::{self, Fake},
    within,
};

/// A call without an answer ends at its deadline, which the server is told, and is cancelled there.
#[tokio::test]
async fn deadline_ends_a_call() {
    let ends = |transport| async move {
        let mut fake = Fake::start().await;
        // Long enough to reach the server from a busy machine.
        let client = fake.client(transport).await.with_deadline(Duration::from_secs(10));
        let publish = tokio::spawn(async move { client.publish("q", "a").await });
        let call = fake.publish().await;
        assert!(call.metadata.contains_key("grpc-timeout"));
        let error = within(publish).await.unwrap().unwrap_err();
        assert!(matches!(error, Error::DeadlineExceeded(_)), "{error:?}");
        if transport == Transport::Http2 {
            call.cancelled().await;
        }
    };
    tokio::join!(ends(Transport::Http3), ends(Transport::Http2));
}

/// A long poll may take its wait on top of the deadline.
#[tokio::test]
async fn receive_may_wait_beyond_the_deadline() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Http3).await.with_deadline(Duration::from_secs(1));
    let _receive = tokio::spawn(async move { client.receive("q", 1, Duration::from_secs(600), None).await });
    let call = fake.receive().await;
    assert!((540..=601).contains(&seconds(&call.metadata)), "{:?}", call.metadata);
}

/// A settlement takes the deadline of the client that its message was delivered to.
#[tokio::test]
async fn deadlines_of_settlements_do_not_mix() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Http3).await;
    let mut deliveries = Vec::new();
    for deadline in [60, 600] {
        let client = client.with_deadline(Duration::from_secs(deadline));
        let receive = tokio::spawn(async move { client.receive("q", 1, Duration::ZERO, None).await });
        let answer = ReceiveResponse { deliveries: vec![fake::delivery(deadline)] };
        fake.receive().await.answer(Ok(answer));
        deliveries.extend(within(receive).await.unwrap().unwrap());
    }
    for (delivery, bounds) in deliveries.into_iter().zip([0..=60, 300..=600]) {
        let _on_its_way = delivery.ack();
        let call = fake.ack().await;
        assert!(bounds.contains(&seconds(&call.metadata)), "{:?}", call.metadata);
    }
}

/// How long the call may take, as the server is told.
fn seconds(metadata: &MetadataMap) -> u64 {
    let timeout = metadata.get("grpc-timeout").unwrap().to_str().unwrap();
    let (number, unit) = timeout.split_at(timeout.len() - 1);
    let a_second = match unit {
        "u" => 1_000_000,
        "m" => 1_000,
        "S" => 1,
        unit => panic!("{unit}"),
    };
    number.parse::<u64>().unwrap() / a_second
}
