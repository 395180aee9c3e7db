//! Transactions, end to end: acks and publishes over several queues, all of it or nothing, also when the server is killed.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bbq_client::proto::publish_request::Target;
use bbq_client::proto::{self, Binding, Grant, Permission, QueueSettings};
use bbq_client::{Client, Error, Message, PageRequest, Profile, Transport};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use support::raw::{Raw, refusal, refuses_field};
use support::{Server, Setup, within};
use tokio::task::JoinSet;
use tonic::Code;

fn ack(queue: &str, receipts: &[&str]) -> proto::AckRequest {
    let receipts = receipts.iter().map(|&receipt| receipt.to_owned()).collect();
    proto::AckRequest { queue: queue.to_owned(), receipts }
}

fn to(target: Target, key: &str, bodies: &[&str]) -> proto::PublishRequest {
    let message = |body: &&str| proto::Message { body: body.to_string().into(), ..Default::default() };
    let messages = bodies.iter().map(message).collect();
    proto::PublishRequest { target: Some(target), routing_key: key.to_owned(), messages }
}

fn to_queue(queue: &str, bodies: &[&str]) -> proto::PublishRequest {
    to(Target::Queue(queue.to_owned()), "", bodies)
}

fn request(
    id: &str,
    acks: Vec<proto::AckRequest>,
    publishes: Vec<proto::PublishRequest>,
) -> proto::TransactRequest {
    proto::TransactRequest { acks, publishes, transaction_id: id.to_owned() }
}

fn bound(queue: &str, pattern: &str) -> Binding {
    Binding { queue: queue.to_owned(), pattern: pattern.to_owned(), ..Default::default() }
}

async fn receive(client: &Client, queue: &str, count: u32) -> Vec<String> {
    let taken = client.receive(queue, count, Duration::from_secs(5), None).await.unwrap();
    taken.iter().map(|delivery| delivery.receipt().to_owned()).collect()
}

/// All that is in a queue, in whatever state.
async fn bodies(client: &Client, queue: &str) -> Vec<String> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = PageRequest { size: 1000, token };
        let page = client.peek(queue, proto::MessageState::Unspecified, page).await.unwrap();
        let body = |message: proto::PeekedMessage| {
            String::from_utf8(message.message.unwrap().body.to_vec()).unwrap()
        };
        found.extend(page.items.into_iter().map(body));
        token = page.next_page_token;
        if token.is_empty() {
            return found;
        }
    }
}

