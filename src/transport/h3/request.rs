//! One call over HTTP/3: a race between serving it and the end of it.
//!
//! It never retries and never answers twice.
//!
//! Always true:
//! - whichever wins (served, stopped or reset by the client, connection lost or closed), the handler's future and the
//!   response body are dropped before the task goes on;
//! - an answer is complete or reset, never cut silently;
//! - a panic of the handler ends its call alone.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use h3::error::Code;
use http::{HeaderMap, HeaderName, Request, Response, header};
use http_body::Body as _;
use tokio::time::{Instant, timeout};
use tonic::Status;
use tonic::body::Body;
use tower::ServiceExt as _;
use tower_service::Service;

use super::connection::Shared;
use super::fields;
use super::frame::{Failure, FrameHead, FrameReader};
use super::incoming::Incoming;
use super::response::{Encoder, ResponseWriter, take_status};
use crate::transport::quic::adapter::{Accepted, Connection};
use crate::transport::quic::codec::Codec;
use crate::transport::quic::{varint, wire};
use crate::transport::{BoxError, grpc};

/// h3's promise of a request, once it has a header section to read.
pub(super) type Resolver = h3::server::RequestResolver<Connection, Bytes>;

/// Bytes of other frames that may come before the header section.
const BEFORE_HEADERS_MAX: u64 = 16 * 1024;

/// How much of a response is gathered before it is written.
const GATHER_BYTES: usize = 64 * 1024;

/// How long the few bytes of a last answer (a panic's status) may wait for the client's windows.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Fields that belong to a connection and may not come in HTTP/3 (RFC 9114, 4.2).
const CONNECTION_FIELDS: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// How a call ended without a whole answer.
enum Cut {
    /// By the client, or with the connection.
    Gone,
    /// By us, with this code.
    Reset(Code),
}

/// Serves the request whose streams are `accepted`. Ends promptly when the client or the connection is gone.
pub(super) fn run<S>(
    shared: Arc<Shared>,
    service: S,
    resolver: Resolver,
    accepted: Accepted,
) -> impl Future<Output = ()> + Send
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    let Accepted { send, recv, codec, .. } = accepted;
    // From here on the streams end with a code, even if the future is never polled.
    let (writer, frames) = (ResponseWriter::new(send), FrameReader::new(recv));
    resolve_and_serve(shared, service, resolver, codec, writer, frames)
}

async fn resolve_and_serve<S>(
    shared: Arc<Shared>,
    service: S,
    resolver: Resolver,
    codec: Codec,
    mut writer: ResponseWriter,
    mut frames: FrameReader,
) where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    let opened = Instant::now();
    let section = header_section(&mut frames, &writer, shared.header_timeout).await;
    let (request, encoder) = match resolve(resolver, codec, section).await {
        Ok(resolved) => resolved,
        Err(failure) => {
            writer.reset(failure.code());
            frames.stop(failure.code());
            shared.failed(failure);
            if failure == Failure::Reset {
                shared.cancelled_early(opened);
            }
            return;
        }
    };
    let incoming = Incoming::new(frames, request.headers());
    let mut request = request.map(|()| incoming.body());
    shared.peer.insert_into(request.extensions_mut());
    let stream_count = shared.count_stream();
    let ended = serve(service, request, encoder, &mut writer, &incoming).await;
    drop(stream_count);
    match ended {
        Ok(stream) => {
            shared.unacknowledged.keep(stream);
            incoming.answered().await;
        }
        Err(Cut::Reset(code)) => {
            writer.reset(code);
            incoming.close(code);
        }
        Err(Cut::Gone) => {
            if !writer.started() {
                shared.cancelled_early(opened);
            }
            writer.reset(Code::H3_REQUEST_CANCELLED);
            incoming.close(Code::H3_REQUEST_CANCELLED);
        }
    }
    if let Some(failure) = incoming.failure() {
        shared.failed(failure);
    }
}

/// Reads up to the end of the header section; gives it as a whole HEADERS frame.
async fn header_section(
    frames: &mut FrameReader,
    writer: &ResponseWriter,
    limit: Duration,
) -> Result<Bytes, Failure> {
    let read = async {
        let mut before = 0;
        let length = loop {
            let length = match poll_fn(|cx| frames.poll_head(cx)).await? {
                FrameHead::Headers(length) => break length,
                FrameHead::Unknown(length) => length,
                FrameHead::Data(_) => return Err(Failure::Unexpected),
                FrameHead::End => return Err(Failure::Truncated),
            };
            before += length.min(BEFORE_HEADERS_MAX) + 2;
            if before > BEFORE_HEADERS_MAX {
                return Err(Failure::Excessive);
            }
            let mut left = length;
            while left > 0 {
                poll_fn(|cx| frames.poll_payload(cx, &mut left)).await?;
            }
        };
        // Fields are compressed, so a section longer than the limit for fields is too long in any case.
        if length > super::HEADER_BYTES_MAX {
            return Err(Failure::Excessive);
        }
        let mut frame = BytesMut::with_capacity(usize::try_from(length).unwrap_or(0) + 8);
        varint::put(1, &mut frame);
        varint::put(length, &mut frame);
        let head = frame.len();
        let mut left = length;
        while left > 0 {
            frame.extend_from_slice(&poll_fn(|cx| frames.poll_payload(cx, &mut left)).await?);
        }
        fields::check(&frame[head..]).map_err(|fields::Malformed| Failure::Malformed)?;
        Ok(frame.freeze())
    };
    tokio::select! {
        biased;
        section = timeout(limit, read) => section.unwrap_or(Err(Failure::Late)),
        // Only made when the headers are not there yet: it takes a lock.
        _ = async { writer.stopped().await } => Err(Failure::Reset),
    }
}

