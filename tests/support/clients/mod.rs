//! The clients in all languages: how each is prepared, and a server for each transport on which its runner works.
//!
//! What a runner is asked, and what it may ask, is in `clients/conformance/scenarios.md`.

#![allow(missing_docs, clippy::must_use_candidate, reason = "test code")]

pub mod matrix;
pub mod refusing;
pub mod runner;
pub mod tcp_only;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::support::notices::notice;

/// How long the toolchain of a language may take to fetch and build everything, on a busy machine.
const PREPARING: Duration = Duration::from_secs(900);
/// What `prepare` exits with if the toolchain is missing, as in automake.
const MISSING: i32 = 77;

/// A client, its name being its directory below `clients/`.
pub struct Language {
    pub name: &'static str,
    /// Every transport that it speaks.
    pub transports: &'static [&'static str],
    prepared: OnceCell<Result<(), String>>,
}

impl Language {
    const fn new(name: &'static str, transports: &'static [&'static str]) -> Self {
        Self { name, transports, prepared: OnceCell::const_new() }
    }
}

/// All of them, in the order of the matrix.
pub static LANGUAGES: [Language; 5] = [
    Language::new("rust", &["h3", "h2"]),
    Language::new("python", &["h3", "h2"]),
    Language::new("go", &["h3", "h2"]),
    Language::new("typescript", &["h2"]),
    Language::new("java", &["h2"]),
];

/// Every scenario of `scenarios.md`, and whether it asks for something to be done to the server, which it then must have for
/// itself.
pub const SCENARIOS: [(&str, bool); 16] = [
    ("publish-consume", false),
    ("cancel", false),
    ("restart", true),
    ("kill", true),
    ("lease-expiry", false),
    ("lease-extension", false),
    ("stale-receipt", false),
    ("handler", false),
    ("refusals", false),
    ("errors", false),
    ("large-body", false),
    ("binary-bodies", false),
    ("unicode", false),
    ("deadline", true),
    ("idle", false),
    (AUTO, false),
];

/// It is about the choice between two transports, and runs once for a client that speaks both.
const AUTO: &str = "auto";

/// Whether a scenario is run over a transport.
pub fn is_run(scenario: &str, transport: &str) -> bool {
    scenario != AUTO || transport == "h3"
}

/// How much is run.
#[derive(Clone, Copy)]
pub struct Scale {
    pub messages: u32,
    pub subscriptions: u32,
}

impl Scale {
    /// `BBQ_CLIENTS=full` runs the numbers of `scenarios.md`'s title; without it there are few enough for `make test`.
    pub fn chosen() -> Self {
        match std::env::var("BBQ_CLIENTS").as_deref() {
            Ok("full") => Self { messages: 10_000, subscriptions: 1_000 },
            Ok(other) => panic!("BBQ_CLIENTS is {other:?}; it may be full, or not set"),
            Err(_) => Self { messages: 200, subscriptions: 50 },
        }
    }
}

/// The languages that are to be tested: those that `BBQ_CLIENTS_ONLY` lists, or all.
pub fn chosen() -> Vec<&'static Language> {
    let only = std::env::var("BBQ_CLIENTS_ONLY").unwrap_or_default();
    let names: Vec<&str> = only.split(',').filter(|name| !name.is_empty()).collect();
    for name in &names {
        assert!(
            LANGUAGES.iter().any(|language| language.name == *name),
            "BBQ_CLIENTS_ONLY: no client {name}"
        );
    }
    LANGUAGES.iter().filter(|language| names.is_empty() || names.contains(&language.name)).collect()
}

impl Language {
    /// Fetches and builds what its runner needs, once. If this machine lacks the toolchain, says so where `make test` ends
    /// with it, and returns what is missing.
    pub async fn prepare(&self) -> Result<(), String> {
        self.prepared.get_or_init(|| self.prepare_once()).await.clone()
    }

    async fn prepare_once(&self) -> Result<(), String> {
        let (code, said) = self.script("prepare", &[], None, PREPARING).await;
        match code {
            Some(0) => Ok(()),
            Some(MISSING) => {
                let missing = said.lines().last().unwrap_or("its toolchain is missing").to_owned();
                let own_tests = if self.has_own_tests() { ", its own tests" } else { "" };
                notice(&format!(
                    "clients: {}: {missing}; its conformance scenarios{own_tests}, its README's example and the check of its generated code",
                    self.name
                ));
                Err(missing)
            }
            code => panic!("clients/{}/conformance/prepare: {code:?}\n{said}", self.name),
        }
    }

    /// Runs one of its scripts to its end; returns its exit code and all that it printed.
    pub async fn script(
        &self,
        script: &str,
        args: &[&Path],
        profile: Option<&Path>,
        bound: Duration,
    ) -> (Option<i32>, String) {
        let mut command = self.command(script);
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        if let Some(profile) = profile {
            command.env("BBQ_PROFILE", profile);
        }
        let output = tokio::time::timeout(bound, command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("{}: {script}: not within {bound:?}", self.name));
        let output = output.unwrap_or_else(|error| panic!("{}: {script}: {error}", self.name));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    }

    /// Whether it has tests of its own, beside the scenarios.
    pub fn has_own_tests(&self) -> bool {
        self.directory().join("conformance/unit").exists()
    }

    /// One of its scripts, which finds its packages where `prepare` put them.
    pub fn command(&self, script: &str) -> Command {
        let mut command = Command::new(self.directory().join("conformance").join(script));
        command.current_dir(target()).env("BBQ_CLIENTS_TARGET", target());
        command
    }

    /// Where it is.
    pub fn directory(&self) -> PathBuf {
        root().join("clients").join(self.name)
    }
}

/// Where all that is fetched and built for the clients goes.
pub fn target() -> PathBuf {
    // The binary under test is in TARGET/PROFILE.
    let binary = Path::new(crate::support::command::BBQ);
    let target = binary.ancestors().nth(2).expect("the binary is two levels below the target directory");
    let target = target.join("clients");
    std::fs::create_dir_all(&target).expect("the target directory can be written");
    target
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
