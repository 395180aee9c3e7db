//! HTTP/3: one QUIC connection and the calls on it.
//!
//! It decides how a call goes over a stream and what a stream's failure means to the caller. It never reconnects and
//! knows nothing of messages.
//!
//! Always true: a call lives in its future and then in its response body; dropping either cancels it on the wire at
//! once (see `quic`). The connection stays open while a call is on it, even after it was retired.

use std::{
    future::poll_fn,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures_util::{FutureExt, future::BoxFuture};
use h3::{
    client::{RequestStream, SendRequest},
    error::{Code, ConnectionError, StreamError},
};
use http::{Request, Response, Uri, uri::Scheme};
use http_body::Frame;
use http_body_util::BodyExt;
use quinn::VarInt;
use tonic::body::Body;

use crate::{
    Error,
    error::{Refusal, root},
    quic,
    target::{Target, bracketed},
};

/// A silent connection is checked so often.
const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// A connection that stays silent for so long is lost.
const IDLE_TIMEOUT_MS: u32 = 10_000;
/// What one stream may have unread: enough for a full `SubscribeResponse` on its way.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
/// What all streams may have unread.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

type Sender = SendRequest<quic::OpenStreams, Bytes>;

/// A connection that calls can be made on.
#[derive(Clone)]
pub(crate) struct Link {
    sender: Sender,
    connection: quinn::Connection,
    endpoint: quinn::Endpoint,
    authority: Arc<str>,
    url: Arc<str>,
    /// Set when the server said that it takes no more calls here.
    retired: Arc<AtomicBool>,
}

/// Why a call did not start.
pub(crate) enum Unsent {
    /// The connection takes no more calls: the request is untouched, try it on another.
    Retired(Request<Body>),
    /// The call failed.
    Failed(Error),
}

impl Link {
    /// Connects. The caller bounds the time.
    pub(crate) async fn connect(
        target: &Target,
        host: &str,
        port: u16,
        tls: Arc<quinn::crypto::rustls::QuicClientConfig>,
    ) -> Result<Self, Error> {
        let failed = |reason: String| Error::Connect { url: target.url.clone(), reason };
        let addresses =
            tokio::net::lookup_host((host, port)).await.map_err(|error| failed(error.to_string()))?;
        let mut config = quinn::ClientConfig::new(tls);
        config.transport_config(Arc::new(transport_config()));
        let mut last = failed(format!("{host} has no address"));
        for address in addresses {
            match handshake(address, host, config.clone()).await {
                Ok((endpoint, connection)) => {
                    return Self::start(target, host, port, endpoint, connection).await;
                }
                Err(reason) => last = failed(reason),
            }
        }
        Err(last)
    }

    async fn start(
        target: &Target,
        host: &str,
        port: u16,
        endpoint: quinn::Endpoint,
        connection: quinn::Connection,
    ) -> Result<Self, Error> {
        let (mut driver, sender) = h3::client::builder()
            .send_grease(false)
            .max_field_section_size(64 * 1024)
            .build(quic::Connection::new(connection.clone()))
            .await
            .map_err(|error| Error::Connect { url: target.url.clone(), reason: error.to_string() })?;
        // Ends with the connection, which ends with its last sender: nothing is left to wait for.
        tokio::spawn(async move {
            let end = driver.wait_idle().await;
            tracing::debug!(%end, "HTTP/3 connection ended");
        });
        Ok(Self {
            sender,
            connection,
            endpoint,
            authority: format!("{}:{port}", bracketed(host)).into(),
            url: target.url.as_str().into(),
            retired: Arc::default(),
        })
    }

    /// Whether another call may be made here.
    pub(crate) fn is_alive(&self) -> bool {
        !self.retired.load(Ordering::Relaxed) && self.connection.close_reason().is_none()
    }

    /// Closes the connection and waits, for a second at most, until the server knows.
    ///
    /// Cancel safe: the connection is closed at the first poll.
    pub(crate) async fn close(&self) {
        self.connection.close(VarInt::from_u32(0x100), b"");
        let _ = tokio::time::timeout(Duration::from_secs(1), self.endpoint.wait_idle()).await;
    }

    /// Makes one call.
    ///
    /// Cancel safe: dropping the future cancels the call on the wire.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Unsent> {
        let (parts, body) = request.into_parts();
        let head = self.head(&parts).map_err(Unsent::Failed)?;
        let mut sender = self.sender.clone();
        let stream = match sender.send_request(head).await {
            Ok(stream) => stream,
            Err(StreamError::RemoteClosing { .. }) => {
                self.retired.store(true, Ordering::Relaxed);
                return Err(Unsent::Retired(Request::from_parts(parts, body)));
            }
            // A connection that was lost before the stream opened carried nothing.
            Err(StreamError::ConnectionError { .. }) if self.connection.close_reason().is_some() => {
                self.retired.store(true, Ordering::Relaxed);
                return Err(Unsent::Retired(Request::from_parts(parts, body)));
            }
            Err(error) => return Err(Unsent::Failed(self.error(error))),
        };
        let (send, mut recv) = stream.split();
        let mut upload = Some(upload(send, body).boxed());
        let response = {
            let mut receive = std::pin::pin!(recv.recv_response());
            poll_fn(|cx| {
                poll_upload(&mut upload, cx);
                receive.as_mut().poll(cx)
            })
            .await
        };
        let response = response.map_err(|error| Unsent::Failed(self.error(error)))?;
        let body = ResponseBody { recv, upload, link: self.clone(), reading: Reading::Data };
        Ok(response.map(|()| Body::new(body)))
    }

    fn head(&self, parts: &http::request::Parts) -> Result<Request<()>, Error> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri = Uri::builder()
            .scheme(Scheme::HTTPS)
            .authority(self.authority.as_ref())
            .path_and_query(path)
            .build()
            .map_err(|error| Error::internal(error.to_string()))?;
        let mut head = Request::new(());
        *head.method_mut() = parts.method.clone();
        *head.uri_mut() = uri;
        *head.headers_mut() = parts.headers.clone();
        Ok(head)
    }

    /// What a stream's failure means to the caller.
    fn error(&self, error: StreamError) -> Error {
        match error {
            StreamError::RemoteTerminate { code, .. } => terminated(code),
            StreamError::RemoteClosing { .. } => {
                Error::unprocessed("the server is going away and did not take the call")
            }
            StreamError::ConnectionError { 0: ConnectionError::Local { error, .. }, .. }
                if self.connection.close_reason().is_none() =>
            {
                // h3 found the peer breaking the protocol and is about to close.
                self.retired.store(true, Ordering::Relaxed);
                Error::internal(format!("{} broke the HTTP/3 protocol: {error:?}", self.url))
            }
            StreamError::ConnectionError { 0: error, .. } => {
                self.retired.store(true, Ordering::Relaxed);
                Error::unavailable(format!("the connection to {} was lost: {}", self.url, lost(&error)))
            }
            StreamError::HeaderTooBig { actual_size, max_size, .. } => {
                Error::internal(format!("the headers take {actual_size} bytes, the limit is {max_size}"))
            }
            StreamError::Undefined { 0: error, .. } => Error::internal(root(&*error)),
            error => Error::internal(error.to_string()),
        }
    }
}

