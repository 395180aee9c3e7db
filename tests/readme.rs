//! The commands that README.md prints, run as they are printed. Only addresses are replaced: each test has its own server.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::path::{Path, PathBuf};

use support::command::BBQ;
use support::{Cli, Output, Process, Server, Setup};
use tempfile::TempDir;
use tokio::process::Command;

/// The address that README.md prints for a server that was started without a word about it.
const PRINTED: &str = "localhost:6789";

/// A server as README.md has it: its data in `bbq-data`, below the directory in which the commands run.
struct Reader {
    directory: TempDir,
    server: Server,
}

/// The fenced block after the marker of this name.
fn block(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let marker = format!("<!-- test:{name} -->\n```sh\n");
    let mut parts = text.split(&marker);
    let after = parts.nth(1).unwrap_or_else(|| panic!("README.md has no block after the marker test:{name}"));
    assert!(parts.next().is_none(), "README.md has the marker test:{name} twice");
    let end = after.find("```").expect("a block has an end");
    after[..end].to_owned()
}

/// A program of someone else's: where `make` says it is, else where `make tools` puts it.
fn tool(name: &str) -> PathBuf {
    let variable = format!("BBQ_TEST_{}", name.to_uppercase());
    if let Some(path) = std::env::var_os(&variable) {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "{variable} names {}, which is not there; run `make tools`", path.display());
        return path;
    }
    let variable_of =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable_of("XDG_CACHE_HOME").or_else(|| Some(variable_of("HOME")?.join(".cache")));
    let tools = variable_of("BBQ_TOOLS").or_else(|| Some(cache?.join("bbq-tools")));
    let directories = tools.and_then(|tools| std::fs::read_dir(tools).ok()).into_iter().flatten().flatten();
    let installed =
        directories.filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{name}-")));
    let mut programs =
        installed.map(|entry| entry.path().join("bin").join(name)).filter(|path| path.is_file());
    programs.next().unwrap_or_else(|| {
        panic!(
            "{name} is missing: run `make test`, or `make tools` once, or name the program with {variable}"
        )
    })
}

impl Reader {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = Setup::at(&directory.path().join("bbq-data")).start().await;
        Self { directory, server }
    }

    /// Runs blocks one after the other in one shell, as someone would who copies them.
    async fn copies(&self, blocks: &[&str], tools: &[&str]) -> Output {
        let script = blocks.iter().map(|name| block(name)).collect::<String>();
        let here = format!("localhost:{}", self.server.address.port());
        let mut directories = vec![Path::new(BBQ).parent().unwrap().to_owned()];
        directories.extend(tools.iter().map(|name| tool(name).parent().unwrap().to_owned()));
        let path = std::env::var_os("PATH").unwrap_or_default();
        directories.extend(std::env::split_paths(&path));
        let mut command = Command::new("sh");
        command.args(["-e", "-u", "-c", &script.replace(PRINTED, &here)]).current_dir(self.directory.path());
        command.env("PATH", std::env::join_paths(directories).unwrap()).env_remove("BBQ_PROFILE");
        let mut process = Process::spawn(command);
        process.close_stdin();
        let status = process.ended().await;
        Output { code: status.code(), stdout: process.stdout.now(), stderr: process.stderr.now() }
    }

    /// What `bbq` says of a queue: ready and leased.
    async fn counts(&self, queue: &str) -> (u64, u64) {
        let shown = self.server.run(&["queue", "show", queue, "--json"]).await.json().remove(0);
        (shown["ready"].as_u64().unwrap(), shown["leased"].as_u64().unwrap())
    }
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
    let output = reader.copies(&["quick-start"], &[]).await.ok();
    assert_eq!(output, "queue jobs is there\n1\nhello\n");
    assert_eq!(reader.counts("jobs").await, (0, 0));
    let output = reader.copies(&["quick-start-http2"], &[]).await.ok();
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
    let output = reader.copies(&["token", "grpcurl"], &["grpcurl"]).await.ok();
    shows_the_same_queue(&output, "grpcurl");
    assert_eq!(reader.counts("grpcurl").await, (0, 1));
    let leases = reader.server.run(&["leases", "grpcurl", "--json"]).await.json();
    assert_eq!(leases[0]["transport"], "h2");
}

#[tokio::test(flavor = "multi_thread")]
async fn buf_and_bbq_share_a_queue_over_http_3() {
    let reader = Reader::start().await;
    let output = reader.copies(&["token", "buf"], &["buf"]).await.ok();
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
