//! SIGTERM and SIGINT: streams end and give back, calls in flight finish, and the process ends well.

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

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bbq_client::{Client, Error, Message, Pem, Profile, Transport, proto};
use proto::queue_service_client::QueueServiceClient;
use rustix::process::Signal;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

use raw::Raw;
use support::{Server, Setup, eventually, within};

const QUEUE: &str = "jobs";
const BOTH: [Transport; 2] = [Transport::Http3, Transport::Http2];
const UNAVAILABLE: &str = "14";

async fn server(setup: Setup) -> (Server, Client) {
    let server = setup.start().await;
    let client = server.client().await;
    let lease_duration = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
    let settings = proto::QueueSettings { lease_duration, ..proto::QueueSettings::default() };
    client.create_queue(QUEUE, settings).await.unwrap();
    (server, client)
}

/// Publishes until it is told that nothing more is taken; what was confirmed, by sequence.
async fn publish(client: Client, confirmed: Arc<Mutex<BTreeMap<u64, String>>>, who: String) -> Error {
    for n in 0.. {
        let body = format!("{who} {n}");
        match client.publish(QUEUE, body.clone()).await {
            Ok(sequence) => assert_eq!(confirmed.lock().unwrap().insert(sequence, body), None),
            Err(error) => return error,
        }
    }
    unreachable!("the server ends first")
}

