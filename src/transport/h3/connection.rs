//! One HTTP/3 connection: accepts requests, and drains.
//!
//! It never waits for a request: each has its own task.
//!
//! Always true:
//! - GOAWAY announces an id above every stream that was or will be processed, and what is at or above it is refused;
//! - the connection is closed only when its calls have ended and their answers are acknowledged, or when the bound is
//!   reached; then what is left is cut;
//! - when this task ends, every task of the connection has ended.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h3::error::Code;
use http::{Request, Response};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower_service::Service;

use super::unacknowledged::Unacknowledged;
use super::{H3Settings, HEADER_BYTES_MAX, request};
use crate::transport::BoxError;
use crate::transport::drain::Drain;
use crate::transport::early_cancels::EarlyCancels;
use crate::transport::observer::{ConnectionCount, StreamCount, TransportObserver};
use crate::transport::peer::{PeerInfo, Transport};
use crate::transport::quic::adapter::{Connection, Handoff};
use crate::transport::quic::wire;

/// Streams that a client may still open before the first GOAWAY reaches it.
const GRACE_STREAMS: usize = 1 << 20;

/// The grace after each GOAWAY: one round trip and the time that a peer may take to acknowledge (RFC 9000: 25 ms).
const GRACE_MIN: Duration = Duration::from_millis(25);
const GRACE_MAX: Duration = Duration::from_secs(1);

/// How long tasks may take to notice that their connection was closed under them.
const CUT_WAIT: Duration = Duration::from_secs(5);

/// What the tasks of a connection share.
pub(super) struct Shared {
    pub(super) connection: quinn::Connection,
    pub(super) peer: PeerInfo,
    pub(super) header_timeout: Duration,
    pub(super) early_cancels: EarlyCancels,
    pub(super) unacknowledged: Unacknowledged,
    observer: Arc<dyn TransportObserver>,
}

impl Shared {
    /// What the requests of `connection` will share.
    pub(super) fn new(
        connection: quinn::Connection,
        peer: PeerInfo,
        settings: &H3Settings,
        observer: Arc<dyn TransportObserver>,
    ) -> Self {
        Self {
            connection,
            peer,
            header_timeout: Duration::from_millis(settings.header_timeout_ms),
            early_cancels: EarlyCancels::new(
                settings.early_cancels_burst,
                settings.early_cancels_per_second,
                Instant::now(),
            ),
            unacknowledged: Unacknowledged::new(UNACKNOWLEDGED_MAX),
            observer,
        }
    }

    pub(super) fn count_stream(&self) -> StreamCount {
        StreamCount::open(&self.observer, Transport::H3)
    }
}

/// Finished answers whose acknowledgement a drain waits for.
const UNACKNOWLEDGED_MAX: usize = 256;

/// Serves a connection until it ends.
pub(super) async fn serve<S>(shared: Shared, service: S, settings: &H3Settings, drain: &Drain)
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    let _count = ConnectionCount::open(&shared.observer, Transport::H3);
    let shared = Arc::new(shared);
    let (adapter, handoff) = Connection::new(&shared.connection);
    // Bounded: a client that lets us open no control stream would keep us here.
    let opening = Instant::now() + Duration::from_millis(settings.handshake_timeout_ms);
    let mut builder = h3::server::builder();
    builder.max_field_section_size(HEADER_BYTES_MAX).send_grease(false);
    let Ok(Ok(h3)) = timeout_at(opening, builder.build(adapter)).await else {
        shared.connection.close(wire(Code::H3_NO_ERROR), b"no control stream");
        return;
    };
    let mut accepting = Accepting { h3, handoff, shared, service, calls: TaskTracker::new(), next_id: None };
    let bound = Duration::from_millis(settings.drain_ms);
    tokio::select! {
        biased;
        () = drain.begun() => accepting.drain(bound).await,
        ended = accepting.accept_all() => accepting.after(ended, Instant::now() + bound).await,
    }
    accepting.close().await;
}

/// Why no more requests come.
enum Ended {
    /// The client has said that it opens no more, and h3 knows of no call that is left.
    Goodbye,
    /// The connection is over.
    Lost,
}

struct Accepting<S> {
    h3: h3::server::Connection<Connection, Bytes>,
    handoff: Arc<Handoff>,
    shared: Arc<Shared>,
    service: S,
    calls: TaskTracker,
    /// The id after the last request that was accepted.
    next_id: Option<u64>,
}

impl<S> Accepting<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    /// Starts a task for each request. Cancel safe.
    async fn accept_all(&mut self) -> Ended {
        loop {
            match self.h3.accept().await {
                Ok(Some(resolver)) => {
                    let Some(accepted) = self.handoff.take() else { continue };
                    self.next_id = Some(accepted.id + 4);
                    let shared = Arc::clone(&self.shared);
                    self.calls.spawn(request::run(shared, self.service.clone(), resolver, accepted));
                }
                Ok(None) => return Ended::Goodbye,
                Err(_) => return Ended::Lost,
            }
        }
    }

    /// Lets calls finish until `deadline`, unless their connection is gone.
    async fn after(&mut self, ended: Ended, deadline: Instant) {
        match ended {
            Ended::Lost => {}
            Ended::Goodbye => {
                self.calls.close();
                // What has not ended by the deadline is cut by the close.
                let _ = timeout_at(deadline, self.calls.wait()).await;
            }
        }
    }

    /// Tells the client to go, takes what it had sent before it could know, and lets calls finish within `bound`.
    async fn drain(&mut self, bound: Duration) {
        let deadline = Instant::now() + bound;
        let grace = (self.shared.connection.rtt() + GRACE_MIN).min(GRACE_MAX).min(bound);
        if self.next_id.is_some() {
            if self.h3.shutdown(GRACE_STREAMS).await.is_err() {
                return;
            }
            tokio::select! {
                () = sleep(grace) => {}
                ended = self.accept_all() => return self.after(ended, deadline).await,
            }
        }
        // h3 counts from the last stream that it accepted, and would still accept the announced id itself.
        self.handoff.reject_from(self.next_id.unwrap_or(0));
        if self.h3.shutdown(1).await.is_err() {
            return;
        }
        self.calls.close();
        let calls = self.calls.clone();
        // The close must not overtake the GOAWAY, or the client cannot know that a late request was not processed.
        let finished = async move { tokio::join!(calls.wait(), sleep(grace)) };
        tokio::select! {
            ((), ()) = finished => {}
            ended = self.accept_all() => self.after(ended, deadline).await,
            () = sleep_until(deadline) => {}
        }
    }

    /// Closes the connection after its last answer; cuts what has not ended by itself.
    async fn close(self) {
        let Self { h3, shared, calls, .. } = self;
        calls.close();
        if shared.connection.close_reason().is_none() {
            if calls.is_empty() {
                shared.unacknowledged.settle(Instant::now() + GRACE_MAX).await;
            }
            shared.connection.close(wire(Code::H3_NO_ERROR), b"bye");
        }
        // Every call races with its connection's end; a handler that blocks its thread is all that can be left.
        if timeout_at(Instant::now() + CUT_WAIT, calls.wait()).await.is_err() {
            tracing::warn!(calls = calls.len(), "calls outlive their connection: a handler blocks");
        }
        drop(h3);
    }
}
