//! A hundred thousand calls that are cancelled leave nothing behind in the server: no stream, no consumer, no memory.

mod support;

use std::fs;

use bbq_client::{Client, Transport};
use support::server::Server;
use support::waiting::eventually;

/// After so many the server has grown as far as it should.
const WARM: usize = 10_000;
/// Over both transports together.
const ALL: usize = 100_000;
/// How many are open at once.
const AT_ONCE: usize = 50;
/// More than this much of its size after the first `WARM` is growth.
const GROWTH_PERCENT: u64 = 110;

/// Opens and cancels `calls` Subscribe calls that hold a message each.
async fn storm(client: &Client, calls: usize) {
    for _ in 0..calls / AT_ONCE {
        let open = (0..AT_ONCE).map(|_| client.subscribe("jobs").max_in_flight(1).start());
        let open = futures_util::future::join_all(open).await;
        // Dropped together: each is cancelled on the wire, whatever it holds.
        open.into_iter().for_each(|subscription| drop(subscription.expect("a subscription")));
    }
}

fn resident_kib(server: &Server) -> u64 {
    let pid = server.process.pid().as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

async fn quiet(server: &Server) {
    eventually("all consumers and streams are gone", async || {
        let (_, metrics) = server.get("/metrics").await;
        let gone = |name: &str| {
            metrics.lines().filter(|line| line.starts_with(name)).all(|line| line.ends_with(" 0"))
        };
        (gone("bbq_streams") && gone("bbq_consumers")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_subscriptions_leave_nothing_behind() {
    let limits = ["--set", "http3.early_cancels_burst=1000000", "--set", "store.checkpoint_interval_ms=500"];
    let mut server = Server::start_with(&limits).await;
    let admin = server.client().await;
    admin.create_queue("jobs", bbq_client::proto::QueueSettings::default()).await.expect("a queue");
    let messages: Vec<_> = (0..10).map(|n: u32| bbq_client::Message::new(n.to_string())).collect();
    admin.publish_all("jobs", messages).await.expect("published");
    let clients = [server.client_over(Transport::Http3).await, server.client_over(Transport::Http2).await];

    let both = async |calls: usize| {
        let [h3, h2] = &clients;
        tokio::join!(storm(h3, calls / 2), storm(h2, calls / 2));
        quiet(&server).await;
        resident_kib(&server)
    };
    let warm = both(WARM).await;
    let after = both(ALL - WARM).await;
    println!("resident after {WARM} cancelled calls: {warm} KiB, after {ALL}: {after} KiB");
    assert!(after * 100 <= warm * GROWTH_PERCENT, "grew from {warm} to {after} KiB");

    let queue = admin.get_queue("jobs").await.expect("the queue");
    let stats = queue.stats.expect("stats");
    assert_eq!((stats.ready, stats.leased), (10, 0), "every message came back");
    assert!(server.stop().await.success());
}
