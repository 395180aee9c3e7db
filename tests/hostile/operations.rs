//! The operations listener: whoever reaches it can neither stay nor keep operators out.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::{Server, Setup, within};
use crate::{attack, attack_on, scale};

/// Short, so that the test is.
const QUICK: [&str; 4] =
    ["--set", "operations.header_timeout_ms=1000", "--set", "operations.connection_timeout_ms=3000"];

async fn connect(server: &Server) -> TcpStream {
    within("a connection", TcpStream::connect(server.operations)).await.unwrap()
}

/// Reads until the server lets go, by a close or a reset.
async fn let_go(mut tcp: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = within("the server lets go", tcp.read_to_end(&mut all)).await;
    all
}

async fn operators_are_served(server: &Server) {
    for (path, expected) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        assert_eq!(server.get(path).await, (200, expected.to_owned()));
    }
    assert_eq!(server.get("/metrics").await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_are_served_whatever_is_done_to_their_listener() {
    attack_on(Setup::new().args(&QUICK), "operations listener", async |server: &Server| {
        // More than there are places for, silent or within their headers, one byte now and then.
        let mut slow = Vec::new();
        for n in 0..500 * scale() {
            let mut tcp = connect(server).await;
            if n % 2 == 0 {
                let _ = tcp.write_all(b"GET /metrics HTTP/1.1\r\nhost: b").await;
            }
            slow.push(tcp);
            if n % 50 == 0 {
                operators_are_served(server).await;
            }
        }
        for _ in 0..10 {
            for tcp in &mut slow {
                let _ = tcp.try_write(b"b");
            }
            operators_are_served(server).await;
        }
        for tcp in slow {
            let_go(tcp).await;
        }
        garbage(server).await;
        operators_are_served(server).await;
    })
    .await;
}

async fn garbage(server: &Server) {
    let mut rng = SmallRng::seed_from_u64(1);
    for n in 0..200 * scale() {
        let mut tcp = connect(server).await;
        let bytes: Vec<u8> = match n % 4 {
            0 => (0..rng.random_range(1..20_000)).map(|_| rng.random()).collect(),
            1 => [b"GET /".as_slice(), &vec![b'x'; 100_000]].concat(),
            2 => [b"GET / HTTP/1.1\r\n".as_slice(), &b"name: value\r\n".repeat(10_000)].concat(),
            _ => b"POST /metrics HTTP/1.1\r\nhost: b\r\ncontent-length: 99999999999\r\n\r\nabc".to_vec(),
        };
        let _ = tcp.write_all(&bytes).await;
        let _ = tcp.shutdown().await;
        let_go(tcp).await;
    }
}

/// Whoever asks all the time and never reads: each connection costs one answer, and is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_all_the_time_is_answered_once() {
    attack("metrics asked for all the time", &[], async |server: &Server| {
        let mut askers = tokio::task::JoinSet::new();
        for _ in 0..16 * scale() {
            let mut tcp = connect(server).await;
            askers.spawn(async move {
                let asked = b"GET /metrics HTTP/1.1\r\nhost: b\r\n\r\n".repeat(100);
                while tcp.write_all(&asked).await.is_ok() {}
            });
        }
        operators_are_served(server).await;
        within("each is over", async { while askers.join_next().await.is_some() {} }).await;
    })
    .await;
}
