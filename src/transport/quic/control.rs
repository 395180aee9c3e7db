//! Unidirectional streams: ours as h3 writes them, the peer's as h3 reads them.
//!
//! h3 buffers a control frame whole before it looks at it, so a guard reads along.
//!
//! Always true:
//! - at most [`CONTROL_FRAME_MAX`] bytes of a control frame are buffered; a longer one ends the connection;
//! - no stream is dropped without an HTTP/3 code.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, StreamErrorIncoming as StreamError, StreamId, WriteBuf};

use super::adapter::{lost, stream_id};
use super::varint::PartialVarint;
use super::wire;

/// The longest control frame that makes sense: SETTINGS with a few dozen entries.
const CONTROL_FRAME_MAX: u64 = 4096;

/// The type of a control stream; frames follow it.
const CONTROL_STREAM: u64 = 0;

/// The sending side of one of our control streams.
pub(in crate::transport) struct ControlSend {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<Bytes>>,
}

impl ControlSend {
    pub(super) const fn new(stream: quinn::SendStream) -> Self {
        Self { stream, writing: None }
    }
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

impl ControlRecv {
    pub(super) fn new(stream: quinn::RecvStream, connection: quinn::Connection) -> Self {
        Self { stream, connection, guard: ControlGuard::default(), ended: false }
    }
}

impl quic::RecvStream for ControlRecv {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
        let read = ready!(pin!(self.stream.read_chunk(usize::MAX, true)).poll(cx));
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

/// Whether a stream that comes in these pieces is taken to its end.
pub(super) fn admits(mut pieces: impl Iterator<Item = Bytes>) -> bool {
    let mut guard = ControlGuard::default();
    pieces.all(|piece| guard.admit(piece).is_ok())
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
