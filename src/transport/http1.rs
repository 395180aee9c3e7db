//! Plain HTTP/1.1 for what operators ask: short requests, short answers, and no peer that can stay.
//!
//! It never knows what is asked.
//!
//! Always true:
//! - a connection is good for one request: whoever has another one takes another place;
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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
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
    /// How long the request may take to arrive, up to the end of its headers. Raising it lets dead connections hold
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

async fn connection<IO, S, B>(io: IO, service: S, settings: &Http1Settings)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
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
        .max_buf_size(HEAD_MAX)
        .keep_alive(false);
    let served = builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
    match timeout(Duration::from_millis(settings.connection_timeout_ms), served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an HTTP/1.1 connection failed"),
        Err(_) => tracing::debug!("an HTTP/1.1 connection lasted too long"),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::Full;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::net::TcpStream;
    use tokio::time::Instant;
    use tower::service_fn;

    use super::*;

    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nhost: b\r\n\r\n";
    const LONG: usize = 10_000;

    /// Serves long answers on one end of a connection, of which this is the other one.
    fn served(settings: &Http1Settings) -> (DuplexStream, impl Future<Output = ()> + use<>) {
        let (client, server) = duplex(100);
        let service = service_fn(async |_request: Request<Incoming>| {
            Ok::<_, Infallible>(Response::new(Full::new(bytes::Bytes::from_static(&[b'x'; LONG]))))
        });
        let settings = settings.clone();
        (client, async move { connection(server, service, &settings).await })
    }

    /// However long the others may stay: whoever comes last is served.
    #[tokio::test]
    async fn one_connection_too_many_ends_the_oldest() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hour = 3_600_000;
        let settings =
            Http1Settings { connections_max: 2, header_timeout_ms: hour, connection_timeout_ms: hour };
        let service = service_fn(|_request: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Full::new(bytes::Bytes::from_static(b"here"))))
        });
        let serving = tokio::spawn(serve(listener, service, settings));
        let mut connections = Vec::new();
        for _ in 0..3 {
            connections.push(TcpStream::connect(address).await.unwrap());
        }
        let ended = timeout(Duration::from_secs(30), connections[0].read_u8()).await;
        ended.expect("the oldest ends").expect_err("nobody answers it");
        for mut tcp in connections.drain(1..) {
            let mut all = String::new();
            tcp.write_all(ASKED).await.unwrap();
            tcp.read_to_string(&mut all).await.unwrap();
            assert!(all.ends_with("here"), "{all}");
        }
        serving.abort();
    }

    #[tokio::test]
    async fn a_connection_answers_one_request() {
        let (mut client, serving) = served(&Http1Settings::default());
        let asking = async {
            client.write_all(&ASKED.repeat(2)).await.unwrap();
            let mut all = String::new();
            client.read_to_string(&mut all).await.unwrap();
            all
        };
        let (all, ()) = tokio::join!(asking, serving);
        assert_eq!(all.matches("HTTP/1.1 200").count(), 1, "{all}");
        assert!(all.contains("connection: close") && all.ends_with(&"x".repeat(LONG)), "{all}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_and_does_not_read_is_cut_when_its_time_is_over() {
        let settings = Http1Settings::default();
        let (mut client, serving) = served(&settings);
        let begun = Instant::now();
        client.write_all(ASKED).await.unwrap();
        serving.await;
        assert_eq!(begun.elapsed(), Duration::from_millis(settings.connection_timeout_ms));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_nothing_is_cut_before_that() {
        let settings = Http1Settings::default();
        let (mut client, serving) = served(&settings);
        let begun = Instant::now();
        client.write_all(&ASKED[..10]).await.unwrap();
        serving.await;
        assert_eq!(begun.elapsed(), Duration::from_millis(settings.header_timeout_ms));
    }
}
