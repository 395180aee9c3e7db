//! Publishing call by call.

use bbq_client::{Message, Transport, proto::publish_request::Target};

use crate::{
    fake::{Fake, published},
    within,
};

const BOTH: [Transport; 2] = [Transport::Http3, Transport::Http2];

/// A publish carries all of the message, and the token, and returns its number.
#[tokio::test]
async fn publish_is_confirmed_on_both_transports() {
    for transport in BOTH {
        let mut fake = Fake::start().await;
        let client = fake.client(transport).await;
        let message = Message::new("hello").attribute("kind", "greeting").ordering_key("k").priority(3);
        let publish = tokio::spawn({
            let client = client.clone();
            async move { client.publish("q", message).await }
        });
        let call = fake.publish().await;
        assert_eq!(call.request.target, Some(Target::Queue("q".into())));
        assert_eq!(call.metadata.get("authorization").unwrap(), "Bearer secret");
        let sent = &call.request.messages[0];
        assert_eq!((&sent.body[..], &sent.ordering_key[..], sent.priority), (&b"hello"[..], "k", 3));
        assert_eq!(sent.attributes["kind"], "greeting");
        call.answer(published(41, 1));
        assert_eq!(within(publish).await.unwrap(), Ok(41));
    }
}

/// A body of several megabytes passes both ways' flow control.
#[tokio::test]
async fn large_publish_arrives_whole() {
    for transport in BOTH {
        let mut fake = Fake::start().await;
        let client = fake.client(transport).await;
        let body: Vec<u8> = (0..3_u32 << 20).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let publish = tokio::spawn({
            let body = body.clone();
            async move { client.publish("q", body).await }
        });
        let call = fake.publish().await;
        assert!(call.request.messages[0].body == body);
        call.answer(published(1, 1));
        assert_eq!(within(publish).await.unwrap(), Ok(1));
    }
}

/// An answer that lacks results is an error, not a panic.
#[tokio::test]
async fn wrong_number_of_results_is_an_error() {
    let mut fake = Fake::start().await;
    let client = fake.client(Transport::Auto).await;
    let publish = tokio::spawn(async move { client.publish_all("q", vec!["a".into(), "b".into()]).await });
    fake.publish().await.answer(published(1, 1));
    assert!(within(publish).await.unwrap().is_err());
}

/// Nothing to publish needs no call.
#[tokio::test]
async fn publishing_nothing_makes_no_call() {
    let fake = Fake::start().await;
    let client = fake.client(Transport::Auto).await;
    assert_eq!(within(client.publish_all("q", Vec::new())).await, Ok(Vec::new()));
}
