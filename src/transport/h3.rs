//! Calls over HTTP/3: accepts QUIC connections, within bounds, until the drain.
//!
//! It never knows what a call does.
//!
//! Always true:
//! - at most `connections_max` connections stand; further ones are refused;
//! - while many handshakes are open, an address must prove itself (Retry) before it costs us anything;
//! - [`serve`] returns only when all its connections have ended.

mod connection;
mod fields;
mod frame;
pub(in crate::transport) mod fuzzing;
mod incoming;
mod request;
mod response;
mod unacknowledged;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use h3::error::Code;
use http::{Request, Response};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower_service::Service;

use crate::transport::BoxError;
use crate::transport::drain::Drain;
use crate::transport::observer::TransportObserver;
use crate::transport::peer::{PeerCertificate, PeerInfo, Transport};
use crate::transport::quic::wire;

use connection::Shared;

/// The longest header section, encoded or decoded: what gRPC implementations accept by default is 8 to 16 KiB.
const HEADER_BYTES_MAX: u64 = 16 * 1024;

/// How long closing packets may take to leave.
const IDLE_WAIT: Duration = Duration::from_secs(1);

/// How HTTP/3 connections are bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct H3Settings {
    /// Connections that may stand at once. Raising it costs memory: each may fill its windows.
    pub connections_max: usize,
    /// Handshakes that may be open before addresses must be validated by Retry. Raising it saves honest clients a round
    /// trip under load and lets a flood of forged addresses cost us more handshakes.
    pub half_open_max: usize,
    /// How long a handshake may take. Raising it lets dead ones hold their place longer.
    pub handshake_timeout_ms: u64,
    /// How long a stream may be open before its headers are complete. Raising it lets idle streams hold their place
    /// longer.
    pub header_timeout_ms: u64,
    /// Calls that a client may cancel at once within a second of opening them. Raising it lets a client waste more of
    /// our work before it is cut.
    pub early_cancels_burst: u32,
    /// How fast that allowance grows back.
    pub early_cancels_per_second: u32,
    /// How long calls in flight may take to finish when the server drains. Raising it delays the exit.
    pub drain_ms: u64,
}

impl Default for H3Settings {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            half_open_max: 64,
            handshake_timeout_ms: 10_000,
            header_timeout_ms: 10_000,
            early_cancels_burst: 1024,
            early_cancels_per_second: 256,
            drain_ms: 10_000,
        }
    }
}

/// Serves `service` on `endpoint` until the drain has ended every connection. Dropping the future stops accepting;
/// connections go on.
pub fn serve<S>(
    endpoint: quinn::Endpoint,
    service: S,
    settings: H3Settings,
    drain: Drain,
    observer: Arc<dyn TransportObserver>,
) -> impl Future<Output = ()> + Send
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    let server = Arc::new(Server { settings, drain, observer, half_open: AtomicUsize::new(0) });
    run(endpoint, service, server)
}

struct Server {
    settings: H3Settings,
    drain: Drain,
    observer: Arc<dyn TransportObserver>,
    half_open: AtomicUsize,
}

async fn run<S>(endpoint: quinn::Endpoint, service: S, server: Arc<Server>)
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    let connections = TaskTracker::new();
    loop {
        let incoming = tokio::select! {
            biased;
            () = server.drain.begun() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        if connections.len() >= server.settings.connections_max {
            incoming.refuse();
            continue;
        }
        let busy = server.half_open.load(Ordering::Relaxed) >= server.settings.half_open_max;
        if busy && !incoming.remote_address_validated() {
            // An address that was not validated may always be asked to.
            let _ = incoming.retry();
            continue;
        }
        let handshake = HalfOpen::new(Arc::clone(&server));
        let connection = connect(incoming, handshake, service.clone());
        server.drain.spawn(connections.track_future(connection));
    }
    connections.close();
    tokio::select! {
        () = connections.wait() => {}
        () = refuse_all(&endpoint) => {}
    }
    endpoint.close(wire(Code::H3_NO_ERROR), b"bye");
    let _ = timeout(IDLE_WAIT, endpoint.wait_idle()).await;
}

/// Tells whoever still comes that nobody serves here any more; silence would cost them a timeout.
async fn refuse_all(endpoint: &quinn::Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        incoming.refuse();
    }
}

/// Counts a handshake for as long as it is open.
struct HalfOpen(Arc<Server>);

impl HalfOpen {
    fn new(server: Arc<Server>) -> Self {
        server.half_open.fetch_add(1, Ordering::Relaxed);
        Self(server)
    }
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.0.half_open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connect<S>(incoming: quinn::Incoming, handshake: HalfOpen, service: S)
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    let server = Arc::clone(&handshake.0);
    let limit = Duration::from_millis(server.settings.handshake_timeout_ms);
    let connecting = async move { incoming.accept()?.await };
    let connection = tokio::select! {
        connected = timeout(limit, connecting) => connected,
        () = server.drain.begun() => return,
    };
    drop(handshake);
    let connection = match connection {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(%error, "QUIC handshake failed"),
        Err(_) => return tracing::debug!("QUIC handshake timed out"),
    };
    let peer = PeerInfo {
        address: Some(connection.remote_address()),
        transport: Transport::H3,
        certificate: certificate(&connection),
    };
    let shared = Shared::new(connection, peer, &server.settings, Arc::clone(&server.observer));
    connection::serve(shared, service, &server.settings, &server.drain).await;
}

fn certificate(connection: &quinn::Connection) -> Option<Arc<PeerCertificate>> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    PeerCertificate::from_chain(&chain).map(Arc::new)
}
