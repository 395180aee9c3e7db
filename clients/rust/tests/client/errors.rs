//! What the server says, as the caller sees it.

use std::time::Duration;

use bbq_client::{Error, Transport};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{fake::Fake, within};

async fn refused(transport: Transport, status: Status) -> Error {
    let mut fake = Fake::start().await;
    let client = fake.client(transport).await;
    let publish = tokio::spawn(async move { client.publish("q", "a").await });
    fake.publish().await.answer(Err(status));
    within(publish).await.unwrap().unwrap_err()
}

/// Message, reason and retry delay arrive over both transports.
#[tokio::test]
async fn details_arrive() {
    for transport in [Transport::Http3, Transport::Http2] {
        let mut details = ErrorDetails::new();
        details
            .set_error_info("QUEUE_FULL", "bbq", std::collections::HashMap::new())
            .set_retry_info(Some(Duration::from_secs(3600)));
        let status = Status::with_error_details(Code::ResourceExhausted, "queue \"q\" is full", details);
        let error = refused(transport, status).await;
        assert!(matches!(error, Error::ResourceExhausted(_)));
        assert_eq!(error.to_string(), "queue \"q\" is full");
        assert_eq!(error.reason(), Some("QUEUE_FULL"));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
        assert!(error.is_retryable());
    }
}

/// Each code has its variant.
#[tokio::test]
async fn codes_are_mapped() {
    type Is = fn(&Error) -> bool;
    let table: [(Code, Is); 12] = [
        (Code::NotFound, |error| matches!(error, Error::NotFound(_))),
        (Code::AlreadyExists, |error| matches!(error, Error::AlreadyExists(_))),
        (Code::InvalidArgument, |error| matches!(error, Error::InvalidArgument(_))),
        (Code::FailedPrecondition, |error| matches!(error, Error::FailedPrecondition(_))),
        (Code::Aborted, |error| matches!(error, Error::Aborted(_))),
        (Code::ResourceExhausted, |error| matches!(error, Error::ResourceExhausted(_))),
        (Code::Unauthenticated, |error| matches!(error, Error::Unauthenticated(_))),
        (Code::PermissionDenied, |error| matches!(error, Error::PermissionDenied(_))),
        (Code::Unavailable, |error| matches!(error, Error::Unavailable(_))),
        (Code::DeadlineExceeded, |error| matches!(error, Error::DeadlineExceeded(_))),
        (Code::Cancelled, |error| matches!(error, Error::Cancelled(_))),
        (Code::Unimplemented, |error| matches!(error, Error::Unimplemented(_))),
    ];
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Auto).await;
    for (code, is) in table {
        let publish = tokio::spawn({
            let client = client.clone();
            async move { client.publish("q", "a").await }
        });
        fake.publish().await.answer(Err(Status::new(code, "two\nlines")));
        let error = within(publish).await.unwrap().unwrap_err();
        assert!(is(&error), "{code:?} became {error:?}");
        assert_eq!(error.to_string(), "two lines");
    }
}
