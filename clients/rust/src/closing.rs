//! A response that ends with its client.
//!
//! It decides when a body is over: at its end, or when the client is closed. It never looks into what it passes on.
//!
//! Always true: once the client is closed nothing more comes out, and the call is cancelled on the wire, on a connection
//! of HTTP/2 too, which would go on as long as a call is on it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Status, body::Body};

use crate::Error;

pin_project! {
    /// The body of a response, until the client is closed.
    pub(crate) struct UntilClosed {
        // None once it was cut off, so that the call is gone from the wire at once.
        body: Option<Body>,
        #[pin]
        closed: WaitForCancellationFutureOwned,
    }
}

impl UntilClosed {
    /// The body until `closed` is cancelled.
    pub(crate) fn new(body: Body, closed: &CancellationToken) -> Self {
        Self { body: Some(body), closed: closed.clone().cancelled_owned() }
    }
}

impl http_body::Body for UntilClosed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        let Some(body) = this.body else { return Poll::Ready(None) };
        if this.closed.poll(cx).is_ready() {
            *this.body = None;
            return Poll::Ready(Some(Err(Error::cut_by_closing().into_status())));
        }
        Pin::new(body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, http_body::Body::size_hint)
    }
}
