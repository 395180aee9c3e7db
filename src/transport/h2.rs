//! Calls over HTTP/2: on TCP with TLS, or without it on loopback and unix sockets.
//!
//! It never knows what a call does. HTTP/2 itself is hyper's.
//!
//! Always true:
//! - at most `connections_max` connections stand, handshakes included; further ones are closed at once;
//! - a connection on which HTTP/2 does not begin in time is closed, and before that when others need its place;
//! - a connection whose calls are cancelled early too fast ends;
//! - a silent peer is noticed by pings, within `keep_alive_ms + keep_alive_timeout_ms`;
//! - `alt-svc` is announced where TLS is, because HTTP/3 needs it too;
//! - the futures of this module return only when all their connections have ended.

mod call;
mod connection;
mod plain;
mod preface;

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use http::{HeaderValue, Request, Response};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower_service::Service;

use crate::transport::BoxError;
use crate::transport::accept;
use crate::transport::drain::Drain;
use crate::transport::observer::TransportObserver;
use crate::transport::peer::{PeerCertificate, PeerInfo, Transport};
use crate::transport::places::Places;
use crate::transport::tls::ServerIdentity;

use connection::Serving;
pub use plain::PlainListener;

/// How HTTP/2 connections behave and are bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct H2Settings {
    /// Connections of a listener that may stand at once. Raising it costs memory and a file descriptor for each; it is lowered
    /// at the start if there are not so many.
    pub connections_max: usize,
    /// Handshakes that may be open at once, up to HTTP/2's preface, and no more than half of `connections_max`; one more ends
    /// the oldest. Raising it lets a flood of them take more memory and places of connections.
    pub handshakes_max: usize,
    /// How long TLS and HTTP/2's preface may take. Raising it lets dead ones hold their place longer.
    pub handshake_timeout_ms: u64,
    /// How often a connection is pinged. Raising it delays the release of a dead consumer's messages.
    pub keep_alive_ms: u64,
    /// How long the answer to a ping may take. Raising it delays the release of a dead consumer's messages.
    pub keep_alive_timeout_ms: u64,
    /// Bytes that a client may send ahead on one stream. Raising it costs as much memory for every stream.
    pub stream_window_bytes: u32,
    /// Bytes that a client may send ahead on one connection. Raising it costs as much memory for every connection.
    pub connection_window_bytes: u32,
    /// Calls that a client may have open on one connection. Raising it costs a task and its buffers for each.
    pub streams_max: u32,
    /// Calls that a client may cancel at once within a second of opening them. Raising it lets a client waste more of
    /// our work before it is cut.
    pub early_cancels_burst: u32,
    /// How fast that allowance grows back.
    pub early_cancels_per_second: u32,
    /// Bytes of responses that may wait for one stream. Raising it costs as much memory for every stream.
    pub send_buffer_bytes: usize,
    /// How long calls in flight may take to finish when the server drains. Raising it delays the exit.
    pub drain_ms: u64,
}

impl Default for H2Settings {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            handshakes_max: 1024,
            handshake_timeout_ms: 10_000,
            keep_alive_ms: 3_000,
            keep_alive_timeout_ms: 7_000,
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 16 << 20,
            streams_max: 1024,
            early_cancels_burst: 1024,
            early_cancels_per_second: 256,
            send_buffer_bytes: 1 << 20,
            drain_ms: 10_000,
        }
    }
}