/// Has h3 decode a header section, and checks what it does not.
///
/// h3 forgets a request only when it has resolved it; so one without a section gets an empty one, which is refused.
async fn resolve(
    resolver: Resolver,
    codec: Codec,
    section: Result<Bytes, Failure>,
) -> Result<(Request<()>, Encoder), Failure> {
    const EMPTY_SECTION: &[u8] = &[1, 2, 0, 0];
    codec.feed(section.as_ref().map_or_else(|_| Bytes::from_static(EMPTY_SECTION), Bytes::clone));
    let resolved = resolver.resolve_request().await;
    section?;
    let (request, stream) = resolved.map_err(|error| match error {
        h3::error::StreamError::HeaderTooBig { .. } => Failure::Excessive,
        h3::error::StreamError::ConnectionError { .. } => Failure::Lost,
        _ => Failure::Malformed,
    })?;
    let headers = request.headers();
    let te = headers.get(header::TE).is_none_or(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    if !te || CONNECTION_FIELDS.iter().any(|name| headers.contains_key(name)) {
        return Err(Failure::Malformed);
    }
    Ok((request, Encoder::new(stream, codec)))
}

/// The race. On success the answer is complete and its stream finished.
async fn serve<S>(
    service: S,
    request: Request<Body>,
    mut encoder: Encoder,
    writer: &mut ResponseWriter,
    incoming: &Incoming,
) -> Result<quinn::SendStream, Cut>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    let mut stopped = pin!(writer.stopped());
    let raced = {
        let answer = AssertUnwindSafe(answer(service, request, &mut encoder, writer)).catch_unwind();
        tokio::select! {
            biased;
            answered = answer => Ok(answered),
            _ = &mut stopped => Err(Failure::Reset),
            failure = poll_fn(|cx| incoming.poll_cancelled(cx)) => Err(failure),
        }
    };
    match raced {
        Err(Failure::Reset | Failure::Lost) => Err(Cut::Gone),
        Err(failure) => Err(Cut::Reset(failure.code())),
        Ok(Ok(answered)) => answered,
        Ok(Err(_panic)) if writer.started() => Err(Cut::Reset(Code::H3_INTERNAL_ERROR)),
        Ok(Err(_panic)) => {
            let words = last_words(Status::internal("the handler panicked"), &mut encoder, writer);
            timeout(LAST_WORDS, words).await.unwrap_or(Err(Cut::Reset(Code::H3_INTERNAL_ERROR)))
        }
    }
}

/// Calls the service and writes its whole response.
async fn answer<S>(
    service: S,
    request: Request<Body>,
    encoder: &mut Encoder,
    writer: &mut ResponseWriter,
) -> Result<quinn::SendStream, Cut>
where
    S: Service<Request<Body>, Response = Response<Body>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    let response = match grpc::refusal(&request) {
        Some(refusal) => refusal,
        None => service
            .oneshot(request)
            .await
            .unwrap_or_else(|error| Status::from_error(error.into()).into_http()),
    };
    let (mut parts, body) = response.into_parts();
    let mut trailers = take_status(&mut parts.headers);
    encoder.head(parts, writer).await.map_err(|_| Cut::Reset(Code::H3_INTERNAL_ERROR))?;
    let mut body = pin!(body);
    loop {
        let polled = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
            // What is queued leaves before we wait for more.
            Poll::Pending if writer.queued() > 0 => Poll::Ready(None),
            polled => polled.map(Some),
        });
        match polled.await {
            None => writer.flush().await.map_err(|_| Cut::Gone)?,
            Some(None) => break,
            Some(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    writer.push_data(data);
                    if writer.queued() >= GATHER_BYTES {
                        writer.flush().await.map_err(|_| Cut::Gone)?;
                    }
                }
                Err(frame) => trailers = frame.into_trailers().ok().or(trailers),
            },
            Some(Some(Err(_))) if writer.started() => return Err(Cut::Reset(Code::H3_REQUEST_CANCELLED)),
            Some(Some(Err(status))) => return last_words(status, encoder, writer).await,
        }
    }
    finish(trailers, encoder, writer).await
}

/// Answers with a status, when nothing has left yet.
async fn last_words(
    status: Status,
    encoder: &mut Encoder,
    writer: &mut ResponseWriter,
) -> Result<quinn::SendStream, Cut> {
    encoder.status(status, writer).await.map_err(|_| Cut::Reset(Code::H3_INTERNAL_ERROR))?;
    writer.finish().await.map_err(|_| Cut::Gone)
}

async fn finish(
    trailers: Option<HeaderMap>,
    encoder: &mut Encoder,
    writer: &mut ResponseWriter,
) -> Result<quinn::SendStream, Cut> {
    if let Some(trailers) = trailers {
        encoder.trailers(trailers, writer).await.map_err(|_| Cut::Reset(Code::H3_INTERNAL_ERROR))?;
    }
    writer.finish().await.map_err(|_| Cut::Gone)
}

impl Shared {
    /// A failure that is the connection's, not the stream's, closes it.
    fn failed(&self, failure: Failure) {
        if failure == Failure::Unexpected {
            self.connection.close(wire(Code::H3_FRAME_UNEXPECTED), b"unexpected frame on a request stream");
        }
    }

    fn cancelled_early(&self, opened: Instant) {
        if self.early_cancels.count(opened, Instant::now()).is_err() {
            self.connection.close(wire(Code::H3_EXCESSIVE_LOAD), b"calls are cancelled too fast");
        }
    }
}
