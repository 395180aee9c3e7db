//! What can go wrong, in one enum.
//!
//! It decides how a status, a lost connection or a refused receipt looks to the caller. It never retries.
//!
//! Always true: a message is one line that names the thing and, where there is one, the way out; an error that the
//! client made itself survives the trip through a `tonic::Status` unchanged (it travels as the status's source).

use std::{error::Error as _, sync::Arc, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Refusals that are about some messages of a publish, or about how large it is, under a code that may be about anything.
const OF_ONE_MESSAGE: [&str; 7] = [
    "PRIORITY_IN_FIFO",
    "NOT_BY_KEY",
    "DEDUPLICATION_OFF",
    "LIMIT_EXCEEDED",
    "REQUEST_TOO_LARGE",
    "TOO_MANY_DELAYED_MESSAGES",
    "TOO_MANY_DEDUPLICATION_IDS",
];

/// What the server, or the client on its behalf, said when it refused a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One line for people.
    pub message: String,
    /// A word for programs, from `google.rpc.ErrorInfo`: `QUEUE_NOT_FOUND`, for example.
    pub reason: Option<String>,
    /// How long to wait before another try, from `google.rpc.RetryInfo`.
    pub retry_after: Option<Duration>,
    /// Whether it is certain that the server did nothing.
    pub(crate) unprocessed: bool,
}

/// Why a receipt settled nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReceiptFailure {
    /// A later attempt holds, or held, the message.
    Superseded,
    /// The lease ended and the message waits for its next delivery.
    Expired,
    /// The message has been settled, dead-lettered, purged or dropped.
    Gone,
    /// Not a receipt, or one of another queue.
    Unknown,
}

/// Any failure of a call, a connection or a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such queue, topic or token.
    #[error("{}", .0.message)]
    NotFound(Refusal),
    /// It is there already, and differs.
    #[error("{}", .0.message)]
    AlreadyExists(Refusal),
    /// The request breaks a rule or a limit; the same request will fail again.
    #[error("{}", .0.message)]
    InvalidArgument(Refusal),
    /// The request is fine, but not in this state: a queue that others name, for example.
    #[error("{}", .0.message)]
    FailedPrecondition(Refusal),
    /// The call ran into another one, or a transaction into a stale receipt.
    #[error("{}", .0.message)]
    Aborted(Refusal),
    /// A queue, a connection or the server is full.
    #[error("{}", .0.message)]
    ResourceExhausted(Refusal),
    /// The token or certificate is missing, unknown or has ended.
    #[error("{}", .0.message)]
    Unauthenticated(Refusal),
    /// The token is known, but not allowed to do this here.
    #[error("{}", .0.message)]
    PermissionDenied(Refusal),
    /// The server is going away, or the connection was lost. Whether the call had an effect is not known.
    #[error("{}", .0.message)]
    Unavailable(Refusal),
    /// No answer in time. Whether the call had an effect is not known.
    #[error("{}", .0.message)]
    DeadlineExceeded(Refusal),
    /// The call was cancelled.
    #[error("{}", .0.message)]
    Cancelled(Refusal),
    /// The server does not know this call.
    #[error("{}", .0.message)]
    Unimplemented(Refusal),
    /// The server, or the path to it, broke a promise.
    #[error("{}", .0.message)]
    Internal(Refusal),
    /// [`Client::close`](crate::Client::close) was called on the client or a clone of it.
    #[error("{}", .0.message)]
    Closed(Refusal),
    /// No connection could be made.
    #[error("cannot reach {url}: {reason}")]
    Connect {
        /// Where to.
        url: String,
        /// Why not, and what to do about it.
        reason: String,
    },
    /// The server's certificate is not accepted: trying again comes to the same.
    #[error("cannot reach {url}: {reason}")]
    Certificate {
        /// Where to.
        url: String,
        /// Why not, and what to do about it.
        reason: String,
    },
    /// The profile is missing or wrong.
    #[error("{0}")]
    Profile(String),
    /// A receipt settled, or extended, nothing.
    #[error("receipt {receipt} changed nothing: {why}")]
    Receipt {
        /// The receipt as it was sent.
        receipt: String,
        /// Why.
        why: ReceiptFailure,
    },
}

