//! A client that behaves, over both transports, and what the server weighs meanwhile.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bbq_client::{Client, Message, Transport, proto::QueueSettings};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Server, eventually};

/// No call of a client that behaves takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the server is weighed.
const WEIGHING: Duration = Duration::from_millis(20);

/// A new connection each so many rounds.
const CONNECT_EACH: u64 = 20;

/// Between two rounds, so that the client is a guest and not the load.
const PAUSE: Duration = Duration::from_millis(2);

pub struct Meter {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<Duration>>>,
    scales: JoinHandle<u64>,
}

/// What was seen.
pub struct Seen {
    /// Ascending.
    took: Vec<Duration>,
    pub resident_kib: u64,
}

impl Meter {
    /// Begins to publish, receive and ack, over HTTP/3 and HTTP/2.
    pub async fn start(server: &Server) -> Self {
        let admin = server.client().await;
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = Vec::new();
        for (queue, transport) in [("over-h3", Transport::Http3), ("over-h2", Transport::Http2)] {
            admin.create_queue(queue, QueueSettings::default()).await.unwrap();
            let profile = bbq_client::Profile { transport, ..server.profile() };
            let connect = move || Client::connect(profile.clone());
            let client = connect().await.unwrap();
            let (stop, rounds) = (Arc::clone(&stop), Arc::clone(&rounds));
            clients.push(tokio::spawn(async move {
                let mut took = Vec::new();
                let mut client = client;
                while !stop.load(Ordering::Relaxed) {
                    let round = rounds.fetch_add(1, Ordering::Relaxed);
                    if round.is_multiple_of(CONNECT_EACH) {
                        client = timed(&mut took, "connect", connect()).await.unwrap();
                    }
                    use_it(&client, queue, &mut took).await;
                    sleep(PAUSE).await;
                }
                took
            }));
        }
        let scales = tokio::spawn(weigh(server.process.pid().as_raw_nonzero().get(), Arc::clone(&stop)));
        Self { stop, rounds, clients, scales }
    }

    /// Waits until the client has been through so many more rounds.
    pub async fn rounds(&self, count: u64) {
        let until = self.rounds.load(Ordering::Relaxed) + count;
        eventually("the client is served", async || {
            (self.rounds.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
    }

    pub async fn finish(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut took = Vec::new();
        for client in self.clients {
            took.extend(client.await.unwrap());
        }
        took.sort_unstable();
        Seen { took, resident_kib: self.scales.await.unwrap() }
    }
}

impl Seen {
    pub fn calls(&self) -> usize {
        self.took.len()
    }

    pub fn p99(&self) -> f64 {
        milliseconds(self.took[self.took.len() * 99 / 100])
    }

    pub fn longest(&self) -> f64 {
        milliseconds(*self.took.last().unwrap())
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// One message's way through the server.
async fn use_it(client: &Client, queue: &str, took: &mut Vec<Duration>) {
    timed(took, "publish", client.publish(queue, Message::new("hello"))).await.unwrap();
    let received = timed(took, "receive", client.receive(queue, 1, Duration::ZERO, None)).await.unwrap();
    for delivery in received {
        timed(took, "ack", async { delivery.ack().await }).await.unwrap();
    }
}

async fn timed<T>(took: &mut Vec<Duration>, what: &str, call: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let Ok(outcome) = timeout(PATIENCE, call).await else { panic!("{what}: not within {PATIENCE:?}") };
    took.push(begun.elapsed());
    outcome
}

/// The most that a process weighed.
async fn weigh(pid: i32, stop: Arc<AtomicBool>) -> u64 {
    let mut most = 0;
    while !stop.load(Ordering::Relaxed) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        most = most.max(now.expect("the server runs"));
        sleep(WEIGHING).await;
    }
    most
}
