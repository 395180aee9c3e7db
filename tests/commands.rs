//! The command line, end to end: what each command does, and the shape of what it prints with `--json`.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use bbq_client::Transport;
use rustix::process::Signal;
use serde_json::{Value, json};
use support::command::Cli;
use support::process::Process;
use support::{Server, eventually, within};
use tokio::io::AsyncReadExt as _;

async fn server_with_queue() -> Server {
    let server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    server
}

/// A queue's `--json`.
async fn shown(server: &Server) -> Value {
    server.run(&["queue", "show", "q", "--json"]).await.json().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_created_shown_listed_purged_and_deleted() {
    let server = Server::start().await;
    let settings = ["--delivery", "at-most-once", "--durability", "buffered", "--lease-duration", "90s"];
    let create = [&["queue", "create", "team/q", "--json"], settings.as_slice()].concat();
    let made = server.run(&create).await.json().remove(0);
    assert_eq!(made["name"], "team/q");
    let expected = json!({
        "ordering": "unordered", "delivery": "at-most-once", "durability": "buffered",
        "lease_duration": "1m 30s", "overflow": "reject",
    });
    for (key, value) in made["settings"].as_object().unwrap() {
        assert_eq!(Some(value), expected.get(key), "{key}");
    }
    assert_eq!(made["settings"]["delivery"], "at-most-once");
    assert!(made["created_at"].as_str().unwrap().ends_with('Z'), "{made}");

    server.run(&create).await.ok();
    let refused = server.run(&["queue", "create", "team/q"]).await.refused();
    assert!(refused.contains("team/q") && refused.contains("other settings"), "{refused}");

    server.run(&["queue", "create", "other"]).await.ok();
    server.run(&["publish", "other", "a", "b"]).await.ok();
    let names = |list: Vec<Value>| list.iter().map(|queue| queue["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(server.run(&["queue", "list", "--json"]).await.json()), ["other", "team/q"]);
    assert_eq!(names(server.run(&["queue", "list", "team/", "--json"]).await.json()), ["team/q"]);
    let other = server.run(&["queue", "show", "other", "--json"]).await.json().remove(0);
    assert_eq!((&other["ready"], &other["leased"], &other["delayed"]), (&json!(2), &json!(0), &json!(0)));
    assert!(other["bytes"].as_u64().unwrap() >= 2 && other["oldest_published_at"].is_string(), "{other}");

    let purged = server.run(&["queue", "purge", "other", "--json"]).await.json();
    assert_eq!(purged, [json!({"queue": "other", "purged": 2})]);
    assert_eq!(
        server.run(&["queue", "delete", "other", "--json"]).await.json(),
        [json!({"deleted": "other"})]
    );
    assert_eq!(names(server.run(&["queue", "list", "--json"]).await.json()), ["team/q"]);
    let table = server.run(&["queue", "list"]).await.ok();
    assert!(table.starts_with("NAME") && table.contains("team/q"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_leaves_what_is_held() {
    let server = server_with_queue().await;
    server.run(&["publish", "q", "a", "b", "c"]).await.ok();
    let held = server.run(&["receive", "q", "--json"]).await.json().remove(0);
    assert_eq!(server.run(&["queue", "purge", "q", "--json"]).await.json()[0]["purged"], 2);
    let queue = shown(&server).await;
    assert_eq!((&queue["ready"], &queue["leased"]), (&json!(0), &json!(1)));
    server.run(&["ack", "q", held["receipt"].as_str().unwrap()]).await.ok();
    assert_eq!(shown(&server).await["leased"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_from_arguments_lines_files_and_standard_input() {
    let server = server_with_queue().await;
    let published = server.run(&["publish", "q", "one", "two", "--json"]).await.json();
    let one = |sequence: u64| json!({"queue": "q", "sequence": sequence, "duplicate": false});
    assert_eq!(published, [one(1), one(2)]);
    assert_eq!(server.cli(&["publish", "q"]).stdin("whole\ninput").run().await.ok(), "3\n");
    let lines =
        server.cli(&["publish", "q", "--lines", "-", "--json"]).stdin("a\nb\n\nlast").run().await.json();
    assert_eq!(
        (&lines[0]["published"], &lines[0]["first_sequence"], &lines[0]["last_sequence"]),
        (&json!(4), &json!(4), &json!(7))
    );
    let path = server.data().join("lines");
    std::fs::write(&path, "from a file\n").unwrap();
    server.run(&["publish", "q", "--lines", path.to_str().unwrap()]).await.ok();
    server.run(&["publish", "q", "again", "--count", "3", "--attr", "kind=x=y", "--attr", "n=1"]).await.ok();
    let bodies = server.run(&["subscribe", "q", "--count", "11"]).await.ok();
    let expected = "one\ntwo\nwhole\ninput\na\nb\n\nlast\nfrom a file\nagain\nagain\nagain\n";
    let sorted = |text: &str| {
        let mut lines = text.lines().map(ToOwned::to_owned).collect::<Vec<_>>();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&bodies), sorted(expected));
    assert_eq!(shown(&server).await["leased"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_shows_all_of_the_message() {
    let server = server_with_queue().await;
    server.run(&["publish", "q", "grün", "--attr", "kind=a=b"]).await.ok();
    server.cli(&["publish", "q"]).stdin(vec![0xff, 0x00]).run().await.ok();
    let shown = server.run(&["receive", "q", "--max", "2", "--ack", "--json"]).await.json();
    for (place, delivery) in shown.iter().enumerate() {
        assert_eq!((&delivery["queue"], &delivery["attempt"]), (&json!("q"), &json!(1)));
        assert_eq!(delivery["sequence"], place + 1);
        for key in ["receipt", "published_at", "lease_expires_at"] {
            assert!(delivery[key].is_string(), "{key} of {delivery}");
        }
    }
    assert_eq!((&shown[0]["body"], &shown[0]["attributes"]), (&json!("grün"), &json!({"kind": "a=b"})));
    assert_eq!((&shown[1]["body_base64"], shown[1].get("body")), (&json!("/wA="), None));
    server.until_counts("q", 0, 0).await;
}

/// A message is done when the command for it succeeded, and comes back when it failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_gets_the_message_again() {
    let server = server_with_queue().await;
    server.run(&["publish", "q", "hello", "--attr", "content-type=text"]).await.ok();
    let directory = tempfile::tempdir().unwrap();
    let seen = directory.path().join("seen");
    let command = format!(
        "echo \"$BBQ_QUEUE $BBQ_SEQUENCE $BBQ_ATTEMPT $BBQ_ATTR_CONTENT_TYPE $(cat)\" >> {}; test \"$BBQ_ATTEMPT\" = 2",
        seen.display()
    );
    let output = server.run(&["subscribe", "q", "--exec", &command, "--count", "2", "--json"]).await;
    assert!(output.stderr.contains("message 1") && output.stderr.contains("given back"), "{output:?}");
    let outcome = |attempt: u32, outcome: &str, code: i32| json!({"queue": "q", "sequence": 1, "attempt": attempt, "outcome": outcome, "exit_code": code});
    assert_eq!(output.json(), [outcome(1, "nacked", 1), outcome(2, "acked", 0)]);
    assert_eq!(std::fs::read_to_string(seen).unwrap(), "q 1 1 text hello\nq 1 2 text hello\n");
    server.until_counts("q", 0, 0).await;
}

/// Several workers share a queue; what fails comes back to any of them, what succeeds is done once.
#[tokio::test(flavor = "multi_thread")]
async fn workers_in_parallel_repeat_only_what_failed() {
    let server = server_with_queue().await;
    let directory = tempfile::tempdir().unwrap();
    let done = directory.path().join("done");
    // Every odd message fails at its first attempt.
    let command = format!(
        "test $((BBQ_SEQUENCE % 2)) = 0 || test \"$BBQ_ATTEMPT\" -gt 1 || exit 1; echo \"$BBQ_SEQUENCE\" >> {}",
        done.display()
    );
    let workers = [(); 3].map(|()| server.cli(&["subscribe", "q", "--exec", &command]).spawn());
    server.run(&["publish", "q", "x", "--count", "12"]).await.ok();
    server.until_counts("q", 0, 0).await;
    let text = eventually("12 messages done", async || {
        let text = std::fs::read_to_string(&done).unwrap_or_default();
        (text.lines().count() >= 12).then_some(text)
    })
    .await;
    let mut sequences = text.lines().map(|line| line.parse::<u32>().unwrap()).collect::<Vec<_>>();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=12).collect::<Vec<_>>());
    for mut worker in workers {
        worker.signal(Signal::TERM);
        assert_eq!(worker.ended().await.code(), Some(0));
    }
}

async fn holding(server: &Server, args: &[&str]) -> Process {
    let words = [&["subscribe", "q", "--no-ack", "--name", "holder", "--json"], args].concat();
    let process = server.cli(&words).spawn();
    process.stdout.lines(2).await;
    process
}

/// What a subscriber holds is leased to it while it lives, and ready at once when it ends, however it ends.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acked_comes_back_when_the_subscriber_ends() {
    let server = server_with_queue().await;
    server.run(&["publish", "q", "a", "b"]).await.ok();
    for (args, transport, signal) in
        [(&[][..], "h3", Signal::TERM), (&["--http2"], "h2", Signal::INT), (&["--http2"], "h2", Signal::KILL)]
    {
        let mut holder = holding(&server, args).await;
        let leases = server.run(&["leases", "q", "--json"]).await.json();
        assert_eq!(leases.len(), 2);
        for lease in leases {
            assert_eq!((&lease["consumer_name"], &lease["transport"]), (&json!("holder"), &json!(transport)));
            assert_eq!(lease["kind"], "stream");
            assert!(lease["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{lease}");
            assert!(lease["leased_at"].is_string() && lease["expires_at"].is_string(), "{lease}");
        }
        let table = server.run(&["leases", "q"]).await.ok();
        assert!(table.contains("holder") && table.contains("TRANSPORT"), "{table}");
        holder.signal(signal);
        let ended = holder.ended().await;
        assert_eq!(ended.code(), (signal != Signal::KILL).then_some(0));
        server.until_counts("q", 2, 0).await;
    }
    let again = server.run(&["receive", "q", "--json", "--ack"]).await.json();
    assert_eq!((&again[0]["sequence"], &again[0]["attempt"]), (&json!(1), &json!(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_settle_from_another_process() {
    let server = server_with_queue().await;
    server.run(&["publish", "q", "a", "b", "c"]).await.ok();
    let taken = server.run(&["receive", "q", "--max", "3", "--json"]).await.json();
    let receipt = |place: usize| taken[place]["receipt"].as_str().unwrap();
    let outcome = |receipt: &str, outcome: &str| json!({"receipt": receipt, "outcome": outcome});
    let acked = server.run(&["ack", "q", receipt(0), "--json"]).await.json();
    assert_eq!(acked, [outcome(receipt(0), "acked")]);
    let nacked = server.run(&["nack", "q", receipt(1), "--json", "--http2"]).await.json();
    assert_eq!(nacked, [outcome(receipt(1), "nacked")]);
    let before = server.run(&["leases", "q", "--json"]).await.json();
    let extended = server.run(&["extend", "q", receipt(2), "--lease-duration", "5m", "--json"]).await.json();
    assert_eq!(extended, [outcome(receipt(2), "extended")]);
    let after = server.run(&["leases", "q", "--json"]).await.json();
    assert_eq!((before.len(), after.len()), (1, 1));
    let expires = |leases: &[Value]| leases[0]["expires_at"].as_str().unwrap().to_owned();
    assert!(expires(&after) > expires(&before), "{after:?}");
    assert_eq!((&after[0]["kind"], &after[0]["sequence"]), (&json!("receive"), &json!(3)));
    server.until_counts("q", 1, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peek_shows_every_state_and_changes_nothing() {
    let server = server_with_queue().await;
    server.run(&["publish", "q", "a", "b", "c", "--attr", "k=v"]).await.ok();
    server.run(&["receive", "q"]).await.ok();
    let all = server.run(&["peek", "q", "--json"]).await.json();
    let states = all.iter().map(|message| (&message["sequence"], &message["state"], &message["attempts"]));
    let expected = [(1, "leased", 1), (2, "ready", 0), (3, "ready", 0)]
        .map(|(s, state, a)| (json!(s), json!(state), json!(a)));
    assert!(states.eq(expected.iter().map(|(s, state, a)| (s, state, a))), "{all:?}");
    assert_eq!((&all[0]["body"], &all[0]["attributes"]["k"]), (&json!("a"), &json!("v")));
    let sequences =
        |list: Vec<Value>| list.iter().map(|m| m["sequence"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(sequences(server.run(&["peek", "q", "--state", "ready", "--json"]).await.json()), [2, 3]);
    assert_eq!(sequences(server.run(&["peek", "q", "--state", "leased", "--json"]).await.json()), [1]);
    assert_eq!(sequences(server.run(&["peek", "q", "--count", "2", "--json"]).await.json()), [1, 2]);
    for state in ["delayed", "parked"] {
        assert_eq!(sequences(server.run(&["peek", "q", "--state", state, "--json"]).await.json()), [0; 0]);
    }
    server.until_counts("q", 2, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_ends_its_subscribers() {
    let server = server_with_queue().await;
    server.run(&["publish", "q", "a"]).await.ok();
    for transport in [&[][..], &["--http2"]] {
        server.run(&["queue", "create", "q"]).await.ok();
        server.run(&["publish", "q", "a"]).await.ok();
        let mut subscriber = server.cli(&[&["subscribe", "q"], transport].concat()).spawn();
        subscriber.stdout.lines(1).await;
        server.run(&["queue", "delete", "q"]).await.ok();
        assert_eq!(subscriber.ended().await.code(), Some(1));
        let why = subscriber.stderr.now();
        assert!(why.lines().last().unwrap().starts_with("error: ") && why.contains("queue q"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_created_listed_and_revoked() {
    let server = server_with_queue().await;
    let grants = ["--grant", "publish:q", "--grant", "consume:team/*", "--ttl", "1h"];
    let create = [&["token", "create", "worker", "--json"], grants.as_slice()].concat();
    let made = server.run(&create).await.json().remove(0);
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!((&made["name"], &made["grants"]), (&json!("worker"), &json!(["publish:q", "consume:team/*"])));
    assert!(made["expires_at"].as_str() > made["created_at"].as_str(), "{made}");
    let list = server.run(&["token", "list", "--json"]).await.json();
    let mut names = list.iter().map(|token| token["name"].as_str().unwrap()).collect::<Vec<_>>();
    names.sort_unstable();
    assert_eq!(names, ["admin", "worker"]);
    let files = std::fs::read_to_string(server.data().join("tokens.json")).unwrap();
    assert!(!files.contains(secret) && !list.iter().any(|token| token.get("secret").is_some()));

    let worker = server.profile_of(Some(secret), Transport::Auto);
    let path = server.data().join("worker.toml");
    worker.save(&path).unwrap();
    Cli::new(&["publish", "q", "x"]).profile(&path).run().await.ok();
    assert_eq!(server.run(&["token", "revoke", id, "--json"]).await.json(), [json!({"revoked": id})]);
    let refused = Cli::new(&["publish", "q", "x"]).profile(&path).run().await.refused();
    assert!(refused.contains("unknown, expired or revoked"), "{refused}");
    let admin = list.iter().find(|token| token["name"] == "admin").unwrap()["id"].as_str().unwrap();
    let refused = server.run(&["token", "revoke", admin]).await.refused();
    assert!(refused.contains("last with admin permission"), "{refused}");
    let refused = server.run(&["token", "revoke", "nobody"]).await.refused();
    assert!(refused.contains("nobody") && refused.contains("token list"), "{refused}");
}

/// `bbq subscribe | head -1` is a habit, not a failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_enough_ends_a_command_quietly() {
    let server = server_with_queue().await;
    server.run(&["publish", "q", "x", "--count", "100"]).await.ok();
    let mut command = support::bbq();
    command.args(["--profile", server.profile_path().to_str().unwrap(), "subscribe", "q"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 2];
    within("a line", stdout.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"x\n");
    drop(stdout);
    server.run(&["publish", "q", "y"]).await.ok();
    let ended = within("its end", child.wait_with_output()).await.unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(0), ""));
    // What it had been sent and could not print is there for others.
    until_counts_sum(&server).await;
}

async fn until_counts_sum(server: &Server) {
    let client = server.client().await;
    eventually("nothing is leased", async || {
        let stats = client.get_queue("q").await.unwrap().stats.unwrap();
        (stats.leased == 0 && stats.ready >= 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eleven_hundred_queues_come_page_by_page() {
    let server = Server::start().await;
    let client = server.client().await;
    let names = (0..1100).map(|n| format!("many/q{n:04}")).collect::<Vec<_>>();
    let mut creating = tokio::task::JoinSet::new();
    for name in names.clone() {
        let client = client.clone();
        creating.spawn(async move {
            client.create_queue(&name, bbq_client::proto::QueueSettings::default()).await
        });
    }
    within("1,100 queues", creating.join_all()).await.into_iter().for_each(|made| drop(made.unwrap()));
    let listed = server.run(&["queue", "list", "--json"]).await.json();
    assert_eq!(listed.iter().map(|queue| queue["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
    let (mut token, mut pages) = (String::new(), Vec::new());
    loop {
        let page = client.list_queues("many/q0", bbq_client::PageRequest { size: 400, token }).await.unwrap();
        pages.push(page.items.len());
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, [400, 400, 200]);
}

/// Of several messages under one id all but the first would be dropped, and said to be published.
#[tokio::test(flavor = "multi_thread")]
async fn one_deduplication_id_is_for_one_message() {
    let server = Server::start().await;
    server.run(&["queue", "create", "q", "--deduplication-window", "1h"]).await.ok();
    server.run(&["topic", "create", "t"]).await.ok();
    for words in [
        &["publish", "q", "a", "b"][..],
        &["publish", "q", "a", "--count", "2"],
        &["publish", "--topic", "t", "a", "b"],
        &["publish", "--topic", "t", "a", "--count", "2"],
    ] {
        let output = server.run(&[words, &["--dedup-id", "x"]].concat()).await;
        assert_eq!(output.code, Some(2), "{words:?}: {output:?}");
        assert!(output.stderr.contains("publish each with an id of its own"), "{output:?}");
    }
    assert_eq!(shown(&server).await["ready"], 0);
    server.run(&["publish", "--topic", "t", "a", "--dedup-id", "x"]).await.ok();
    assert_eq!(server.run(&["publish", "q", "a", "--dedup-id", "x"]).await.ok(), "1\n");
    assert_eq!(server.run(&["publish", "q", "a", "--dedup-id", "x"]).await.ok(), "1 (a duplicate)\n");
}

/// To the server a backoff is one setting; whoever types a part of it means that part.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_backoff_is_changed_and_the_rest_stays() {
    let server = Server::start().await;
    let backoff = ["--retry-initial", "1s", "--retry-multiplier", "3", "--retry-max", "10s"];
    server.run(&[&["queue", "create", "q"][..], &backoff].concat()).await.ok();
    for (words, expected) in [
        (&["--retry-initial", "2s"][..], json!({"initial": "2s", "multiplier": 3.0, "max": "10s"})),
        (&["--retry-multiplier", "4"], json!({"initial": "2s", "multiplier": 4.0, "max": "10s"})),
        (&["--retry-max", "1m"], json!({"initial": "2s", "multiplier": 4.0, "max": "1m"})),
        (&["--max-attempts", "7"], json!({"initial": "2s", "multiplier": 4.0, "max": "1m"})),
        (&["--retry-initial", "0s"], Value::Null),
    ] {
        server.run(&[&["queue", "update", "q"], words].concat()).await.ok();
        assert_eq!(shown(&server).await["settings"]["retry_backoff"], expected, "{words:?}");
    }
    let refused = server.run(&["queue", "update", "q", "--retry-multiplier", "3"]).await.refused();
    assert!(refused.contains("queue q") && refused.contains("--retry-initial"), "{refused}");
}
