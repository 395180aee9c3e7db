//! What many queues and many subscribers cost: memory, and the speed of everything else.
//!
//! Each figure stands beside the same one of a server that has nothing else to do. Run it with `cargo bench --bench queues`;
//! after `--`: how many queues, and how many subscriptions.

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something is not as it must be")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::ops::AsyncFn;

use bbq_client::{Client, Message, Subscription, proto};
use futures_util::stream::{self, StreamExt as _};
use tokio::time::Instant;

use support::{Server, within};

/// Calls under way at once.
const CALLS: usize = 64;
/// Subscriptions share connections by the hundred.
const SUBSCRIPTIONS_PER_CONNECTION: usize = 100;
const CONNECTIONS: usize = 8;
const BODY: usize = 256;
/// How many messages a rate is measured over, and how many of them go with one call.
const MESSAGES: usize = 200_000;
const BATCH: usize = 10;

/// Does `act` for each number, some at a time, spread over a few connections.
async fn each(clients: &[Client], count: usize, act: impl AsyncFn(Client, usize)) {
    let act = &act;
    let work = (0..count).map(|number| {
        let client = clients[number % clients.len()].clone();
        async move { act(client, number).await }
    });
    stream::iter(work).buffer_unordered(CALLS).for_each(async |()| {}).await;
}

fn body() -> Message {
    Message::new(vec![b'x'; BODY])
}

fn name(number: usize) -> String {
    format!("queue-{number}")
}

async fn clients(server: &Server, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(server.client().await);
    }
    clients
}

async fn create(clients: &[Client], count: usize) {
    each(clients, count, async |client, number| {
        client.create_queue(&name(number), proto::QueueSettings::default()).await.unwrap();
    })
    .await;
}

/// Messages a second, written in turn to `queues` queues, each of which exists.
async fn rate(clients: &[Client], queues: usize) -> f64 {
    let begun = Instant::now();
    each(clients, MESSAGES / BATCH, async |client, number| {
        let messages = (0..BATCH).map(|_| body()).collect();
        client.publish_all(&name(number % queues), messages).await.unwrap();
    })
    .await;
    f64::from(u32::try_from(MESSAGES).unwrap()) / begun.elapsed().as_secs_f64()
}

fn rss_mib(server: &Server) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.process.pid().as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

async fn many_queues(count: usize, alone: f64) {
    let server = Server::start().await;
    let clients = clients(&server, CONNECTIONS).await;
    let begun = Instant::now();
    create(&clients, count).await;
    let created = begun.elapsed();
    each(&clients, count, async |client, number| {
        client.publish_all(&name(number), vec![body()]).await.unwrap();
    })
    .await;
    println!(
        "{count} queues, one message each: {} MiB, made in {:.1} s",
        rss_mib(&server),
        created.as_secs_f64()
    );
    let beside = rate(&clients, 1).await;
    println!(
        "  one queue beside them: {beside:.0} msg/s, {:.0} % of an empty server's",
        100.0 * beside / alone
    );
    let begun = Instant::now();
    let mut server = server;
    server.stop().await;
    let server = server.restart().await;
    let client = server.client().await;
    let stats = client.get_queue(&name(count - 1)).await.unwrap().stats.unwrap();
    assert_eq!(stats.ready, 1);
    println!("  restart: {:.1} s, {} MiB", begun.elapsed().as_secs_f64(), rss_mib(&server));
}

async fn many_subscriptions(count: usize, alone: f64) {
    let server = Server::start().await;
    let clients = clients(&server, CONNECTIONS).await;
    create(&clients, 100).await;
    let mut subscriptions: Vec<Subscription> = Vec::new();
    let mut connection = server.client().await;
    for number in 0..count {
        if number > 0 && number % SUBSCRIPTIONS_PER_CONNECTION == 0 {
            connection = server.client().await;
        }
        // Queue 0 stays without: it is the one that is measured.
        let builder = connection.subscribe(name(1 + number % 99)).auto_extend(false);
        subscriptions.push(within("subscribing", builder.start()).await.unwrap());
    }
    println!(
        "{count} idle subscriptions on {} connections: {} MiB",
        count.div_ceil(SUBSCRIPTIONS_PER_CONNECTION),
        rss_mib(&server)
    );
    let beside = rate(&clients, 1).await;
    println!(
        "  one queue beside them: {beside:.0} msg/s, {:.0} % of an empty server's",
        100.0 * beside / alone
    );
    drop(subscriptions);
}

/// The same messages in turn to more and more queues.
async fn in_turn(counts: &[usize]) -> f64 {
    let mut first = None;
    for &count in counts {
        let server = Server::start().await;
        let clients = clients(&server, CONNECTIONS).await;
        create(&clients, count).await;
        let rate = rate(&clients, count).await;
        let alone = *first.get_or_insert(rate);
        println!("{count} queues written in turn: {rate:.0} msg/s, {:.2} x the time of one", alone / rate);
    }
    first.unwrap_or_default()
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let queues = numbers.next().unwrap_or(100_000);
    let subscriptions = numbers.next().unwrap_or(10_000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let alone = in_turn(&[1, 100, 10_000]).await;
        many_subscriptions(subscriptions, alone).await;
        many_queues(queues, alone).await;
    });
}
