//! Plain HTTP/1.1 for what operators ask: short requests, short answers, and no peer that can stay.
//!
//! It never knows what is asked.
//!
//! Always true:
//! - at most `connections_max` connections stand; one more ends the oldest;
//! - a connection on which no request comes in time is closed, and so is any that has lasted too long, whatever it does.

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower_service::Service;

use crate::transport::BoxError;
use crate::transport::accept;
use crate::transport::places::Places;

/// The longest head of a request. Monitoring sends a few hundred bytes.
const HEAD_MAX: usize = 16 * 1024;

/// How HTTP/1.1 connections are bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http1Settings {
    /// Connections that may stand at once; one more ends the oldest. Raising it costs memory and a file descriptor for each.
    pub connections_max: usize,
    /// How long the next request may take to arrive, up to the end of its headers. Raising it lets dead connections hold
    /// their place longer.
    pub header_timeout_ms: u64,
    /// How long a connection may last, whatever happens on it. Raising it lets peers that do not read hold answers longer.
    pub connection_timeout_ms: u64,
}

impl Default for Http1Settings {
    fn default() -> Self {
        Self { connections_max: 32, header_timeout_ms: 10_000, connection_timeout_ms: 60_000 }
    }
}

/// Serves `service` until it is dropped, and with it every connection.
pub async fn serve<S, B>(listener: TcpListener, service: S, settings: Http1Settings)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let places = Places::new(settings.connections_max);
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = accept::next(|| listener.accept()).await;
        let place = places.take().await;
        while connections.try_join_next().is_some() {}
        let (service, settings) = (service.clone(), settings.clone());
        connections.spawn(async move {
            tokio::select! {
                () = connection(tcp, service, &settings) => {}
                () = place.ended() => tracing::debug!("too many connections to the operations listener: the oldest ends"),
            }
        });
    }
}

async fn connection<S, B>(tcp: TcpStream, service: S, settings: &Http1Settings)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(settings.header_timeout_ms))
        .max_buf_size(HEAD_MAX);
    let served = builder.serve_connection(TokioIo::new(tcp), TowerToHyperService::new(service));
    match timeout(Duration::from_millis(settings.connection_timeout_ms), served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an HTTP/1.1 connection failed"),
        Err(_) => tracing::debug!("an HTTP/1.1 connection lasted too long"),
    }
}
