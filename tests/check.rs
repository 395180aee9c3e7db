//! `bbq check` of stopped data directories: whole ones pass, damage is named, and a damaged body is never delivered.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use bbq_client::{Client, Message, proto};
use proto::QueueSettings;
use serde_json::Value;
use support::command::{Cli, Output};
use support::{Server, within};

/// A pattern that nothing compresses and that stands nowhere else.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

async fn check(data: &Path) -> Output {
    Cli::new(&["check", data.to_str().unwrap(), "--json"]).run().await
}

/// The objects that it printed, of which the last is the summary.
fn objects(output: &Output) -> (Vec<Value>, Value) {
    let mut objects: Vec<Value> =
        output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = objects.pop().unwrap();
    assert_eq!(summary["kind"], "summary");
    (objects, summary)
}

/// Queues and messages of every kind, in every state; how many messages that are.
async fn fill(client: &Client) -> u64 {
    let dead = QueueSettings::default();
    client.create_queue("dead", dead).await.unwrap();
    let window = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
    let retried = QueueSettings {
        dead_letter_queue: "dead".to_owned(),
        max_attempts: 1,
        deduplication_window: window,
        ..Default::default()
    };
    client.create_queue("mixed", retried).await.unwrap();
    let fifo = QueueSettings { ordering: proto::Ordering::Fifo.into(), ..Default::default() };
    client.create_queue("ordered", fifo).await.unwrap();
    client.create_queue("gone", QueueSettings::default()).await.unwrap();
    client.create_topic("news").await.unwrap();
    let binding = |queue: &str| proto::Binding { queue: queue.to_owned(), ..Default::default() };
    client.bind("news", binding("ordered")).await.unwrap();
    for n in 0..200_u32 {
        let message = Message::new(format!("message {n} {}", "x".repeat(500)));
        client.publish("mixed", message.priority(n % 10).deduplication_id(n.to_string())).await.unwrap();
        client.publish("ordered", Message::new("in order")).await.unwrap();
        client.publish("gone", Message::new("not for long")).await.unwrap();
    }
    client.publish("ordered", Message::new(pattern(300_000))).await.unwrap();
    client.delete_queue("gone").await.unwrap();
    let hour = Some(Duration::from_secs(3600));
    let mut taken = Vec::new();
    while taken.len() < 60 {
        let left = 60 - u32::try_from(taken.len()).unwrap();
        taken.extend(client.receive("mixed", left, Duration::from_secs(1), hour).await.unwrap());
    }
    for (n, delivery) in taken.into_iter().enumerate() {
        match n % 3 {
            0 => delivery.ack().await.unwrap(),
            // It was the only attempt, so these go to the dead letters.
            1 => delivery.nack().await.unwrap(),
            _ => {}
        }
    }
    180 + 201
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_directory_passes_however_it_was_stopped() {
    let mut server = Server::start_with(&["--set", "store.checkpoint_interval_ms=100"]).await;
    let client = server.client().await;
    let messages = fill(&client).await;
    let used = Cli::new(&["check", server.data().to_str().unwrap()]).run().await.refused();
    assert!(used.contains("in use by process"), "{used}");
    server.kill().await;
    let killed = check(&server.data()).await;
    let (findings, summary) = objects(&killed);
    assert_eq!((killed.code, &summary["damage"]), (Some(0), &0.into()), "{findings:?}");

    let mut server = server.restart().await;
    assert!(server.stop().await.success());
    let stopped = check(&server.data()).await;
    let (findings, summary) = objects(&stopped);
    assert_eq!((stopped.code, &summary["damage"]), (Some(0), &0.into()), "{findings:?}");
    assert_eq!((&summary["queues"], &summary["messages"]), (&3.into(), &messages.into()), "{summary}");
    assert_eq!(summary["entry"], summary["last_entry"]);
    // It has changed nothing that matters.
    let server = server.restart().await;
    let client = server.client().await;
    assert_eq!(client.get_queue("ordered").await.unwrap().stats.unwrap().ready, 201);
    let (file, empty) = (server.data().join("FORMAT"), tempfile::tempdir().unwrap());
    for (path, says) in [
        (Path::new("/nowhere"), "does not exist"),
        (&file, "is not a directory"),
        (empty.path(), "is not a data directory of bbq"),
    ] {
        let shown = path.to_str().unwrap();
        let people = Cli::new(&["check", shown]).run().await.refused();
        let words = [shown, says, "name the data directory of a server that does not run"];
        assert!(words.iter().all(|word| people.contains(word)), "{people}");
    }
}

/// Changes one bit of a file, where `find` says.
fn flip(file: &Path, find: impl Fn(&[u8]) -> usize) -> usize {
    let mut bytes = fs::read(file).unwrap();
    let at = find(&bytes);
    bytes[at] ^= 4;
    fs::write(file, bytes).unwrap();
    at
}

fn only_file(directory: &Path, ending: &str) -> std::path::PathBuf {
    let mut files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.to_string_lossy().contains(ending)).unwrap()
}

