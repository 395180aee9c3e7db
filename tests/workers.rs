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

/// `--exec "$CMD"` with nothing in the variable would settle every message, and run nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_command_is_refused_and_settles_nothing() {
    let server = server_with(&["a"]).await;
    for command in ["", " ", "\n"] {
        for source in [&["--count", "1"][..], &[]] {
            let output = server.run(&[&["subscribe", "q", "--exec", command], source].concat()).await;
            assert_eq!(output.code, Some(2), "{output:?}");
            assert!(output.stderr.contains("give a command"), "{output:?}");
        }
    }
    server.until_counts("q", 1, 0).await;
}

/// Where a message is delivered at most once there is nothing to give back.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_where_nothing_comes_back_is_said_to_be_lost() {
    let server = Server::start().await;
    server.run(&["queue", "create", "once", "--delivery", "at-most-once"]).await.ok();
    server.run(&["publish", "once", "x"]).await.ok();
    let output = server.run(&["subscribe", "once", "--exec", "exit 3", "--count", "1", "--json"]).await;
    assert!(output.stderr.contains("at most once and lost"), "{output:?}");
    assert!(!output.stderr.contains("given back"), "{output:?}");
    let expected = json!({"queue": "once", "sequence": 1, "attempt": 1, "outcome": "lost", "exit_code": 3});
    assert_eq!(output.json(), [expected]);
}

/// A body larger than a pipe holds neither blocks nor fails a command that does not read it, and is whole for one that does.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_need_not_read_the_body() {
    let server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    server.cli(&["publish", "q"]).stdin(vec![b'x'; 4 << 20]).run().await.ok();
    for (command, code) in [("exit 3", 3), ("test \"$(wc -c)\" -ne 4194304", 1), ("exit 0", 0)] {
        let ended = server.run(&["subscribe", "q", "--count", "1", "--json", "--exec", command]).await.json();
        assert_eq!(ended[0]["exit_code"], code, "{command}");
    }
    server.until_counts("q", 0, 0).await;
}

/// Of attributes that get one name, the one that the help promises is the one that a command sees.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_sees_the_last_of_attributes_with_one_name() {
    let server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    server
        .run(&["publish", "q", "x", "--attr", "a_b=last", "--attr", "a-b=first", "--attr", "a.b=middle"])
        .await
        .ok();
    let command = "echo \"$BBQ_ATTR_A_B\"";
    assert_eq!(server.run(&["subscribe", "q", "--count", "1", "--exec", command]).await.ok(), "last\n");
}

/// All of a message but its times is in the environment, and the help says under which names.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_finds_the_message_in_its_environment() {
    let server = Server::start().await;
    server.run(&["queue", "create", "keyed", "--ordering", "by-key"]).await.ok();
    server.run(&["queue", "create", "urgent"]).await.ok();
    server.run(&["publish", "keyed", "x", "--key", "user 7"]).await.ok();
    server.run(&["publish", "urgent", "x", "--priority", "7"]).await.ok();
    let command =
        "echo \"$BBQ_QUEUE/$BBQ_SEQUENCE/$BBQ_ATTEMPT/$BBQ_ORDERING_KEY/$BBQ_PRIORITY/$BBQ_PUBLISHED_AT\"";
    for (queue, begins) in [("keyed", "keyed/1/1/user 7/0/20"), ("urgent", "urgent/1/1//7/20")] {
        let line = server.run(&["subscribe", queue, "--exec", command, "--count", "1"]).await.ok();
        assert!(line.starts_with(begins) && line.ends_with("Z\n"), "{line}");
    }
    let help = support::command::Cli::new(&["subscribe", "--help"]).run().await.ok();
    for name in ["QUEUE", "SEQUENCE", "ATTEMPT", "PUBLISHED_AT", "ORDERING_KEY", "PRIORITY", "ATTR_<KEY>"] {
        assert!(help.contains(&format!("BBQ_{name}")), "{help}");
    }
}

/// The reason once, however many settlements it fails, and what it comes to.
#[tokio::test(flavor = "multi_thread")]
async fn acks_that_a_lost_server_does_not_get_are_told_once() {
    let mut server = server_with(&["a", "b", "c"]).await;
    let gate = Gate::new().await;
    let command = gate.command("exit 0");
    let words = ["subscribe", "q", "--http2", "--count", "3", "--parallel", "3", "--exec", &command];
    let mut worker = server.cli(&words).spawn();
    worker.stdout.lines(3).await;
    server.kill().await;
    gate.open();
    assert_eq!(worker.ended().await.code(), Some(1));
    let told = worker.stderr.now();
    assert!(!told.contains("settlements failed"), "{told}");
    assert!(told.ends_with("error: 3 messages were not settled and will come back\n"), "{told}");
    let mut warnings: Vec<_> = told.lines().filter(|line| line.starts_with("warning: ")).collect();
    let count = warnings.len();
    warnings.dedup();
    assert!(count >= 1 && warnings.len() == count, "{told}");
}
