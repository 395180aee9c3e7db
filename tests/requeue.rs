//! A consumer that goes away gives its messages back: cancelled, closed, reset, killed or stopped, over both transports.
//!
//! Leases last an hour here, so it is never a deadline that brings a message back.

#![expect(clippy::unwrap_used, reason = "test code")]

#[path = "support/transport/frames.rs"]
#[allow(
    dead_code,
    missing_docs,
    clippy::cast_possible_truncation,
    reason = "as for the tests that it was made for"
)]
mod frames;
#[path = "support/wire_h3.rs"]
mod raw;
mod support;

use std::any::Any;
use std::net::{SocketAddr, UdpSocket};

use bbq_client::{Client, Delivery, Profile, Subscription, Transport, proto};
use rustix::process::Signal;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use raw::Raw;
use support::{Process, Server, eventually, within};

const QUEUE: &str = "jobs";
const HELD: u32 = 10;
const ROUNDS: usize = 200;
const BOTH: [Transport; 2] = [Transport::Http3, Transport::Http2];

/// A server with a queue, and who watches over it.
struct Stage {
    server: Server,
    client: Client,
}

impl Stage {
    async fn set(transport: Transport) -> Self {
        let server = Server::start().await;
        let client = server.client_over(transport).await;
        let lease_duration = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
        let settings = proto::QueueSettings { lease_duration, ..proto::QueueSettings::default() };
        client.create_queue(QUEUE, settings).await.unwrap();
        Self { server, client }
    }

    async fn publish(&self) {
        let messages = (0..HELD).map(|n| format!("message {n}").into()).collect();
        self.client.publish_all(QUEUE, messages).await.unwrap();
    }

    async fn stats(&self) -> proto::QueueStats {
        self.client.get_queue(QUEUE).await.unwrap().stats.unwrap_or_default()
    }

    /// Waits until somebody holds everything.
    async fn all_held(&self) {
        eventually("everything is held", async || {
            (self.stats().await.leased == u64::from(HELD)).then_some(())
        })
        .await;
    }

    /// A consumer that waits for messages that others hold.
    async fn waiting(&self) -> Subscription {
        subscribe(&self.client).await
    }

    /// Everything comes to whoever waits, for the second time, and is acked.
    async fn comes_back_to(&self, mut waiting: Subscription) {
        let got = take(&mut waiting, 2).await;
        for ack in got.into_iter().map(Delivery::ack).collect::<Vec<_>>() {
            within("an ack", ack).await.unwrap();
        }
        drop(waiting);
        // A consumer that is still there would get the messages of the next round.
        let stats = eventually("nobody is left", async || {
            let stats = self.stats().await;
            (stats.consumers == 0).then_some(stats)
        });
        let stats = stats.await;
        assert_eq!((stats.ready, stats.leased), (0, 0));
    }
}

async fn subscribe(client: &Client) -> Subscription {
    let builder = client.subscribe(QUEUE).max_in_flight(HELD).auto_extend(false);
    within("subscribing", builder.start()).await.unwrap()
}

/// Takes everything, in order, all of it for the same time.
async fn take(from: &mut Subscription, attempt: u32) -> Vec<Delivery> {
    let mut got = Vec::new();
    for n in 0..HELD {
        let delivery = within(&format!("message {n}"), from.next()).await.unwrap().unwrap();
        assert_eq!(delivery.body(), format!("message {n}").as_bytes());
        assert_eq!(delivery.attempt(), attempt);
        got.push(delivery);
    }
    got
}

/// Rounds of: the holder gets everything, another one waits, the holder goes.
async fn rounds(transport: Transport, count: usize, mut leave: impl AsyncFnMut(&Stage) -> Holder) {
    let stage = Stage::set(transport).await;
    for _ in 0..count {
        stage.publish().await;
        let holder = leave(&stage).await;
        let waiting = stage.waiting().await;
        let kept = holder.leave().await;
        stage.comes_back_to(waiting).await;
        drop(kept);
    }
}

/// Who holds everything, and how it goes.
enum Holder {
    Cancels(Subscription),
    Closes(Client, Subscription),
    Resets(Raw, quinn::SendStream, quinn::RecvStream),
    StopsReading(Raw, quinn::SendStream, quinn::RecvStream),
    Vanishes(Raw, quinn::SendStream, quinn::RecvStream),
    IsCut(oneshot::Sender<()>, Client, Subscription),
}

impl Holder {
    /// Goes. What comes back lives on meanwhile, so that its end is not what is noticed.
    async fn leave(self) -> Option<Box<dyn Any + Send>> {
        match self {
            Self::Cancels(subscription) => drop(subscription),
            Self::Closes(client, _subscription) => client.close().await,
            Self::Resets(raw, mut send, mut recv) => {
                // As clients cancel that do not look how far the call is: the request was sent, so there is nothing to reset.
                _ = send.reset(0x10c_u32.into());
                recv.stop(0x10c_u32.into()).unwrap();
                return Some(Box::new((raw, send, recv)));
            }
            Self::StopsReading(raw, send, mut recv) => {
                recv.stop(0_u32.into()).unwrap();
                return Some(Box::new((raw, send, recv)));
            }
            Self::Vanishes(raw, send, recv) => {
                raw.connection.close(0xdead_u32.into(), b"gone");
                return Some(Box::new((send, recv)));
            }
            Self::IsCut(cut, client, subscription) => {
                cut.send(()).unwrap();
                return Some(Box::new((client, subscription)));
            }
        }
        None
    }
}

