//! h3's QUIC traits over quinn, for the client side.
//!
//! It decides what dropping a request's stream says on the wire. It never looks at HTTP.
//!
//! Always true:
//! - a request stream that is dropped before its end is reset and stopped with H3_REQUEST_CANCELLED at once, idle or
//!   not; quinn alone would send a clean end and STOP_SENDING(0), which reads as success;
//! - reading borrows the stream only while it is polled, so stopping never meets a pending read.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use h3::{
    error::Code,
    quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf},
};
use quinn::VarInt;

use crate::frames::FrameGuard;

/// A connection, as h3's driver sees it.
pub(crate) struct Connection {
    opener: OpenStreams,
    incoming_uni: BoxStream<'static, Result<quinn::RecvStream, quinn::ConnectionError>>,
    incoming_bidi: BoxStream<'static, Result<(quinn::SendStream, quinn::RecvStream), quinn::ConnectionError>>,
}

/// A stream being opened. `Sync`, so that what holds it may be shared.
type Opening<S> = Pin<Box<dyn Future<Output = Result<S, quinn::ConnectionError>> + Send + Sync>>;

/// Opens streams.
pub(crate) struct OpenStreams {
    connection: quinn::Connection,
    bidi: Option<Opening<(quinn::SendStream, quinn::RecvStream)>>,
    uni: Option<Opening<quinn::SendStream>>,
}

/// The sending half of a stream.
pub(crate) struct SendStream<B: Buf> {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<B>>,
    role: Role,
}

/// The receiving half of a stream.
pub(crate) struct RecvStream {
    stream: quinn::RecvStream,
    /// Reads along on request streams.
    guard: Option<FrameGuard>,
    role: Role,
}

/// Both halves.
pub(crate) struct BidiStream<B: Buf> {
    send: SendStream<B>,
    recv: RecvStream,
}

/// What a drop means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A request that has not ended: a drop cancels it.
    Open,
    /// A request half that has ended, or a stream of the connection itself.
    Quiet,
}

impl Connection {
    pub(crate) fn new(connection: quinn::Connection) -> Self {
        let uni = stream::unfold(connection.clone(), |connection| async {
            Some((connection.accept_uni().await, connection))
        });
        let bidi = stream::unfold(connection.clone(), |connection| async {
            Some((connection.accept_bi().await, connection))
        });
        Self {
            opener: OpenStreams { connection, bidi: None, uni: None },
            incoming_uni: uni.boxed(),
            incoming_bidi: bidi.boxed(),
        }
    }
}

impl<B: Buf> quic::Connection<B> for Connection {
    type RecvStream = RecvStream;
    type OpenStreams = OpenStreams;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RecvStream, ConnectionErrorIncoming>> {
        Poll::Ready(match ready!(self.incoming_uni.poll_next_unpin(cx)) {
            Some(Ok(stream)) => Ok(RecvStream { stream, guard: None, role: Role::Quiet }),
            Some(Err(error)) => Err(connection_error(error)),
            None => Err(ConnectionErrorIncoming::InternalError("no more streams".into())),
        })
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BidiStream<B>, ConnectionErrorIncoming>> {
        Poll::Ready(match ready!(self.incoming_bidi.poll_next_unpin(cx)) {
            Some(Ok(halves)) => Ok(BidiStream::new(halves)),
            Some(Err(error)) => Err(connection_error(error)),
            None => Err(ConnectionErrorIncoming::InternalError("no more streams".into())),
        })
    }

    fn opener(&self) -> OpenStreams {
        self.opener.clone()
    }
}

impl<B: Buf> quic::OpenStreams<B> for Connection {
    type BidiStream = BidiStream<B>;
    type SendStream = SendStream<B>;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream<B>, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream<B>, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        quic::OpenStreams::<B>::close(&mut self.opener, code, reason);
    }
}

impl<B: Buf> quic::OpenStreams<B> for OpenStreams {
    type BidiStream = BidiStream<B>;
    type SendStream = SendStream<B>;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream<B>, StreamErrorIncoming>> {
        let connection = &self.connection;
        let opening = self.bidi.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.open_bi().await })
        });
        let opened = ready!(opening.poll_unpin(cx));
        self.bidi = None;
        Poll::Ready(opened.map(BidiStream::new).map_err(lost))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream<B>, StreamErrorIncoming>> {
        let connection = &self.connection;
        let opening = self.uni.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.open_uni().await })
        });
        let opened = ready!(opening.poll_unpin(cx));
        self.uni = None;
        Poll::Ready(
            opened.map(|stream| SendStream { stream, writing: None, role: Role::Quiet }).map_err(lost),
        )
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(var_int(code.value()), reason);
    }
}

