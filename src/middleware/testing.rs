//! What the tests of several layers need: calls, and services that answer them in a known way.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tonic::Status;
use tonic::body::Body;
use tower::{Service, service_fn};

pub(super) fn call(path: &str) -> http::request::Builder {
    Request::post(format!("http://test{path}"))
}

/// A service that answers each call with what `answer` makes of it.
pub(super) fn answering(
    answer: impl Fn(Request<Body>) -> Response<Body> + Clone + Send + 'static,
) -> impl Service<
    Request<Body>,
    Response = Response<Body>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Body>, Infallible>> + Send,
> + Clone
+ Send {
    service_fn(move |request| std::future::ready(Ok::<_, Infallible>(answer(request))))
}

/// One data frame, then trailers with the status OK.
pub(super) fn ok() -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let frames = [Ok::<_, Status>(Frame::data(Bytes::from_static(b"hello"))), Ok(Frame::trailers(trailers))];
    Response::new(Body::new(StreamBody::new(futures_util::stream::iter(frames))))
}

/// A stream that has begun and will neither send nor end.
pub(super) fn endless() -> Response<Body> {
    Response::new(Body::new(StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Status>>())))
}

/// Reads a response to its end: the bytes, and the status from headers or trailers.
pub(super) async fn read(response: Response<Body>) -> (Bytes, Option<Status>) {
    let in_headers = Status::from_header_map(response.headers());
    let collected = response.into_body().collect().await.expect("the body failed");
    let in_trailers = collected.trailers().and_then(Status::from_header_map);
    (collected.to_bytes(), in_headers.or(in_trailers))
}

/// Lets a test wait for the end of whatever owns it: the receiver hears of the drop.
pub(super) type Alive = tokio::sync::oneshot::Sender<std::convert::Infallible>;

/// A body that never yields.
pub(super) struct Owning {
    pub _alive: Alive,
}

impl http_body::Body for Owning {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Pending
    }
}