/// A body that changed on disk is named by the check, and ends the server that meets it instead of reaching a consumer.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_body_is_named_and_never_delivered() {
    let mut server = Server::start().await;
    let client = server.client().await;
    client.create_queue("large", QueueSettings::default()).await.unwrap();
    let mark = |n: u64| format!("the middle of body {n:02}").into_bytes();
    let body = |n: u64| {
        let half = pattern(100_000).repeat(15);
        [&*half, &mark(n), &half].concat()
    };
    for n in 1..=12 {
        client.publish("large", Message::new(body(n))).await.unwrap();
    }
    assert!(server.stop().await.success());
    // While the journal still has all of it, a start would only begin at an earlier checkpoint: let a start make a snapshot.
    let mut server = server.restart().await;
    assert!(server.stop().await.success());
    // A start reads the first rows of each tree, and sled the last that were written: it lies between. sled may have moved
    // a body there, which leaves its old place as it was, so it is one of those that stand in one place.
    let state = server.data().join("state/db");
    let bytes = fs::read(&state).unwrap();
    let places = |mark: &[u8]| -> Vec<usize> {
        (0..bytes.len()).filter(|at| bytes[*at..].starts_with(mark)).collect()
    };
    let mut alone = (4..9).filter_map(|n| Some((n, <[usize; 1]>::try_from(places(&mark(n))).ok()?[0])));
    let (damaged, place) = alone.next().expect("large bodies stand as they are");
    flip(&state, |_| place);

    let output = check(&server.data()).await;
    let (findings, summary) = objects(&output);
    assert_eq!((output.code, findings.is_empty()), (Some(1), false), "{output:?}");
    let text = findings[0].to_string();
    for words in ["/state/db", "damaged at byte", "restore a backup"] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    assert!(summary["damage"].as_u64().unwrap() > 0 && output.stderr.contains("is damaged in"), "{output:?}");

    // Bodies are not read at a start: ten million messages would take minutes.
    let mut server = server.restart().await;
    let client = server.client().await;
    while let Ok(taken) = within("an answer", client.receive("large", 1, Duration::ZERO, None)).await {
        for taken in taken {
            assert!(taken.sequence() != damaged && *taken.body() == body(taken.sequence()), "a damaged body");
        }
    }
    assert_eq!(within("its end", server.process.ended()).await.code(), Some(1));
    assert!(server.log().contains("db is damaged at byte"), "{}", server.log());
}

/// What a start reads is refused at the start, in one line that names the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_stops_the_start_and_is_named() {
    let mut server = Server::start().await;
    let client = server.client().await;
    fill(&client).await;
    assert!(server.stop().await.success());
    // A start makes a snapshot of what the one before left.
    let mut server = server.restart().await;
    server.kill().await;
    let data = server.data();
    let journal = only_file(&data.join("journal"), ".seg");
    // The snapshot first: whenever sled opens, it may make another.
    let cases = [
        (only_file(&data.join("state"), "snap."), 7),
        (data.join("state/conf"), 3),
        (data.join("FORMAT"), 5),
        (data.join("tokens.json"), 60),
        (data.join("ca.pem"), 300),
        (data.join("server.pem"), 300),
        (data.join("server.key"), 100),
        (journal.clone(), 20),
        (journal, 2000),
    ];
    for (file, at) in cases {
        let before = fs::read(&file).unwrap();
        flip(&file, |_| at);
        let shown = file.to_str().unwrap();
        let output = check(&data).await;
        let (findings, _) = objects(&output);
        assert_eq!(output.code, Some(1), "{shown}: {output:?}");
        let finding = findings.iter().find(|finding| finding["file"] == shown);
        let advice = finding.unwrap_or_else(|| panic!("{shown}: {findings:?}"))["advice"].as_str().unwrap();
        let refused = server.again().run().await.refused();
        assert!(refused.contains(shown), "{shown}: {refused}");
        if file.parent() == Some(&data) && !shown.ends_with("FORMAT") {
            assert!(refused.contains(advice) && advice.contains("put a copy of it back"), "{refused}");
        }
        fs::write(&file, before).unwrap();
    }
    let server = server.restart().await;
    assert_eq!(server.client().await.get_queue("ordered").await.unwrap().stats.unwrap().ready, 201);
}

/// A torn end is cut off as before, and the log says of which file, where it went, and what it means.
#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_told() {
    let mut server = Server::start_with(&["--set", "store.checkpoint_interval_ms=3600000"]).await;
    let client = server.client().await;
    client.create_queue("q", QueueSettings::default()).await.unwrap();
    client.publish("q", Message::new("last words")).await.unwrap();
    server.kill().await;
    let journal = only_file(&server.data().join("journal"), ".seg");
    let at = flip(&journal, |bytes| bytes.windows(10).rposition(|window| window == b"last words").unwrap());
    let output = check(&server.data()).await;
    let (findings, _) = objects(&output);
    assert_eq!(output.code, Some(0), "nothing proves that it was confirmed: {output:?}");
    let torn = findings.iter().find(|finding| finding["file"] == journal.to_str().unwrap()).unwrap();
    let offset: usize = torn["place"].as_str().unwrap().strip_prefix("byte ").unwrap().parse().unwrap();
    assert!(offset < at && at - offset < 200, "{torn}");
    let server = server.restart().await;
    let log = server.log();
    for words in
        ["behind its last whole entry", journal.to_str().unwrap(), &format!("\"offset\":{offset},"), "torn-"]
    {
        assert!(log.contains(words), "{words:?} is not in {log}");
    }
}
