//! One HTTP/2 connection: hyper's, with a drain and tracked tasks.
//!
//! Always true: when [`Serving::run`] ends, every task of the connection has ended or been told to.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower_service::Service;

use super::H2Settings;
use super::call::{Calls, Cancels};
use crate::transport::BoxError;
use crate::transport::drain::Drain;
use crate::transport::observer::{ConnectionCount, TransportObserver};
use crate::transport::peer::PeerInfo;

/// The longest header list, as for HTTP/3.
const HEADER_LIST_MAX: u32 = 16 * 1024;

/// How long calls may take to notice that their connection was cut.
const CUT_WAIT: Duration = Duration::from_secs(5);

/// What every connection of a listener is served with.
#[derive(Clone)]
pub(super) struct Serving<S> {
    pub(super) service: S,
    pub(super) settings: Arc<H2Settings>,
    pub(super) alt_svc: Option<HeaderValue>,
    pub(super) drain: Drain,
    pub(super) observer: Arc<dyn TransportObserver>,
}

impl<S> Serving<S> {
    pub(super) fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.settings.handshake_timeout_ms)
    }
}

impl<S> Serving<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    /// Serves one connection until it ends, or until the drain and its bound have ended it.
    pub(super) async fn run<IO>(self, io: IO, peer: PeerInfo)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { service, settings, alt_svc, drain, observer } = self;
        let _count = ConnectionCount::open(&observer, peer.transport);
        let streams = Streams::default();
        let cancels = Cancels::new(&settings);
        let calls = Calls::new(service, peer, alt_svc, observer, Arc::clone(&cancels));
        {
            let connection = builder(&settings, streams.clone());
            let mut connection = pin!(connection.serve_connection(TokioIo::new(io), calls));
            let ended = tokio::select! {
                biased;
                () = drain.begun() => None,
                () = cancels.exceeded() => Some(Ok(())),
                ended = &mut connection => Some(ended),
            };
            let ended = match ended {
                Some(ended) => Some(ended),
                None => {
                    // GOAWAY; calls in flight finish.
                    connection.as_mut().graceful_shutdown();
                    timeout(Duration::from_millis(settings.drain_ms), connection).await.ok()
                }
            };
            if let Some(Err(error)) = ended {
                tracing::debug!(%error, "an HTTP/2 connection failed");
            }
        }
        streams.end().await;
    }
}

fn builder(settings: &H2Settings, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_millis(settings.keep_alive_ms.max(1)))
        .keep_alive_timeout(Duration::from_millis(settings.keep_alive_timeout_ms))
        .initial_stream_window_size(settings.stream_window_bytes)
        .initial_connection_window_size(settings.connection_window_bytes)
        .max_concurrent_streams(settings.streams_max)
        // All that a client may have open it may cancel at once, and a busy server learns of both in the same moment.
        .max_pending_accept_reset_streams(usize::try_from(settings.streams_max).unwrap_or(usize::MAX))
        .max_send_buf_size(settings.send_buffer_bytes)
        .max_header_list_size(HEADER_LIST_MAX);
    builder
}

/// Runs hyper's tasks, one a call, where they can be counted and cut.
#[derive(Clone, Default)]
struct Streams {
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        let cut = self.cut.clone();
        self.tasks.spawn(async move { cut.run_until_cancelled_owned(stream).await });
    }
}

impl Streams {
    /// Cuts what is left of a connection that has ended.
    async fn end(self) {
        self.cut.cancel();
        self.tasks.close();
        if timeout(CUT_WAIT, self.tasks.wait()).await.is_err() {
            tracing::warn!(calls = self.tasks.len(), "calls outlive their connection: a handler blocks");
        }
    }
}
