//! Authentication: which bearer a call comes from.
//!
//! It puts an [`Identity`] into the request or refuses. It never decides what the bearer may do: that needs the
//! queue's name, which only the service knows. Every path needs a token, but those that begin with an open prefix.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use super::identity::Identity;
use super::refusal::{Refusable, Refusal};

/// Knows which tokens are valid now.
pub trait Authenticator: Send + Sync {
    /// Who bears this token; nobody if it is malformed, unknown, expired or revoked. It must not block.
    fn authenticate(&self, token: &str) -> Option<Arc<Identity>>;
}

/// Lets in only calls with a valid token.
#[derive(Clone)]
pub struct AuthLayer {
    authenticator: Arc<dyn Authenticator>,
    open_prefixes: Arc<[&'static str]>,
}

/// See [`AuthLayer`].
#[derive(Clone)]
pub struct Auth<S> {
    inner: S,
    layer: AuthLayer,
}

/// Asks `authenticator` about every call whose path begins with none of `open_prefixes`.
#[must_use]
pub fn layer(authenticator: Arc<dyn Authenticator>, open_prefixes: &[&'static str]) -> AuthLayer {
    AuthLayer { authenticator, open_prefixes: open_prefixes.into() }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth { inner, layer: self.clone() }
    }
}

impl AuthLayer {
    fn identify(&self, request: &Request<Body>) -> Result<Option<Arc<Identity>>, Refusal> {
        if self.open_prefixes.iter().any(|prefix| request.uri().path().starts_with(prefix)) {
            return Ok(None);
        }
        let token = bearer(request.headers()).ok_or(Refusal::NoToken)?;
        self.authenticator.authenticate(token).map(Some).ok_or(Refusal::BadToken)
    }
}

/// The token of the one `authorization` header. The scheme's case does not matter.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

impl<S> Service<Request<Body>> for Auth<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Refusable<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.layer.identify(&request) {
            Ok(identity) => {
                // The secret has done its work; nothing further in can log it.
                request.headers_mut().remove(AUTHORIZATION);
                if let Some(identity) = identity {
                    request.extensions_mut().insert(identity);
                }
                Refusable::passed(self.inner.call(request))
            }
            Err(refusal) => Refusable::refused(refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tower::ServiceExt as _;

    use super::super::testing::{answering, call, ok, read};
    use super::*;

    struct One;

    impl Authenticator for One {
        fn authenticate(&self, token: &str) -> Option<Arc<Identity>> {
            let identity = Identity { token_id: "7".into(), name: "one".into(), grants: Vec::new() };
            (token == "secret").then(|| Arc::new(identity))
        }
    }

    async fn outcome(path: &str, authorization: &[&str]) -> Code {
        let service = layer(Arc::new(One), &["/grpc.health.v1.Health/"]).layer(answering(|request| {
            let identity = request.extensions().get::<Arc<Identity>>();
            let open = request.uri().path().starts_with("/grpc.health");
            assert_eq!(identity.is_none(), open, "an identity belongs to a call with a token");
            assert!(!request.headers().contains_key(AUTHORIZATION), "the secret went further in");
            ok()
        }));
        let request = authorization.iter().fold(call(path), |r, value| r.header(AUTHORIZATION, *value));
        let (_, status) = read(service.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await;
        status.unwrap().code()
    }

    #[tokio::test]
    async fn only_a_valid_token_comes_in() {
        for good in ["Bearer secret", "bearer secret", "BEARER  secret "] {
            assert_eq!(outcome("/bbq.v1.QueueService/Ack", &[good]).await, Code::Ok, "{good}");
        }
        for bad in ["Bearer other", "Bearer ", "Bearer", "secret", "Basic secret", ""] {
            let code = outcome("/bbq.v1.QueueService/Ack", &[bad]).await;
            assert_eq!(code, Code::Unauthenticated, "{bad:?} came in");
        }
        assert_eq!(outcome("/bbq.v1.QueueService/Ack", &[]).await, Code::Unauthenticated);
    }

    #[tokio::test]
    async fn two_tokens_are_none() {
        let code = outcome("/bbq.v1.QueueService/Ack", &["Bearer secret", "Bearer secret"]).await;
        assert_eq!(code, Code::Unauthenticated);
    }

    #[tokio::test]
    async fn an_open_path_needs_no_token() {
        assert_eq!(outcome("/grpc.health.v1.Health/Check", &[]).await, Code::Ok);
        assert_eq!(outcome("/grpc.health.v1.HealthX/Check", &[]).await, Code::Unauthenticated);
    }
}
