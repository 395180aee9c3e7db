//! `bbq serve` on ports of its own and a data directory of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;

use bbq_client::{Client, Profile, Transport};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::command::{Cli, Output, bbq, words};
use super::ports::lasting_address;
use super::process::Process;
use super::waiting::{eventually, within};

/// What a server prints once it answers.
pub const GREETING: &str = "next, in another terminal:";

/// How to start a server.
#[derive(Clone)]
pub struct Setup {
    directory: Directory,
    listen: String,
    operations_listen: String,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
}

#[derive(Clone)]
enum Directory {
    /// Gone with the last server that used it.
    Temporary(Arc<TempDir>),
    Given(PathBuf),
}

/// A server that answers. Dropping it kills it.
pub struct Server {
    pub process: Process,
    /// HTTP/3 over UDP and HTTP/2 over TCP.
    pub address: SocketAddr,
    /// Health and metrics.
    pub operations: SocketAddr,
    setup: Setup,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// An empty data directory and free ports.
    pub fn new() -> Self {
        let directory =
            tempfile::Builder::new().prefix("bbq-test-").tempdir().expect("a temporary directory");
        Self {
            directory: Directory::Temporary(Arc::new(directory)),
            listen: lasting_address().to_string(),
            operations_listen: "127.0.0.1:0".to_owned(),
            args: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
        }
    }

    /// A data directory that someone else keeps.
    pub fn at(directory: &Path) -> Self {
        Self { directory: Directory::Given(directory.to_owned()), ..Self::new() }
    }

    /// Adds words to the command line.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(words(args));
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Listens there instead of on a free port.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address.to_string();
        self
    }

    /// Shows health and metrics there instead of on a free port.
    #[must_use]
    pub fn operations_listen(mut self, address: SocketAddr) -> Self {
        self.operations_listen = address.to_string();
        self
    }

    /// Runs the server by way of a command that gets the server's own command line as its arguments.
    #[must_use]
    pub fn wrapper(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = words(wrapper);
        self
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        match &self.directory {
            Directory::Temporary(directory) => directory.path().join("data"),
            Directory::Given(directory) => directory.clone(),
        }
    }

    fn command(&self) -> Command {
        let serve = bbq();
        let mut command = match self.wrapper.split_first() {
            None => serve,
            Some((program, args)) => {
                let mut command = Command::new(program);
                for (name, value) in serve.as_std().get_envs() {
                    match value {
                        Some(value) => command.env(name, value),
                        None => command.env_remove(name),
                    };
                }
                command.args(args).arg(serve.as_std().get_program());
                command
            }
        };
        command.args(["serve", "--listen", &self.listen, "--operations-listen", &self.operations_listen]);
        command
            .arg("--data-dir")
            .arg(self.data())
            .args(&self.args)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        // A `bbq.toml` of whoever runs the tests is none of theirs.
        command.current_dir(self.data().parent().expect("a data directory is in a directory"));
        command
    }

    /// Starts it and returns at once.
    pub fn spawn(&self) -> Process {
        Process::spawn(self.command())
    }

    /// Starts it and waits until it answers.
    pub async fn start(self) -> Server {
        let process = self.spawn();
        self.answering(process).await
    }

    /// Waits until what was spawned answers.
    pub async fn answering(self, process: Process) -> Server {
        let greeting = process.stdout.contains(GREETING).await;
        let address = |after: &str| -> SocketAddr {
            let from = greeting.find(after).map(|at| &greeting[at + after.len()..]);
            let word = from.and_then(|text| text.split_whitespace().next());
            word.and_then(|word| word.parse().ok())
                .unwrap_or_else(|| panic!("no address after {after:?}: {greeting}"))
        };
        let (calls, operations) = (address("https://"), address("http://"));
        Server { process, address: calls, operations, setup: self }
    }

    /// Starts it, expects it to end by itself, and says how.
    pub async fn run(self) -> Output {
        let mut process = Process::spawn(self.command());
        process.close_stdin();
        let status = process.ended().await;
        Output { code: status.code(), stdout: process.stdout.now(), stderr: process.stderr.now() }
    }
}

