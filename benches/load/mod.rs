//! Calls against a real server, as the benchmarks of a whole server make them.

use std::ops::AsyncFn;

use bbq_client::{Client, Message, proto};
use futures_util::stream::{self, StreamExt as _};
use tokio::time::Instant;

use crate::support::Server;

/// Calls under way at once.
const CALLS: usize = 64;
const CONNECTIONS: usize = 8;
const BODY: usize = 256;
/// How many messages a rate is measured over, and how many of them go with one call.
const MESSAGES: usize = 200_000;
const BATCH: usize = 10;

/// Does `act` for each number, some at a time, spread over a few connections.
pub async fn each(clients: &[Client], count: usize, act: impl AsyncFn(Client, usize)) {
    let act = &act;
    let work = (0..count).map(|number| {
        let client = clients[number % clients.len()].clone();
        async move { act(client, number).await }
    });
    stream::iter(work).buffer_unordered(CALLS).for_each(async |()| {}).await;
}

pub fn body() -> Message {
    Message::new(vec![b'x'; BODY])
}

pub fn name(number: usize) -> String {
    format!("queue-{number}")
}

pub async fn clients(server: &Server) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(server.client().await);
    }
    clients
}

pub async fn create(clients: &[Client], count: usize) {
    each(clients, count, async |client, number| {
        client.create_queue(&name(number), proto::QueueSettings::default()).await.unwrap();
    })
    .await;
}

/// Messages a second, written in turn to `queues` queues, each of which exists.
pub async fn rate(clients: &[Client], queues: usize) -> f64 {
    let begun = Instant::now();
    each(clients, MESSAGES / BATCH, async |client, number| {
        let messages = (0..BATCH).map(|_| body()).collect();
        client.publish_all(&name(number % queues), messages).await.unwrap();
    })
    .await;
    f64::from(u32::try_from(MESSAGES).unwrap()) / begun.elapsed().as_secs_f64()
}

/// A file of the server's process in /proc.
pub fn of_process(server: &Server, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{}/{file}", server.process.pid().as_raw_nonzero())).unwrap()
}

/// Resident memory, in KiB.
pub fn rss_kib(server: &Server) -> u64 {
    let status = of_process(server, "status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Resident memory, in MiB.
pub fn rss_mib(server: &Server) -> u64 {
    rss_kib(server) / 1024
}
