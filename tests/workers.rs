//! `bbq subscribe --exec`: how many commands run at once, and how they end.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::fs::OpenOptions;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::process::Process;
use support::{Server, eventually};
use tempfile::TempDir;

/// Commands that tell when they have begun and go on when they are let go.
struct Gate {
    _directory: TempDir,
    path: PathBuf,
}

impl Gate {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gate");
        assert!(tokio::process::Command::new("mkfifo").arg(&path).status().await.unwrap().success());
        Self { _directory: directory, path }
    }

    fn command(&self, end: &str) -> String {
        format!("echo begun $BBQ_SEQUENCE $BBQ_ATTR_KIND; cat {} > /dev/null; {end}", self.path.display())
    }

    /// Lets go all commands that wait, and those that are only about to.
    fn open(&self) {
        let path = self.path.clone();
        // Each opening waits for somebody who reads. The last one waits for nobody, until the process ends.
        std::thread::spawn(move || while OpenOptions::new().write(true).open(&path).is_ok() {});
    }
}

async fn server_with(messages: &[&str]) -> Server {
    let server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    server.run(&[&["publish", "q", "--attr", "kind=x"], messages].concat()).await.ok();
    server
}

fn begun(worker: &Process) -> usize {
    worker.stdout.now().lines().filter(|line| line.starts_with("begun ") && line.ends_with(" x")).count()
}

/// Each waits for the others, so that only all together can end.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_commands_run_at_once_as_were_asked_for() {
    for source in [&["--count", "3"][..], &[]] {
        let server = server_with(&["a", "b", "c"]).await;
        let gate = Gate::new().await;
        let command = gate.command("exit 0");
        let words = [&["subscribe", "q", "--json", "--parallel", "3", "--exec", &command], source].concat();
        let mut worker = server.cli(&words).spawn();
        worker.stdout.lines(3).await;
        assert_eq!(begun(&worker), 3);
        server.until_counts("q", 0, 3).await;
        gate.open();
        server.until_counts("q", 0, 0).await;
        if source.is_empty() {
            worker.signal(Signal::TERM);
        }
        assert_eq!(worker.ended().await.code(), Some(0));
        let outcomes = worker.stdout.now();
        let outcomes = outcomes.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        assert!(outcomes.clone().all(|outcome| outcome["outcome"] == json!("acked")));
        assert_eq!(outcomes.count(), 3);
    }
}

/// What runs is not cut, what it does counts, and the rest is there for others.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_lets_commands_end_and_gives_the_rest_back() {
    let server = server_with(&["a", "b", "c", "d"]).await;
    let gate = Gate::new().await;
    // One succeeds and one does not.
    let command = gate.command("test $BBQ_SEQUENCE -eq 1");
    let mut worker = server.cli(&["subscribe", "q", "--parallel", "2", "--exec", &command]).spawn();
    worker.stdout.lines(2).await;
    server.until_counts("q", 2, 2).await;
    worker.signal(Signal::INT);
    // Nothing more begins, and both still hold their messages.
    server.until_counts("q", 2, 2).await;
    gate.open();
    assert_eq!(worker.ended().await.code(), Some(0));
    assert_eq!(begun(&worker), 2);
    server.until_counts("q", 3, 0).await;
    let rest = server.run(&["peek", "q", "--json"]).await.json();
    let sequences = rest.iter().map(|message| &message["sequence"]).collect::<Vec<_>>();
    assert_eq!(sequences, [&json!(2), &json!(3), &json!(4)], "one was acked");
}

/// Of a queue whose messages are gone once they are taken, no more is taken than runs.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_delivered_at_most_once_waits_in_its_queue() {
    let server = Server::start().await;
    server.run(&["queue", "create", "q", "--delivery", "at-most-once"]).await.ok();
    server.run(&["publish", "q", "--attr", "kind=x", "a", "b", "c", "d", "e"]).await.ok();
    let gate = Gate::new().await;
    let command = gate.command("exit 0");
    let mut worker = server.cli(&["subscribe", "q", "--parallel", "2", "--exec", &command]).spawn();
    worker.stdout.lines(2).await;
    worker.signal(Signal::INT);
    gate.open();
    assert_eq!(worker.ended().await.code(), Some(0));
    assert_eq!(begun(&worker), 2);
    server.until_counts("q", 3, 0).await;
    let why = server.run(&["subscribe", "q", "--no-ack", "--count", "1"]).await.refused();
    assert!(why.contains("at most once") && why.contains("bbq peek q"), "{why}");
    assert_eq!(server.run(&["subscribe", "q", "--count", "2"]).await.ok(), "c\nd\n");
    server.until_counts("q", 1, 0).await;
}

/// A worker that ends after so many messages is the active consumer until then.
#[tokio::test(flavor = "multi_thread")]
async fn one_active_worker_with_a_count_keeps_the_others_waiting() {
    let server = Server::start().await;
    server.run(&["queue", "create", "q", "--single-active-consumer"]).await.ok();
    server.run(&["publish", "q", "--attr", "kind=x", "a", "b", "c"]).await.ok();
    let gate = Gate::new().await;
    let command = gate.command("exit 0");
    let mut worker = server.cli(&["subscribe", "q", "--count", "3", "--exec", &command]).spawn();
    worker.stdout.lines(1).await;
    let mut next = server.cli(&["subscribe", "q", "--count", "1"]).spawn();
    let client = server.client().await;
    eventually("another one waits", async || {
        let stats = client.get_queue("q").await.unwrap().stats.unwrap();
        (stats.consumers == 2).then_some(())
    })
    .await;
    gate.open();
    assert_eq!(worker.ended().await.code(), Some(0));
    assert_eq!(begun(&worker), 3, "it had all of them");
    server.run(&["publish", "q", "d"]).await.ok();
    assert_eq!(next.ended().await.code(), Some(0));
    assert_eq!(next.stdout.now(), "d\n");
}

/// A command that takes longer than its lease keeps its message.
#[tokio::test(flavor = "multi_thread")]
async fn leases_are_extended_while_commands_run() {
    for source in [&["--count", "2"][..], &[]] {
        let server = server_with(&["a", "b"]).await;
        let gate = Gate::new().await;
        let command = gate.command("exit 0");
        let words = ["subscribe", "q", "--lease-duration", "10s", "--parallel", "2", "--exec", &command];
        let mut worker = server.cli(&[&words, source].concat()).spawn();
        worker.stdout.lines(2).await;
        let leases = async || server.run(&["leases", "q", "--json"]).await.json();
        let first = leases().await;
        // Past the end that both leases had at first, by the server's own account.
        eventually("both leases end later", async || {
            let later = leases().await;
            let moved = |n: usize| {
                later.get(n)?["expires_at"].as_str()?.gt(first[n]["expires_at"].as_str()?).then_some(())
            };
            assert_eq!(later.len(), 2, "{later:?}");
            assert!(later.iter().all(|lease| lease["attempt"] == json!(1)), "{later:?}");
            moved(0).and(moved(1))
        })
        .await;
        gate.open();
        server.until_counts("q", 0, 0).await;
        worker.signal(Signal::TERM);
        assert!(matches!(worker.ended().await.code(), Some(0)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_needs_a_command_and_a_sensible_number() {
    for words in [
        &["--parallel", "2"][..],
        &["--exec", "x", "--parallel", "0"],
        &["--exec", "x", "--parallel", "1001"],
    ] {
        let output = support::command::Cli::new(&[&["subscribe", "q"], words].concat()).run().await;
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains("--parallel") || output.stderr.contains("--exec"), "{output:?}");
    }
}
