//! The response side of a call: frames gathered and written to quinn in as few calls as possible.
//!
//! It never looks into a payload, and copies only small ones.
//!
//! Always true: a stream that was not finished is reset when the writer is dropped; a finished one never is.

use bytes::{Bytes, BytesMut};
use h3::error::Code;
use http::{HeaderMap, HeaderName, Response, response};
use quinn::WriteError;
use tonic::Status;

use crate::transport::quic::codec::Codec;
use crate::transport::quic::{varint, wire};

/// Payloads up to this size are copied behind their frame's head; longer ones are handed to quinn as they are.
const COPY_MAX: usize = 1024;

/// What gRPC puts into the trailers.
const STATUS_FIELDS: [HeaderName; 3] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];

/// The sending side of a request stream.
pub(super) struct ResponseWriter {
    stream: Option<quinn::SendStream>,
    queue: Vec<Bytes>,
    /// The end of the queue, still growing.
    tail: BytesMut,
    queued: usize,
    started: bool,
}

impl ResponseWriter {
    pub(super) fn new(stream: quinn::SendStream) -> Self {
        Self { stream: Some(stream), queue: Vec::new(), tail: BytesMut::new(), queued: 0, started: false }
    }

    /// Whether any byte of the response has been given to quinn.
    pub(super) const fn started(&self) -> bool {
        self.started
    }

    /// Bytes gathered and not yet given to quinn.
    pub(super) const fn queued(&self) -> usize {
        self.queued
    }

    /// Queues a whole encoded frame.
    pub(super) fn push_frame(&mut self, frame: &[u8]) {
        self.tail.extend_from_slice(frame);
        self.queued += frame.len();
    }

    /// Queues a DATA frame.
    pub(super) fn push_data(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        self.queued += data.len();
        self.tail.reserve(if data.len() <= COPY_MAX { data.len() + 16 } else { 16 });
        varint::put(0, &mut self.tail);
        // A length in memory is below 2^62.
        varint::put(u64::try_from(data.len()).unwrap_or(0), &mut self.tail);
        if data.len() <= COPY_MAX {
            self.tail.extend_from_slice(&data);
        } else {
            self.queue.push(self.tail.split().freeze());
            self.queue.push(data);
        }
    }

    /// Forgets what is queued.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.tail.clear();
        self.queued = 0;
    }

    /// Gives everything queued to quinn; waits while its windows are full. Not cancel safe: only a reset may follow.
    pub(super) async fn flush(&mut self) -> Result<(), WriteError> {
        if !self.tail.is_empty() {
            self.queue.push(self.tail.split().freeze());
        }
        let Some(stream) = &mut self.stream else { return Err(WriteError::ClosedStream) };
        let mut written = 0;
        while written < self.queue.len() {
            self.started = true;
            written += stream.write_chunks(&mut self.queue[written..]).await?.chunks;
        }
        self.queue.clear();
        self.queued = 0;
        Ok(())
    }

    /// Writes what is queued and ends the stream.
    pub(super) async fn finish(&mut self) -> Result<quinn::SendStream, WriteError> {
        self.flush().await?;
        let mut stream = self.stream.take().ok_or(WriteError::ClosedStream)?;
        self.started = true;
        // An error here means that it was reset, which is only done by us and consumes the stream.
        let _ = stream.finish();
        Ok(stream)
    }

    /// Ends the stream with an error.
    pub(super) fn reset(&mut self, code: Code) {
        if let Some(mut stream) = self.stream.take() {
            // Fails only when the stream is over already.
            let _ = stream.reset(wire(code));
        }
    }

    /// Resolves when the client stops the stream (`Ok(Some(code))`) or the connection is lost.
    pub(super) fn stopped(
        &self,
    ) -> impl Future<Output = Result<Option<quinn::VarInt>, quinn::StoppedError>> + Send + 'static {
        let stopped = self.stream.as_ref().map(quinn::SendStream::stopped);
        async move {
            match stopped {
                Some(stopped) => stopped.await,
                None => Ok(None),
            }
        }
    }
}

impl Drop for ResponseWriter {
    fn drop(&mut self) {
        self.reset(Code::H3_REQUEST_CANCELLED);
    }
}

/// Turns header fields into HEADERS frames with h3's QPACK.
pub(super) struct Encoder {
    stream: h3::server::RequestStream<Codec, Bytes>,
    codec: Codec,
}

impl Encoder {
    pub(super) const fn new(stream: h3::server::RequestStream<Codec, Bytes>, codec: Codec) -> Self {
        Self { stream, codec }
    }

    /// Queues the response's header section.
    ///
    /// # Errors
    /// When it is larger than the client accepts.
    pub(super) async fn head(
        &mut self,
        parts: response::Parts,
        writer: &mut ResponseWriter,
    ) -> Result<(), h3::error::StreamError> {
        self.stream.send_response(Response::from_parts(parts, ())).await?;
        writer.push_frame(&self.codec.take_encoded());
        Ok(())
    }

    /// Queues the trailers. If they are larger than the client accepts, only the status goes out.
    ///
    /// # Errors
    /// When not even the status fits.
    pub(super) async fn trailers(
        &mut self,
        trailers: HeaderMap,
        writer: &mut ResponseWriter,
    ) -> Result<(), h3::error::StreamError> {
        let status = trailers.get(&STATUS_FIELDS[0]).cloned();
        if let Err(error) = self.stream.send_trailers(trailers).await {
            let Some(status) = status else { return Err(error) };
            let only = HeaderMap::from_iter([(STATUS_FIELDS[0].clone(), status)]);
            self.stream.send_trailers(only).await?;
        }
        writer.push_frame(&self.codec.take_encoded());
        Ok(())
    }

    /// Queues a whole answer that consists of a status, in place of anything queued before.
    ///
    /// # Errors
    /// When it is larger than the client accepts.
    pub(super) async fn status(
        &mut self,
        status: Status,
        writer: &mut ResponseWriter,
    ) -> Result<(), h3::error::StreamError> {
        writer.clear();
        let (mut parts, ()) = status.into_http::<()>().into_parts();
        let trailers = take_status(&mut parts.headers).unwrap_or_default();
        self.head(parts, writer).await?;
        self.trailers(trailers, writer).await
    }
}

/// Moves the status of a trailers-only answer to where trailers go: Envoy with an HTTP/3 upstream turns trailers-only
/// answers into UNKNOWN, or hangs.
pub(super) fn take_status(headers: &mut HeaderMap) -> Option<HeaderMap> {
    if !headers.contains_key(&STATUS_FIELDS[0]) {
        return None;
    }
    let moved = STATUS_FIELDS.into_iter().filter_map(|name| headers.remove(&name).map(|value| (name, value)));
    Some(moved.collect())
}
