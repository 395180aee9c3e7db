//! What makes a request a gRPC call, on either transport.
//!
//! It refuses by answering, never by an error, and never looks at a path.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tonic::body::Body;

const GRPC: &str = "application/grpc";

/// The answer to a request that is no gRPC call: 405 for another method, 415 for another content type.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<Response<Body>> {
    if request.method() != Method::POST {
        let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return Some(response);
    }
    if !is_grpc(request.headers()) {
        return Some(empty(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    None
}

/// `application/grpc`, alone or followed by a subtype (`+proto`) or parameters (`;`); `application/grpc-web` is
/// another protocol.
fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    let bytes = value.as_bytes();
    bytes.len() >= GRPC.len()
        && bytes[..GRPC.len()].eq_ignore_ascii_case(GRPC.as_bytes())
        && matches!(bytes.get(GRPC.len()), None | Some(b'+' | b';' | b' '))
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, content_type: Option<&str>) -> Option<u16> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        if let Some(value) = content_type {
            request.headers_mut().insert(header::CONTENT_TYPE, value.parse().unwrap());
        }
        refusal(&request).map(|response| response.status().as_u16())
    }

    #[test]
    fn only_posts_of_grpc_pass() {
        assert_eq!(status(Method::POST, Some("application/grpc")), None);
        assert_eq!(status(Method::POST, Some("application/grpc+proto")), None);
        assert_eq!(status(Method::POST, Some("application/grpc; charset=utf-8")), None);
        assert_eq!(status(Method::POST, Some("application/grpc-web")), Some(415));
        assert_eq!(status(Method::POST, Some("application/json")), Some(415));
        assert_eq!(status(Method::POST, None), Some(415));
        assert_eq!(status(Method::GET, Some("application/grpc")), Some(405));
    }
}
