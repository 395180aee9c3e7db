//! What is held one by one costs memory: delayed messages, messages parked behind their key, deduplication ids. How much, each
//! beside as many plain messages; and what thousands of watchers, and a backup, cost the others.
//!
//! Run it with `cargo bench --bench features`; after `--`: how many messages, and how many watchers.

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something is not as it must be")]

#[path = "load/mod.rs"]
mod load;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use bbq_client::{Client, Message, proto};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

use load::{body, clients, create, each, of_process, rate, rss_kib, rss_mib};
use support::{Server, eventually, within};

/// Messages to a call.
const BATCH: usize = 100;
const QUEUE: &str = "held";
const LONG: Duration = Duration::from_secs(3600);
/// Watchers share connections by the hundred.
const WATCHERS_PER_CONNECTION: usize = 100;
/// Keys of which many are parked.
const KEYS: usize = 100_000;
/// How many messages a Receive takes.
const RECEIVED: usize = 1000;
/// How long watchers are watched.
const WATCHED: Duration = Duration::from_secs(10);

/// A queue of a kind, and what its messages have that plain ones have not.
struct Kind {
    name: &'static str,
    settings: proto::QueueSettings,
    message: fn(usize) -> Message,
    /// How many are leased first, so that all others wait behind them; if that is none, none are parked.
    leased: usize,
}

fn kinds() -> Vec<Kind> {
    let plain = proto::QueueSettings::default;
    let by_key = || proto::QueueSettings { ordering: proto::Ordering::ByKey.into(), ..plain() };
    let window = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
    let kind = |name, settings, message, leased| Kind { name, settings, message, leased };
    vec![
        kind("plain", plain(), |_| body(), 0),
        kind("delayed by an hour", plain(), |_| body().delay(LONG), 0),
        kind("parked behind one key", by_key(), |_| body().ordering_key("one"), 1),
        kind(
            "parked behind 100,000 keys",
            by_key(),
            |number| body().ordering_key(format!("key-{}", number % KEYS)),
            KEYS,
        ),
        kind(
            "each of a key of its own, none parked",
            by_key(),
            |number| body().ordering_key(format!("key-{number}")),
            0,
        ),
        kind(
            "with deduplication ids of 36 bytes",
            proto::QueueSettings { deduplication_window: window, ..plain() },
            |number| body().deduplication_id(format!("{number:036}")),
            0,
        ),
    ]
}

/// Leases the first of all keys, and lets a consumer look for more until all that is behind them is parked.
async fn park(client: &Client, leased: usize) {
    let mut missing = leased;
    while missing > 0 {
        missing -= receive(client, missing.min(RECEIVED), Duration::ZERO).await;
    }
    eventually("everything is parked", async || {
        receive(client, 1, Duration::from_millis(100)).await;
        (client.get_queue(QUEUE).await.unwrap().stats.unwrap().ready == 0).then_some(())
    })
    .await;
}

async fn receive(client: &Client, most: usize, wait: Duration) -> usize {
    let most = u32::try_from(most).unwrap();
    client.receive(QUEUE, most, wait, Some(LONG)).await.unwrap().len()
}

/// Bytes for each of `count`, beyond what was there.
fn each_of(count: usize, before: u64, now: u64) -> u64 {
    now.saturating_sub(before) * 1024 / u64::try_from(count).unwrap()
}

async fn held(kind: &Kind, count: usize) {
    let mut server = Server::start().await;
    let clients = clients(&server).await;
    clients[0].create_queue(QUEUE, kind.settings.clone()).await.unwrap();
    let empty = rss_kib(&server);
    let begun = Instant::now();
    each(&clients, count / BATCH, async |client, call| {
        let messages = (0..BATCH).map(|number| (kind.message)(call * BATCH + number)).collect();
        client.publish_all(QUEUE, messages).await.unwrap();
    })
    .await;
    let took = begun.elapsed().as_secs_f64();
    if kind.leased > 0 {
        park(&clients[0], kind.leased).await;
    }
    let stats = clients[0].get_queue(QUEUE).await.unwrap().stats.unwrap();
    println!("{count} {}: {:.0} msg/s", kind.name, count as f64 / took);
    println!("  ready {}, delayed {}, parked {}", stats.ready, stats.delayed, stats.parked);
    println!("  {} MiB, {} B each", rss_mib(&server), each_of(count, empty, rss_kib(&server)));
    drop(clients);
    server.stop().await;
    let begun = Instant::now();
    let server = server.restart().await;
    let client = server.client().await;
    let again = client.get_queue(QUEUE).await.unwrap().stats.unwrap();
    assert_eq!((again.ready, again.delayed, again.parked), (stats.ready, stats.delayed, stats.parked));
    println!(
        "  restarted in {:.1} s: {} MiB, {} B each",
        begun.elapsed().as_secs_f64(),
        rss_mib(&server),
        each_of(count, empty, rss_kib(&server))
    );
}

