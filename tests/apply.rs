//! `bbq apply` and `bbq queue create --from`: what a file declares is there, and a second time nothing happens.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use serde_json::{Value, json};
use support::Server;
use support::command::Cli;
use tempfile::TempDir;

const FILE: &str = r#"
[queues.jobs]
lease_duration = "90s"
max_messages = 1000

[queues."team/mail"]
delivery = "at-most-once"
durability = "buffered"

[topics.orders]
bindings = [{ queue = "jobs", pattern = "eu.#" }, { queue = "jobs", attributes = { kind = "order" } }]
"#;

fn file(text: &str) -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queues.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

/// The name of each step, what it is, and whether it was done.
fn actions(steps: &[Value]) -> Vec<(&str, &str, bool)> {
    let text = |value| Value::as_str(value).unwrap();
    steps
        .iter()
        .map(|step| (text(&step["name"]), text(&step["action"]), step["done"].as_bool().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_applied_once_and_then_there_is_nothing_to_do() {
    let server = Server::start().await;
    server.run(&["queue", "create", "other"]).await.ok();
    let (_directory, path) = file(FILE);
    let expected = ["jobs", "team/mail", "orders", "orders to jobs", "orders to jobs"];

    let dry = server.run(&["apply", "-f", &path, "--dry-run", "--json"]).await;
    assert_eq!((dry.code, dry.stderr.as_str()), (Some(3), ""), "{dry:?}");
    let steps: Vec<Value> = dry.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(actions(&steps), expected.map(|name| (name, "create", false)));
    assert_eq!(steps[0]["changes"]["max_messages"], json!({"from": null, "to": 1000}));
    assert_eq!(server.run(&["queue", "list", "--json"]).await.json().len(), 1, "a dry run makes nothing");

    let steps = server.run(&["apply", "-f", &path, "--json"]).await.json();
    assert_eq!(actions(&steps), expected.map(|name| (name, "create", true)));
    let jobs = server.run(&["queue", "show", "jobs", "--json"]).await.json().remove(0);
    assert_eq!(
        (&jobs["settings"]["lease_duration"], &jobs["settings"]["max_messages"]),
        (&json!("1m 30s"), &json!(1000))
    );

    for words in [&["apply", "-f", &path, "--json"][..], &["apply", "-f", &path, "--dry-run", "--json"]] {
        let steps = server.run(words).await.json();
        assert_eq!(actions(&steps), expected.map(|name| (name, "none", false)));
    }
    let text = server.run(&["apply", "--file", &path]).await.ok();
    assert!(text.starts_with("= queue jobs\n"), "{text}");
    assert_eq!(server.run(&["queue", "list", "--json"]).await.json().len(), 3, "what is not named stays");
    server.run(&["publish", "--topic", "orders", "--routing-key", "eu.x", "order"]).await.ok();
    let jobs = server.run(&["queue", "show", "jobs", "--json"]).await.json().remove(0);
    assert_eq!(jobs["ready"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_what_differs() {
    let server = Server::start().await;
    server.run(&["queue", "create", "jobs", "--lease-duration", "30s"]).await.ok();
    let (_directory, path) = file("[queues.jobs]\nlease_duration = \"2m\"\n");
    let dry = server.run(&["apply", "-f", &path, "--dry-run"]).await;
    assert_eq!(dry.code, Some(3), "{dry:?}");
    assert_eq!(dry.stdout, "~ queue jobs\n    lease_duration: 30s -> 2m\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_created_from_a_file() {
    let server = Server::start().await;
    let (_directory, path) = file(FILE);
    for _ in 0..2 {
        let made = server.run(&["queue", "create", "--from", &path, "--json"]).await.json();
        let names: Vec<_> = made.iter().map(|queue| queue["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["jobs", "team/mail"]);
    }
    let (_other, changed) = file("[queues.jobs]\nlease_duration = \"2m\"\n");
    let refused = server.run(&["queue", "create", "--from", &changed]).await.refused();
    assert!(refused.contains("other settings"), "{refused}");
    let told = server.run(&["queue", "create", "--from", &path]).await.stderr;
    assert_eq!(told, format!("1 topic of {path} left out; `bbq apply -f {path}` makes topics too\n"));
    assert_eq!(server.run(&["topic", "list", "--json"]).await.json(), [] as [Value; 0]);
    for words in [
        &["queue", "create"][..],
        &["queue", "create", "x", "--from", &path],
        &["queue", "create", "--from", &path, "--paused"],
    ] {
        let output = Cli::new(words).run().await;
        assert_eq!(output.code, Some(2), "{words:?}: {output:?}");
    }
}

/// What is wrong with a file is known before anything is changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_mistake_changes_nothing() {
    let server = Server::start().await;
    let (_directory, path) = file("[queues.a]\n[queues.b]\nmax_mesages = 5\n");
    let refused = server.run(&["apply", "-f", &path]).await.refused();
    assert!(
        refused.contains("did you mean `queues.b.max_messages`?") && refused.contains(&path),
        "{refused}"
    );
    let (_other, bad) = file("[queues.\"a b\"]\n");
    let refused = server.run(&["apply", "-f", &bad]).await.refused();
    assert!(refused.contains("a b"), "{refused}");
    assert!(server.run(&["apply", "-f", "/no/such/file"]).await.refused().contains("/no/such/file"));
    assert_eq!(server.run(&["queue", "list", "--json"]).await.json(), [] as [Value; 0]);
}

/// What a file contradicts itself in, or lacks, is told by a dry run too, and before anything is made.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_is_refused_as_a_whole() {
    let server = Server::start().await;
    server.run(&["queue", "create", "there", "--dead-letter-queue", "a"]).await.ok();
    let made = "[queues.made]\n";
    for (text, says) in [
        ("[queues.a]\ndead_letter_queue = \"there\"", "a -> there -> a"),
        ("[queues.a]\ndead_letter_queue = \"a\"", "a -> a"),
        ("[queues.a]\ndead_letter_queue = \"team/b\"", "dead_letter_queue team/b must be of the namespace"),
        ("[topics.t]\nbindings = [{ queue = \"nobody\" }]", "add [queues.\"nobody\"]"),
        ("[topics.\"team/t\"]\nbindings = [{ queue = \"made\" }]", "of one namespace"),
        ("[topics.t]\nbindings = [{ queue = \"made\", pattern = \"x..y\" }]", "a word of it is empty"),
        ("[topics.\"t t\"]", "topic \"t t\""),
    ] {
        let (_directory, path) = file(&format!("{made}{text}\n"));
        for dry in [&["--dry-run"][..], &[]] {
            let refused = server.run(&[&["apply", "-f", &path], dry].concat()).await.refused();
            assert!(refused.contains(says), "{text}: {refused}");
        }
    }
    assert_eq!(server.run(&["queue", "list", "--json"]).await.json().len(), 1);
    // What only the server can know ends it where it stands.
    let (_directory, path) = file("[queues.a]\n[queues.b]\nlease_duration = \"0s\"\n[queues.c]\n");
    let ended = server.run(&["apply", "-f", &path]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), "+ queue a\n"), "{ended:?}");
    assert!(
        ended.stderr.contains("1 of 3 steps are done, 2 are not") && ended.stderr.contains("queue b"),
        "{ended:?}"
    );
}

/// Dead-letter queues come first, what differs is changed in use, and what the file does not name stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_in_use_is_changed_to_what_the_file_says() {
    let server = Server::start().await;
    server.run(&["queue", "create", "a", "--lease-duration", "45s", "--max-attempts", "9"]).await.ok();
    server.run(&["publish", "a", "kept"]).await.ok();
    let declared = r#"
        [queues.a]
        max_attempts = 3
        retry_initial = "2s"
        dead_letter_queue = "z"
        time_to_live = "1h"
        [queues.z]
    "#;
    let (_directory, path) = file(declared);
    let steps = server.run(&["apply", "-f", &path, "--json"]).await.json();
    assert_eq!(actions(&steps), [("z", "create", true), ("a", "update", true)]);
    assert_eq!(steps[1]["changes"]["max_attempts"], json!({"from": 9, "to": 3}));
    let a = server.run(&["queue", "show", "a", "--json"]).await.json().remove(0);
    let settings = &a["settings"];
    assert_eq!((&settings["max_attempts"], &settings["dead_letter_queue"]), (&json!(3), &json!("z")));
    assert_eq!((&settings["lease_duration"], &a["ready"]), (&json!("45s"), &json!(1)));
    assert_eq!(settings["time_to_live"], "1h");
    let steps = server.run(&["apply", "-f", &path, "--json"]).await.json();
    assert_eq!(actions(&steps), [("z", "none", false), ("a", "none", false)]);
    let (_other, path) = file("[queues.a]\ntime_to_live = \"0s\"\n");
    let steps = server.run(&["apply", "-f", &path, "--json"]).await.json();
    assert_eq!(actions(&steps), [("a", "update", true)], "none from now on");
    let steps = server.run(&["apply", "-f", &path, "--json"]).await.json();
    assert_eq!(actions(&steps), [("a", "none", false)]);
}

/// A file that names where the delay begins leaves alone how it grows, and the dry run shows what will change and no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_backoff_leaves_the_rest_alone() {
    let server = Server::start().await;
    let backoff = ["--retry-initial", "1s", "--retry-multiplier", "3", "--retry-max", "10s", "--paused"];
    server.run(&[&["queue", "create", "a"][..], &backoff].concat()).await.ok();
    let (_directory, path) = file("[queues.a]\nretry_initial = \"2s\"\npaused = false\n");
    let dry = server.run(&["apply", "-f", &path, "--dry-run"]).await;
    assert_eq!(dry.stdout, "~ queue a\n    retry_initial: 1s -> 2s\n    paused: true -> false\n");
    let changes = server.run(&["apply", "-f", &path, "--json"]).await.json().remove(0)["changes"].clone();
    let backoff = |initial: &str| json!({"initial": initial, "multiplier": 3.0, "max": "10s"});
    assert_eq!(changes["retry_backoff"], json!({"from": backoff("1s"), "to": backoff("2s")}));
    let a = server.run(&["queue", "show", "a", "--json"]).await.json().remove(0);
    assert_eq!(a["settings"]["retry_backoff"], backoff("2s"));
    assert_eq!(actions(&server.run(&["apply", "-f", &path, "--json"]).await.json()), [("a", "none", false)]);
    let (_other, none) = file("[queues.a]\nretry_initial = \"0s\"\n");
    let text = server.run(&["apply", "-f", &none]).await.ok();
    let all = "~ queue a\n    retry_initial: 2s -> none\n    retry_max: 10s -> none\n    retry_multiplier: 3.0 -> none\n";
    assert_eq!(text, all);
}