async fn server_with_queues() -> (Server, Client) {
    let server = Server::start().await;
    let client = server.client().await;
    for queue in ["in", "out", "log", "n/q"] {
        client.create_queue(queue, QueueSettings::default()).await.unwrap();
    }
    (server, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acked_and_what_is_published_happens_together_over_both_transports() {
    let (server, admin) = server_with_queues().await;
    admin.create_topic("t").await.unwrap();
    admin.bind("t", bound("log", "done.#")).await.unwrap();
    admin.bind("t", bound("out", "#")).await.unwrap();
    for (round, transport) in (0_u64..).zip([Transport::Http3, Transport::Http2]) {
        let client = server.client_over(transport).await;
        client.publish("in", "a").await.unwrap();
        let receipts = receive(&client, "in", 1).await;
        let topic = to(Target::Topic("t".to_owned()), "done.a", &["c"]);
        let publishes = vec![to_queue("out", &["b1", "b2"]), topic, to_queue("log", &["d"])];
        let done = client.transact(request("", vec![ack("in", &[&receipts[0]])], publishes)).await.unwrap();
        let sequences = |at: usize| done[at].results.iter().map(|one| one.sequence).collect::<Vec<_>>();
        assert_eq!(sequences(0), [3 * round + 1, 3 * round + 2]);
        let routed: Vec<_> =
            done[1].results[0].routed.iter().map(|one| (one.queue.as_str(), one.sequence)).collect();
        assert_eq!(routed, [("out", 3 * round + 3), ("log", 2 * round + 1)]);
        assert_eq!(sequences(2), [2 * round + 2]);
    }
    assert_eq!(bodies(&admin, "in").await.len(), 0);
    assert_eq!(bodies(&admin, "out").await, ["b1", "b2", "c", "b1", "b2", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stale_receipt_aborts_all_and_is_named() {
    let (_server, client) = server_with_queues().await;
    client.publish_all("in", vec![Message::new("a"), Message::new("b")]).await.unwrap();
    let receipts = receive(&client, "in", 2).await;
    client.ack("in", &[&receipts[1]]).await.unwrap();
    for (bad, why) in
        [(receipts[1].as_str(), "gone"), ("nonsense", "not a receipt"), ("1.1.1.99", "not a receipt")]
    {
        let acks = vec![ack("in", &[&receipts[0], bad])];
        let error = client.transact(request("", acks, vec![to_queue("out", &["x"])])).await.unwrap_err();
        assert!(matches!(error, Error::Aborted(_)) && error.reason() == Some("STALE_RECEIPT"), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(bad) && message.contains("queue in") && message.contains(why), "{message}");
    }
    assert_eq!(bodies(&client, "in").await, ["a"]);
    assert!(bodies(&client, "out").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_gives_the_first_outcome_again_across_kills() {
    let (mut server, client) = server_with_queues().await;
    client.publish("in", "a").await.unwrap();
    let receipts = receive(&client, "in", 1).await;
    let with_attributes = || {
        // Maps have no order on the wire.
        let attributes = (0..20).map(|n| (format!("k{n}"), "v".to_owned())).collect();
        let message = proto::Message { attributes, ..Default::default() };
        proto::PublishRequest { messages: vec![message], ..to_queue("log", &[]) }
    };
    let asked = || {
        request("job-1", vec![ack("in", &[&receipts[0]])], vec![to_queue("out", &["x"]), with_attributes()])
    };
    let first = client.transact(asked()).await.unwrap();
    for stop in [false, true] {
        assert_eq!(server.client().await.transact(asked()).await.unwrap(), first);
        if stop {
            assert!(server.stop().await.success());
        } else {
            server.kill().await;
        }
        server = server.again().start().await;
    }
    let client = server.client().await;
    assert_eq!(client.transact(asked()).await.unwrap(), first);
    assert_eq!(bodies(&client, "out").await, ["x"]);
    let other =
        client.transact(request("job-1", Vec::new(), vec![to_queue("out", &["y"])])).await.unwrap_err();
    assert_eq!(other.reason(), Some("OTHER_TRANSACTION"), "{other}");
    assert!(other.to_string().contains("job-1"), "{other}");
    // Another namespace has ids of its own, and what was refused is not remembered.
    client.transact(request("job-1", Vec::new(), vec![to_queue("n/q", &["y"])])).await.unwrap();
    let stale = request("job-2", vec![ack("in", &[&receipts[0]])], vec![to_queue("out", &["z"])]);
    assert!(matches!(client.transact(stale).await, Err(Error::Aborted(_))));
    client.transact(request("job-2", Vec::new(), vec![to_queue("out", &["z"])])).await.unwrap();
    assert_eq!(bodies(&client, "out").await, ["x", "z"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_field_is_refused_by_place_and_nothing_is_done() {
    let server = Server::start_with(&["--set", "limits.batch_items=4"]).await;
    let client = server.client().await;
    for queue in ["in", "out", "n/q"] {
        client.create_queue(queue, QueueSettings::default()).await.unwrap();
    }
    let mut raw = Raw::connect(&server).await;
    let good = || to_queue("out", &["x"]);
    let receipt = || vec![ack("in", &["1.1.1.1"])];
    for (field, bad) in [
        ("publishes", request("", Vec::new(), Vec::new())),
        ("transaction_id", request(&"x".repeat(257), Vec::new(), vec![good()])),
        ("acks[0].queue", request("", vec![ack("a b", &["1.1.1.1"])], vec![good()])),
        ("acks[0].receipts", request("", vec![ack("in", &[])], vec![good()])),
        ("publishes[1].queue", request("", receipt(), vec![good(), to_queue("n/q", &["x"])])),
        (
            "publishes[1].topic",
            request("", receipt(), vec![good(), to(Target::Topic("n/t".into()), "", &["x"])]),
        ),
        (
            "publishes[0].routing_key",
            request("", receipt(), vec![to(Target::Queue("out".into()), "k", &["x"])]),
        ),
        ("publishes[0].messages", request("", receipt(), vec![to_queue("out", &[])])),
        ("publishes[0].queue", request("", receipt(), vec![proto::PublishRequest::default()])),
    ] {
        refuses_field(raw.queues.transact(bad).await, field);
    }
    let many = request("", vec![ack("in", &["1.1.1.1"; 2])], vec![to_queue("out", &["x", "y", "z"])]);
    let (code, reason, _, message) = refusal(raw.queues.transact(many).await);
    assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "LIMIT_EXCEEDED"), "{message}");
    assert!(message.contains("limits.batch_items"), "{message}");
    for (reason, missing) in [
        ("QUEUE_NOT_FOUND", request("", Vec::new(), vec![good(), to_queue("nowhere", &["x"])])),
        ("TOPIC_NOT_FOUND", request("", Vec::new(), vec![good(), to(Target::Topic("t".into()), "", &["x"])])),
        ("QUEUE_NOT_FOUND", request("", vec![ack("nowhere", &["1.1.1.1"])], vec![good()])),
    ] {
        assert_eq!(client.transact(missing).await.unwrap_err().reason(), Some(reason));
    }
    assert!(bodies(&client, "out").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_all_of_it() {
    let (_server, client) = server_with_queues().await;
    let full = QueueSettings { max_messages: 1, ..Default::default() };
    client.create_queue("full", full).await.unwrap();
    client.publish("full", "x").await.unwrap();
    client.publish("in", "a").await.unwrap();
    let receipts = receive(&client, "in", 1).await;
    let acks = || vec![ack("in", &[&receipts[0]])];
    let both = || vec![to_queue("out", &["y"]), to_queue("full", &["y"])];
    let error = client.transact(request("id", acks(), both())).await.unwrap_err();
    assert_eq!(error.reason(), Some("QUEUE_FULL"), "{error}");
    assert!(bodies(&client, "out").await.is_empty());
    let taken = receive(&client, "full", 1).await;
    let acks = vec![ack("in", &[&receipts[0]]), ack("full", &[&taken[0]])];
    client.transact(request("id", acks, both())).await.unwrap();
    assert_eq!(
        (bodies(&client, "out").await, bodies(&client, "full").await),
        (vec!["y".to_owned()], vec!["y".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_queue_needs_its_own_permission() {
    let (server, admin) = server_with_queues().await;
    admin.create_topic("t").await.unwrap();
    let all = [(Permission::Consume, "in"), (Permission::Publish, "out"), (Permission::Publish, "t")];
    let asked = || {
        let publishes = vec![to_queue("out", &["x"]), to(Target::Topic("t".into()), "", &["x"])];
        request("", vec![ack("in", &["1.1.1.1"])], publishes)
    };
    for lacking in 0..=all.len() {
        let grants = all.iter().enumerate().filter(|(place, _)| *place != lacking);
        let grant = |(_, &(permission, queues)): (_, &(Permission, &str))| Grant {
            permission: permission.into(),
            queues: queues.to_owned(),
        };
        let (_, secret) = admin.create_token("t", grants.map(grant).collect(), None).await.unwrap();
        let profile = server.profile_of(Some(&secret), Transport::Http2);
        let client = within("connecting", Client::connect(profile)).await.unwrap();
        let error = client.transact(asked()).await.unwrap_err();
        let missing = match (lacking, error) {
            (3, Error::Aborted(_)) => continue,
            (_, Error::PermissionDenied(refusal)) => refusal.message,
            (_, other) => panic!("{lacking}: {other:?}"),
        };
        let wanted = ["consume on queue in", "publish on queue out", "publish on topic t"];
        assert!(missing.contains(wanted[lacking]), "{missing}");
    }
}

/// Producers of inputs, and workers that make an output of each in one step with the ack.
#[derive(Clone, Default)]
struct Work {
    next: Arc<AtomicU64>,
    confirmed: Arc<Mutex<BTreeSet<String>>>,
    done: Arc<AtomicU64>,
}

impl Work {
    async fn produce(self, client: Client, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        loop {
            let ids: Vec<_> = (0..rng.random_range(1..8))
                .map(|_| format!("m{}", self.next.fetch_add(1, Ordering::Relaxed)))
                .collect();
            let messages = ids.iter().map(|id| Message::new(id.clone())).collect();
            if client.publish_all("in", messages).await.is_ok() {
                self.confirmed.lock().unwrap().extend(ids);
            }
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..4))).await;
        }
    }

    async fn transform(self, client: Client, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        loop {
            let lease = Some(Duration::from_secs(1));
            let taken = client.receive("in", rng.random_range(1..4), Duration::from_secs(1), lease).await;
            for delivery in taken.unwrap_or_default() {
                let body = String::from_utf8(delivery.body().to_vec()).unwrap();
                // By topic it goes to both queues, else each is named.
                let publishes = if rng.random() {
                    vec![to(Target::Topic("t".to_owned()), "k", &[&body])]
                } else {
                    vec![to_queue("out", &[&body]), to_queue("log", &[&body])]
                };
                let id = if rng.random() { delivery.receipt().to_owned() } else { String::new() };
                let request = request(&id, vec![ack("in", &[delivery.receipt()])], publishes);
                let once = client.transact(request.clone()).await;
                let again = if id.is_empty() || rng.random_bool(0.8) {
                    None
                } else {
                    Some(client.transact(request).await)
                };
                if let (Ok(once), Some(Ok(again))) = (&once, &again) {
                    assert_eq!(once, again, "a repeated transaction has the same outcome");
                }
                self.done.fetch_add(u64::from(once.is_ok()), Ordering::Relaxed);
            }
        }
    }
}

/// However often the server is killed, an input is there and has no output, or is gone and has one in each queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_or_neither_however_often_the_server_is_killed() {
    let rounds = std::env::var("BBQ_SOAK_ROUNDS").map_or(8, |rounds| rounds.parse().expect("a number"));
    let seed = std::env::var("BBQ_SOAK_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().expect("a number"));
    eprintln!("BBQ_SOAK_SEED={seed} BBQ_SOAK_ROUNDS={rounds}");
    let mut rng = StdRng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let base = Setup::at(&directory.path().join("data"));
    let setup = |rng: &mut StdRng| {
        let interval = rng.random_range(10..200);
        let sets = [
            format!("store.checkpoint_interval_ms={interval}"),
            "store.segment_bytes=65536".to_owned(),
            format!("broker.entries_in_flight={}", rng.random_range(1..4)),
        ];
        sets.iter().fold(base.clone(), |setup, set| setup.args(&["--set", set]))
    };
    let mut server = setup(&mut rng).start().await;
    let client = server.client().await;
    for queue in ["in", "out", "log"] {
        client.create_queue(queue, QueueSettings::default()).await.unwrap();
    }
    client.create_topic("t").await.unwrap();
    client.bind("t", bound("out", "#")).await.unwrap();
    client.bind("t", bound("log", "k")).await.unwrap();
    let work = Work::default();
    for round in 0..rounds {
        if round > 0 {
            server = setup(&mut rng).start().await;
        }
        let mut tasks = JoinSet::new();
        for transport in [Transport::Http3, Transport::Http2] {
            let profile = Profile { transport, ..server.profile() };
            let client = Client::connect_lazily(&profile).unwrap().with_deadline(Duration::from_secs(5));
            tasks.spawn(work.clone().produce(client.clone(), rng.random()));
            for _ in 0..4 {
                tasks.spawn(work.clone().transform(client.clone(), rng.random()));
            }
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(100..600))).await;
        server.kill().await;
        tasks.abort_all();
        while let Some(ended) = tasks.join_next().await {
            assert!(ended.is_err_and(|error| error.is_cancelled()), "no task ends by itself");
        }
    }
    let server = setup(&mut rng).start().await;
    let client = server.client().await;
    let mut counts: BTreeMap<String, [u32; 3]> = BTreeMap::new();
    for (place, queue) in ["in", "out", "log"].into_iter().enumerate() {
        for body in bodies(&client, queue).await {
            counts.entry(body).or_default()[place] += 1;
        }
    }
    for (id, count) in &counts {
        assert!(matches!(count, [1, 0, 0] | [0, 1, 1]), "{id} is in {count:?} of in, out, log");
    }
    let lost: Vec<_> =
        work.confirmed.lock().unwrap().iter().filter(|id| !counts.contains_key(*id)).cloned().collect();
    assert!(lost.is_empty(), "confirmed, and neither there nor done: {lost:?}");
    let done = work.done.load(Ordering::Relaxed);
    eprintln!("{} inputs, {done} transactions confirmed", counts.len());
    assert!(done > 0 && counts.values().any(|count| count[1] == 1), "nothing was done");
}