/// What a reset says about the call.
fn terminated(code: Code) -> Error {
    match code {
        Code::H3_REQUEST_REJECTED => {
            Error::unprocessed("the server did not take the call (H3_REQUEST_REJECTED)")
        }
        Code::H3_REQUEST_CANCELLED => Error::Cancelled(Refusal::local("the server cancelled the call")),
        Code::H3_EXCESSIVE_LOAD => Error::ResourceExhausted(Refusal::local(
            "the server is overloaded and ended the call (H3_EXCESSIVE_LOAD); slow down",
        )),
        code => Error::internal(format!("the server broke the call off: {code}")),
    }
}

fn lost(error: &ConnectionError) -> String {
    match error {
        ConnectionError::Timeout { .. } => "no sign of life for 10 s".into(),
        error if error.is_h3_no_error() => "the server closed it".into(),
        error => error.to_string(),
    }
}

fn transport_config() -> quinn::TransportConfig {
    let mut config = quinn::TransportConfig::default();
    config
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS).into()))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(8))
        .datagram_receive_buffer_size(None)
        .send_fairness(false);
    config
}

async fn handshake(
    address: SocketAddr,
    host: &str,
    config: quinn::ClientConfig,
) -> Result<(quinn::Endpoint, quinn::Connection), String> {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let endpoint = quinn::Endpoint::client(SocketAddr::new(any, 0)).map_err(|error| error.to_string())?;
    let connecting = endpoint.connect_with(config, address, host).map_err(|error| error.to_string())?;
    let connection = connecting.await.map_err(|error| root(&error))?;
    Ok((endpoint, connection))
}

/// Sends the request's body. A failure ends the upload alone: what it means, the response says.
async fn upload(mut send: RequestStream<quic::SendStream<Bytes>, Bytes>, mut body: Body) {
    while let Some(frame) = body.frame().await {
        // Dropping an unfinished sender resets the stream, so that a broken body is never taken for a whole one.
        let Ok(frame) = frame else { return };
        let Ok(data) = frame.into_data() else { continue };
        if !data.is_empty() && send.send_data(data).await.is_err() {
            return;
        }
    }
    let _ = send.finish().await;
}

fn poll_upload(upload: &mut Option<BoxFuture<'static, ()>>, cx: &mut Context<'_>) {
    if let Some(sending) = upload
        && sending.poll_unpin(cx).is_ready()
    {
        *upload = None;
    }
}

/// What part of a response comes next.
enum Reading {
    Data,
    Trailers,
    Nothing,
}

/// The rest of a call: its response as it comes, and its request if that is not all sent yet.
struct ResponseBody {
    recv: RequestStream<quic::RecvStream, Bytes>,
    upload: Option<BoxFuture<'static, ()>>,
    /// h3 closes the connection with its last sender: the one in here keeps it for the call.
    link: Link,
    reading: Reading,
}

impl ResponseBody {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        Poll::Ready(match ready!(self.recv.poll_recv_data(cx)) {
            Ok(Some(mut data)) => Some(Ok(data.copy_to_bytes(data.remaining()))),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn fail(&mut self, error: StreamError) -> tonic::Status {
        self.reading = Reading::Nothing;
        self.link.error(error).into_status()
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let this = &mut *self;
        poll_upload(&mut this.upload, cx);
        loop {
            match this.reading {
                Reading::Data => match ready!(this.poll_data(cx)) {
                    Some(Ok(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Some(Err(error)) => return Poll::Ready(Some(Err(this.fail(error)))),
                    None => this.reading = Reading::Trailers,
                },
                Reading::Trailers => {
                    let trailers = ready!(this.recv.poll_recv_trailers(cx));
                    this.reading = Reading::Nothing;
                    return Poll::Ready(match trailers {
                        Ok(Some(trailers)) => Some(Ok(Frame::trailers(trailers))),
                        Ok(None) => None,
                        Err(error) => Some(Err(this.fail(error))),
                    });
                }
                Reading::Nothing => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.reading, Reading::Nothing)
    }
}
