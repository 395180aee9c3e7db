//! Who is on the other end of the connection, and the span that everything logged during a call belongs to.
//!
//! The transport keeps what it knows of a connection in a type of its own; a closure given to [`layer`] translates it, so
//! that neither has to know the other. The span covers the body too.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Span;

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address as text: `192.0.2.1:50000`, or the socket's path.
    pub address: String,
    /// `h3`, `h2` or `h2c`.
    pub transport: &'static str,
}

/// Names the peer of every call.
#[derive(Clone, Debug)]
pub struct PeerLayer<P> {
    peer_of: P,
}

/// See [`PeerLayer`].
#[derive(Clone, Debug)]
pub struct WithPeer<S, P> {
    inner: S,
    peer_of: P,
}

/// Puts what `peer_of` says of a request into its extensions as a [`Peer`].
pub fn layer<P>(peer_of: P) -> PeerLayer<P>
where
    P: Fn(&Request<Body>) -> Option<Peer> + Clone,
{
    PeerLayer { peer_of }
}

impl<S, P: Clone> Layer<S> for PeerLayer<P> {
    type Service = WithPeer<S, P>;

    fn layer(&self, inner: S) -> WithPeer<S, P> {
        WithPeer { inner, peer_of: self.peer_of.clone() }
    }
}

impl<S, P> Service<Request<Body>> for WithPeer<S, P>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    P: Fn(&Request<Body>) -> Option<Peer>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Traced<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let span = match (self.peer_of)(&request) {
            Some(peer) => {
                let span = tracing::info_span!("call", path, peer = peer.address, transport = peer.transport);
                request.extensions_mut().insert(peer);
                span
            }
            None => tracing::info_span!("call", path),
        };
        let future = span.in_scope(|| self.inner.call(request));
        Traced { future, span }
    }
}

pin_project! {
    /// A call inside its span.
    pub struct Traced<F> {
        #[pin]
        future: F,
        span: Span,
    }
}

impl<F, E> Future for Traced<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let entered = this.span.enter();
        let polled = this.future.poll(context);
        drop(entered);
        polled.map(|answer| {
            answer.map(|response| {
                response.map(|inner| Body::new(TracedBody { inner: Some(inner), span: this.span.clone() }))
            })
        })
    }
}

struct TracedBody {
    // Only `drop` takes it out, so that what the body logs while it goes is inside the span as well.
    inner: Option<Body>,
    span: Span,
}

impl Drop for TracedBody {
    fn drop(&mut self) {
        let _entered = self.span.enter();
        self.inner = None;
    }
}

impl HttpBody for TracedBody {
    type Data = Bytes;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { inner, span } = &mut *self;
        let Some(inner) = inner else { return Poll::Ready(None) };
        let _entered = span.enter();
        Pin::new(inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tower::ServiceExt as _;
    use tracing_subscriber::fmt::MakeWriter;

    use super::super::testing::{answering, call, ok, read};
    use super::*;

    #[tokio::test]
    async fn a_call_knows_its_peer() {
        let peer = Peer { address: "192.0.2.1:5".into(), transport: "h3" };
        let expected = peer.clone();
        let service = layer(move |_: &Request<Body>| Some(peer.clone())).layer(answering(move |request| {
            assert_eq!(request.extensions().get::<Peer>(), Some(&expected));
            ok()
        }));
        let (bytes, _) =
            read(service.oneshot(call("/a/B").body(Body::empty()).unwrap()).await.unwrap()).await;
        assert_eq!(&bytes[..], b"hello");
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// What a stream logs long after its headers must still say whose it is.
    #[tokio::test]
    async fn what_a_body_logs_names_the_peer() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let peer = |_: &Request<Body>| Some(Peer { address: "192.0.2.9:1".into(), transport: "h2" });
        let service = layer(peer).layer(answering(|_| {
            let frames = futures_util::stream::once(async {
                tracing::warn!("from the body");
                Ok::<_, tonic::Status>(Frame::data(Bytes::from_static(b"x")))
            });
            Response::new(Body::new(http_body_util::StreamBody::new(frames)))
        }));
        read(service.oneshot(call("/a/B").body(Body::empty()).unwrap()).await.unwrap()).await;
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("from the body") && text.contains("192.0.2.9:1"), "{text}");
    }
}
