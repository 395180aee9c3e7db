//! h3's transport traits over quinn.
//!
//! h3 keeps the control streams, SETTINGS, GOAWAY and QPACK. It never gets a request stream: it would buffer whole
//! frames unseen, end a body at a frame that was cut short, and hide the peer's STOP_SENDING while nothing is being
//! written. So a request's quinn streams go to the request task through [`Handoff`], and h3 gets a [`Codec`], which
//! feeds it one header section and collects the frames that it encodes.
//!
//! Always true:
//! - no quinn stream is dropped without an HTTP/3 code;
//! - at most [`CONTROL_FRAME_MAX`] bytes of a control frame are buffered;
//! - a stream at or above the id that GOAWAY announced is refused with H3_REQUEST_REJECTED.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use h3::error::Code;
use h3::quic::{
    self, ConnectionErrorIncoming as ConnectionError, StreamErrorIncoming as StreamError, StreamId, WriteBuf,
};
use tokio_util::sync::ReusableBoxFuture;

use super::varint::PartialVarint;
use super::wire;

/// The longest control frame that makes sense: SETTINGS with a few dozen entries.
pub(in crate::transport) const CONTROL_FRAME_MAX: u64 = 4096;

/// The type of a control stream; frames follow it.
const CONTROL_STREAM: u64 = 0;

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
        Poll::Ready(Ok(ControlRecv {
            stream,
            connection: self.opener.connection.clone(),
            guard: ControlGuard::default(),
            ended: false,
        }))
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
        Poll::Ready(Ok(ControlSend { stream, writing: None }))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(wire(code), reason);
    }
}

/// The sending side of one of our control streams.
pub(in crate::transport) struct ControlSend {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<Bytes>>,
}

impl quic::SendStream<Bytes> for ControlSend {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        if let Some(data) = &mut self.writing {
            while data.has_remaining() {
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, data.chunk()));
                data.advance(written.map_err(write_failed)?);
            }
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamError> {
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        Poll::Ready(self.stream.finish().map_err(|error| StreamError::Unknown(Box::new(error))))
    }

    fn reset(&mut self, code: u64) {
        let _ = self.stream.reset(quinn::VarInt::from_u64(code).unwrap_or(quinn::VarInt::MAX));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id().into())
    }
}

impl Drop for ControlSend {
    fn drop(&mut self) {
        // h3 drops a control stream only after it has closed the connection.
        let _ = self.stream.reset(wire(Code::H3_NO_ERROR));
    }
}

/// The receiving side of a peer's unidirectional stream.
pub(in crate::transport) struct ControlRecv {
    stream: quinn::RecvStream,
    connection: quinn::Connection,
    guard: ControlGuard,
    ended: bool,
}

impl quic::RecvStream for ControlRecv {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
        let read = ready!(std::pin::pin!(self.stream.read_chunk(usize::MAX, true)).poll(cx));
        let chunk = read.map_err(|error| {
            self.ended = true;
            read_failed(error)
        })?;
        let Some(chunk) = chunk else {
            self.ended = true;
            return Poll::Ready(Ok(None));
        };
        if self.guard.admit(chunk.bytes.clone()).is_err() {
            let reason = "control frame too long";
            self.connection.close(wire(Code::H3_EXCESSIVE_LOAD), reason.as_bytes());
            return Poll::Ready(Err(StreamError::ConnectionErrorIncoming {
                connection_error: lost(quinn::ConnectionError::LocallyClosed),
            }));
        }
        Poll::Ready(Ok(Some(chunk.bytes)))
    }

    fn stop_sending(&mut self, code: u64) {
        self.ended = true;
        let _ = self.stream.stop(quinn::VarInt::from_u64(code).unwrap_or(quinn::VarInt::MAX));
    }

    fn recv_id(&self) -> StreamId {
        stream_id(self.stream.id().into())
    }
}

impl Drop for ControlRecv {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.stream.stop(wire(Code::H3_STREAM_CREATION_ERROR));
        }
    }
}

/// Watches the frames of a control stream go by and refuses long ones before h3 buffers them.
#[derive(Debug, Default)]
struct ControlGuard {
    state: GuardState,
    partial: PartialVarint,
}

#[derive(Debug, Default)]
enum GuardState {
    #[default]
    StreamType,
    FrameType,
    FrameLength,
    Payload(u64),
    /// Not a control stream: h3 reads no more than its type.
    Other,
}

struct FrameTooLong;

