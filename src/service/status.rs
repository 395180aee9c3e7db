//! Errors as gRPC statuses with `google.rpc` details. With the middleware's refusals the only maker of a `Status`.
//!
//! Every status has an ErrorInfo with a stable reason in the domain `bbq.v1`; a bad field has a BadRequest, what may be
//! tried again a RetryInfo.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::tokens::TokenError;
use crate::broker::BrokerError;
use crate::types::{ReceiptFailure, SettingsError};

/// The domain of all reasons.
pub const DOMAIN: &str = "bbq.v1";

/// When to try again what the server could not do now.
const RETRY: Duration = Duration::from_millis(500);

/// A field that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Its name on the wire, such as `messages[3].body`.
    pub field: String,
    /// What is wrong, the bound, and the way out.
    pub problem: String,
    /// Whether it is well formed but more than a limit allows.
    pub over_limit: bool,
}

impl Invalid {
    /// A field that is wrong.
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into(), over_limit: false }
    }

    /// A field that is more than a limit allows.
    pub(super) fn over_limit(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { over_limit: true, ..Self::new(field, problem) }
    }
}

impl Invalid {
    /// The same as a part of something larger: `field` becomes `whole.field`.
    pub(super) fn within(self, whole: &str) -> Self {
        Self { field: format!("{whole}.{}", self.field), ..self }
    }
}

impl From<SettingsError> for Invalid {
    fn from(error: SettingsError) -> Self {
        let problem = error.to_string();
        match error {
            SettingsError::NoLimit => Self::new("settings.overflow", problem),
            SettingsError::AtMostOnce(field) => Self::new(format!("settings.{}", field.name()), problem),
        }
    }
}

impl From<Invalid> for Status {
    fn from(invalid: Invalid) -> Self {
        let Invalid { field, problem, over_limit } = invalid;
        let (code, reason) = if over_limit {
            (Code::ResourceExhausted, "LIMIT_EXCEEDED")
        } else {
            (Code::InvalidArgument, "INVALID_FIELD")
        };
        let message = format!("{field}: {problem}");
        let mut details = info(reason, [("field", field.as_str())]);
        details.add_bad_request_violation(field, problem);
        Status::with_error_details(code, message, details)
    }
}