/// Serves `service` on TCP with TLS until the drain has ended every connection. With `alt_svc_port`, responses announce
/// HTTP/3 on that UDP port. Must be called within a tokio runtime.
///
/// # Errors
/// When the listener or the TLS configuration cannot be used; nothing is served then.
pub fn serve_tls<S>(
    listener: TcpListener,
    identity: &ServerIdentity,
    service: S,
    settings: H2Settings,
    alt_svc_port: Option<u16>,
    drain: Drain,
    observer: Arc<dyn TransportObserver>,
) -> io::Result<impl Future<Output = ()> + Send + use<S>>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let acceptor = TlsAcceptor::from(Arc::new(identity.tcp_config().map_err(io::Error::other)?));
    let alt_svc = alt_svc_port.and_then(|port| HeaderValue::try_from(format!("h3=\":{port}\"")).ok());
    let mut listening = Listening::new(service, settings, alt_svc, drain, observer);
    Ok(async move {
        loop {
            let Some((tcp, address)) = listening.next(|| listener.accept()).await else { break };
            let acceptor = acceptor.clone();
            let handshake = listening.handshakes.take().await;
            listening.start(move |serving| async move {
                let connected = tokio::select! {
                    connected = timeout(serving.handshake_timeout(), tls(acceptor, tcp)) => connected,
                    () = handshake.ended() => return tracing::debug!(%address, "too many handshakes: the oldest ends"),
                    () = serving.drain.begun() => return,
                };
                drop(handshake);
                match connected {
                    Ok(Ok((tls, certificate))) => {
                        let peer = PeerInfo { address: Some(address), transport: Transport::H2, certificate };
                        serving.run(tls, peer).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%error, %address, "TLS handshake failed"),
                    Err(_) => tracing::debug!(%address, "TLS handshake timed out"),
                }
            });
        }
        drop(listener);
        listening.finish().await;
    })
}

/// Serves `service` without TLS until the drain has ended every connection.
pub fn serve_plain<S>(
    listener: PlainListener,
    service: S,
    settings: H2Settings,
    drain: Drain,
    observer: Arc<dyn TransportObserver>,
) -> impl Future<Output = ()> + Send
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    let mut listening = Listening::new(service, settings, None, drain, observer);
    async move {
        while let Some((stream, address)) = listening.next(|| listener.accept()).await {
            let handshake = listening.handshakes.take().await;
            listening.start(move |serving| async move {
                let peer = PeerInfo { address, transport: Transport::H2c, certificate: None };
                let begun = tokio::select! {
                    begun = timeout(serving.handshake_timeout(), preface::read(stream)) => begun,
                    () = handshake.ended() => return,
                    () = serving.drain.begun() => return,
                };
                drop(handshake);
                if let Ok(Ok(stream)) = begun {
                    serving.run(stream, peer).await;
                }
            });
        }
        drop(listener);
        listening.finish().await;
    }
}

async fn tls(
    acceptor: TlsAcceptor,
    tcp: TcpStream,
) -> io::Result<(impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Option<Arc<PeerCertificate>>)> {
    tcp.set_nodelay(true)?;
    let tls = acceptor.accept(tcp).await?;
    let chain = tls.get_ref().1.peer_certificates();
    let certificate = chain.and_then(PeerCertificate::from_chain).map(Arc::new);
    Ok((preface::read(tls).await?, certificate))
}

/// A listener's connections and their bounds.
struct Listening<S> {
    serving: Serving<S>,
    connections: TaskTracker,
    handshakes: Arc<Places>,
}

impl<S> Listening<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    fn new(
        service: S,
        settings: H2Settings,
        alt_svc: Option<HeaderValue>,
        drain: Drain,
        observer: Arc<dyn TransportObserver>,
    ) -> Self {
        // What is no connection yet must not keep out what is.
        let handshakes = Places::new(settings.handshakes_max.min(settings.connections_max.div_ceil(2)));
        let serving = Serving { service, settings: Arc::new(settings), alt_svc, drain, observer };
        Self { serving, connections: TaskTracker::new(), handshakes }
    }

    /// The next connection that there is room for; `None` when the drain has begun.
    async fn next<T, F>(&mut self, accept: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = io::Result<T>>,
    {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.serving.drain.begun() => return None,
                accepted = accept::next(&accept) => accepted,
            };
            if self.connections.len() < self.serving.settings.connections_max {
                return Some(accepted);
            }
            tracing::debug!("a connection was closed: http2.connections_max are open");
        }
    }

    fn start<F>(&self, serve: impl FnOnce(Serving<S>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let connection = serve(self.serving.clone());
        self.serving.drain.spawn(self.connections.track_future(connection));
    }

    async fn finish(self) {
        self.connections.close();
        self.connections.wait().await;
    }
}
