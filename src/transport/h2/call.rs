//! One call over HTTP/2: what hyper hands over, made into what the service takes.
//!
//! hyper drops the service's future and the response body when the client resets the stream or the connection ends;
//! that they are polled by hyper, and by nothing in between, is what keeps this prompt.
//!
//! Always true:
//! - an upload that was cut ends with ABORTED, whatever the client's code (tonic takes CANCELLED for a clean end);
//! - a panic before the response is an INTERNAL status;
//! - a call that is dropped before its response begins was cancelled, or its connection has ended;
//! - a call counts until its response body is dropped.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tower::ServiceExt as _;
use tower_service::Service;

use super::H2Settings;
use crate::transport::early_cancels::EarlyCancels;
use crate::transport::observer::{StreamCount, TransportObserver};
use crate::transport::peer::PeerInfo;
use crate::transport::{BoxError, grpc};

const ALT_SVC: HeaderName = http::header::ALT_SVC;

/// Serves the calls of one connection.
pub(super) struct Calls<S> {
    service: S,
    peer: PeerInfo,
    alt_svc: Option<HeaderValue>,
    observer: Arc<dyn TransportObserver>,
    cancels: Arc<Cancels>,
}

/// What a connection's calls know of those that were cancelled early.
pub(super) struct Cancels {
    limit: EarlyCancels,
    exceeded: CancellationToken,
}

/// A call that has no answer yet. To drop it is to cancel it.
struct Unanswered {
    opened: Instant,
    /// Until there is one.
    cancels: Option<Arc<Cancels>>,
}

impl Cancels {
    pub(super) fn new(settings: &H2Settings) -> Arc<Self> {
        let (burst, per_second) = (settings.early_cancels_burst, settings.early_cancels_per_second);
        let limit = EarlyCancels::new(burst, per_second, Instant::now());
        Arc::new(Self { limit, exceeded: CancellationToken::new() })
    }

    /// Calls were cancelled too fast. Cancel safe.
    pub(super) async fn exceeded(&self) {
        self.exceeded.cancelled().await;
        tracing::debug!("an HTTP/2 connection is cut: its calls are cancelled too fast");
    }
}

impl Unanswered {
    fn has_answer(mut self) {
        self.cancels = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(cancels) = &self.cancels
            && cancels.limit.count(self.opened, Instant::now()).is_err()
        {
            cancels.exceeded.cancel();
        }
    }
}

impl<S> Calls<S> {
    pub(super) fn new(
        service: S,
        peer: PeerInfo,
        alt_svc: Option<HeaderValue>,
        observer: Arc<dyn TransportObserver>,
        cancels: Arc<Cancels>,
    ) -> Self {
        Self { service, peer, alt_svc, observer, cancels }
    }
}

impl<S> hyper::service::Service<Request<Incoming>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    type Response = Response<CountedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let count = StreamCount::open(&self.observer, self.peer.transport);
        let mut request = request.map(|body| Body::new(body.map_err(|error| cut(&error))));
        self.peer.insert_into(request.extensions_mut());
        let refusal = grpc::refusal(&request);
        let service = self.service.clone();
        let alt_svc = self.alt_svc.clone();
        let unanswered = Unanswered { opened: Instant::now(), cancels: Some(Arc::clone(&self.cancels)) };
        Box::pin(async move {
            let answer = async move {
                match refusal {
                    Some(refusal) => refusal,
                    None => service
                        .oneshot(request)
                        .await
                        .unwrap_or_else(|error| Status::from_error(error.into()).into_http()),
                }
            };
            let answered = AssertUnwindSafe(answer).catch_unwind().await;
            let mut response =
                answered.unwrap_or_else(|_panic| Status::internal("the handler panicked").into_http());
            if let Some(alt_svc) = alt_svc {
                response.headers_mut().insert(ALT_SVC, alt_svc);
            }
            unanswered.has_answer();
            Ok(response.map(|body| CountedBody { body, _count: count }))
        })
    }
}

fn cut(error: &hyper::Error) -> Status {
    Status::aborted(format!("the upload was cut: {error}"))
}

/// A response body that keeps its call counted.
pub(super) struct CountedBody {
    body: Body,
    _count: StreamCount,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