impl From<BrokerError> for Status {
    fn from(error: BrokerError) -> Self {
        let message = error.to_string();
        match error {
            BrokerError::NoQueue(queue) => {
                let details = info("QUEUE_NOT_FOUND", [("queue", queue.as_str())]);
                Status::with_error_details(Code::NotFound, message, details)
            }
            BrokerError::OtherSettings(queue, _) => {
                let details = info("QUEUE_EXISTS", [("queue", queue.as_str())]);
                Status::with_error_details(Code::AlreadyExists, message, details)
            }
            BrokerError::NotEmpty(queue, field) => {
                let details = info("QUEUE_NOT_EMPTY", [("queue", queue.as_str()), ("field", field.name())]);
                Status::with_error_details(Code::FailedPrecondition, message, details)
            }
            BrokerError::DeadWait { queue, waits_for, .. } => {
                let details = info(
                    "DEAD_MESSAGES_WAIT",
                    [("queue", queue.as_str()), ("dead_letter_queue", waits_for.as_str())],
                );
                Status::with_error_details(Code::FailedPrecondition, message, details)
            }
            BrokerError::Cycle(_) => {
                Status::with_error_details(Code::FailedPrecondition, message, info("DEAD_LETTER_CYCLE", []))
            }
            BrokerError::InUse { queue, by } => {
                let details = info("QUEUE_IN_USE", [("queue", queue.as_str()), ("by", by.as_str())]);
                Status::with_error_details(Code::FailedPrecondition, message, details)
            }
            BrokerError::Settings(error) => Invalid::from(error).into(),
            BrokerError::Behind => unavailable("STORE_BEHIND", message),
            BrokerError::Full(queue, _) => {
                let details = info("QUEUE_FULL", [("queue", queue.as_str())]);
                Status::with_error_details(Code::ResourceExhausted, message, details)
            }
            BrokerError::NoDeduplication(queue) => {
                let details = info("DEDUPLICATION_OFF", [("queue", queue.as_str())]);
                Status::with_error_details(Code::FailedPrecondition, message, details)
            }
            BrokerError::NoPriorities(queue) => {
                let details = info("PRIORITY_IN_FIFO", [("queue", queue.as_str())]);
                Status::with_error_details(Code::FailedPrecondition, message, details)
            }
            BrokerError::NoDelays(queue) => {
                let mut details = info("DELAY_IN_ORDER", [("queue", queue.as_str()), ("field", "delay")]);
                details.add_bad_request_violation("delay", message.as_str());
                Status::with_error_details(Code::InvalidArgument, message, details)
            }
            BrokerError::LateDelay { queue, .. } => {
                let mut details = info("DELAY_TOO_LONG", [("queue", queue.as_str()), ("field", "delay")]);
                details.add_bad_request_violation("delay", message.as_str());
                Status::with_error_details(Code::InvalidArgument, message, details)
            }
            BrokerError::TooManyDelayed { limit, .. } => {
                let limit = limit.to_string();
                let details = info(
                    "TOO_MANY_DELAYED_MESSAGES",
                    [("limit", limit.as_str()), ("key", "broker.delayed_messages_max")],
                );
                Status::with_error_details(Code::ResourceExhausted, message, details)
            }
            BrokerError::NoKeys(queue) => {
                let details = info("NOT_BY_KEY", [("queue", queue.as_str())]);
                Status::with_error_details(Code::FailedPrecondition, message, details)
            }
            BrokerError::TooManyIds { limit } => {
                let limit = limit.to_string();
                let details = info(
                    "TOO_MANY_DEDUPLICATION_IDS",
                    [("limit", limit.as_str()), ("key", "broker.deduplication_ids_max")],
                );
                Status::with_error_details(Code::ResourceExhausted, message, details)
            }
            BrokerError::NoTopic(topic) => {
                let details = info("TOPIC_NOT_FOUND", [("topic", topic.as_str())]);
                Status::with_error_details(Code::NotFound, message, details)
            }
            BrokerError::NoBinding { topic, queue, .. } => {
                let details =
                    info("BINDING_NOT_FOUND", [("topic", topic.as_str()), ("queue", queue.as_str())]);
                Status::with_error_details(Code::NotFound, message, details)
            }
            BrokerError::TooManyBindings { topic, .. } => {
                let details = info("TOO_MANY_BINDINGS", [("topic", topic.as_str())]);
                Status::with_error_details(Code::ResourceExhausted, message, details)
            }
            BrokerError::QueueBound { queue, topic, pattern, .. } => {
                let bound =
                    [("queue", queue.as_str()), ("topic", topic.as_str()), ("pattern", pattern.as_str())];
                Status::with_error_details(Code::FailedPrecondition, message, info("QUEUE_BOUND", bound))
            }
            BrokerError::Stale { queue, why, .. } => stale_receipt(queue.as_str(), "", why, &message),
            BrokerError::OtherTransaction(id) => {
                let details = info("OTHER_TRANSACTION", [("transaction_id", id.as_str())]);
                Status::with_error_details(Code::InvalidArgument, message, details)
            }
            BrokerError::LargeTransaction { .. } => Invalid::over_limit("publishes", message).into(),
            BrokerError::RoutedMessages { .. } | BrokerError::RoutedBytes { .. } => {
                Invalid::over_limit("messages", message).into()
            }
            BrokerError::Draining => unavailable("DRAINING", message),
            BrokerError::StoreFailed => unavailable("STORE_FAILED", message),
            BrokerError::BackupRunning => {
                Status::with_error_details(Code::FailedPrecondition, message, info("BACKUP_RUNNING", []))
            }
            BrokerError::Backup => unavailable("BACKUP_FAILED", message),
            BrokerError::Read => unavailable("STORE_READ_FAILED", message),
        }
    }
}

