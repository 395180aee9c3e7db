//! What many queues and many subscribers cost: memory, and the speed of everything else.
//!
//! Each figure stands beside the same one of a server that has nothing else to do. Run it with `cargo bench --bench queues`;
//! after `--`: how many queues, and how many subscriptions.

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something is not as it must be")]

#[path = "../tests/support/mod.rs"]
mod support;

#[path = "load/mod.rs"]
mod load;

use bbq_client::Subscription;
use tokio::time::Instant;

use load::{body, clients, create, each, name, rate, rss_mib};
use support::{Server, within};

/// Subscriptions share connections by the hundred.
const SUBSCRIPTIONS_PER_CONNECTION: usize = 100;

async fn many_queues(count: usize, alone: f64) {
    let server = Server::start().await;
    let clients = clients(&server).await;
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
    let clients = clients(&server).await;
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
        let clients = clients(&server).await;
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
