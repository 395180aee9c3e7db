//! h3 as a codec of header sections.
//!
//! It never touches a stream: what h3 reads was put there by the request task, what it writes is taken from there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use h3::quic::{self, StreamErrorIncoming as StreamError, StreamId, WriteBuf};

use super::adapter::stream_id;

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
    pub(super) fn new(id: u64) -> Self {
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
