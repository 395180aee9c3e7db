//! Health, readiness, metrics, logs, reflection and certificates of the real server.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use bbq_client::proto::QueueSettings;
use bbq_client::{Pem, Profile, Transport};
use rustix::process::Signal;
use support::raw::channel;
use support::{Server, Setup, eventually, within};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_serves_is_healthy_and_ready() {
    let server = Server::start().await;
    assert_eq!(server.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(server.get("/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(server.get("/").await.0, 404);
    let mut health = HealthClient::new(channel(&server).await);
    let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
}

/// A draining server tells load balancers before it tells callers, and finishes what it has begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_is_alive_but_not_ready() {
    let mut server = Server::start_with(&["--set", "http2.drain_ms=60000"]).await;
    let client = server.client_over(Transport::Http2).await;
    client.create_queue("q", QueueSettings::default()).await.unwrap();
    let mut health = HealthClient::new(channel(&server).await);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let first = within("the first status", watch.message()).await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    // A call under way keeps the drain from being over at once: its upload is not whole yet.
    let (held, upload) = tokio::sync::oneshot::channel::<()>();
    let uploading =
        tokio::spawn(slow_publish(channel(&server).await, server.profile().token.unwrap(), upload));
    eventually("the call is under way", async || {
        let (_, metrics) = server.get("/metrics").await;
        metrics.lines().any(|line| line == "bbq_streams{transport=\"h2\"} 2").then_some(())
    })
    .await;
    server.signal(Signal::TERM);
    let (status, word) = eventually("not ready", async || {
        let answer = server.get("/readyz").await;
        (answer.0 != 200).then_some(answer)
    })
    .await;
    assert_eq!((status, word.as_str()), (503, "draining\n"));
    assert_eq!(server.get("/healthz").await.0, 200);
    let last = within("the last status", watch.message()).await.unwrap().unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
    drop(watch);
    held.send(()).unwrap();
    within("the call that was under way", uploading).await.unwrap();
    assert_eq!(server.process.ended().await.code(), Some(0));
    let log = server.log();
    assert!(!log.contains("are cut"), "{log}");
    assert!(log.contains("draining") && log.contains("everything is in a checkpoint"), "{log}");
}

/// A publish whose upload waits for a word, and its answer.
async fn slow_publish(
    channel: tonic::transport::Channel,
    token: String,
    upload: tokio::sync::oneshot::Receiver<()>,
) {
    use http_body_util::{BodyExt as _, StreamBody};
    use prost::Message as _;
    use tower::ServiceExt as _;

    let request = bbq_client::proto::ReceiveRequest { queue: "q".to_owned(), ..Default::default() };
    let encoded = request.encode_to_vec();
    let length = u32::try_from(encoded.len()).unwrap();
    let parts = [[&[0][..], &length.to_be_bytes()].concat(), encoded];
    let (sender, frames) = tokio::sync::mpsc::channel(2);
    let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(frames));
    let request = http::Request::post("/bbq.v1.QueueService/Receive")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {token}"))
        .body(tonic::body::Body::new(body))
        .unwrap();
    let [first, second] = parts.map(|part| http_body::Frame::data(bytes::Bytes::from(part)));
    sender.send(Ok::<_, tonic::Status>(first)).await.unwrap();
    let answering = tokio::spawn(channel.oneshot(request));
    upload.await.unwrap();
    sender.send(Ok(second)).await.unwrap();
    drop(sender);
    let response = answering.await.unwrap().unwrap();
    let (head, body) = response.into_parts();
    let trailers = body.collect().await.unwrap().trailers().cloned().unwrap_or_default();
    let status = head.headers.get("grpc-status").or(trailers.get("grpc-status")).cloned();
    // Finished, one way or the other: with an answer of the service, not by a connection that broke.
    assert!(status.is_some_and(|status| status == "0" || status == "14"));
}

/// The name and labels of a line of Prometheus' text format, and that its value is a number.
fn sample(line: &str) -> &str {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    assert!(value.parse::<f64>().is_ok() || ["+Inf", "-Inf", "NaN"].contains(&value), "{line}");
    let name = series.split('{').next().unwrap();
    assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
    if let Some(labels) = series.strip_prefix(name).filter(|labels| !labels.is_empty()) {
        assert!(labels.starts_with('{') && labels.ends_with("\"}"), "{line}");
    }
    name
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened() {
    let server = Server::start_with(&["--set", "store.checkpoint_interval_ms=50"]).await;
    for transport in [Transport::Http3, Transport::Http2] {
        let client = server.client_over(transport).await;
        client.create_queue("q", QueueSettings::default()).await.unwrap();
        client.publish_all("q", vec!["a".into(), "b".into(), "c".into()]).await.unwrap();
        let mut subscription = client.subscribe("q").start().await.unwrap();
        let delivery = within("a delivery", subscription.next()).await.unwrap().unwrap();
        delivery.nack().await.unwrap();
        for _ in 0..3 {
            let delivery = within("a delivery", subscription.next()).await.unwrap().unwrap();
            delivery.ack().await.unwrap();
        }
        subscription.close().await;
    }
    // Gauges are set at a checkpoint; these wait for the last one.
    let text = eventually("the queue is empty in the metrics", async || {
        let (status, text) = server.get("/metrics").await;
        assert_eq!(status, 200);
        (text.contains("bbq_queue_ready{queue=\"q\"} 0") && text.contains("bbq_messages_leased 0"))
            .then_some(text)
    })
    .await;
    let names: BTreeSet<&str> =
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(sample).collect();
    for line in text.lines().filter(|line| line.starts_with('#')) {
        assert!(line.starts_with("# HELP ") || line.starts_with("# TYPE "), "{line}");
    }
    for name in [
        "bbq_build_info",
        "bbq_connections",
        "bbq_connections_total",
        "bbq_streams",
        "bbq_queues",
        "bbq_consumers",
        "bbq_messages_ready",
        "bbq_messages_leased",
        "bbq_messages_bytes",
        "bbq_queue_ready",
        "bbq_queue_leased",
        "bbq_queue_bytes",
        "bbq_messages_published_total",
        "bbq_messages_delivered_total",
        "bbq_messages_redelivered_total",
        "bbq_messages_settled_total",
        "bbq_commits_total",
        "bbq_commit_bytes_bucket",
        "bbq_commit_seconds_count",
        "bbq_checkpoints_total",
        "bbq_checkpoint_seconds_sum",
        "bbq_journal_bytes",
        "bbq_overlay_bytes",
        "bbq_calls_total",
        "bbq_calls_in_flight",
        "bbq_call_duration_seconds_count",
    ] {
        assert!(names.contains(name), "{name} is not among {names:#?}");
    }
    let value = |series: &str| {
        let line =
            text.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("no {series}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!((value("bbq_messages_published_total") - 6.0).abs() < 0.5);
    assert!((value("bbq_messages_settled_total{how=\"ack\"}") - 6.0).abs() < 0.5, "{text}");
    assert!((value("bbq_messages_redelivered_total") - 2.0).abs() < 0.5);
    assert!(value("bbq_connections_total{transport=\"h3\"}") >= 1.0);
    assert!(value("bbq_connections_total{transport=\"h2\"}") >= 1.0);
}

/// Logs are for machines unless a person looks: one JSON object a line.
#[tokio::test(flavor = "multi_thread")]
async fn logs_are_json_when_nobody_looks() {
    let mut server = Server::start().await;
    assert_eq!(server.stop().await.code(), Some(0));
    let log = server.log();
    assert!(log.lines().count() >= 3, "{log}");
    for line in log.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for key in ["timestamp", "level", "message", "target"] {
            assert!(line[key].is_string(), "{key} of {line}");
        }
    }
    assert!(!log.contains(&server.profile().token.unwrap()), "the log holds a token");
    let setup = server.again().args(&["--log-format", "human", "--log-level", "error"]);
    drop(server);
    let mut quiet = setup.start().await;
    quiet.stop().await;
    assert_eq!(quiet.log(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_of_both_versions_lists_the_services() {
    use tonic_reflection::pb::{v1, v1alpha};

    let server = Server::start().await;
    let channel = channel(&server).await;
    let expected = ["bbq.v1.AdminService", "bbq.v1.QueueService", "grpc.health.v1.Health"];

    let ask = v1::ServerReflectionRequest {
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap().into_inner();
    let answer = within("an answer", answers.message()).await.unwrap().unwrap().message_response.unwrap();
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(listed) = answer else {
        panic!("{answer:?}")
    };
    let names = listed.service.into_iter().map(|service| service.name).collect::<Vec<_>>();
    assert!(expected.iter().all(|name| names.iter().any(|found| found == name)), "{names:?}");

    let ask = v1alpha::ServerReflectionRequest {
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
        ..Default::default()
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap().into_inner();
    let answer = within("an answer", answers.message()).await.unwrap().unwrap().message_response.unwrap();
    let v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(listed) = answer else {
        panic!("{answer:?}")
    };
    let names = listed.service.into_iter().map(|service| service.name).collect::<Vec<_>>();
    assert!(expected.iter().all(|name| names.iter().any(|found| found == name)), "{names:?}");
}

/// Puts a certificate that signed itself, and its key, where the server looks; gives what clients must trust.
fn install(directory: &Path) -> Pem {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(directory.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.join("tls.pem"), made.cert.pem()).unwrap();
    Pem::Inline(made.cert.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_brings_in_the_new_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let old = install(directory.path());
    let set = |key: &str, file: &str| format!("{key}={}", directory.path().join(file).display());
    let (certificate, key) = (set("tls.certificate", "tls.pem"), set("tls.key", "tls.key"));
    let server = Setup::new().args(&["--set", &certificate, "--set", &key]).start().await;
    let trusting = |ca: &Pem, transport| Profile { ca: Some(ca.clone()), transport, ..server.profile() };
    let connects = async |ca: &Pem, transport| {
        let client = within("connecting", bbq_client::Client::connect(trusting(ca, transport))).await?;
        client.all_queues("").await.map(drop)
    };
    let transports = [Transport::Http3, Transport::Http2];
    for transport in transports {
        connects(&old, transport).await.unwrap();
    }
    let standing = bbq_client::Client::connect(trusting(&old, Transport::Http3)).await.unwrap();

    let new = install(directory.path());
    server.signal(Signal::HUP);
    server.process.stderr.contains("certificate reloaded").await;
    for transport in transports {
        connects(&new, transport).await.unwrap();
        assert!(matches!(connects(&old, transport).await, Err(bbq_client::Error::Certificate { .. })));
    }
    // A connection that stands is none the worse.
    standing.all_queues("").await.unwrap();

    // What can't be used changes nothing.
    std::fs::write(directory.path().join("tls.pem"), "nonsense").unwrap();
    server.signal(Signal::HUP);
    server.process.stderr.contains("certificate not reloaded").await;
    for transport in transports {
        connects(&new, transport).await.unwrap();
    }
}

/// A certificate that the server made is used only as it was made, also when it is read again.
#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_does_not_bring_in_a_damaged_certificate() {
    let server = Server::start().await;
    let path = server.data().join("server.pem");
    let good = std::fs::read_to_string(&path).unwrap();
    // The end is of the signature: it is a certificate still, and of the same key.
    let place = good.find("\n-----END").unwrap() - 10;
    let other = if good[place..].starts_with('A') { "B" } else { "A" };
    let mut damaged = good.clone();
    damaged.replace_range(place..=place, other);
    std::fs::write(&path, damaged).unwrap();
    server.signal(Signal::HUP);
    server.process.stderr.contains("certificate not reloaded; the old one stays in use").await;
    server.process.stderr.contains("server.pem: is not as it was signed by ca.pem").await;
    server.process.stderr.contains("the server made that file: put a copy of it back").await;
    for transport in [Transport::Http3, Transport::Http2] {
        server.client_over(transport).await.all_queues("").await.unwrap();
    }
    std::fs::write(&path, good).unwrap();
    server.signal(Signal::HUP);
    server.process.stderr.contains("certificate reloaded").await;
}

/// A second signal is not needed, and does no harm.
#[tokio::test(flavor = "multi_thread")]
async fn either_signal_ends_the_server_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start().await;
        let subscriber = server.client().await;
        subscriber.create_queue("q", QueueSettings::default()).await.unwrap();
        let _subscription = subscriber.subscribe("q").start().await.unwrap();
        server.signal(signal);
        assert_eq!(server.process.ended().await.code(), Some(0));
        assert!(!server.log().contains("ERROR"), "{}", server.log());
    }
}

/// A server on a Unix socket or a loopback port without TLS serves the same queues, and lists such a peer as h2c.
#[tokio::test(flavor = "multi_thread")]
async fn plaintext_on_this_machine_is_the_same_server() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("bbq.sock");
    let listen = format!("plaintext.listen=unix:{}", socket.display());
    let server = Server::start_with(&["--set", &listen]).await;
    let profile =
        Profile { token: server.profile().token, ..Profile::new(format!("unix:{}", socket.display())) };
    let client = within("connecting", bbq_client::Client::connect(profile)).await.unwrap();
    client.create_queue("q", QueueSettings::default()).await.unwrap();
    client.publish("q", "x").await.unwrap();
    let _taken = client.receive("q", 1, std::time::Duration::ZERO, None).await.unwrap();
    let leases = server.run(&["leases", "q", "--json"]).await.json();
    assert_eq!((&leases[0]["transport"], &leases[0]["peer"]), (&"h2c".into(), &"unix".into()));
}

/// What a call needs is there for the call: no stream, reader or waker outlives it on a connection that stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_leave_nothing_behind() {
    let server = Server::start().await;
    for transport in [Transport::Http3, Transport::Http2] {
        let client = server.client_over(transport).await;
        client.create_queue("q", QueueSettings::default()).await.unwrap();
        let mut publishing = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let client = client.clone();
            publishing.spawn(async move {
                for _ in 0..50 {
                    client.publish("q", vec![b'x'; 20_000]).await.unwrap();
                }
            });
        }
        within("500 calls", publishing.join_all()).await;
        eventually("no call is left", async || {
            let (_, metrics) = server.get("/metrics").await;
            let mut counts = metrics.lines().filter(|line| line.starts_with("bbq_streams{"));
            counts.all(|line| line.ends_with(" 0")).then_some(())
        })
        .await;
    }
    assert_eq!(server.client().await.get_queue("q").await.unwrap().stats.unwrap().ready, 1000);
}
