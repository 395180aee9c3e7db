//! From the cancel of a stream that holds ten messages to all ten in the hands of the next consumer.
//!
//! The aim is one round trip and one fsync, so both are measured beside it: the round trip by a call that changes nothing,
//! the fsync on a file in the same file system, and both together by a publish. Run it with `cargo bench --bench requeue`.

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something is not as it must be")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Write as _;
use std::time::Duration;

use bbq_client::{Client, Delivery, Subscription, Transport, proto};
use hdrhistogram::Histogram;
use tokio::time::Instant;

use support::{Server, eventually, within};

const QUEUE: &str = "jobs";
const HELD: u32 = 10;
/// The first rounds are not counted.
const WARM_UP: usize = 20;
const ROUNDS: usize = 500;

/// Times in microseconds, to three digits.
struct Times(Histogram<u64>);

impl Times {
    fn new() -> Self {
        Self(Histogram::new(3).unwrap())
    }

    fn add(&mut self, since: Instant) {
        self.add_duration(since.elapsed());
    }

    fn add_duration(&mut self, time: Duration) {
        self.0.record(u64::try_from(time.as_micros()).unwrap()).unwrap();
    }

    fn show(&self, what: &str) {
        let at = |quantile| self.0.value_at_quantile(quantile);
        println!("{what:<44} {:>8} {:>8} {:>8}", at(0.5), at(0.99), self.0.max());
    }
}

async fn subscribe(client: &Client) -> Subscription {
    let builder = client.subscribe(QUEUE).max_in_flight(HELD).auto_extend(false);
    within("subscribing", builder.start()).await.unwrap()
}

async fn take(from: &mut Subscription) -> Vec<Delivery> {
    let mut got = Vec::new();
    for _ in 0..HELD {
        got.push(within("a message", from.next()).await.unwrap().unwrap());
    }
    got
}

async fn stats(client: &Client) -> proto::QueueStats {
    client.get_queue(QUEUE).await.unwrap().stats.unwrap()
}

async fn requeue(transport: Transport) {
    let server = Server::start().await;
    let (holding, waiting) = (server.client_over(transport).await, server.client_over(transport).await);
    waiting.create_queue(QUEUE, proto::QueueSettings::default()).await.unwrap();
    let (mut trips, mut publishes, mut requeues) = (Times::new(), Times::new(), Times::new());
    for round in 0..WARM_UP + ROUNDS {
        let begun = Instant::now();
        stats(&holding).await;
        let trip = begun.elapsed();
        let begun = Instant::now();
        let messages = (0..HELD).map(|_| bbq_client::Message::new(vec![b'x'; 256]));
        holding.publish_all(QUEUE, messages.collect()).await.unwrap();
        let publish = begun.elapsed();
        let mut first = subscribe(&holding).await;
        let held = take(&mut first).await;
        let mut second = subscribe(&waiting).await;

        let begun = Instant::now();
        drop(first);
        let again = take(&mut second).await;
        if round >= WARM_UP {
            requeues.add(begun);
            trips.add_duration(trip);
            publishes.add_duration(publish);
        }

        assert!(again.iter().all(|delivery| delivery.attempt() == 2));
        drop(held);
        for ack in again.into_iter().map(Delivery::ack).collect::<Vec<_>>() {
            ack.await.unwrap();
        }
        drop(second);
        eventually("nobody is left", async || (stats(&waiting).await.consumers == 0).then_some(())).await;
    }
    let over = match transport {
        Transport::Http2 => "HTTP/2",
        Transport::Http3 | Transport::Auto => "HTTP/3",
    };
    trips.show(&format!("{over}: round trip of a call"));
    publishes.show(&format!("{over}: publish of ten (trip and fsync)"));
    requeues.show(&format!("{over}: cancel to all ten redelivered"));
}

/// A journal entry's worth of bytes, as the journal writes it: into a file that has its size.
fn fsync() {
    let mut file = tempfile::tempfile().unwrap();
    file.set_len(64 << 20).unwrap();
    file.sync_all().unwrap();
    let mut times = Times::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        file.write_all(&[b'x'; 512]).unwrap();
        file.sync_data().unwrap();
        times.add(begun);
    }
    times.show("fdatasync of 512 B");
}

fn main() {
    println!("{:<44} {:>8} {:>8} {:>8}", "microseconds", "median", "99 %", "worst");
    fsync();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for transport in [Transport::Http3, Transport::Http2] {
            requeue(transport).await;
        }
    });
}
