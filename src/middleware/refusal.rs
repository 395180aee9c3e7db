//! Refusals: how a layer answers a call that it does not pass on.
//!
//! This is the only place in the middleware that knows [`tonic::Status`]. A refusal carries `google.rpc` details, says
//! which bound was met, and names the way out. It never says whether a token exists.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Response};
use pin_project_lite::pin_project;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of every reason.
pub const DOMAIN: &str = "bbq.v1";

/// Soon enough to be worth it, late enough for some calls to have ended.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// Why a call is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `grpc-timeout` is not a timeout.
    BadTimeout {
        /// What was sent, cut to 32 characters.
        value: String,
    },
    /// The caller's deadline has passed.
    DeadlineExceeded {
        /// What `grpc-timeout` allowed.
        timeout: Duration,
    },
    /// As many calls as may be are in flight.
    TooManyCalls {
        /// How many that is.
        limit: usize,
        /// The setting that says so.
        setting: &'static str,
    },
    /// The call carries no bearer token.
    NoToken,
    /// The token is malformed, unknown, expired or revoked. Which of these is the operator's business.
    BadToken,
}

impl Refusal {
    fn code(&self) -> Code {
        match self {
            Self::BadTimeout { .. } => Code::InvalidArgument,
            Self::DeadlineExceeded { .. } => Code::DeadlineExceeded,
            Self::TooManyCalls { .. } => Code::ResourceExhausted,
            Self::NoToken | Self::BadToken => Code::Unauthenticated,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::BadTimeout { .. } => "BAD_TIMEOUT",
            Self::DeadlineExceeded { .. } => "DEADLINE_EXCEEDED",
            Self::TooManyCalls { .. } => "TOO_MANY_CALLS",
            Self::NoToken => "NO_TOKEN",
            Self::BadToken => "BAD_TOKEN",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::BadTimeout { value } => {
                format!("grpc-timeout {value:?} is not 1 to 8 digits and one of H, M, S, m, u, n")
            }
            Self::DeadlineExceeded { timeout } => format!("the call's deadline of {timeout:?} has passed"),
            Self::TooManyCalls { limit, setting } => {
                format!("{limit} calls are in flight, which is the limit ({setting}); try again shortly")
            }
            Self::NoToken => "no bearer token: send `authorization: Bearer <token>`; \
                              `bbq token create` makes one"
                .to_owned(),
            Self::BadToken => "the bearer token is unknown, expired or revoked; \
                               `bbq token create` makes a new one"
                .to_owned(),
        }
    }

    fn details(&self) -> ErrorDetails {
        let mut details = ErrorDetails::with_error_info(self.reason(), DOMAIN, HashMap::new());
        match self {
            Self::TooManyCalls { .. } => {
                details.set_retry_info(Some(RETRY_DELAY));
            }
            Self::BadTimeout { .. } => {
                details.add_bad_request_violation("grpc-timeout", self.message());
            }
            Self::DeadlineExceeded { .. } | Self::NoToken | Self::BadToken => {}
        }
        details
    }

    fn status(&self) -> Status {
        Status::with_error_details(self.code(), self.message(), self.details())
    }

    /// The answer to a call whose response has not begun.
    #[must_use]
    pub fn response(&self) -> Response<Body> {
        self.status().into_http()
    }

    /// The end of a response that has begun.
    ///
    /// # Panics
    /// Never: what a refusal says fits into headers.
    #[must_use]
    pub fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        self.status()
            .add_header(&mut trailers)
            .expect("a refusal's text is percent-encoded, so it is a header");
        trailers
    }
}

/// A call's outcome as gRPC names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome(Code);

impl Outcome {
    /// The caller went away first.
    pub const CANCELLED: Self = Self(Code::Cancelled);
    /// The response ended without a status.
    pub const UNKNOWN: Self = Self(Code::Unknown);
    /// How many outcomes there are.
    pub const COUNT: usize = 17;

    /// What headers or trailers say; nothing if they hold no status.
    #[must_use]
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        headers.get(Status::GRPC_STATUS).map(|code| Self(Code::from_bytes(code.as_bytes())))
    }

    /// What a body failed with.
    #[must_use]
    pub fn of_error(error: &Status) -> Self {
        Self(error.code())
    }

    /// Its place among all outcomes, below [`Self::COUNT`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::try_from(i32::from(self.0)).unwrap_or_default()
    }

    /// Its name in gRPC's specification.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Code::Ok => "OK",
            Code::Cancelled => "CANCELLED",
            Code::Unknown => "UNKNOWN",
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Code::NotFound => "NOT_FOUND",
            Code::AlreadyExists => "ALREADY_EXISTS",
            Code::PermissionDenied => "PERMISSION_DENIED",
            Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Code::FailedPrecondition => "FAILED_PRECONDITION",
            Code::Aborted => "ABORTED",
            Code::OutOfRange => "OUT_OF_RANGE",
            Code::Unimplemented => "UNIMPLEMENTED",
            Code::Internal => "INTERNAL",
            Code::Unavailable => "UNAVAILABLE",
            Code::DataLoss => "DATA_LOSS",
            Code::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

pin_project! {
    /// The future of a layer that either refuses or passes the call on.
    pub struct Refusable<F> {
        refusal: Option<Refusal>,
        #[pin]
        future: Option<F>,
    }
}

impl<F> Refusable<F> {
    /// Answered here.
    pub fn refused(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), future: None }
    }

    /// Answered by `future`, further in.
    pub fn passed(future: F) -> Self {
        Self { refusal: None, future: Some(future) }
    }
}

impl<F, E> Future for Refusable<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Some(refusal) = this.refusal {
            return Poll::Ready(Ok(refusal.response()));
        }
        this.future.as_pin_mut().map_or(Poll::Pending, |future| future.poll(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients branch on the reason, so it must reach them, and so must the time to wait.
    #[test]
    fn a_refusal_carries_its_details() {
        let refusal = Refusal::TooManyCalls { limit: 3, setting: "limits.calls" };
        let response = refusal.response();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("limits.calls"), "{}", status.message());
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "TOO_MANY_CALLS");
        assert_eq!(details.error_info().unwrap().domain, "bbq.v1");
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(RETRY_DELAY));
        assert_eq!(response.headers()["content-type"], "application/grpc");
    }

    #[test]
    fn trailers_say_the_same_as_a_response() {
        let refusal = Refusal::BadTimeout { value: "\n€".to_owned() };
        let status = Status::from_header_map(&refusal.trailers()).unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), refusal.message());
    }

    #[test]
    fn every_code_has_a_place() {
        let places = (0..=16).map(|code| Outcome(Code::from(code)).index()).collect::<Vec<_>>();
        assert_eq!(places, (0..Outcome::COUNT).collect::<Vec<_>>());
        assert_eq!(Outcome(Code::Unauthenticated).name(), "UNAUTHENTICATED");
    }
}