impl From<TokenError> for Status {
    fn from(error: TokenError) -> Self {
        let message = error.to_string();
        match error {
            TokenError::NotFound(id) => Status::with_error_details(
                Code::NotFound,
                message,
                info("TOKEN_NOT_FOUND", [("token", id.as_str())]),
            ),
            TokenError::LastAdmin(id) => {
                let details = info("LAST_ADMIN_TOKEN", [("token", id.as_str())]);
                Status::with_error_details(Code::FailedPrecondition, message, details)
            }
            TokenError::Pattern { place, problem } => {
                Invalid::new(format!("grants[{place}].queues"), problem).into()
            }
            TokenError::Invalid { field, problem } => Invalid::new(field, problem).into(),
            TokenError::TooMany(_) => {
                Status::with_error_details(Code::ResourceExhausted, message, info("TOO_MANY_TOKENS", []))
            }
            TokenError::Store(_) => unavailable("TOKEN_NOT_STORED", message),
        }
    }
}

/// A receipt that aborts a transaction.
pub(super) fn stale_receipt(queue: &str, receipt: &str, why: ReceiptFailure, message: &str) -> Status {
    let details = info("STALE_RECEIPT", [("queue", queue), ("receipt", receipt), ("why", why_word(why))]);
    let message =
        if receipt.is_empty() { message.to_owned() } else { format!("receipt {receipt}: {message}") };
    Status::with_error_details(Code::Aborted, message, details)
}

/// A receipt's failure as the wire calls it.
fn why_word(why: ReceiptFailure) -> &'static str {
    match why {
        ReceiptFailure::Superseded => "SUPERSEDED",
        ReceiptFailure::Expired => "EXPIRED",
        ReceiptFailure::Gone => "GONE",
        ReceiptFailure::Unknown => "UNKNOWN",
    }
}

/// A mistake of the server's own.
pub(super) fn internal(what: &str) -> Status {
    Status::with_error_details(Code::Internal, what, info("INTERNAL", []))
}

/// A stream that was given up because nobody took it.
pub(super) fn stalled(message: &str) -> Status {
    unavailable("STALLED", message.to_owned())
}

/// A caller that is known but may not do this, to a `queue` or a `topic` of that name if it is about one.
/// Any of the permissions `wanted` would do.
pub(super) fn denied(caller: &str, wanted: &[&str], at: Option<(&str, &str)>) -> Status {
    let on = at.map_or(String::new(), |(what, name)| format!(" on {what} {name}"));
    let any = wanted.join(" or ");
    let message = format!("token {caller} lacks the permission {any}{on}; ask for a token that has it");
    let at = at.unwrap_or(("queue", ""));
    let details =
        info("PERMISSION_MISSING", [("permission", wanted.first().copied().unwrap_or_default()), at]);
    Status::with_error_details(Code::PermissionDenied, message, details)
}

/// A request that came past the middleware that names callers.
pub(super) fn no_caller() -> Status {
    let message = "the call carries no identity; send `authorization: Bearer <token>`";
    Status::with_error_details(Code::Unauthenticated, message, info("NO_IDENTITY", []))
}

/// Whether tonic refused a request for its size, which it calls OUT_OF_RANGE.
#[must_use]
pub fn is_oversize(code: Code, message: &str) -> bool {
    code == Code::OutOfRange && message.contains("message length too large")
}

/// What such a request is told instead.
#[must_use]
pub fn oversize(limit: usize) -> Status {
    let message =
        format!("the request is larger than {limit} bytes (limits.request_bytes); send it in parts");
    Status::with_error_details(Code::ResourceExhausted, message, info("REQUEST_TOO_LARGE", []))
}

/// What a request with more parts than any may have is told.
pub(super) fn too_many_parts(limit: usize) -> Status {
    let message = format!("the request has more than {limit} parts; send it in several calls");
    Status::with_error_details(Code::ResourceExhausted, message, info("REQUEST_TOO_LARGE", []))
}

fn unavailable(reason: &str, message: String) -> Status {
    let mut details = info(reason, []);
    details.set_retry_info(Some(RETRY));
    Status::with_error_details(Code::Unavailable, message, details)
}

fn info<const N: usize>(reason: &str, metadata: [(&str, &str); N]) -> ErrorDetails {
    let metadata: HashMap<String, String> =
        metadata.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}
