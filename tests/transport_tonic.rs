//! A service of tonic's own behind both transports.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/transport/mod.rs"]
mod support;

use std::sync::Arc;

use bbq::transport::h2::{self, H2Settings, PlainListener};
use bbq::transport::h3::{self, H3Settings};
use bbq::transport::quic::{self, QuicSettings};
use bbq::transport::{Drain, Unobserved};
use support::client::{Raw, response_frames};
use support::frames::{self, DATA};
use support::{Server, within};
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

fn health() -> (Routes, tonic_health::server::HealthReporter) {
    let (reporter, service) = tonic_health::server::health_reporter();
    (Routes::new(service).prepare(), reporter)
}

/// gRPC's head of an empty message.
const EMPTY: [u8; 5] = [0; 5];

#[tokio::test]
async fn tonic_is_served_over_http_3() {
    // Its identity and its client settings are what we need of it.
    let (mut server, _events) = Server::start();
    let (routes, _reporter) = health();
    let endpoint =
        quic::bind("127.0.0.1:0".parse().unwrap(), &server.identity, &QuicSettings::default()).unwrap();
    server.address = endpoint.local_addr().unwrap();
    let drain = Drain::new();
    let serving = h3::serve(endpoint, routes, H3Settings::default(), drain.clone(), Arc::new(Unobserved));
    let served = tokio::spawn(serving);

    let raw = Raw::connect(&server).await;
    let mut recv = raw.send_all(&[frames::call(CHECK), frames::data(&EMPTY)].concat()).await;
    let answer = response_frames(&mut recv).await;
    // Field 1 is 1: SERVING.
    assert_eq!(answer[1], (DATA, vec![0, 0, 0, 0, 2, 8, 1]));

    // A stream of tonic's that is idle ends with its client; the drain would wait for it otherwise.
    let mut watching = raw.send_all(&[frames::call(WATCH), frames::data(&EMPTY)].concat()).await;
    within("the first message", watching.read_exact(&mut [0; 16])).await.unwrap();
    watching.stop(0_u32.into()).unwrap();
    drain.begin();
    within("the end", served).await.unwrap();
}

#[tokio::test]
async fn tonic_is_served_over_http_2() {
    let listener = PlainListener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.address().unwrap();
    let (routes, reporter) = health();
    let drain = Drain::new();
    let serving =
        h2::serve_plain(listener, routes, H2Settings::default(), drain.clone(), Arc::new(Unobserved));
    let served = tokio::spawn(serving);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = HealthClient::new(within("a connection", endpoint.connect()).await.unwrap());
    let answer = client.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    let mut watching = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watching.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    assert_eq!(watching.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    drop(watching);
    drain.begin();
    within("the end", served).await.unwrap();
}