impl Clone for OpenStreams {
    fn clone(&self) -> Self {
        Self { connection: self.connection.clone(), bidi: None, uni: None }
    }
}

impl<B: Buf> BidiStream<B> {
    fn new((send, recv): (quinn::SendStream, quinn::RecvStream)) -> Self {
        Self {
            send: SendStream { stream: send, writing: None, role: Role::Open },
            recv: RecvStream { stream: recv, guard: Some(FrameGuard::default()), role: Role::Open },
        }
    }
}

impl<B: Buf> quic::BidiStream<B> for BidiStream<B> {
    type SendStream = SendStream<B>;
    type RecvStream = RecvStream;

    fn split(self) -> (SendStream<B>, RecvStream) {
        (self.send, self.recv)
    }
}

impl<B: Buf> quic::SendStream<B> for BidiStream<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, reset_code: u64) {
        self.send.reset(reset_code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

impl<B: Buf> quic::RecvStream for BidiStream<B> {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.recv.poll_data(cx)
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.recv.stop_sending(error_code);
    }

    fn recv_id(&self) -> StreamId {
        self.recv.recv_id()
    }
}

impl<B: Buf> quic::SendStream<B> for SendStream<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        if let Some(data) = &mut self.writing {
            while data.has_remaining() {
                let written =
                    ready!(Pin::new(&mut self.stream).poll_write(cx, data.chunk())).map_err(write_error)?;
                data.advance(written);
            }
            self.writing = None;
        }
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            return Err(StreamErrorIncoming::Unknown("a write while another one is pending".into()));
        }
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        ready!(self.poll_ready(cx))?;
        self.role = Role::Quiet;
        Poll::Ready(self.stream.finish().map_err(|error| StreamErrorIncoming::Unknown(Box::new(error))))
    }

    fn reset(&mut self, reset_code: u64) {
        self.role = Role::Quiet;
        // A stream that is closed already needs no reset.
        let _ = self.stream.reset(var_int(reset_code));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

impl<B: Buf> Drop for SendStream<B> {
    fn drop(&mut self) {
        if self.role == Role::Open {
            let _ = self.stream.reset(var_int(Code::H3_REQUEST_CANCELLED.value()));
        }
    }
}

impl quic::RecvStream for RecvStream {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        loop {
            let read = ready!(pin!(self.stream.read_chunk(usize::MAX, true)).poll(cx));
            let chunk = match read {
                Ok(Some(chunk)) => chunk.bytes,
                Ok(None) => {
                    self.role = Role::Quiet;
                    let end = self.guard.as_ref().map_or(Ok(()), FrameGuard::end);
                    return Poll::Ready(
                        end.map(|()| None).map_err(|broken| StreamErrorIncoming::Unknown(broken.into())),
                    );
                }
                Err(error) => {
                    self.role = Role::Quiet;
                    return Poll::Ready(Err(read_error(error)));
                }
            };
            let Some(guard) = &mut self.guard else { return Poll::Ready(Ok(Some(chunk))) };
            let passed = guard.admit(chunk).map_err(|broken| StreamErrorIncoming::Unknown(broken.into()))?;
            if !passed.is_empty() {
                return Poll::Ready(Ok(Some(passed)));
            }
        }
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.role = Role::Quiet;
        // A stream that is closed already needs no stop.
        let _ = self.stream.stop(var_int(error_code));
    }

    fn recv_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        if self.role == Role::Open {
            let _ = self.stream.stop(var_int(Code::H3_REQUEST_CANCELLED.value()));
        }
    }
}

fn stream_id(id: quinn::StreamId) -> StreamId {
    // Both count streams in 62 bits, so the conversion holds.
    StreamId::try_from(u64::from(VarInt::from(id)))
        .unwrap_or_else(|_| unreachable!("quinn's stream ids have 62 bits"))
}

fn var_int(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

fn connection_error(error: quinn::ConnectionError) -> ConnectionErrorIncoming {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into() }
        }
        quinn::ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}

fn lost(error: quinn::ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection_error(error) }
}

fn write_error(error: quinn::WriteError) -> StreamErrorIncoming {
    match error {
        quinn::WriteError::Stopped(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into() },
        quinn::WriteError::ConnectionLost(error) => lost(error),
        error @ (quinn::WriteError::ClosedStream | quinn::WriteError::ZeroRttRejected) => {
            StreamErrorIncoming::Unknown(Box::new(error))
        }
    }
}

fn read_error(error: quinn::ReadError) -> StreamErrorIncoming {
    match error {
        quinn::ReadError::Reset(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into() },
        quinn::ReadError::ConnectionLost(error) => lost(error),
        error @ (quinn::ReadError::ClosedStream
        | quinn::ReadError::IllegalOrderedRead
        | quinn::ReadError::ZeroRttRejected) => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}
