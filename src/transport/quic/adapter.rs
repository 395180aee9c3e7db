//! h3's transport traits over quinn.
//!
//! h3 keeps the control streams, SETTINGS, GOAWAY and QPACK. It never gets a request stream: it would buffer whole
//! frames unseen, end a body at a frame that was cut short, and hide the peer's STOP_SENDING while nothing is being
//! written. So a request's quinn streams go to the request task through [`Handoff`], and h3 gets a [`Codec`], which
//! feeds it one header section and collects the frames that it encodes.
//!
//! Always true:
//! - no quinn stream is dropped without an HTTP/3 code;
//! - a stream at or above the id that GOAWAY announced is refused with H3_REQUEST_REJECTED.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h3::error::Code;
use h3::quic::{
    self, ConnectionErrorIncoming as ConnectionError, StreamErrorIncoming as StreamError, StreamId,
};
use tokio_util::sync::ReusableBoxFuture;

use super::codec::Codec;
use super::control::{ControlRecv, ControlSend};
use super::wire;

/// A QUIC connection as h3 sees it.
pub(in crate::transport) struct Connection {
    opener: Opener,
    requests: ReusableBoxFuture<'static, AcceptedPair>,
    uni: ReusableBoxFuture<'static, Result<quinn::RecvStream, quinn::ConnectionError>>,
    handoff: Arc<Handoff>,
}

type AcceptedPair = Result<(quinn::SendStream, quinn::RecvStream), quinn::ConnectionError>;

/// A request stream that h3 has accepted.
pub(in crate::transport) struct Accepted {
    pub(in crate::transport) id: u64,
    pub(in crate::transport) send: quinn::SendStream,
    pub(in crate::transport) recv: quinn::RecvStream,
    pub(in crate::transport) codec: Codec,
}

/// Where the streams of the request that h3 accepted last wait for their task.
pub(in crate::transport) struct Handoff {
    accepted: Mutex<Option<Accepted>>,
    reject_from: AtomicU64,
}

impl Handoff {
    /// The streams of the request that `accept` just returned.
    pub(in crate::transport) fn take(&self) -> Option<Accepted> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// From now on streams with this id or above are refused.
    pub(in crate::transport) fn reject_from(&self, id: u64) {
        self.reject_from.store(id, Ordering::Relaxed);
    }

    /// Keeps the streams for the task, unless they are to be refused.
    fn offer(&self, send: quinn::SendStream, recv: quinn::RecvStream) -> Option<Codec> {
        let id = u64::from(send.id());
        if id >= self.reject_from.load(Ordering::Relaxed) {
            reject(send, recv);
            return None;
        }
        let codec = Codec::new(id);
        let accepted = Accepted { id, send, recv, codec: codec.clone() };
        let unclaimed = self.accepted.lock().unwrap_or_else(PoisonError::into_inner).replace(accepted);
        if let Some(Accepted { send, recv, .. }) = unclaimed {
            reject(send, recv);
        }
        Some(codec)
    }
}

/// Refuses a stream of which nothing was processed; the client may safely try elsewhere.
fn reject(mut send: quinn::SendStream, mut recv: quinn::RecvStream) {
    // Both fail only when the stream is over already.
    let _ = recv.stop(wire(Code::H3_REQUEST_REJECTED));
    let _ = send.reset(wire(Code::H3_REQUEST_REJECTED));
}

impl Connection {
    pub(in crate::transport) fn new(connection: &quinn::Connection) -> (Self, Arc<Handoff>) {
        let handoff = Arc::new(Handoff { accepted: Mutex::new(None), reject_from: AtomicU64::new(u64::MAX) });
        let adapter = Self {
            opener: Opener { connection: connection.clone(), opening: None },
            requests: ReusableBoxFuture::new(accept_bi(connection.clone())),
            uni: ReusableBoxFuture::new(accept_uni(connection.clone())),
            handoff: Arc::clone(&handoff),
        };
        (adapter, handoff)
    }
}

async fn accept_bi(connection: quinn::Connection) -> AcceptedPair {
    connection.accept_bi().await
}

async fn accept_uni(connection: quinn::Connection) -> Result<quinn::RecvStream, quinn::ConnectionError> {
    connection.accept_uni().await
}

impl quic::Connection<Bytes> for Connection {
    type RecvStream = ControlRecv;
    type OpenStreams = Opener;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<ControlRecv, ConnectionError>> {
        let accepted = ready!(self.uni.poll(cx));
        self.uni.set(accept_uni(self.opener.connection.clone()));
        let stream = accepted.map_err(lost)?;
        Poll::Ready(Ok(ControlRecv::new(stream, self.opener.connection.clone())))
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Codec, ConnectionError>> {
        loop {
            let accepted = ready!(self.requests.poll(cx));
            self.requests.set(accept_bi(self.opener.connection.clone()));
            let (send, recv) = accepted.map_err(lost)?;
            if let Some(codec) = self.handoff.offer(send, recv) {
                return Poll::Ready(Ok(codec));
            }
        }
    }

    fn opener(&self) -> Opener {
        Opener { connection: self.opener.connection.clone(), opening: None }
    }
}

impl quic::OpenStreams<Bytes> for Connection {
    type BidiStream = Codec;
    type SendStream = ControlSend;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Codec, StreamError>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<ControlSend, StreamError>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        quic::OpenStreams::<Bytes>::close(&mut self.opener, code, reason);
    }
}

/// Opens our control streams.
pub(in crate::transport) struct Opener {
    connection: quinn::Connection,
    opening: Option<Opening>,
}

type Opening = Pin<Box<dyn Future<Output = Result<quinn::SendStream, quinn::ConnectionError>> + Send + Sync>>;

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = Codec;
    type SendStream = ControlSend;

    fn poll_open_bidi(&mut self, _cx: &mut Context<'_>) -> Poll<Result<Codec, StreamError>> {
        let reason = "a server opens no request streams".to_owned();
        Poll::Ready(Err(StreamError::ConnectionErrorIncoming {
            connection_error: ConnectionError::InternalError(reason),
        }))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<ControlSend, StreamError>> {
        let connection = &self.connection;
        let opening = self.opening.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.open_uni().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.opening = None;
        let stream =
            opened.map_err(|error| StreamError::ConnectionErrorIncoming { connection_error: lost(error) })?;
        Poll::Ready(Ok(ControlSend::new(stream)))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(wire(code), reason);
    }
}

pub(in crate::transport::quic) fn stream_id(id: u64) -> StreamId {
    #[expect(clippy::expect_used, reason = "quinn's ids and h3's are both below 2^62")]
    StreamId::try_from(id).expect("a stream id of quinn's")
}

pub(in crate::transport::quic) fn lost(error: quinn::ConnectionError) -> ConnectionError {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            ConnectionError::ApplicationClose { error_code: close.error_code.into() }
        }
        quinn::ConnectionError::TimedOut => ConnectionError::Timeout,
        other => ConnectionError::Undefined(Arc::new(other)),
    }
}