/// A stopping server says so, gives everything back and keeps every confirmed message.
async fn ends_well(transport: Transport, signal: Signal) {
    let (mut server, client) = server(Setup::new()).await;
    let held: Vec<Message> = (0..5).map(|n| format!("held {n}").into()).collect();
    client.publish_all(QUEUE, held).await.unwrap();
    let consumer = server.client_over(transport).await;
    let mut subscription = consumer.subscribe(QUEUE).max_in_flight(5).start().await.unwrap();
    let mut deliveries = Vec::new();
    for _ in 0..5 {
        deliveries.push(within("a message", subscription.next()).await.unwrap().unwrap());
    }

    let confirmed = Arc::new(Mutex::new(BTreeMap::new()));
    let mut producers = JoinSet::new();
    for n in 0..4 {
        let client = server.client_over(transport).await.with_deadline(Duration::from_secs(2));
        producers.spawn(publish(client, Arc::clone(&confirmed), format!("producer {n}")));
    }
    eventually("publishes", async || (confirmed.lock().unwrap().len() > 20).then_some(())).await;
    server.signal(signal);
    let status = server.process.ended().await;
    assert_eq!(status.code(), Some(0), "{}", server.log());
    while let Some(ended) = producers.join_next().await {
        assert!(ended.unwrap().is_retryable(), "producers are told to try again");
    }
    drop(subscription);

    let server = server.restart().await;
    let client = server.client_over(transport).await;
    let mut back = BTreeMap::new();
    while client.get_queue(QUEUE).await.unwrap().stats.unwrap().ready > 0 {
        for delivery in client.receive(QUEUE, 1000, Duration::from_secs(1), None).await.unwrap() {
            let held = delivery.sequence() <= 5;
            assert_eq!(delivery.attempt(), if held { 2 } else { 1 });
            back.insert(delivery.sequence(), String::from_utf8(delivery.body().to_vec()).unwrap());
            delivery.ack().await.unwrap();
        }
    }
    assert_eq!(back.len(), usize::try_from(*back.last_key_value().unwrap().0).unwrap(), "none is missing");
    for (sequence, body) in confirmed.lock().unwrap().iter() {
        assert_eq!(back.get(sequence), Some(body));
    }
    drop(deliveries);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_a_server_and_loses_nothing_over_http3() {
    ends_well(Transport::Http3, Signal::TERM).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_a_server_and_loses_nothing_over_http2() {
    ends_well(Transport::Http2, Signal::TERM).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigint_ends_a_server_and_loses_nothing() {
    for transport in BOTH {
        ends_well(transport, Signal::INT).await;
    }
}

fn request() -> proto::SubscribeRequest {
    proto::SubscribeRequest { queue: QUEUE.to_owned(), ..proto::SubscribeRequest::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_unavailable_over_http3() {
    let (mut server, _client) = server(Setup::new()).await;
    let raw = Raw::connect_quietly(&server).await;
    let (begun, begins) = oneshot::channel();
    let call = tokio::spawn(async move { raw.subscribe_to_the_end(&request(), begun).await });
    within("the subscription", begins).await.unwrap();
    assert_eq!(server.stop().await.code(), Some(0));
    let (status, message) = call.await.unwrap();
    assert_eq!(status, UNAVAILABLE, "{message}");
}

/// tonic's own client, which shows the status of a stream as it came.
async fn stock_client(profile: &Profile) -> Channel {
    let Some(Pem::File(ca)) = &profile.ca else { panic!("the profile names the authority's file") };
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(std::fs::read(ca).unwrap()));
    let endpoint = Channel::from_shared(profile.url.clone()).unwrap().tls_config(tls).unwrap();
    within("connecting", endpoint.connect()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_unavailable_over_http2() {
    let (mut server, _client) = server(Setup::new()).await;
    let profile = server.profile();
    let mut calls = QueueServiceClient::new(stock_client(&profile).await);
    let mut call = tonic::Request::new(request());
    let bearer = format!("Bearer {}", profile.token.unwrap());
    call.metadata_mut().insert("authorization", bearer.parse().unwrap());
    let mut stream = within("the subscription", calls.subscribe(call)).await.unwrap().into_inner();
    let (ended, status) = tokio::join!(server.stop(), within("the stream's end", stream.message()));
    assert_eq!(ended.code(), Some(0));
    assert_eq!(status.unwrap_err().code(), tonic::Code::Unavailable);
}

/// A consumer that reads nothing holds up the end until the bound, and no longer; meanwhile the server is not ready.
async fn never_reads(transport: Transport) {
    // Longer than looking at readiness takes, shorter than the time after which a silent peer is given up.
    let (mut server, client) = server(Setup::new().args(&["--set", "drain_timeout_ms=8000"])).await;
    let mut subscribe = server.cli(&["subscribe", QUEUE, "--no-ack", "--max-in-flight", "1000"]);
    if transport == Transport::Http2 {
        subscribe = subscribe.args(&["--http2"]);
    }
    let mut consumer = subscribe.spawn();
    eventually("a consumer", async || {
        let stats = client.get_queue(QUEUE).await.unwrap().stats.unwrap();
        (stats.consumers == 1).then_some(())
    })
    .await;
    consumer.signal(Signal::STOP);
    // More than any buffer between the two takes.
    let sent = 12;
    for _ in 0..sent {
        client.publish(QUEUE, vec![b'x'; 1 << 20]).await.unwrap();
    }
    drop(client);
    server.signal(Signal::TERM);
    eventually("not ready", async || (server.get("/readyz").await.0 == 503).then_some(())).await;
    let status = server.process.ended().await;
    assert_eq!(status.code(), Some(0), "{}", server.log());
    consumer.kill().await;
    let server = server.restart().await;
    let stats = server.client().await.get_queue(QUEUE).await.unwrap().stats.unwrap();
    assert_eq!((stats.ready, stats.leased), (sent, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_does_not_hold_up_the_end_over_http3() {
    never_reads(Transport::Http3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_does_not_hold_up_the_end_over_http2() {
    never_reads(Transport::Http2).await;
}

/// What is in a data directory after a stop in order needs no journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_leaves_nothing_to_replay() {
    let (mut server, client) = server(Setup::new()).await;
    client.publish_all(QUEUE, vec!["a".into(), "b".into()]).await.unwrap();
    assert_eq!(server.stop().await.code(), Some(0));
    let inspection = bbq::store::inspect::inspect(Path::new(&server.data())).unwrap();
    assert_eq!(inspection.replay.count(), 0);
    assert_eq!(inspection.queues[0].messages, 2);
}
