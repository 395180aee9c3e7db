//! HTTP/2: streams that nobody reads, and streams that hardly come.

use std::sync::Arc;
use std::time::Duration;

use bbq_client::{Message, Transport, proto};
use proto::QueueSettings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use crate::h2::{CONTINUATION, DATA, END_HEADERS, HEADERS, PING, connect, frame, goaway, hpack};
use crate::streams::{PUBLISH, publish_to};
use crate::support::{Server, eventually, within};
use crate::{attack, frames, scale, wire_h3};

const ACK: u8 = 1;
const END_STREAM: u8 = 1;

/// Whoever says nothing is let go after five seconds.
const IMPATIENT: [&str; 4] =
    ["--set", "http2.keep_alive_ms=1000", "--set", "http2.keep_alive_timeout_ms=4000"];

type Write = WriteHalf<TlsStream<TcpStream>>;

/// A connection whose pings are answered, and that gives no window back.
struct Attentive {
    write: Arc<Mutex<Write>>,
    reader: JoinHandle<()>,
}

impl Attentive {
    async fn connect(server: &Server) -> Self {
        let (mut read, write) = tokio::io::split(connect(server).await);
        let write = Arc::new(Mutex::new(write));
        let answering = Arc::clone(&write);
        let reader = tokio::spawn(async move { while answer(&mut read, &answering).await.is_ok() {} });
        Self { write, reader }
    }

    async fn send(&self, bytes: &[u8]) {
        within("the server reads", async { self.write.lock().await.write_all(bytes).await }).await.unwrap();
    }
}

impl Drop for Attentive {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads a frame, and answers it if it is a ping.
async fn answer(read: &mut ReadHalf<TlsStream<TcpStream>>, write: &Mutex<Write>) -> std::io::Result<()> {
    let mut head = [0; 9];
    read.read_exact(&mut head).await?;
    let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap()];
    read.read_exact(&mut payload).await?;
    if head[3] == PING && head[4] & ACK == 0 {
        write.lock().await.write_all(&frame(PING, ACK, 0, &payload)).await?;
    }
    Ok(())
}

/// The header block of a call that has a right to be made.
fn call(server: &Server, path: &str) -> Vec<u8> {
    let token = format!("Bearer {}", server.profile().token.unwrap());
    hpack(&[frames::fields(path), vec![("authorization", token.as_str())]].concat())
}

/// So many streams of one connection.
fn streams(count: usize) -> impl Iterator<Item = u32> {
    (1..).step_by(2).take(count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_never_read_over_http_2_hold_up_nobody() {
    attack("readers that never read, HTTP/2", &IMPATIENT, async |server: &Server| {
        let client = server.client_over(Transport::Http3).await;
        client.create_queue("large", QueueSettings::default()).await.unwrap();
        for _ in 0..64 {
            client.publish("large", Message::new(vec![b'x'; 1 << 20])).await.unwrap();
        }
        let request = proto::SubscribeRequest { queue: "large".to_owned(), ..Default::default() };
        let (block, body) = (call(server, "/bbq.v1.QueueService/Subscribe"), wire_h3::message(&request));
        let each = 16 * scale();
        let subscribe: Vec<u8> = streams(each)
            .flat_map(|stream| {
                [frame(HEADERS, END_HEADERS, stream, &block), frame(DATA, END_STREAM, stream, &body)].concat()
            })
            .collect();
        let (mut attentive, mut silent) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let peer = Attentive::connect(server).await;
            peer.send(&subscribe).await;
            attentive.push(peer);
            let mut peer = connect(server).await;
            peer.write_all(&subscribe).await.unwrap();
            silent.push(peer);
        }
        let consumers = async |expected: usize| {
            eventually(&format!("{expected} consumers"), async || {
                let stats = client.get_queue("large").await.unwrap().stats.unwrap();
                (stats.consumers == u64::try_from(expected).unwrap()).then_some(())
            })
            .await;
        };
        // Whoever does not even answer pings is gone, and what it held is with the others.
        consumers(2 * each).await;
        server.until_counts("large", 0, 64).await;
        drop(attentive);
        consumers(0).await;
        server.until_counts("large", 64, 0).await;
        drop(silent);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_a_byte_a_second_over_http_2_end_their_headers_in_time_or_are_cut() {
    attack("writers of one byte a second, HTTP/2", &IMPATIENT, async |server: &Server| {
        server.client().await.create_queue("slow", QueueSettings::default()).await.unwrap();
        let (block, body) = (call(server, PUBLISH), publish_to("slow"));
        // Headers that never end take their whole connection, on which no ping can be answered meanwhile.
        let mut headers = Vec::new();
        for _ in 0..20 * scale() {
            let (mut read, mut write) = tokio::io::split(connect(server).await);
            let begin = frame(HEADERS, 0, 1, &block[..10]);
            headers.push(tokio::spawn(async move {
                let writing = async {
                    let mut next = begin;
                    while write.write_all(&next).await.is_ok() {
                        next = frame(CONTINUATION, 0, 1, b"\0");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    std::future::pending::<()>().await;
                };
                tokio::select! { _ = goaway(&mut read) => {}, () = writing => {} }
            }));
        }
        let uploads = 100 * scale().min(5);
        let peer = Attentive::connect(server).await;
        for stream in streams(uploads) {
            peer.send(&frame(HEADERS, END_HEADERS, stream, &block)).await;
        }
        for byte in &body[..4] {
            tokio::time::sleep(Duration::from_secs(1)).await;
            for stream in streams(uploads) {
                peer.send(&frame(DATA, 0, stream, &[*byte])).await;
            }
        }
        for ended in headers {
            within("the connection is cut", ended).await.unwrap();
        }
        for stream in streams(uploads) {
            peer.send(&frame(DATA, END_STREAM, stream, &body[4..])).await;
        }
        // An upload may take its time.
        server.until_counts("slow", u64::try_from(uploads).unwrap(), 0).await;
    })
    .await;
}
