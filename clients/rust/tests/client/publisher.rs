//! Publishing in batches.

use bbq_client::{Client, Error, Publisher, PublisherOptions, Transport, proto::AckResponse};
use futures_util::{FutureExt, future::join_all};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    BOUND,
    fake::{Fake, published},
    within,
};

async fn publisher(options: PublisherOptions) -> (Fake, Client, Publisher) {
    let fake = Fake::start().await;
    let client = fake.client(Transport::Http3).await;
    let publisher = client.publisher_with("q", options);
    (fake, client, publisher)
}

fn bodies(call: &bbq_client::proto::PublishRequest) -> Vec<String> {
    call.messages.iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap()).collect()
}

/// While one call is in flight the next one fills, and messages keep their order.
#[tokio::test]
async fn next_call_fills_while_one_is_in_flight() {
    let (mut fake, _client, publisher) = publisher(PublisherOptions::default()).await;
    let first = within(publisher.publish("a")).await;
    let call = fake.publish().await;
    assert_eq!(bodies(&call.request), ["a"]);

    let mut rest = Vec::new();
    for body in ["b", "c", "d"] {
        rest.push(within(publisher.publish(body)).await);
    }
    call.answer(published(1, 1));
    assert_eq!(within(first).await.unwrap().sequence, 1);

    let call = fake.publish().await;
    assert_eq!(bodies(&call.request), ["b", "c", "d"]);
    call.answer(published(2, 3));
    let sequences: Vec<u64> =
        within(join_all(rest)).await.into_iter().map(|published| published.unwrap().sequence).collect();
    assert_eq!(sequences, [2, 3, 4]);
}

/// A call ends at its bounds of messages and bytes; a message over the bound goes alone.
#[tokio::test]
async fn calls_keep_their_bounds() {
    let options =
        PublisherOptions { call_messages_max: 3, call_bytes_max: 100, ..PublisherOptions::default() };
    let (mut fake, _client, publisher) = publisher(options).await;
    let mut confirmations = vec![within(publisher.publish("first")).await];
    let held = fake.publish().await;
    let large = "x".repeat(200);
    let half = "y".repeat(60);
    for body in ["a", "b", "c", "d", &large, &half, &half] {
        confirmations.push(within(publisher.publish(body.to_owned())).await);
    }
    held.answer(published(1, 1));
    let mut counts = Vec::new();
    while counts.iter().sum::<usize>() < 7 {
        let call = fake.publish().await;
        let count = call.request.messages.len();
        counts.push(count);
        call.answer(published(1, count));
    }
    assert_eq!(counts, [3, 1, 1, 1, 1]);
    assert!(within(join_all(confirmations)).await.iter().all(Result::is_ok));
}

/// So many calls as are allowed are in flight, and no more.
#[tokio::test]
async fn calls_in_flight_are_bounded() {
    let options =
        PublisherOptions { call_messages_max: 1, calls_in_flight: 2, ..PublisherOptions::default() };
    let (mut fake, _client, publisher) = publisher(options).await;
    let mut confirmations = Vec::new();
    for body in ["a", "b", "c"] {
        confirmations.push(within(publisher.publish(body)).await);
    }
    let (one, two) = (fake.publish().await, fake.publish().await);
    assert!(fake.publishes.try_recv().is_err(), "a third call before an answer");
    one.answer(published(1, 1));
    two.answer(published(2, 1));
    fake.publish().await.answer(published(3, 1));
    assert!(within(join_all(confirmations)).await.iter().all(Result::is_ok));
}

/// A publish waits while too many messages are unconfirmed.
#[tokio::test]
async fn publish_waits_for_room() {
    let options = PublisherOptions { unconfirmed_max: 1, ..PublisherOptions::default() };
    let (mut fake, _client, publisher) = publisher(options).await;
    let first = within(publisher.publish("a")).await;
    let mut second = Box::pin(publisher.publish("b"));
    assert!((&mut second).now_or_never().is_none(), "there was no room");
    fake.publish().await.answer(published(1, 1));
    within(first).await.unwrap();
    let second = within(second).await;
    fake.publish().await.answer(published(2, 1));
    assert_eq!(within(second).await.unwrap().sequence, 2);
}

/// One bad message among good ones fails alone, and the order of the others stays.
#[tokio::test]
async fn refusal_reaches_the_message_it_is_about() {
    let (mut fake, _client, publisher) = publisher(PublisherOptions::default()).await;
    let held = within(publisher.publish("first")).await;
    let call = fake.publish().await;
    let mut confirmations = Vec::new();
    for body in ["a", "b", "bad", "d", "e"] {
        confirmations.push(within(publisher.publish(body)).await);
    }
    call.answer(published(1, 1));
    within(held).await.unwrap();
    let server = tokio::spawn(async move {
        let mut stored = Vec::new();
        while stored.len() < 4 {
            let call = fake.publish().await;
            let bodies = bodies(&call.request);
            if bodies.iter().any(|body| body == "bad") {
                call.answer(Err(Status::invalid_argument("message 0: it is bad")));
            } else {
                let first = u64::try_from(stored.len()).unwrap() + 2;
                call.answer(published(first, bodies.len()));
                stored.extend(bodies);
            }
        }
        (fake, stored)
    });
    let results = within(join_all(confirmations)).await;
    let (_fake, stored) = within(server).await.unwrap();
    assert_eq!(stored, ["a", "b", "d", "e"]);
    let sequences: Vec<Option<u64>> =
        results.iter().map(|one| one.as_ref().ok().map(|one| one.sequence)).collect();
    assert_eq!(sequences, [Some(2), Some(3), None, Some(4), Some(5)]);
    assert!(
        matches!(&results[2], Err(Error::InvalidArgument(refusal)) if refusal.message == "message 0: it is bad")
    );
}