impl Error {
    /// Whether the same call may succeed later. It says nothing about whether repeating it is safe: a `publish` that
    /// failed so may have happened.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::DeadlineExceeded(_) | Self::Aborted(_) | Self::Connect { .. } => {
                true
            }
            Self::ResourceExhausted(_) => true,
            Self::NotFound(_)
            | Self::AlreadyExists(_)
            | Self::InvalidArgument(_)
            | Self::FailedPrecondition(_)
            | Self::Unauthenticated(_)
            | Self::PermissionDenied(_)
            | Self::Cancelled(_)
            | Self::Unimplemented(_)
            | Self::Internal(_)
            | Self::Closed(_)
            | Self::Certificate { .. }
            | Self::Profile(_)
            | Self::Receipt { .. } => false,
        }
    }

    /// The word for programs that the server sent, if it did.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.refusal()?.reason.as_deref()
    }

    /// How long the server asks to wait before another try, if it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.refusal()?.retry_after
    }

    /// Whether it is certain that the call had no effect, so that even a publish may be repeated.
    #[must_use]
    pub fn is_unprocessed(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Certificate { .. } | Self::Profile(_) => true,
            Self::ResourceExhausted(refusal) if refusal.retry_after.is_some() => true,
            _ => self.refusal().is_some_and(|refusal| refusal.unprocessed),
        }
    }

    /// What was said, for the variants that a call ends with.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::NotFound(refusal)
            | Self::AlreadyExists(refusal)
            | Self::InvalidArgument(refusal)
            | Self::FailedPrecondition(refusal)
            | Self::Aborted(refusal)
            | Self::ResourceExhausted(refusal)
            | Self::Unauthenticated(refusal)
            | Self::PermissionDenied(refusal)
            | Self::Unavailable(refusal)
            | Self::DeadlineExceeded(refusal)
            | Self::Cancelled(refusal)
            | Self::Unimplemented(refusal)
            | Self::Internal(refusal)
            | Self::Closed(refusal) => Some(refusal),
            Self::Connect { .. } | Self::Certificate { .. } | Self::Profile(_) | Self::Receipt { .. } => None,
        }
    }

    /// Whether what was refused is one message, or are some, rather than the whole call, so that the others may be sent
    /// without it.
    pub(crate) fn is_of_one_message(&self) -> bool {
        matches!(self, Self::InvalidArgument(_))
            || self.reason().is_some_and(|reason| OF_ONE_MESSAGE.contains(&reason))
    }

    /// The connection is gone, or the server is going.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable(Refusal::local(message))
    }

    /// The same, and the server certainly did nothing.
    pub(crate) fn unprocessed(message: impl Into<String>) -> Self {
        Self::Unavailable(Refusal { unprocessed: true, ..Refusal::local(message) })
    }

    /// No answer within `deadline`.
    pub(crate) fn deadline(deadline: Duration) -> Self {
        Self::DeadlineExceeded(Refusal::local(format!(
            "no answer within {deadline:?}; whether the call had an effect is not known"
        )))
    }

    /// The client is closed, and nothing was sent.
    pub(crate) fn closed() -> Self {
        Self::Closed(Refusal {
            unprocessed: true,
            ..Refusal::local(
                "the client is closed, and its clones with it; connect another one with `Client::connect`",
            )
        })
    }

    /// The client was closed while the call was under way.
    pub(crate) fn cut_by_closing() -> Self {
        Self::Closed(Refusal::local("the client was closed; whether the call had an effect is not known"))
    }

    /// A broken promise.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::Internal(Refusal::local(message))
    }

    /// The status that carries this error through tonic's generated clients.
    pub(crate) fn into_status(self) -> Status {
        let code = match &self {
            Self::Connect { .. } | Self::Certificate { .. } | Self::Unavailable(_) => Code::Unavailable,
            Self::Cancelled(_) | Self::Closed(_) => Code::Cancelled,
            Self::ResourceExhausted(_) => Code::ResourceExhausted,
            Self::DeadlineExceeded(_) => Code::DeadlineExceeded,
            _ => Code::Internal,
        };
        let mut status = Status::new(code, self.to_string());
        status.set_source(Arc::new(self));
        status
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        if let Some(own) = own_error(&status) {
            return own;
        }
        let details = status.get_error_details();
        let mut refusal = Refusal {
            message: one_line(status.message()),
            reason: details.error_info().map(|info| info.reason.clone()),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            unprocessed: false,
        };
        if refusal.message.is_empty() {
            refusal.message = status.code().description().to_owned();
        }
        match status.code() {
            Code::NotFound => Self::NotFound(refusal),
            Code::AlreadyExists => Self::AlreadyExists(refusal),
            Code::InvalidArgument | Code::OutOfRange => Self::InvalidArgument(refusal),
            Code::FailedPrecondition => Self::FailedPrecondition(refusal),
            Code::Aborted => Self::Aborted(refusal),
            Code::ResourceExhausted => Self::ResourceExhausted(refusal),
            Code::Unauthenticated => Self::Unauthenticated(refusal),
            Code::PermissionDenied => Self::PermissionDenied(refusal),
            Code::Unavailable => Self::Unavailable(refusal),
            Code::DeadlineExceeded => Self::DeadlineExceeded(refusal),
            Code::Cancelled => Self::Cancelled(refusal),
            Code::Unimplemented => Self::Unimplemented(refusal),
            Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => Self::Internal(refusal),
        }
    }
}

