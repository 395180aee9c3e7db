//! The commands that README.md prints, run as they are printed. Only addresses are replaced: each test has its own server.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use support::pages::{Reader, block, page, tool};
use support::{Cli, Process};
use tokio::process::Command;

/// The commands of README.md after these markers.
fn commands(names: &[&str]) -> String {
    let readme = page("README.md");
    names.iter().map(|name| block(&readme, name, "sh")).collect()
}

/// Addresses are replaced in what follows; so this is what makes the printed ones true.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_flags_is_where_the_readme_says() {
    let directory = tempfile::tempdir().unwrap();
    let printed = Cli::new(&["serve", "--print-config"]).within(directory.path()).run().await.ok();
    let config: toml::Table = printed.parse().unwrap();
    for (key, value) in
        [("listen", "127.0.0.1:6789"), ("operations_listen", "127.0.0.1:6790"), ("data_dir", "bbq-data")]
    {
        assert_eq!(config[key].as_str(), Some(value), "{key}");
    }
    assert_eq!(config["limits"]["message_bytes"].as_integer(), Some(4 << 20));
    assert_eq!(config["limits"]["request_bytes"].as_integer(), Some(16 << 20));
    assert_eq!(config["store"]["checkpoint_journal_bytes"].as_integer(), Some(64 << 20));
    assert_eq!(config["store"]["checkpoint_interval_ms"].as_integer(), Some(5000));
    assert_eq!(config["store"]["sled_cache_bytes"].as_integer(), Some(64 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quick_start_ends_with_hello() {
    let reader = Reader::start().await;
    let output = reader.copies(&commands(&["quick-start"]), &[]).await.ok();
    assert_eq!(output, "queue jobs is there\n1\nhello\n");
    assert_eq!(reader.counts("jobs").await, (0, 0));
    let output = reader.copies(&commands(&["quick-start-http2"]), &[]).await.ok();
    assert_eq!(output, "2\nhello again\n");
    assert_eq!(reader.counts("jobs").await, (0, 0));
    let (_, metrics) = reader.server.get("/metrics").await;
    for transport in ["h3", "h2"] {
        assert!(
            metrics.contains(&format!("bbq_connections_total{{transport=\"{transport}\"}}")),
            "{metrics}"
        );
    }
}

/// What the four calls of both clients print: a queue, a sequence, a delivery, and the queue that has it leased.
fn shows_the_same_queue(output: &str, queue: &str) {
    let mut documents = serde_json::Deserializer::from_str(output).into_iter::<serde_json::Value>();
    let mut next = || documents.next().unwrap_or_else(|| panic!("too few answers: {output}")).unwrap();
    assert_eq!(next()["queue"]["name"], queue);
    assert_eq!(next()["results"][0]["sequence"], "1");
    let delivery = &next()["deliveries"][0];
    assert_eq!((&delivery["message"]["body"], &delivery["attempt"]), (&"aGVsbG8=".into(), &1.into()));
    assert!(delivery["receipt"].is_string(), "{delivery}");
    let shown = next();
    assert_eq!((&shown["queue"]["name"], &shown["queue"]["stats"]["leased"]), (&queue.into(), &"1".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_and_bbq_share_a_queue_over_http_2() {
    let reader = Reader::start().await;
    let output = reader.copies(&commands(&["token", "grpcurl"]), &["grpcurl"]).await.ok();
    shows_the_same_queue(&output, "grpcurl");
    assert_eq!(reader.counts("grpcurl").await, (0, 1));
    let leases = reader.server.run(&["leases", "grpcurl", "--json"]).await.json();
    assert_eq!(leases[0]["transport"], "h2");
}

#[tokio::test(flavor = "multi_thread")]
async fn buf_and_bbq_share_a_queue_over_http_3() {
    let reader = Reader::start().await;
    let output = reader.copies(&commands(&["token", "buf"]), &["buf"]).await.ok();
    shows_the_same_queue(&output, "buf");
    assert_eq!(reader.counts("buf").await, (0, 1));
    let leases = reader.server.run(&["leases", "buf", "--json"]).await.json();
    assert_eq!(leases[0]["transport"], "h3");
}

/// Someone else's client gets the same refusals, with the same words.
#[tokio::test(flavor = "multi_thread")]
async fn other_clients_are_refused_in_the_same_words() {
    let reader = Reader::start().await;
    let ca = reader.server.data().join("ca.pem");
    let address = format!("localhost:{}", reader.server.address.port());
    let ask = async |token: &str, method: &str, data: &str| {
        let mut command = Command::new(tool("grpcurl"));
        let bearer = format!("authorization: Bearer {token}");
        command.arg("-cacert").arg(&ca).args(["-H", &bearer, "-d", data, &address, method]);
        let mut process = Process::spawn(command);
        assert_ne!(process.ended().await.code(), Some(0));
        process.stderr.now()
    };
    let token = reader.server.profile().token.unwrap();
    let said = ask(&token, "bbq.v1.AdminService/GetQueue", r#"{"name": "nope"}"#).await;
    assert!(said.contains("NotFound") && said.contains("nope") && said.contains("QUEUE_NOT_FOUND"), "{said}");
    let said = ask("wrong", "bbq.v1.AdminService/GetQueue", r#"{"name": "nope"}"#).await;
    assert!(said.contains("Unauthenticated") && said.contains("BAD_TOKEN"), "{said}");
    let said = ask(&token, "bbq.v1.QueueService/Transact", "{}").await;
    assert!(said.contains("InvalidArgument") && said.contains("INVALID_FIELD"), "{said}");
}
