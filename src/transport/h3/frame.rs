//! Frames of a request stream, read without ever buffering more than one chunk of quinn's.
//!
//! It never interprets a payload.
//!
//! Always true:
//! - the end of the stream is the end of a message only between two frames: inside one it is [`Failure::Truncated`];
//! - a frame's length is believed, never allocated;
//! - a reader that is dropped before the end stops the stream with a code.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h3::error::Code;

use crate::transport::quic::varint::PartialVarint;
use crate::transport::quic::wire;

const DATA: u64 = 0x00;
const HEADERS: u64 = 0x01;
/// Frames that may not stand on a request stream: control frames, PUSH_PROMISE from a client, HTTP/2's leftovers.
const FORBIDDEN: [u64; 9] = [0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0d];

/// Why a request stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The client reset it.
    Reset,
    /// The connection is lost or closed.
    Lost,
    /// It ended inside a frame, or before the length that was announced.
    Truncated,
    /// We stopped it: the call is over.
    Stopped,
    /// Its message is malformed.
    Malformed,
    /// It asks for more memory than a request may.
    Excessive,
    /// A frame came that may not come here.
    Unexpected,
    /// Its headers did not come in time.
    Late,
}

impl Failure {
    /// The code with which we reset and stop the stream.
    ///
    /// RFC 9114 makes a truncated frame an error of the connection. Clients cut streams in the middle of a frame when
    /// an upload is dropped, and must not lose every other call and lease with it, so here it is the stream's.
    pub(super) const fn code(self) -> Code {
        match self {
            Self::Reset | Self::Lost | Self::Stopped => Code::H3_REQUEST_CANCELLED,
            Self::Truncated => Code::H3_REQUEST_INCOMPLETE,
            Self::Malformed => Code::H3_MESSAGE_ERROR,
            Self::Excessive => Code::H3_EXCESSIVE_LOAD,
            Self::Unexpected => Code::H3_FRAME_UNEXPECTED,
            // Nothing was processed.
            Self::Late => Code::H3_REQUEST_REJECTED,
        }
    }

    /// For the handler that was reading.
    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::Reset => "the upload was cancelled by the client",
            Self::Lost => "the upload was cut: the connection is lost",
            Self::Truncated => "the upload was cut: the stream ended before the message",
            Self::Stopped => "the upload was stopped: the call is over",
            Self::Malformed => "the upload is malformed",
            Self::Excessive => "the upload's trailers are larger than 16 KiB",
            Self::Unexpected => "the upload has a frame that HTTP/3 does not allow there",
            Self::Late => "the request's headers did not come in time",
        }
    }
}

/// What comes next on the stream, with its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameHead {
    Data(u64),
    Headers(u64),
    /// To be skipped.
    Unknown(u64),
    /// The stream ended between two frames.
    End,
}

/// Where the bytes of a request stream come from.
pub(super) trait Chunks {
    /// The next bytes; none at the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>>;

    /// Asks for no more.
    fn stop(&mut self, code: Code);
}

impl Chunks for quinn::RecvStream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        let read = ready!(pin!(self.read_chunk(usize::MAX, true)).poll(cx));
        Poll::Ready(match read {
            Ok(chunk) => Ok(chunk.map(|chunk| chunk.bytes)),
            Err(quinn::ReadError::Reset(_)) => Err(Failure::Reset),
            Err(quinn::ReadError::ClosedStream) => Err(Failure::Stopped),
            Err(
                quinn::ReadError::ConnectionLost(_)
                | quinn::ReadError::IllegalOrderedRead
                | quinn::ReadError::ZeroRttRejected,
            ) => Err(Failure::Lost),
        })
    }

    fn stop(&mut self, code: Code) {
        // Fails only when the stream is over already.
        let _ = self.stop(wire(code));
    }
}

/// The receiving side of a request stream, a frame at a time.
pub(super) struct FrameReader<S: Chunks = quinn::RecvStream> {
    stream: S,
    chunk: Bytes,
    kind: Option<u64>,
    partial: PartialVarint,
    ended: bool,
    /// There is a chunk that nobody has read, so a reset after it is not looked for.
    looked_ahead: bool,
}

impl<S: Chunks> FrameReader<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            chunk: Bytes::new(),
            kind: None,
            partial: PartialVarint::default(),
            ended: false,
            looked_ahead: false,
        }
    }

    /// The head of the next frame. The payload of the one before must have been read.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<FrameHead, Failure>> {
        loop {
            if self.chunk.is_empty() && !ready!(self.poll_chunk(cx))? {
                let whole = self.kind.is_none() && !self.partial.is_partial();
                return Poll::Ready(if whole { Ok(FrameHead::End) } else { Err(Failure::Truncated) });
            }
            let Some(value) = self.partial.take(&mut self.chunk) else { continue };
            match self.kind.take() {
                None if FORBIDDEN.contains(&value) => return Poll::Ready(Err(Failure::Unexpected)),
                None => self.kind = Some(value),
                Some(DATA) => return Poll::Ready(Ok(FrameHead::Data(value))),
                Some(HEADERS) => return Poll::Ready(Ok(FrameHead::Headers(value))),
                Some(_) => return Poll::Ready(Ok(FrameHead::Unknown(value))),
            }
        }
    }

    /// Some of the `left` bytes, which must not be 0, that remain of a payload; counts them off.
    pub(super) fn poll_payload(
        &mut self,
        cx: &mut Context<'_>,
        left: &mut u64,
    ) -> Poll<Result<Bytes, Failure>> {
        if self.chunk.is_empty() && !ready!(self.poll_chunk(cx))? {
            return Poll::Ready(Err(Failure::Truncated));
        }
        let length = usize::try_from(*left).unwrap_or(usize::MAX).min(self.chunk.len());
        // `length` is at most `left`.
        *left -= u64::try_from(length).unwrap_or(*left);
        Poll::Ready(Ok(self.chunk.split_to(length)))
    }

    /// Waits until the client resets the stream, or the connection is lost. `None` when neither can happen any more.
    ///
    /// It looks by reading one chunk ahead. quinn's own `received_reset` would also see past what nobody has read, but it
    /// leaves its waker with the connection when the rest is then read without a wait: for ever, and a panic in debug builds.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Option<Failure>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.chunk.is_empty() {
            match ready!(self.poll_chunk(cx)) {
                Ok(true) => {}
                Ok(false) | Err(Failure::Stopped) => return Poll::Ready(None),
                Err(failure) => return Poll::Ready(Some(failure)),
            }
        }
        self.looked_ahead = true;
        Poll::Pending
    }

    /// Whether [`poll_reset`](Self::poll_reset) waits for what has come to be read, and may look again now.
    pub(super) fn may_look_again(&mut self) -> bool {
        self.chunk.is_empty() && std::mem::take(&mut self.looked_ahead)
    }

    /// Asks the client to send no more, unless everything has come.
    pub(super) fn stop(&mut self, code: Code) {
        if !self.ended {
            self.ended = true;
            self.stream.stop(code);
        }
        self.chunk = Bytes::new();
    }

    /// Reads the next chunk; false at the end of the stream.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        let next = ready!(self.stream.poll_next(cx));
        // What is lost is asked for again, and is still lost.
        self.ended = !matches!(next, Ok(Some(_)) | Err(Failure::Lost));
        Poll::Ready(next.map(|chunk| {
            let more = chunk.is_some();
            self.chunk = chunk.unwrap_or_default();
            more
        }))
    }
}

impl<S: Chunks> Drop for FrameReader<S> {
    fn drop(&mut self) {
        self.stop(Code::H3_REQUEST_CANCELLED);
    }
}
