//! The commands that pages print, run as they are printed. Only addresses are replaced: each test has its own server.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use super::command::{BBQ, Output};
use super::process::Process;
use super::server::{Server, Setup};

/// The address that pages print for a server that was started without a word about it.
const PRINTED: &str = "localhost:6789";

/// What a shell prints between two blocks, so that each has its own output.
const BETWEEN: &str = "---- the next block ----";

/// A fenced block of a page.
pub struct Block {
    /// The heading above it.
    pub heading: String,
    /// Its lines.
    pub text: String,
}

/// A server as pages have it: its data in `bbq-data`, below the directory in which the commands run.
pub struct Reader {
    pub directory: TempDir,
    pub server: Server,
}

/// The text of a page, by its path in the repository.
pub fn page(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the page is there")
}

/// The blocks of a shell's commands that stand after markers of this name, in their order.
pub fn blocks(page: &str, name: &str) -> Vec<Block> {
    fenced(page, name, "sh")
}

/// The one block of a language after the marker of this name.
pub fn block(page: &str, name: &str, language: &str) -> String {
    let mut blocks = fenced(page, name, language);
    assert_eq!(blocks.len(), 1, "the marker test:{name} is there once");
    blocks.remove(0).text
}

fn fenced(page: &str, name: &str, language: &str) -> Vec<Block> {
    let marker = format!("<!-- test:{name} -->\n```{language}\n");
    let mut found = Vec::new();
    let mut above = String::new();
    for part in page.split(&marker) {
        if !above.is_empty() {
            let end = part.find("```").expect("a block has an end");
            let mut headings = above.lines().filter(|line| line.starts_with("##"));
            let heading = headings.next_back().unwrap_or_default().trim_start_matches('#').trim().to_owned();
            found.push(Block { heading, text: part[..end].to_owned() });
        }
        above.push_str(part);
    }
    assert!(!found.is_empty(), "no block of {language} after a marker test:{name}");
    found
}

/// A program of someone else's: where `make` says it is, else where `make tools` puts it.
pub fn tool(name: &str) -> PathBuf {
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
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let server = Setup::at(&directory.path().join("bbq-data")).start().await;
        Self { directory, server }
    }

    fn shell(&self, script: &str, tools: &[&str]) -> Process {
        let here = format!("localhost:{}", self.server.address.port());
        let mut directories = vec![Path::new(BBQ).parent().expect("a program is in a directory").to_owned()];
        directories.extend(
            tools.iter().map(|name| tool(name).parent().expect("a tool is in a directory").to_owned()),
        );
        let path = std::env::var_os("PATH").unwrap_or_default();
        directories.extend(std::env::split_paths(&path));
        let path = std::env::join_paths(directories).expect("directories of programs have plain names");
        // A file, because a process that fails is shown with its whole command line.
        let file = self.directory.path().join("commands.sh");
        std::fs::write(&file, script.replace(PRINTED, &here)).expect("a temporary directory takes a file");
        let mut command = Command::new("sh");
        command.args(["-e", "-u"]).arg(&file).current_dir(self.directory.path());
        command.env("PATH", path).env_remove("BBQ_PROFILE");
        let mut process = Process::spawn(command);
        process.close_stdin();
        process
    }

    /// Runs commands one after the other in one shell, as someone would who copies them.
    pub async fn copies(&self, script: &str, tools: &[&str]) -> Output {
        let mut process = self.shell(script, tools);
        let status = process.ended().await;
        Output { code: status.code(), stdout: process.stdout.now(), stderr: process.stderr.now() }
    }

    /// Runs blocks in one shell, and returns what each of them printed, beside its heading.
    pub async fn copies_blocks(&self, blocks: &[Block], tools: &[&str]) -> Vec<(String, String)> {
        let script =
            blocks.iter().map(|block| format!("{}echo '{BETWEEN}'\n", block.text)).collect::<String>();
        let mut process = self.shell(&script, tools);
        // Each block has as long as a whole command elsewhere.
        for (number, block) in blocks.iter().enumerate() {
            let done = |seen: &str| seen.matches(BETWEEN).count() > number;
            process.stdout.until(&format!("an end of {:?}", block.heading), done).await;
        }
        assert_eq!(process.ended().await.code(), Some(0), "{process:?}");
        let printed = process.stdout.now();
        let headings = blocks.iter().map(|block| block.heading.clone());
        headings.zip(printed.split(BETWEEN).map(ToOwned::to_owned)).collect()
    }

    /// What `bbq` says of a queue: ready and leased.
    pub async fn counts(&self, queue: &str) -> (u64, u64) {
        let shown = self.server.run(&["queue", "show", queue, "--json"]).await.json().remove(0);
        let count = |name: &str| shown[name].as_u64().expect("a count");
        (count("ready"), count("leased"))
    }
}
