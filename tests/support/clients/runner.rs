//! One client on one transport: a server of its own, a runner for each scenario, and what runners ask to be done to the server.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{RwLock, Semaphore};

use super::refusing::Refusing;
use super::tcp_only::TcpOnly;
use super::{Language, SCENARIOS, Scale, is_run};
use crate::support::Server;

/// The longest that one scenario may take; nothing that works comes near it.
const BOUND: Duration = Duration::from_secs(300);
/// How many scenarios run at the same time on one server.
const TOGETHER: usize = 3;

/// What became of one scenario.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub client: &'static str,
    pub transport: &'static str,
    pub scenario: &'static str,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Runs every scenario of a client that is prepared, over one transport.
pub async fn run_all(language: &'static Language, transport: &'static str, scale: Scale) -> Vec<Outcome> {
    let server = Arc::new(RwLock::new(Some(Server::start().await)));
    let slots = Arc::new(Semaphore::new(TOGETHER));
    let run = |(scenario, alone): (&'static str, bool)| {
        let (server, slots) = (Arc::clone(&server), Arc::clone(&slots));
        async move {
            let slot = slots.acquire_many(if alone { 3 } else { 1 }).await.expect("it is never closed");
            let failure = scenario_of(language, transport, scenario, scale, &server).await.err();
            drop(slot);
            Outcome { client: language.name, transport, scenario, failure }
        }
    };
    let scenarios = SCENARIOS.into_iter().filter(|(scenario, _)| is_run(scenario, transport));
    let outcomes = futures_util::future::join_all(scenarios.map(run)).await;
    drop(server);
    outcomes
}

type Shared = Arc<RwLock<Option<Server>>>;

async fn scenario_of(
    language: &Language,
    transport: &str,
    scenario: &str,
    scale: Scale,
    server: &Shared,
) -> Result<(), String> {
    let profile = server.read().await.as_ref().expect("it runs").profile_path();
    let queue = format!("{}-{transport}-{scenario}", language.name);
    let mut command = language.command("run");
    command
        .args(["--scenario", scenario, "--transport", transport, "--queue", &queue])
        .args(["--messages", &scale.messages.to_string()])
        .args(["--subscriptions", &scale.subscriptions.to_string()])
        .env("BBQ_PROFILE", &profile)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("the runner does not start: {error}"))?;
    let mut stderr = child.stderr.take().expect("it is piped");
    let said = tokio::spawn(async move {
        let mut said = Vec::new();
        let _ = stderr.read_to_end(&mut said).await;
        String::from_utf8_lossy(&said).into_owned()
    });
    let outcome = tokio::time::timeout(BOUND, converse(&mut child, server)).await;
    let outcome = outcome.unwrap_or_else(|_| Err(format!("no result within {BOUND:?}")));
    let _ = child.kill().await;
    // A pause outlives a runner that fails while it lasts.
    if let Some(server) = server.read().await.as_ref() {
        server.signal(Signal::CONT);
    }
    let said = said.await.unwrap_or_default();
    outcome.map_err(|why| if said.trim().is_empty() { why } else { format!("{why}\n{}", said.trim_end()) })
}

/// Answers what the runner asks until it says how it went.
async fn converse(child: &mut Child, server: &Shared) -> Result<(), String> {
    let mut stdin = child.stdin.take().expect("it is piped");
    let stdout: ChildStdout = child.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(stdout).lines();
    let (mut refusing, mut way) = (None, None);
    while let Some(line) = lines.next_line().await.map_err(|error| error.to_string())? {
        let said: Value = serde_json::from_str(&line).map_err(|_| format!("not JSON: {line}"))?;
        match (said["ask"].as_str(), said["result"].as_str()) {
            (Some("errors"), None) => {
                let refusing = refusing.insert(Refusing::start());
                let done =
                    json!({"done": "errors", "profile": refusing.profile_path(), "cases": refusing.cases()});
                answer(&mut stdin, &done).await?;
            }
            (Some("port"), None) => {
                let way = way.insert(way_to(server).await?);
                answer(&mut stdin, &json!({"done": "port", "profile": way.profile_path()})).await?;
            }
            (Some("open-port"), None) => {
                way.as_mut().ok_or("there is no port to open")?.open();
                answer(&mut stdin, &json!({"done": "open-port"})).await?;
            }
            (Some(what), None) => {
                done_to_server(what, server).await?;
                answer(&mut stdin, &json!({"done": what})).await?;
            }
            (None, Some("passed")) => {
                // Whatever is held is held until it exits, so it has to.
                drop(stdin);
                let status = child.wait().await.map_err(|error| error.to_string())?;
                return if status.success() { Ok(()) } else { Err(format!("passed, and then {status}")) };
            }
            (None, Some("failed")) => {
                return Err(said["why"].as_str().unwrap_or("it does not say why").to_owned());
            }
            _ => return Err(format!("not in the contract: {line}")),
        }
    }
    Err("the runner ended without a result".to_owned())
}

async fn way_to(server: &Shared) -> Result<TcpOnly, String> {
    let slot = server.read().await;
    let server = slot.as_ref().ok_or("the server is gone")?;
    Ok(TcpOnly::closed(server.address, server.profile()).await)
}

async fn done_to_server(what: &str, shared: &Shared) -> Result<(), String> {
    let mut slot = shared.write().await;
    match what {
        "restart" | "kill" => {
            let mut server = slot.take().ok_or("the server is gone")?;
            if what == "kill" {
                server.kill().await;
            } else {
                let status = server.stop().await;
                assert!(status.success(), "SIGTERM ended the server with {status}");
            }
            *slot = Some(server.restart().await);
        }
        "pause" => slot.as_ref().ok_or("the server is gone")?.pause().await,
        "resume" => slot.as_ref().ok_or("the server is gone")?.signal(Signal::CONT),
        other => return Err(format!("nobody can do {other:?} to the server")),
    }
    Ok(())
}

async fn answer(stdin: &mut ChildStdin, line: &Value) -> Result<(), String> {
    let line = format!("{line}\n");
    stdin.write_all(line.as_bytes()).await.map_err(|error| format!("the runner does not listen: {error}"))
}

/// The blocks after the markers of the README's examples: at least one.
pub fn examples(readme: &Path) -> Vec<String> {
    let text =
        std::fs::read_to_string(readme).unwrap_or_else(|error| panic!("{}: {error}", readme.display()));
    let block = |after: &str| {
        let (_, block) = after.split_once('\n').expect("a fence is a line");
        block[..block.find("```").expect("a block has an end")].to_owned()
    };
    let blocks: Vec<String> = text.split("<!-- test:example -->\n```").skip(1).map(block).collect();
    assert!(!blocks.is_empty(), "{} has no example", readme.display());
    blocks
}