async fn cancelled(transport: Transport) {
    let mut holders = Vec::new();
    rounds(transport, ROUNDS, async |stage| {
        if holders.is_empty() {
            holders.push(stage.server.client_over(transport).await);
        }
        let mut subscription = subscribe(&holders[0]).await;
        take(&mut subscription, 1).await;
        Holder::Cancels(subscription)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_stream_gives_everything_back_over_http3() {
    cancelled(Transport::Http3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_stream_gives_everything_back_over_http2() {
    cancelled(Transport::Http2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_connection_gives_everything_back_over_http3() {
    rounds(Transport::Http3, ROUNDS, async |stage| {
        let client = stage.server.client_over(Transport::Http3).await;
        let mut subscription = subscribe(&client).await;
        take(&mut subscription, 1).await;
        Holder::Closes(client, subscription)
    })
    .await;
}

/// Over HTTP/2 the connection breaks without a word of HTTP: the socket is reset.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_connection_gives_everything_back_over_http2() {
    rounds(Transport::Http2, ROUNDS, async |stage| {
        let (address, cut) = relay(stage.server.address).await;
        let url = format!("https://{address}");
        let profile = Profile { url, transport: Transport::Http2, ..stage.server.profile() };
        let client = within("connecting", Client::connect(profile)).await.unwrap();
        let mut subscription = subscribe(&client).await;
        take(&mut subscription, 1).await;
        Holder::IsCut(cut, client, subscription)
    })
    .await;
}

/// Takes one connection to the server and carries its bytes until it is told to cut it.
async fn relay(to: SocketAddr) -> (SocketAddr, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (cut, told) = oneshot::channel();
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        drop(listener);
        let mut far = TcpStream::connect(to).await.unwrap();
        for side in [&near, &far] {
            side.set_zero_linger().unwrap();
        }
        tokio::select! {
            _ = told => {}
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        }
    });
    (address, cut)
}

async fn raw(stage: &Stage) -> (Raw, quinn::SendStream, quinn::RecvStream) {
    let raw = Raw::connect(&stage.server).await;
    let request = proto::SubscribeRequest {
        queue: QUEUE.to_owned(),
        max_in_flight: HELD,
        ..proto::SubscribeRequest::default()
    };
    let (send, recv) = raw.subscribe(&request).await;
    stage.all_held().await;
    (raw, send, recv)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_and_a_stop_give_everything_back() {
    rounds(Transport::Http3, 20, async |stage| {
        let (raw, send, recv) = raw(stage).await;
        Holder::Resets(raw, send, recv)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_the_response_gives_everything_back() {
    rounds(Transport::Http3, 20, async |stage| {
        let (raw, send, recv) = raw(stage).await;
        Holder::StopsReading(raw, send, recv)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_closed_in_mid_call_gives_everything_back() {
    rounds(Transport::Http3, 20, async |stage| {
        let (raw, send, recv) = raw(stage).await;
        Holder::Vanishes(raw, send, recv)
    })
    .await;
}

/// From one network to another: nothing says goodbye, and nobody is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_changes_networks_keeps_everything() {
    let stage = Stage::set(Transport::Http3).await;
    stage.publish().await;
    let (raw, send, recv) = raw(&stage).await;
    raw.endpoint.rebind(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    let request = proto::SubscribeRequest { queue: QUEUE.to_owned(), ..proto::SubscribeRequest::default() };
    let more = raw.subscribe(&request).await;
    let stats = eventually("the server hears it", async || {
        let stats = stage.stats().await;
        (stats.consumers == 2).then_some(stats)
    });
    let stats = stats.await;
    assert_eq!((stats.ready, stats.leased), (0, u64::from(HELD)));
    drop((send, recv, more));
}

/// A consumer that is a process of its own, holding everything.
async fn process(stage: &Stage, transport: Transport, args: &[&str]) -> Process {
    stage.publish().await;
    let holds = HELD.to_string();
    let mut cli = stage.server.cli(&["subscribe", QUEUE, "--max-in-flight", &holds]).args(args);
    if transport == Transport::Http2 {
        cli = cli.args(&["--http2"]);
    }
    let process = cli.spawn();
    stage.all_held().await;
    process
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_consumer_gives_everything_back() {
    for transport in BOTH {
        let stage = Stage::set(transport).await;
        let mut consumer = process(&stage, transport, &["--no-ack"]).await;
        consumer.stdout.lines(HELD as usize).await;
        let waiting = stage.waiting().await;
        consumer.kill().await;
        stage.comes_back_to(waiting).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_killed_at_work_gives_everything_back() {
    for transport in BOTH {
        let stage = Stage::set(transport).await;
        // It ends with the process that started it.
        let work = "while kill -0 $PPID 2>/dev/null; do sleep 0.2; done";
        let consumer = process(&stage, transport, &["--exec", work]).await;
        let waiting = stage.waiting().await;
        // Its command may hold its output open for a moment longer.
        consumer.signal(Signal::KILL);
        stage.comes_back_to(waiting).await;
    }
}

/// Nothing is closed, and nothing answers any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_consumer_gives_everything_back() {
    for transport in BOTH {
        let stage = Stage::set(transport).await;
        let mut consumer = process(&stage, transport, &["--no-ack"]).await;
        let waiting = stage.waiting().await;
        consumer.signal(Signal::STOP);
        stage.comes_back_to(waiting).await;
        consumer.kill().await;
    }
}