/// What a status that was made on this side of the wire stands for. A status that came from the server has no source.
fn own_error(status: &Status) -> Option<Error> {
    let mut source = status.source();
    source?;
    while let Some(error) = source {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own.clone());
        }
        if let Some(error) = error.downcast_ref::<h2::Error>()
            && error.is_remote()
            && error.reason() == Some(h2::Reason::REFUSED_STREAM)
        {
            return Some(Error::unprocessed("the server did not take the call (REFUSED_STREAM)"));
        }
        if error.is::<tonic::TimeoutExpired>() {
            return Some(Error::DeadlineExceeded(Refusal::local("no answer before the deadline")));
        }
        if error.is::<tonic::ConnectError>() {
            return Some(Error::unprocessed(format!("the connection is lost: {}", root(error))));
        }
        source = error.source();
    }
    // hyper reports a connection that broke under a call as unknown, or as cancelled without a reset from the peer.
    let reset = status.message().starts_with("h2 protocol error");
    match status.code() {
        Code::Unknown => Some(Error::unavailable(format!("the connection was lost: {}", deepest(status)))),
        Code::Cancelled if !reset => {
            Some(Error::unavailable(format!("the connection was lost: {}", deepest(status))))
        }
        _ => None,
    }
}

fn deepest(status: &Status) -> String {
    status.source().map_or_else(|| one_line(status.message()), root)
}

/// The first cause, which is the one that names the trouble.
pub(crate) fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    one_line(&error.to_string())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Refusal {
    /// A refusal that the client makes itself.
    pub(crate) fn local(message: impl Into<String>) -> Self {
        Self { message: message.into(), reason: None, retry_after: None, unprocessed: false }
    }
}

impl std::fmt::Display for ReceiptFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Superseded => "a later attempt at the message holds, or held, it",
            Self::Expired => "its lease ended, and the message waits for its next delivery",
            Self::Gone => "the message has been settled, dead-lettered, purged or dropped",
            Self::Unknown => "it is not a receipt of this queue",
        })
    }
}

impl From<crate::proto::ReceiptFailureReason> for ReceiptFailure {
    fn from(reason: crate::proto::ReceiptFailureReason) -> Self {
        use crate::proto::ReceiptFailureReason as Wire;
        match reason {
            Wire::Superseded => Self::Superseded,
            Wire::Expired => Self::Expired,
            Wire::Gone => Self::Gone,
            Wire::Unknown | Wire::Unspecified => Self::Unknown,
        }
    }
}