/// So does one that is refused under a code that may be about anything, and never one because of the queue.
#[tokio::test]
async fn reason_says_whether_a_refusal_is_of_one_message() {
    for (code, reason, alone) in [
        (Code::InvalidArgument, "DELAY_IN_ORDER", true),
        (Code::FailedPrecondition, "PRIORITY_IN_FIFO", true),
        (Code::FailedPrecondition, "NOT_BY_KEY", true),
        (Code::FailedPrecondition, "DEDUPLICATION_OFF", true),
        (Code::ResourceExhausted, "LIMIT_EXCEEDED", true),
        (Code::ResourceExhausted, "REQUEST_TOO_LARGE", true),
        (Code::ResourceExhausted, "TOO_MANY_DELAYED_MESSAGES", true),
        (Code::ResourceExhausted, "TOO_MANY_DEDUPLICATION_IDS", true),
        (Code::ResourceExhausted, "QUEUE_FULL", false),
        (Code::NotFound, "QUEUE_NOT_FOUND", false),
    ] {
        let (mut fake, _client, publisher) = publisher(PublisherOptions::default()).await;
        let held = within(publisher.publish("first")).await;
        let call = fake.publish().await;
        let both = [within(publisher.publish("good")).await, within(publisher.publish("bad")).await];
        call.answer(published(1, 1));
        within(held).await.unwrap();

        let refusal =
            || Status::with_error_details(code, "no", ErrorDetails::with_error_info(reason, "bbq.v1", []));
        let call = fake.publish().await;
        assert_eq!(bodies(&call.request), ["good", "bad"]);
        call.answer(Err(refusal()));
        if alone {
            fake.publish().await.answer(published(2, 1));
            fake.publish().await.answer(Err(refusal()));
        }
        let [good, bad] = within(join_all(both)).await.try_into().unwrap();
        assert_eq!(good.is_ok(), alone, "{reason}: {good:?}");
        assert_eq!(bad.unwrap_err().reason(), Some(reason));
    }
}

/// Closing the client waits for what publishers took, also what is in no call yet and whose publisher is gone.
#[tokio::test]
async fn close_waits_for_what_was_taken() {
    let options = PublisherOptions { call_messages_max: 1, ..PublisherOptions::default() };
    let (mut fake, client, publisher) = publisher(options).await;
    let confirmations = [within(publisher.publish("a")).await, within(publisher.publish("b")).await];
    drop(publisher);
    let close = tokio::spawn({
        let client = client.clone();
        async move { client.close_within(BOUND, BOUND).await }
    });
    for (first, body) in (1..).zip(["a", "b"]) {
        let call = fake.publish().await;
        assert_eq!(bodies(&call.request), [body]);
        // A whole call goes by, which is more than closing takes if it waits for nothing.
        let ack = tokio::spawn({
            let client = client.clone();
            async move { client.ack("q", &["r1"]).await }
        });
        fake.ack().await.answer(Ok(AckResponse::default()));
        assert_eq!(within(ack).await.unwrap(), Ok(Vec::new()));
        assert!(!close.is_finished(), "closed before {body} was confirmed");
        call.answer(published(first, 1));
    }
    within(close).await.unwrap();
    for (first, result) in (1..).zip(within(join_all(confirmations)).await) {
        assert_eq!(result.unwrap().sequence, first);
    }
}

/// Flush waits for all, tells the first error, and tells it once.
#[tokio::test]
async fn flush_waits_and_tells_the_first_error() {
    let (mut fake, _client, publisher) = publisher(PublisherOptions::default()).await;
    let _lost = within(publisher.publish("a")).await;
    let mut flush = Box::pin(publisher.flush());
    assert!((&mut flush).now_or_never().is_none(), "flushed before the answer");
    fake.publish().await.answer(Err(Status::not_found("there is no queue \"q\"")));
    assert!(matches!(within(flush).await, Err(Error::NotFound(_))));
    assert_eq!(within(publisher.flush()).await, Ok(()));
}

/// What was taken is published even if publisher and confirmation are gone.
#[tokio::test]
async fn dropped_publisher_still_sends() {
    let (mut fake, _client, publisher) = publisher(PublisherOptions::default()).await;
    drop(within(publisher.publish("a")).await);
    drop(publisher);
    let call = fake.publish().await;
    assert_eq!(bodies(&call.request), ["a"]);
    call.answer(published(1, 1));
}
