//! Handing over: what a Receive took is its caller's once the transport has taken the whole answer, and not before.
//!
//! The grant travels in the response's extensions and then in its body. A body that is dropped before its end gives
//! the grant back.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;

use crate::broker::Handout;

/// A grant on its way out. Clones are the same one.
#[derive(Clone)]
pub(super) struct Handover(Arc<Mutex<Option<Handout>>>);

impl Handover {
    pub(super) fn new(handout: Handout) -> Self {
        Self(Arc::new(Mutex::new(Some(handout))))
    }

    fn take(&self) -> Option<Handout> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Lets a response's body keep the grant that the response carries, if it does, when it is read to its end.
#[must_use]
pub fn hand_over(mut response: Response<Body>) -> Response<Body> {
    match response.extensions_mut().remove::<Handover>().and_then(|handover| handover.take()) {
        Some(handout) => response.map(|inner| Body::new(Handing { inner, handout: Some(handout) })),
        None => response,
    }
}

struct Handing {
    inner: Body,
    handout: Option<Handout>,
}

impl HttpBody for Handing {
    type Data = Bytes;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        let ended = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers(),
            Poll::Ready(None) => true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
        };
        if ended {
            self.handout.take().into_iter().for_each(Handout::keep);
        }
        polled
    }

    // It must be polled to its end, so it never says that it is there already.
    fn is_end_stream(&self) -> bool {
        self.handout.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
