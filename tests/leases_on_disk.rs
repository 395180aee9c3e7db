//! Leases and restarts: what a stopped data directory says of them, and what comes of it.

#![expect(clippy::unwrap_used, reason = "test code")]

mod support;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bbq::store::inspect::inspect;
use bbq::types::{Holder, Sequence, Touch};
use bbq_client::{Client, Delivery, Subscription, proto};
use support::{Server, Setup, eventually, within};

const QUEUE: &str = "jobs";
const HOUR: Duration = Duration::from_secs(3600);

fn milliseconds(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// What the latest checkpoint says of a message.
fn touch(data: &Path, sequence: u64) -> Touch {
    let snapshot = inspect(data).unwrap().snapshot;
    let found = snapshot.touched.iter().find(|(_, at, _)| *at == Sequence(sequence));
    found.unwrap_or_else(|| panic!("message {sequence} is not in {snapshot:?}")).2.clone()
}

/// A server with three messages: the first taken with Receive, the second on a stream.
struct Held {
    server: Server,
    received: Delivery,
    streamed: Delivery,
    subscription: Subscription,
}

async fn received(client: &Client, max: u32) -> Vec<Delivery> {
    let receiving = client.receive(QUEUE, max, Duration::ZERO, Some(HOUR));
    within("a Receive", receiving).await.unwrap()
}

async fn held() -> Held {
    let setup = Setup::new().args(&["--set", "store.checkpoint_interval_ms=20"]);
    let server = setup.start().await;
    let client = server.client().await;
    client.create_queue(QUEUE, proto::QueueSettings::default()).await.unwrap();
    let messages = ["a", "b", "c"].map(Into::into).to_vec();
    client.publish_all(QUEUE, messages).await.unwrap();
    let received = received(&client, 1).await.remove(0);
    let subscribing = client.subscribe(QUEUE).max_in_flight(1).lease_duration(HOUR).auto_extend(false);
    let mut subscription = within("subscribing", subscribing.start()).await.unwrap();
    let streamed = within("a message", subscription.next()).await.unwrap().unwrap();
    assert_eq!((received.sequence(), streamed.sequence()), (1, 2));
    Held { server, received, streamed, subscription }
}

/// The number of a counter of the operations listener.
async fn checkpoints(server: &Server) -> u64 {
    let (_, metrics) = server.get("/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("bbq_checkpoints_total "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_holds_leases_with_their_deadlines() {
    let Held { mut server, received, streamed, subscription } = held().await;
    // The one that runs may have begun too early; the one after it has everything.
    let before = checkpoints(&server).await;
    let client = server.client().await;
    eventually("two more checkpoints", async || {
        // Without a change there is no checkpoint.
        client.publish(QUEUE, "more").await.unwrap();
        (checkpoints(&server).await >= before + 2).then_some(())
    })
    .await;
    server.kill().await;
    drop(subscription);
    for (delivery, by_stream) in [(&received, false), (&streamed, true)] {
        let touch = touch(&server.data(), delivery.sequence());
        let lease = touch.lease().expect("it is leased");
        assert_eq!(lease.deadline.0, milliseconds(delivery.lease_expires_at().unwrap()));
        assert_eq!(matches!(lease.holder, Holder::Stream(_)), by_stream);
        assert_eq!((touch.attempt.0, touch.uncounted), (1, 0));
    }
}

/// What a restart must make of both leases, after a kill as after a stop in order.
async fn after_the_restart(server: Server, received_before: &Delivery) {
    let mut server = server.restart().await;
    let client = server.client().await;
    let leases = client.leases(QUEUE, bbq_client::PageRequest::default()).await.unwrap().items;
    assert_eq!(leases.len(), 1, "the stream's lease is over: {leases:?}");
    assert_eq!(leases[0].sequence, 1);
    let mut got = Vec::new();
    while client.get_queue(QUEUE).await.unwrap().stats.unwrap().ready > 0 {
        let some = received(&client, 10).await;
        got.extend(some.iter().map(|delivery| (delivery.sequence(), delivery.attempt())));
    }
    assert_eq!(got, [(2, 2), (3, 1)], "the first one is still somebody's");
    let receipt = received_before.receipt().to_owned();
    assert_eq!(client.ack(QUEUE, &[receipt]).await.unwrap(), []);
    let stats = client.get_queue(QUEUE).await.unwrap().stats.unwrap();
    assert_eq!((stats.ready, stats.leased), (0, 2));
    drop(client);
    assert!(server.stop().await.success());
    let touch = touch(&server.data(), 2);
    assert_eq!((touch.attempt.0, touch.uncounted), (2, 1), "the server ended the first attempt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receive_lease_survives_a_kill_and_a_streams_does_not() {
    let Held { mut server, received, subscription, .. } = held().await;
    server.kill().await;
    drop(subscription);
    after_the_restart(server, &received).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receive_lease_survives_a_stop_and_a_streams_does_not() {
    let Held { mut server, received, streamed, subscription } = held().await;
    assert!(server.stop().await.success());
    drop(subscription);
    let first = touch(&server.data(), received.sequence());
    let lease = first.lease().expect("it is leased");
    assert_eq!(lease.deadline.0, milliseconds(received.lease_expires_at().unwrap()));
    let second = touch(&server.data(), streamed.sequence());
    assert_eq!((second.lease(), second.attempt.0, second.uncounted), (None, 1, 1));
    after_the_restart(server, &received).await;
}