/// Seconds that the server's threads have run, in the system's ticks of 10 ms.
fn cpu_seconds(server: &Server) -> f64 {
    let stat = of_process(server, "stat");
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    ticks as f64 / 100.0
}

async fn watchers(count: usize, alone: f64) {
    let server = Server::start().await;
    let clients = clients(&server).await;
    create(&clients, 100).await;
    let mut watching = tokio::task::JoinSet::new();
    let mut connection = server.client().await;
    for number in 0..count {
        if number > 0 && number % WATCHERS_PER_CONNECTION == 0 {
            connection = server.client().await;
        }
        let request = proto::WatchStatsRequest { queue: load::name(number % 100), ..Default::default() };
        let mut reports = connection.watch_stats(request).await.unwrap();
        watching.spawn(async move { while let Ok(Some(_)) = reports.next().await {} });
    }
    let before = cpu_seconds(&server);
    tokio::time::sleep(WATCHED).await;
    let idle = (cpu_seconds(&server) - before) / WATCHED.as_secs_f64();
    println!(
        "{count} watchers of a queue each, once a second: {} MiB, {:.1} % of a core",
        rss_mib(&server),
        100.0 * idle
    );
    let beside = rate(&clients, 1).await;
    println!(
        "  one queue beside them: {beside:.0} msg/s, {:.0} % of an empty server's",
        100.0 * beside / alone
    );
    assert_eq!(watching.len(), count);
}

async fn backup(count: usize, alone: f64) {
    let server = Server::start().await;
    let clients = clients(&server).await;
    create(&clients, 1).await;
    clients[0].create_queue(QUEUE, proto::QueueSettings::default()).await.unwrap();
    each(&clients, count / BATCH, async |client, call| {
        // Not to be compressed.
        let mut rng = SmallRng::seed_from_u64(call as u64);
        let messages = (0..BATCH).map(|_| Message::new(rng.random::<[u8; 256]>().to_vec())).collect();
        client.publish_all(QUEUE, messages).await.unwrap();
    })
    .await;
    let (bytes, took) = taken(&clients[0]).await;
    println!(
        "backup of {count} x 256 B: {:.0} MiB in {took:.1} s, {:.0} MiB/s",
        mib(bytes),
        mib(bytes) / took
    );
    let ((bytes, took), beside) = tokio::join!(taken(&clients[0]), rate(&clients, 1));
    println!(
        "  and while another queue is written: {:.0} MiB/s, the queue {beside:.0} msg/s, {:.0} % of an empty server's",
        mib(bytes) / took,
        100.0 * beside / alone
    );
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Bytes and seconds of a backup.
async fn taken(client: &Client) -> (usize, f64) {
    let begun = Instant::now();
    let mut pieces = client.backup().await.unwrap();
    let mut bytes = 0;
    while let Some(piece) = within("a piece of the backup", pieces.next()).await.unwrap() {
        bytes += piece.data.len();
    }
    (bytes, begun.elapsed().as_secs_f64())
}

async fn rate_alone() -> f64 {
    let server = Server::start().await;
    let clients = clients(&server).await;
    create(&clients, 1).await;
    rate(&clients, 1).await
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let messages = numbers.next().unwrap_or(1_000_000);
    let count = numbers.next().unwrap_or(5_000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for kind in kinds() {
            held(&kind, messages).await;
        }
        let alone = rate_alone().await;
        watchers(count, alone).await;
        backup(4 * messages, alone).await;
    });
}