impl ControlGuard {
    fn admit(&mut self, mut chunk: Bytes) -> Result<(), FrameTooLong> {
        while chunk.has_remaining() {
            match self.state {
                GuardState::Other => return Ok(()),
                GuardState::Payload(left) => {
                    let passing = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
                    chunk.advance(passing);
                    // `passing` is at most `left`.
                    let left = left - u64::try_from(passing).unwrap_or(left);
                    self.state = if left == 0 { GuardState::FrameType } else { GuardState::Payload(left) };
                }
                GuardState::StreamType | GuardState::FrameType | GuardState::FrameLength => {
                    let Some(value) = self.partial.take(&mut chunk) else { return Ok(()) };
                    self.state = self.state.after(value)?;
                }
            }
        }
        Ok(())
    }
}

impl GuardState {
    fn after(&self, value: u64) -> Result<Self, FrameTooLong> {
        match self {
            Self::StreamType if value == CONTROL_STREAM => Ok(Self::FrameType),
            Self::StreamType | Self::Other => Ok(Self::Other),
            Self::FrameType => Ok(Self::FrameLength),
            Self::FrameLength | Self::Payload(_) if value > CONTROL_FRAME_MAX => Err(FrameTooLong),
            Self::FrameLength | Self::Payload(_) if value == 0 => Ok(Self::FrameType),
            Self::FrameLength | Self::Payload(_) => Ok(Self::Payload(value)),
        }
    }
}

/// h3's view of a request stream: it reads the one header section given to it, and what it writes is collected.
#[derive(Clone)]
pub(in crate::transport) struct Codec {
    id: u64,
    buffers: Arc<Mutex<CodecBuffers>>,
}

#[derive(Default)]
struct CodecBuffers {
    section: Option<Bytes>,
    encoded: BytesMut,
}

impl Codec {
    fn new(id: u64) -> Self {
        Self { id, buffers: Arc::default() }
    }

    /// Gives h3 a whole HEADERS frame to read.
    pub(in crate::transport) fn feed(&self, headers_frame: Bytes) {
        self.buffers().section = Some(headers_frame);
    }

    /// What h3 has encoded since the last call.
    pub(in crate::transport) fn take_encoded(&self) -> Bytes {
        self.buffers().encoded.split().freeze()
    }

    fn buffers(&self) -> MutexGuard<'_, CodecBuffers> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl quic::RecvStream for Codec {
    type Buf = Bytes;

    fn poll_data(&mut self, _cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
        // h3 asks once, for the header section; after it, the stream is at its end as far as h3 can see.
        Poll::Ready(Ok(self.buffers().section.take()))
    }

    fn stop_sending(&mut self, _code: u64) {
        // The request task resets the stream when h3 returns an error.
    }

    fn recv_id(&self) -> StreamId {
        stream_id(self.id)
    }
}

impl quic::SendStream<Bytes> for Codec {
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamError> {
        let mut data = data.into();
        let mut buffers = self.buffers();
        buffers.encoded.reserve(data.remaining());
        while data.has_remaining() {
            let length = {
                let chunk = data.chunk();
                buffers.encoded.extend_from_slice(chunk);
                chunk.len()
            };
            data.advance(length);
        }
        Ok(())
    }

    fn poll_finish(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, _code: u64) {
        // As for `stop_sending`.
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.id)
    }
}

fn stream_id(id: u64) -> StreamId {
    #[expect(clippy::expect_used, reason = "quinn's ids and h3's are both below 2^62")]
    StreamId::try_from(id).expect("a stream id of quinn's")
}

fn lost(error: quinn::ConnectionError) -> ConnectionError {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            ConnectionError::ApplicationClose { error_code: close.error_code.into() }
        }
        quinn::ConnectionError::TimedOut => ConnectionError::Timeout,
        other => ConnectionError::Undefined(Arc::new(other)),
    }
}

fn read_failed(error: quinn::ReadError) -> StreamError {
    match error {
        quinn::ReadError::Reset(code) => StreamError::StreamTerminated { error_code: code.into() },
        quinn::ReadError::ConnectionLost(error) => {
            StreamError::ConnectionErrorIncoming { connection_error: lost(error) }
        }
        other => StreamError::Unknown(Box::new(other)),
    }
}

fn write_failed(error: quinn::WriteError) -> StreamError {
    match error {
        quinn::WriteError::Stopped(code) => StreamError::StreamTerminated { error_code: code.into() },
        quinn::WriteError::ConnectionLost(error) => {
            StreamError::ConnectionErrorIncoming { connection_error: lost(error) }
        }
        other => StreamError::Unknown(Box::new(other)),
    }
}
