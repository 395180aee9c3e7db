//! Topics, end to end: what is published to one lands in every queue that a binding chooses, or in none.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::collections::HashMap;

use bbq_client::proto::{self, Binding, Grant, Permission, QueueSettings};
use bbq_client::{Client, Error, Message, PageRequest, Transport};
use serde_json::json;
use support::raw::{Raw, refusal, refuses_field};
use support::{Server, within};
use tonic::Code;

fn bound(queue: &str, pattern: &str) -> Binding {
    Binding { queue: queue.to_owned(), pattern: pattern.to_owned(), attributes: HashMap::new() }
}

fn wanting(queue: &str, key: &str, value: &str) -> Binding {
    Binding { attributes: [(key.to_owned(), value.to_owned())].into(), ..bound(queue, "") }
}

async fn queues(client: &Client, names: &[&str]) {
    for name in names {
        client.create_queue(name, QueueSettings::default()).await.unwrap();
    }
}

/// What a queue holds, by sequence.
async fn bodies(client: &Client, queue: &str) -> Vec<(u64, String)> {
    let page = PageRequest { size: 100, token: String::new() };
    let page = client.peek(queue, proto::MessageState::Unspecified, page).await.unwrap();
    let body = |message: proto::PeekedMessage| {
        let body = message.message.unwrap().body;
        (message.sequence, String::from_utf8(body.to_vec()).unwrap())
    };
    page.items.into_iter().map(body).collect()
}

