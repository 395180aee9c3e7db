//! As many TCP connections as a peer can make, against a server that may have few files open: its store goes on.

use bbq_client::{Message, Transport, proto::QueueSettings};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::h2::{self, PREFACE, SETTINGS, frame};
use crate::support::{Server, Setup, eventually, within};
use crate::vitals::Vitals;
use crate::{attack_on, scale};

/// Files that the server may have open.
const LIMIT: u64 = 200;

/// A server that makes new journal files and checkpoints all the time.
fn busy_and_poor() -> Setup {
    let limited = format!("ulimit -n {LIMIT}; exec \"$@\"");
    let small = ["--set", "store.segment_bytes=65536", "--set", "store.checkpoint_interval_ms=50"];
    Setup::new().wrapper(&["sh", "-c", &limited, "sh"]).args(&small)
}

async fn descriptors(server: &Server) -> u64 {
    Vitals::of(server.process.pid(), &server.data()).await.descriptors
}

async fn checkpoints(server: &Server) -> u64 {
    let (_, text) = server.get("/metrics").await;
    let count = text.lines().find_map(|line| line.strip_prefix("bbq_checkpoints_total "));
    count.map_or(0, |count| count.parse().unwrap())
}

/// Publishes more than a journal file holds, over what no TCP connection can take away, until checkpoints have been made of it.
async fn store_goes_on(server: &Server) {
    let client = server.client_over(Transport::Http3).await;
    client.create_queue("busy", QueueSettings::default()).await.unwrap();
    let until = checkpoints(server).await + 3;
    eventually("checkpoints go on", async || {
        client.publish("busy", Message::new(vec![b'x'; 100_000])).await.unwrap();
        (checkpoints(server).await >= until).then_some(())
    })
    .await;
    assert!(descriptors(server).await <= LIMIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_leave_the_store_and_others_their_descriptors() {
    attack_on(busy_and_poor(), "1,000 TCP connections, 200 descriptors", async |server: &Server| {
        let lowered = "http2.connections_max is 4096, and is lowered to 104";
        assert!(server.log().contains(lowered) && server.log().contains("ulimit -n"), "{}", server.log());
        let mut held = Vec::new();
        for n in 0..1000 * scale() {
            let to = if n % 4 == 0 { server.operations } else { server.address };
            // Refused, closed or held, as the server likes.
            if let Ok(tcp) = within("an answer", TcpStream::connect(to)).await {
                held.push(tcp);
            }
        }
        store_goes_on(server).await;
    })
    .await;
}

/// Whoever completes handshakes may have all places for connections over TCP, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_stand_leave_the_store_its_descriptors() {
    let _alone = crate::ALONE.lock().await;
    let mut server = busy_and_poor().start().await;
    let (mut held, mut refused) = (Vec::new(), 0);
    while refused < 20 {
        match within("an answer", h2::try_tls(&server, b"h2")).await {
            Ok(mut tls) => {
                // It stands, if the server still has it when this arrives.
                let _ = tls.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
                held.push(tls);
            }
            Err(_) => refused += 1,
        }
        assert!(u64::try_from(held.len()).unwrap() < LIMIT, "nothing bounds them");
    }
    assert!(held.len() >= 50, "only {} could be had", held.len());
    store_goes_on(&server).await;
    println!("{} connections over TLS stand, {} descriptors in use", held.len(), descriptors(&server).await);
    assert_eq!(server.get("/healthz").await.0, 200, "operators have places of their own");
    drop(held);
    eventually("there is room again", async || h2::try_tls(&server, b"h2").await.ok()).await;
    assert!(server.stop().await.success(), "it ends in order: {}", server.log());
}
