//! Commands of the real binary, run to their end.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use super::process::Process;

/// The binary under test.
pub const BBQ: &str = env!("CARGO_BIN_EXE_bbq");

/// A command line to run.
pub struct Cli {
    args: Vec<String>,
    stdin: Vec<u8>,
    environment: Vec<(String, String)>,
    directory: Option<PathBuf>,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A `bbq` without anything from this process's environment that could steer it.
pub fn bbq() -> Command {
    let mut command = Command::new(BBQ);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BBQ_") {
            command.env_remove(name);
        }
    }
    command
}

/// A command line from words.
pub fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|&word| word.to_owned()).collect()
}

impl Cli {
    pub fn new(args: &[&str]) -> Self {
        Self { args: words(args), stdin: Vec::new(), environment: Vec::new(), directory: None }
    }

    /// Adds words.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(words(args));
        self
    }

    /// Names the profile.
    #[must_use]
    pub fn profile(self, path: &Path) -> Self {
        let path = path.to_str().expect("test directories have plain names").to_owned();
        self.args(&["--profile", &path])
    }

    /// Feeds standard input.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = text.into();
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it in a directory.
    #[must_use]
    pub fn within(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    fn command(&self) -> Command {
        let mut command = bbq();
        command.args(&self.args).envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    /// Starts it and returns while it runs, with its standard input open.
    pub fn spawn(self) -> Process {
        Process::spawn(self.command())
    }

    /// Runs it to its end.
    pub async fn run(self) -> Output {
        let mut process = Process::spawn(self.command());
        // A command that does not read all of it has its reasons.
        if let Some(mut stdin) = process.stdin.take() {
            let text = self.stdin.clone();
            tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut stdin, &text).await });
        }
        let status = process.ended().await;
        Output { code: status.code(), stdout: process.stdout.now(), stderr: process.stderr.now() }
    }
}

impl Output {
    /// What it printed, if it succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// What it printed as JSON objects, one a line, if it succeeded.
    #[track_caller]
    pub fn json(self) -> Vec<Value> {
        let text = self.ok();
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        text.lines().map(parse).collect()
    }

    /// The one line that says why it failed, with exit code 1 and nothing on standard output.
    #[track_caller]
    pub fn refused(self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        let errors = self.stderr.lines().filter(|line| line.starts_with("error: ")).collect::<Vec<_>>();
        assert_eq!(errors.len(), 1, "one line says what is wrong: {self:?}");
        errors[0]["error: ".len()..].to_owned()
    }
}