/// Where a message went, as text.
fn places(routed: &[proto::RoutedMessage]) -> Vec<String> {
    routed.iter().map(|one| format!("{}:{}", one.queue, one.sequence)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_lands_in_every_queue_that_matches_over_both_transports() {
    let server = Server::start().await;
    for (round, transport) in [Transport::Http3, Transport::Http2].into_iter().enumerate() {
        let client = server.client_over(transport).await;
        let name = |name: &str| format!("n{round}/{name}");
        let (eu, all, red, topic) = (name("eu"), name("all"), name("red"), name("t"));
        queues(&client, &[&eu, &all, &red]).await;
        assert_eq!(client.create_topic(&topic).await.unwrap().name, topic);
        client.create_topic(&topic).await.unwrap();
        client.bind(&topic, bound(&eu, "orders.eu.*")).await.unwrap();
        for binding in [bound(&all, "orders.#"), bound(&all, "#"), wanting(&red, "color", "red")] {
            client.bind(&topic, binding.clone()).await.unwrap();
            client.bind(&topic, binding).await.unwrap();
        }
        let red_one = Message::new("b").attribute("color", "red").attribute("size", "1");
        let messages = vec![Message::new("a"), red_one, Message::new("c")];
        let routed = client.publish_all_to_topic(&topic, "orders.eu.created", messages).await.unwrap();
        let expected = [
            vec![format!("{eu}:1"), format!("{all}:1")],
            vec![format!("{eu}:2"), format!("{all}:2"), format!("{red}:1")],
            vec![format!("{eu}:3"), format!("{all}:3")],
        ];
        assert_eq!(routed.iter().map(|one| places(one)).collect::<Vec<_>>(), expected);
        assert_eq!(bodies(&client, &red).await, [(1, "b".to_owned())]);
        assert_eq!(bodies(&client, &eu).await.len(), 3);
        let other = client.publish_to_topic(&topic, "", "d").await.unwrap();
        assert_eq!(places(&other), [format!("{all}:4")]);

        client.unbind(&topic, bound(&all, "#")).await.unwrap();
        assert!(
            client.publish_to_topic(&topic, "payments", "e").await.unwrap().is_empty(),
            "nobody takes it"
        );
        let twice = client.unbind(&topic, bound(&all, "#")).await.unwrap_err();
        assert_eq!(twice.reason(), Some("BINDING_NOT_FOUND"), "{twice}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_bindings_and_what_went_through_them_survive_a_kill() {
    let mut server = Server::start().await;
    let client = server.client().await;
    queues(&client, &["q", "r"]).await;
    client.create_topic("t").await.unwrap();
    client.create_topic("gone").await.unwrap();
    client.bind("t", bound("q", "a.#")).await.unwrap();
    client.bind("t", bound("r", "b")).await.unwrap();
    client.bind("t", wanting("r", "k", "v")).await.unwrap();
    client.unbind("t", bound("r", "b")).await.unwrap();
    client.bind("gone", bound("q", "")).await.unwrap();
    client.delete_topic("gone").await.unwrap();
    client.publish_to_topic("t", "a.b", Message::new("x").attribute("k", "v")).await.unwrap();
    let before = client.all_topics().await.unwrap();
    server.kill().await;
    // Once from the journal, once from a checkpoint.
    for _ in 0..2 {
        server = server.again().start().await;
        let client = server.client().await;
        assert_eq!(client.all_topics().await.unwrap(), before);
        for queue in ["q", "r"] {
            assert_eq!(bodies(&client, queue).await, [(1, "x".to_owned())], "{queue}");
        }
        assert!(server.stop().await.success());
    }
    server = server.again().start().await;
    let client = server.client().await;
    assert_eq!(places(&client.publish_to_topic("t", "a", "y").await.unwrap()), ["q:2"]);
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_bound_or_wrong_is_named() {
    let server = Server::start().await;
    let client = server.client().await;
    queues(&client, &["q", "other/q"]).await;
    let reason = |error: Error| (error.reason().unwrap().to_owned(), error.to_string());
    for outcome in [
        client.bind("t", bound("q", "a")).await,
        client.unbind("t", bound("q", "a")).await,
        client.delete_topic("t").await,
        client.publish_to_topic("t", "a", "x").await.map(drop),
    ] {
        let (reason, message) = reason(outcome.unwrap_err());
        assert_eq!(reason, "TOPIC_NOT_FOUND");
        assert!(message.contains("no topic t") && message.contains("bbq topic create t"), "{message}");
    }
    client.create_topic("t").await.unwrap();
    let (missing, message) = reason(client.bind("t", bound("nobody", "a")).await.unwrap_err());
    assert_eq!(missing, "QUEUE_NOT_FOUND", "{message}");
    client.bind("t", bound("q", "orders.#")).await.unwrap();
    let error = client.delete_queue("q").await.unwrap_err();
    assert!(matches!(error, Error::FailedPrecondition(_)), "{error:?}");
    let (bound_to, message) = reason(error);
    assert_eq!(bound_to, "QUEUE_BOUND");
    for part in ["queue q", "topic t", "orders.#", "bbq topic unbind t q"] {
        assert!(message.contains(part), "{message}");
    }
    client.delete_topic("t").await.unwrap();
    client.delete_queue("q").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_field_is_refused_by_name() {
    let server = Server::start().await;
    queues(&server.client().await, &["q", "other/q"]).await;
    let mut raw = Raw::connect(&server).await;
    let create = proto::CreateTopicRequest { name: "a b".to_owned() };
    refuses_field(raw.admin.create_topic(create).await, "name");
    raw.admin.create_topic(proto::CreateTopicRequest { name: "t".to_owned() }).await.unwrap();
    let many = (0..17).map(|n| (n.to_string(), String::new())).collect();
    let reserved = || wanting("q", "bbq-x", "v");
    for (field, binding) in [
        ("binding", None),
        ("binding.queue", Some(bound("a b", "a"))),
        ("binding.queue", Some(bound("other/q", "a"))),
        ("binding.pattern", Some(bound("q", "ord*"))),
        ("binding.pattern", Some(bound("q", "a..b"))),
        ("binding.pattern", Some(bound("q", &"a".repeat(256)))),
        ("binding.attributes", Some(Binding { attributes: many, ..bound("q", "") })),
        ("binding.attributes", Some(wanting("q", "k", &"v".repeat(5000)))),
        ("binding.attributes", Some(reserved())),
    ] {
        let request = proto::BindRequest { topic: "t".to_owned(), binding: binding.clone() };
        refuses_field(raw.admin.bind(request).await, field);
        let request = proto::UnbindRequest { topic: "t".to_owned(), binding };
        refuses_field(raw.admin.unbind(request).await, field);
    }
    let publish = |topic: &str, key: &str, messages| proto::PublishRequest {
        target: Some(proto::publish_request::Target::Topic(topic.to_owned())),
        routing_key: key.to_owned(),
        messages,
    };
    let one = || vec![proto::Message::default()];
    refuses_field(raw.queues.publish(publish("t!", "a", one())).await, "topic");
    refuses_field(raw.queues.publish(publish("t", "a.", one())).await, "routing_key");
    refuses_field(raw.queues.publish(publish("t", "a", Vec::new())).await, "messages");
    let request = proto::ListTopicsRequest { page_size: 1001, page_token: String::new() };
    refuses_field(raw.admin.list_topics(request).await, "page_size");
    let request = proto::ListTopicsRequest { page_size: 1, page_token: "a b".to_owned() };
    refuses_field(raw.admin.list_topics(request).await, "page_token");
}

/// One call may not fan out without end; nothing of it is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_would_store_too_much_stores_nothing() {
    let bounds = ["--set", "broker.routed_messages=5", "--set", "broker.routed_bytes=1024"];
    let server = Server::start_with(&bounds).await;
    let client = server.client().await;
    queues(&client, &["q", "r"]).await;
    client.create_topic("t").await.unwrap();
    client.bind("t", bound("q", "")).await.unwrap();
    client.bind("t", bound("r", "")).await.unwrap();
    let mut raw = Raw::connect(&server).await;
    for (messages, name) in [
        (vec![proto::Message::default(); 3], "broker.routed_messages"),
        (vec![proto::Message { body: vec![0; 600].into(), ..Default::default() }], "broker.routed_bytes"),
    ] {
        let request = proto::PublishRequest {
            target: Some(proto::publish_request::Target::Topic("t".to_owned())),
            routing_key: String::new(),
            messages,
        };
        let (code, reason, field, message) = refusal(raw.queues.publish(request).await);
        assert_eq!(
            (code, reason.as_str(), field.as_str()),
            (Code::ResourceExhausted, "LIMIT_EXCEEDED", "messages")
        );
        assert!(message.contains(name), "{message}");
    }
    assert!(bodies(&client, "q").await.is_empty() && bodies(&client, "r").await.is_empty());
    assert_eq!(client.publish_to_topic("t", "", "x").await.unwrap().len(), 2);
}

/// Limits and ids count in each queue by itself; one that is full refuses it for all.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_for_all_and_one_that_drops_makes_room() {
    let server = Server::start().await;
    let client = server.client().await;
    let settings = QueueSettings {
        max_messages: 2,
        deduplication_window: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ..Default::default()
    };
    let dropping =
        QueueSettings { overflow: proto::Overflow::DropOldest.into(), max_messages: 2, ..Default::default() };
    client.create_queue("full", settings).await.unwrap();
    client.create_queue("drops", dropping).await.unwrap();
    queues(&client, &["q"]).await;
    client.create_topic("t").await.unwrap();
    for binding in [bound("full", "a"), bound("drops", "#"), bound("q", "#")] {
        client.bind("t", binding).await.unwrap();
    }
    let send = async |key: &str, body: &'static str| {
        client.publish_to_topic("t", key, Message::new(body).deduplication_id(body)).await
    };
    assert_eq!(places(&send("a", "1").await.unwrap()), ["full:1", "drops:1", "q:1"]);
    assert_eq!(places(&send("a", "1").await.unwrap()), ["full:1", "drops:2", "q:2"], "full has it already");
    send("a", "2").await.unwrap();
    let error = send("a", "3").await.unwrap_err();
    assert_eq!(error.reason(), Some("QUEUE_FULL"), "{error}");
    assert!(error.to_string().contains("queue full"), "{error}");
    let held = |bodies: Vec<(u64, String)>| bodies.into_iter().map(|(_, body)| body).collect::<String>();
    assert_eq!(held(bodies(&client, "drops").await), "12", "nothing went for a publish that was refused");
    assert_eq!(held(bodies(&client, "q").await), "112");
    assert_eq!(places(&send("b", "4").await.unwrap()), ["drops:4", "q:4"]);
    assert_eq!(held(bodies(&client, "drops").await), "24");
    // Now what has to go lies on disk only.
    let mut server = server;
    assert!(server.stop().await.success());
    let server = server.again().start().await;
    let client = server.client().await;
    let calls = (0..20).map(|_| client.publish_to_topic("t", "b", "5"));
    for outcome in futures_util::future::join_all(calls).await {
        outcome.unwrap();
    }
    assert_eq!(held(bodies(&client, "drops").await), "55");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_listed_a_page_at_a_time() {
    let server = Server::start().await;
    let client = server.client().await;
    queues(&client, &["q"]).await;
    for number in 0..5 {
        client.create_topic(&format!("t{number}")).await.unwrap();
    }
    client.bind("t1", bound("q", "b")).await.unwrap();
    client.bind("t1", bound("q", "a")).await.unwrap();
    let (mut token, mut names) = (String::new(), Vec::new());
    loop {
        let page = client.list_topics(PageRequest { size: 2, token }).await.unwrap();
        assert!(page.items.len() <= 2);
        names.extend(page.items.into_iter().map(|topic| (topic.name, topic.bindings.len())));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let expected = [("t0", 0), ("t1", 2), ("t2", 0), ("t3", 0), ("t4", 0)];
    assert!(names.iter().map(|(name, count)| (name.as_str(), *count)).eq(expected), "{names:?}");
}

/// Publishing needs the topic, binding both the topic and the queue, and nobody sees what is not theirs.
#[tokio::test(flavor = "multi_thread")]
async fn permissions_are_those_of_the_topic_and_of_the_queue() {
    let server = Server::start().await;
    let admin = server.client().await;
    queues(&admin, &["a-q", "b-q"]).await;
    for topic in ["a-t", "b-t"] {
        admin.create_topic(topic).await.unwrap();
        admin.bind(topic, bound("a-q", "")).await.unwrap();
        admin.bind(topic, bound("b-q", "")).await.unwrap();
    }
    let with = async |permission: Permission, names: &str| {
        let grants = vec![Grant { permission: permission.into(), queues: names.to_owned() }];
        let (_, secret) = admin.create_token("t", grants, None).await.unwrap();
        let profile = server.profile_of(Some(&secret), Transport::Http2);
        within("connecting", Client::connect(profile)).await.unwrap()
    };
    let denied = |outcome: Result<(), Error>, what: &str| match outcome {
        Err(Error::PermissionDenied(refusal)) => assert!(refusal.message.contains(what), "{refusal:?}"),
        other => panic!("{what}: {other:?}"),
    };
    let publisher = with(Permission::Publish, "a-t").await;
    assert_eq!(
        publisher.publish_to_topic("a-t", "", "x").await.unwrap().len(),
        2,
        "the topic's name is enough"
    );
    denied(publisher.publish_to_topic("b-t", "", "x").await.map(drop), "publish on topic b-t");
    denied(publisher.create_topic("a-t").await.map(drop), "manage on topic a-t");
    denied(publisher.delete_topic("a-t").await, "manage on topic a-t");
    let seen = publisher.all_topics().await.unwrap();
    assert_eq!(
        seen.iter().map(|topic| (topic.name.as_str(), topic.bindings.len())).collect::<Vec<_>>(),
        [("a-t", 0)]
    );

    let manager = with(Permission::Manage, "a-*").await;
    denied(manager.bind("a-t", bound("b-q", "x")).await, "manage on queue b-q");
    denied(manager.bind("b-t", bound("a-q", "x")).await, "manage on topic b-t");
    denied(manager.unbind("a-t", bound("b-q", "")).await, "manage on queue b-q");
    manager.bind("a-t", bound("a-q", "x")).await.unwrap();
    manager.unbind("a-t", bound("a-q", "x")).await.unwrap();
    manager.create_topic("a-new").await.unwrap();
    let seen = manager.all_topics().await.unwrap();
    let seen: Vec<_> = seen.iter().map(|topic| (topic.name.as_str(), topic.bindings.len())).collect();
    assert_eq!(seen, [("a-new", 0), ("a-t", 1)], "bindings of other people's queues are not shown");
    manager.delete_topic("a-t").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_make_bind_list_and_publish() {
    let server = Server::start().await;
    for args in [
        &["queue", "create", "q"][..],
        &["topic", "create", "t"],
        &["topic", "bind", "t", "q", "--pattern", "orders.*", "--attr", "k=v"],
    ] {
        server.run(args).await.ok();
    }
    let list = server.run(&["topic", "list", "--json"]).await.json();
    assert_eq!(list, [json!({"topic": "t", "queue": "q", "pattern": "orders.*", "attributes": {"k": "v"}})]);
    let table = server.run(&["topic", "list"]).await.ok();
    assert!(table.contains("PATTERN") && table.contains("k=v"), "{table}");
    let publish = ["publish", "--topic", "t", "--routing-key", "orders.eu", "--attr", "k=v", "--json"];
    let routed = |sequence: u64| json!({"topic": "t", "routing_key": "orders.eu", "routed": [{"queue": "q", "sequence": sequence}]});
    let done = server.run(&[&publish[..], &["one", "two"]].concat()).await.json();
    assert_eq!(done, [routed(1), routed(2)]);
    let lines = server.cli(&[&publish[..], &["--lines", "-"]].concat()).stdin("a\nb\nc\n").run().await.json();
    assert_eq!((&lines[0]["published"], &lines[0]["stored"]), (&json!(3), &json!(3)));
    let none = server.run(&["publish", "--topic", "t", "--routing-key", "orders.eu", "x"]).await.ok();
    assert_eq!(none, "no queue took it\n");
    let often = server.run(&["publish", "--topic", "t", "x", "--count", "3", "--json"]).await.json();
    assert_eq!((&often[0]["published"], &often[0]["unroutable"]), (&json!(3), &json!(3)));
    let refused = server.run(&["queue", "delete", "q"]).await.refused();
    assert!(refused.contains("`bbq topic unbind t q --pattern 'orders.*' --attr 'k=v'`"), "{refused}");
    server.run(&["topic", "unbind", "t", "q", "--pattern", "orders.*", "--attr", "k=v"]).await.ok();
    server.run(&["topic", "delete", "t"]).await.ok();
    assert_eq!(server.run(&["topic", "list", "--json"]).await.ok(), "");
}