impl Server {
    /// A server with an empty data directory.
    pub async fn start() -> Self {
        Setup::new().start().await
    }

    /// The same with more words on its command line.
    pub async fn start_with(args: &[&str]) -> Self {
        Setup::new().args(args).start().await
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.setup.data()
    }

    /// The path of the admin's profile.
    pub fn profile_path(&self) -> PathBuf {
        self.data().join("client.toml")
    }

    /// The admin's profile.
    pub fn profile(&self) -> Profile {
        Profile::load(self.profile_path()).expect("the server wrote it")
    }

    /// The admin's profile with a token of someone else's, or none, over one transport.
    pub fn profile_of(&self, token: Option<&str>, transport: Transport) -> Profile {
        Profile { token: token.map(ToOwned::to_owned), transport, ..self.profile() }
    }

    /// A client with the admin's token, over HTTP/3.
    pub async fn client(&self) -> Client {
        self.client_over(Transport::Http3).await
    }

    /// A client with the admin's token.
    pub async fn client_over(&self, transport: Transport) -> Client {
        let profile = Profile { transport, ..self.profile() };
        within("connecting", Client::connect(profile)).await.expect("the server takes connections")
    }

    /// A command of the CLI with the admin's profile.
    pub fn cli(&self, args: &[&str]) -> Cli {
        Cli::new(args).profile(&self.profile_path())
    }

    /// Runs a command of the CLI with the admin's profile to its end.
    pub async fn run(&self, args: &[&str]) -> Output {
        self.cli(args).run().await
    }

    /// Waits until a queue's counts are so.
    pub async fn until_counts(&self, queue: &str, ready: u64, leased: u64) {
        let client = self.client().await;
        eventually(&format!("{ready} ready, {leased} leased"), async || {
            let queue = client.get_queue(queue).await.expect("the queue is there");
            let stats = queue.stats.expect("a queue has counts");
            (stats.ready == ready && stats.leased == leased).then_some(())
        })
        .await;
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Stops it with SIGSTOP, and waits until none of its threads runs any more.
    pub async fn pause(&self) {
        self.signal(Signal::STOP);
        let tasks = PathBuf::from(format!("/proc/{}/task", self.process.pid()));
        let stopped = || {
            let mut tasks = std::fs::read_dir(&tasks).expect("it lives").flatten();
            // The state is the field after the name, which is in parentheses.
            tasks.all(|task| {
                let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                stat.rsplit_once(')').is_none_or(|(_, rest)| rest.starts_with(" T "))
            })
        };
        eventually("the server stands still", async || stopped().then_some(())).await;
    }

    /// All that it has logged so far.
    pub fn log(&self) -> String {
        self.process.stderr.now()
    }

    /// Ends it in order, with SIGTERM, and waits.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.process.ended().await
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// How to start it again: on the same directory and the same port, once it has ended.
    pub fn again(&self) -> Setup {
        self.setup.clone().listen(self.address)
    }

    /// Starts it again on the same directory and the same port, after it has ended.
    pub async fn restart(self) -> Self {
        let setup = self.again();
        drop(self);
        setup.start().await
    }

    /// Asks the operations listener: status and body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let exchange = async {
            let mut stream = TcpStream::connect(self.operations).await?;
            let request = format!("GET {path} HTTP/1.1\r\nhost: bbq\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut response = String::new();
            stream.read_to_string(&mut response).await?;
            std::io::Result::Ok(response)
        };
        let response = within(path, exchange).await.unwrap_or_else(|error| panic!("GET {path}: {error}"));
        let (head, body) = response.split_once("\r\n\r\n").expect("a response has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no status: {head}")), body.to_owned())
    }
}
