//! A response that holds something until it has been sent or dropped.
//!
//! The thing is dropped with the last frame, or with the body when the caller goes away first, or with the future when
//! there never was a response. It is held for nothing else and never looked into.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::body::Body;

struct HeldBody<T> {
    inner: Body,
    held: Option<T>,
}

impl<T: Unpin> HttpBody for HeldBody<T> {
    type Data = Bytes;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || self.inner.is_end_stream() {
            self.held = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pin_project! {
    /// The future of a call that holds `T` until its response has ended.
    pub struct Held<F, T> {
        #[pin]
        future: F,
        held: Option<T>,
    }
}

impl<F, T> Held<F, T> {
    /// Holds `held` for as long as the call that `future` answers lasts.
    pub fn new(future: F, held: T) -> Self {
        Self { future, held: Some(held) }
    }
}

impl<F, T, E> Future for Held<F, T>
where
    F: Future<Output = Result<Response<Body>, E>>,
    T: Send + Unpin + 'static,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.future.poll(context).map(|answer| {
            let held = this.held.take();
            answer.map(|response| response.map(|inner| Body::new(HeldBody { inner, held })))
        })
    }
}
