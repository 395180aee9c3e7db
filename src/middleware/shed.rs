//! Load shedding: how many calls may be in flight at once.
//!
//! A call beyond the limit is answered at once and costs nothing further in. Nothing ever waits here: a queue of calls
//! in front of a message queue only hides that the server is behind. A stream counts until it ends.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tower::{Layer, Service};

use super::held::Held;
use super::refusal::{Refusable, Refusal};

/// Bounds the calls in flight over all services and connections made through it.
#[derive(Clone, Debug)]
pub struct ShedLayer {
    lane: Lane,
    /// Calls that count apart from all others, by the beginning of their path.
    apart: Option<(Arc<[&'static str]>, Lane)>,
}

/// Calls that share a bound.
#[derive(Clone, Debug)]
struct Lane {
    permits: Arc<Semaphore>,
    limit: usize,
    setting: &'static str,
}

/// See [`ShedLayer`].
#[derive(Clone, Debug)]
pub struct Shed<S> {
    inner: S,
    layer: ShedLayer,
}

/// At most `limit` calls in flight; `setting` names the configuration key that says so.
#[must_use]
pub fn layer(limit: usize, setting: &'static str) -> ShedLayer {
    ShedLayer { lane: Lane::new(limit, setting), apart: None }
}

impl ShedLayer {
    /// Calls whose path begins with one of `prefixes` have a bound of their own, so that they can't take the room of the
    /// others.
    #[must_use]
    pub fn apart(self, prefixes: &[&'static str], limit: usize, setting: &'static str) -> Self {
        Self { apart: Some((prefixes.into(), Lane::new(limit, setting))), ..self }
    }

    fn lane(&self, path: &str) -> &Lane {
        match &self.apart {
            Some((prefixes, lane)) if prefixes.iter().any(|prefix| path.starts_with(prefix)) => lane,
            Some(_) | None => &self.lane,
        }
    }
}

impl Lane {
    fn new(limit: usize, setting: &'static str) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(limit)), limit, setting }
    }
}

impl<S> Layer<S> for ShedLayer {
    type Service = Shed<S>;

    fn layer(&self, inner: S) -> Shed<S> {
        Shed { inner, layer: self.clone() }
    }
}

impl<S> Service<Request<Body>> for Shed<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Refusable<Held<S::Future, OwnedSemaphorePermit>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Lane { permits, limit, setting } = self.layer.lane(request.uri().path());
        match Arc::clone(permits).try_acquire_owned() {
            Ok(permit) => Refusable::passed(Held::new(self.inner.call(request), permit)),
            Err(_) => Refusable::refused(Refusal::TooManyCalls { limit: *limit, setting }),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tower::ServiceExt as _;

    use super::super::testing::{answering, call, endless, ok, read};
    use super::*;

    #[tokio::test]
    async fn a_stream_counts_until_it_ends() {
        let service = layer(1, "limits.calls").layer(answering(|_| endless()));
        let stream = service.clone().oneshot(call("/a/B").body(Body::empty()).unwrap()).await.unwrap();

        let refused = service.clone().oneshot(call("/a/B").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(refused.headers().get("grpc-status").expect("it was let in"), "8");

        drop(stream);
        let served = service.oneshot(call("/a/B").body(Body::empty()).unwrap()).await.unwrap();
        assert!(!served.headers().contains_key("grpc-status"));
    }

    #[tokio::test]
    async fn a_call_that_was_read_to_its_end_counts_no_more() {
        let service = layer(1, "limits.calls").layer(answering(|_| ok()));
        for _ in 0..3 {
            let response = service.clone().oneshot(call("/a/B").body(Body::empty()).unwrap()).await.unwrap();
            let (bytes, status) = read(response).await;
            assert_eq!((&bytes[..], status.unwrap().code()), (&b"hello"[..], Code::Ok));
        }
    }

    #[tokio::test]
    async fn calls_apart_leave_room_to_the_others() {
        let service = layer(1, "limits.calls").apart(&["/open/"], 1, "limits.open_calls");
        let service = service.layer(answering(|_| endless()));
        let send = |path| service.clone().oneshot(call(path).body(Body::empty()).unwrap());
        let open = send("/open/Watch").await.unwrap();
        let other = send("/a/B").await.unwrap();
        for (response, served) in [(&open, true), (&other, true), (&send("/open/X").await.unwrap(), false)] {
            assert_eq!(!response.headers().contains_key("grpc-status"), served);
        }
    }

    #[tokio::test]
    async fn a_cancelled_call_counts_no_more() {
        let service = layer(1, "limits.calls").layer(answering(|_| endless()));
        drop(service.clone().oneshot(call("/a/B").body(Body::empty()).unwrap()));
        let served = service.oneshot(call("/a/B").body(Body::empty()).unwrap()).await.unwrap();
        assert!(!served.headers().contains_key("grpc-status"));
    }
}
