//! The clients of every language do what `clients/conformance/scenarios.md` says, over every transport that they speak; their
//! generated code is what `proto/` says, and the examples of their pages work as printed.
//!
//! `make test-clients` runs all of it and keeps the matrix in docs/CLIENTS.md. What the machine lacks the toolchain for is named
//! where `make test` ends.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/clients/mod.rs"]
mod clients;
mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clients::{Language, matrix, root, runner};
use futures_util::future::join_all;
use support::Server;
use support::notices::notice;
use tokio::process::Command;

/// How long one example, or one run of buf, may take.
const BOUND: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn every_client_passes_every_scenario_over_every_transport() {
    let scale = clients::Scale::chosen();
    let left_out = clients::LANGUAGES
        .iter()
        .filter(|language| !clients::chosen().iter().any(|one| one.name == language.name));
    left_out
        .for_each(|language| notice(&format!("clients: {}: BBQ_CLIENTS_ONLY leaves it out", language.name)));
    let of = |language: &'static Language| async move {
        if language.prepare().await.is_err() {
            return Vec::new();
        }
        let mut outcomes = Vec::new();
        for transport in language.transports {
            outcomes.extend(runner::run_all(language, transport, scale).await);
        }
        outcomes
    };
    let outcomes = join_all(clients::chosen().into_iter().map(of)).await.concat();
    let table = matrix::table(&outcomes);
    println!("{table}");
    let failures: Vec<String> = outcomes
        .iter()
        .filter_map(|outcome| {
            let why = outcome.failure.as_ref()?;
            Some(format!("{} {} {}: {why}", outcome.client, outcome.transport, outcome.scenario))
        })
        .collect();
    matrix::keep(&table);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The scenarios, the page and the runners can't drift apart unnoticed: a scenario is a heading of the page.
#[test]
fn the_scenarios_are_those_of_the_page() {
    let page = std::fs::read_to_string(root().join("clients/conformance/scenarios.md")).unwrap();
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).skip(2).collect();
    assert_eq!(headings, clients::SCENARIOS.map(|(name, _)| name));
}

/// What is packaged from a client's directory has the licences with it, and has them as they are.
#[test]
fn the_clients_have_the_licences_with_them() {
    for language in ["rust", "python", "go"] {
        for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
            let copy = root().join("clients").join(language).join(file);
            let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
            assert!(text(&copy) == text(&root().join(file)), "{} is not a copy of ./{file}", copy.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_code_is_what_the_proto_files_say() {
    for language in clients::chosen() {
        // Cargo generates the Rust client's code with every build.
        if language.name == "rust" || language.prepare().await.is_err() {
            continue;
        }
        let again = tempfile::tempdir().unwrap();
        let mut command = Command::new(root().join("clients/generate"));
        command.arg(language.name).arg(again.path()).env("BBQ_CLIENTS_TARGET", clients::target());
        command.env("BBQ_TEST_BUF", support::pages::tool("buf")).stdin(Stdio::null());
        let output = tokio::time::timeout(BOUND, command.output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{}: {}", language.name, String::from_utf8_lossy(&output.stderr));
        let files = files_below(again.path());
        assert!(!files.is_empty(), "{}: nothing was generated", language.name);
        for file in &files {
            let (fresh, committed) = (again.path().join(file), language.directory().join(file));
            let same = std::fs::read(&committed).ok() == Some(std::fs::read(fresh).unwrap());
            assert!(same, "{} is not what proto/ says: run `make generate`", committed.display());
        }
        // What proto/ does not say any more lies beside what it says.
        let template = std::fs::read_to_string(language.directory().join("buf.gen.yaml")).unwrap();
        let generated: Vec<&str> =
            template.lines().filter_map(|line| line.trim().strip_prefix("out: ")).collect();
        assert!(files.iter().all(|file| generated.iter().any(|directory| file.starts_with(directory))));
        for directory in generated {
            for file in files_below(&language.directory().join(directory)) {
                let file = Path::new(directory).join(file);
                assert!(
                    files.contains(&file) || is_by_hand(&file),
                    "{} is generated from nothing: remove it",
                    language.directory().join(file).display()
                );
            }
        }
    }
}

/// Among generated code: what makes Python's directories packages, and what Python compiles them to.
fn is_by_hand(file: &Path) -> bool {
    file.ends_with("__init__.py") || file.extension().is_some_and(|extension| extension == "pyc")
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                files.push(path.strip_prefix(directory).unwrap().to_owned());
            }
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_pages_work_as_printed() {
    for language in clients::chosen() {
        if language.prepare().await.is_err() {
            continue;
        }
        let server = Server::start().await;
        server.run(&["queue", "create", "jobs"]).await.ok();
        let client = server.client().await;
        for example in runner::examples(&language.directory().join("README.md")) {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("example");
            std::fs::write(&file, example).unwrap();
            let (code, said) =
                language.script("example", &[&file], Some(&server.profile_path()), BOUND).await;
            assert_eq!(code, Some(0), "{}: {said}", language.name);
            assert!(said.contains("hello"), "{}: {said}", language.name);
            server.until_counts("jobs", 0, 0).await;
            let jobs = client.get_queue("jobs").await.unwrap();
            assert!(
                jobs.stats.is_some_and(|stats| stats.consumers == 0),
                "{}: it goes on consuming",
                language.name
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_own_tests_pass() {
    for language in clients::chosen() {
        if !language.has_own_tests() || language.prepare().await.is_err() {
            continue;
        }
        let (code, said) = language.script("unit", &[], None, BOUND).await;
        assert_eq!(code, Some(0), "{}: {said}", language.name);
    }
}
