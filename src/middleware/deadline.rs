//! Deadlines: a call ends when its `grpc-timeout` has passed, a stream too.
//!
//! Before the response has begun the answer is DEADLINE_EXCEEDED; after that the body ends with trailers that say so.
//! Whatever serves the call is dropped at that moment, which is how it learns of it. Without the header there is no
//! deadline.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::body::Body;
use tower::{Layer, Service};

use super::refusal::{Refusable, Refusal};

const HEADER: &str = "grpc-timeout";

/// Ends calls at their deadline.
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer(());

/// See [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct Deadline<S> {
    inner: S,
}

/// A layer that ends each call at the deadline its caller set.
#[must_use]
pub fn layer() -> DeadlineLayer {
    DeadlineLayer(())
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner }
    }
}

impl<S> Service<Request<Body>> for Deadline<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Refusable<DeadlineFuture<S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match timeout(request.headers()) {
            Ok(timeout) => {
                let limit = timeout.and_then(Limit::after);
                Refusable::passed(DeadlineFuture {
                    limit,
                    sleep: limit.map(|limit| sleep_until(limit.at)),
                    inner: Some(self.inner.call(request)),
                })
            }
            Err(refusal) => Refusable::refused(refusal),
        }
    }
}

#[derive(Clone, Copy)]
struct Limit {
    at: Instant,
    timeout: Duration,
}

impl Limit {
    /// Nothing if that is beyond what a clock can say, which is as good as no deadline.
    fn after(timeout: Duration) -> Option<Self> {
        Instant::now().checked_add(timeout).map(|at| Self { at, timeout })
    }

    fn refusal(self) -> Refusal {
        Refusal::DeadlineExceeded { timeout: self.timeout }
    }
}

/// Reads the header. gRPC allows 1 to 8 digits and a unit. Zero is taken too: some clients send it for a deadline that
/// has just passed.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let bad = || Refusal::BadTimeout {
        value: String::from_utf8_lossy(value.as_bytes()).chars().take(32).collect(),
    };
    let (&unit, digits) = value.as_bytes().split_last().ok_or_else(bad)?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    let count = digits.iter().fold(0_u64, |count, digit| count * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Ok(Some(Duration::from_secs(count * 3600))),
        b'M' => Ok(Some(Duration::from_secs(count * 60))),
        b'S' => Ok(Some(Duration::from_secs(count))),
        b'm' => Ok(Some(Duration::from_millis(count))),
        b'u' => Ok(Some(Duration::from_micros(count))),
        b'n' => Ok(Some(Duration::from_nanos(count))),
        _ => Err(bad()),
    }
}

pin_project! {
    /// A call that ends at its deadline.
    pub struct DeadlineFuture<F> {
        limit: Option<Limit>,
        #[pin]
        sleep: Option<Sleep>,
        #[pin]
        inner: Option<F>,
    }
}

impl<F, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if let Some(inner) = this.inner.as_mut().as_pin_mut()
            && let Poll::Ready(answer) = inner.poll(context)
        {
            let limit = *this.limit;
            return Poll::Ready(answer.map(|response| match limit {
                Some(limit) => response.map(|body| limited(body, limit)),
                None => response,
            }));
        }
        let (Some(sleep), Some(limit)) = (this.sleep.as_pin_mut(), *this.limit) else { return Poll::Pending };
        ready!(sleep.poll(context));
        this.inner.set(None);
        Poll::Ready(Ok(limit.refusal().response()))
    }
}

fn limited(inner: Body, limit: Limit) -> Body {
    if inner.is_end_stream() {
        return inner;
    }
    Body::new(DeadlineBody { limit, sleep: sleep_until(limit.at), inner: Some(inner) })
}

pin_project! {
    struct DeadlineBody {
        limit: Limit,
        #[pin]
        sleep: Sleep,
        inner: Option<Body>,
    }
}

impl HttpBody for DeadlineBody {
    type Data = Bytes;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        let Some(inner) = this.inner else { return Poll::Ready(None) };
        // The deadline goes first: a stream that always has something to send would otherwise never meet it. The clock
        // is asked as well, because a timer is pending, whatever the time, once its task's budget is used up.
        let is_over = this.sleep.poll(context).is_ready() || Instant::now() >= this.limit.at;
        if is_over && !inner.is_end_stream() {
            *this.inner = None;
            return Poll::Ready(Some(Ok(Frame::trailers(this.limit.refusal().trailers()))));
        }
        let polled = Pin::new(inner).poll_frame(context);
        // Trailers end a response; a deadline that passes after them must not add a second status.
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && frame.is_trailers()
        {
            *this.inner = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
#[path = "deadline/tests.rs"]
mod tests;
