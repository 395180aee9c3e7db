//! The server that is measured: the profile's, or one of its own.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use bbq_client::{Client, Profile, Transport, proto};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::super::Global;
use super::{At, Durability};

/// A server to measure.
pub(super) struct Target {
    profile: Profile,
    own: Option<Own>,
    durability: Durability,
}

/// A server of our own. It dies with this process.
struct Own {
    child: Child,
    directory: TempDir,
    operations: String,
}

impl Target {
    pub(super) async fn reach(at: &At, global: &Global) -> Result<Self> {
        let (own, path) = if at.spawn {
            let own = Own::start(tempfile::tempdir().context("no room for a data directory")?).await?;
            let path = own.profile();
            (Some(own), Some(path))
        } else {
            (None, global.profile.clone())
        };
        let mut profile = Profile::find(path.as_deref())?;
        profile.transport = if global.http2 { Transport::Http2 } else { Transport::Http3 };
        Ok(Self { profile, own, durability: at.durability })
    }

    /// A connection of its own.
    pub(super) async fn connect(&self) -> Result<Client> {
        Ok(Client::connect(self.profile.clone()).await?)
    }

    /// Makes the queue that is measured; it must be empty.
    pub(super) async fn queue(&self, client: &Client, queue: &str) -> Result<()> {
        let durability = match self.durability {
            Durability::Synced => proto::Durability::Synced,
            Durability::Buffered => proto::Durability::Buffered,
        };
        let settings = proto::QueueSettings { durability: durability.into(), ..Default::default() };
        let made = client.create_queue(queue, settings).await?;
        let stats = made.stats.unwrap_or_default();
        if stats.ready + stats.leased > 0 {
            bail!(
                "queue {queue} is not empty; purge it (`bbq queue purge {queue}`) or name another with --queue"
            );
        }
        Ok(())
    }

    /// The server's process, if it is ours.
    pub(super) fn pid(&self) -> Option<u32> {
        self.own.as_ref().and_then(|own| own.child.id())
    }

    /// Where the server shows its metrics, if it is ours.
    pub(super) fn operations(&self) -> Option<&str> {
        self.own.as_ref().map(|own| own.operations.as_str())
    }

    /// The data directory, if it is ours.
    pub(super) fn data(&self) -> Option<PathBuf> {
        self.own.as_ref().map(Own::data)
    }

    /// Ends our server with a signal and starts it again on the same data.
    pub(super) async fn restart(&mut self, signal: Signal) -> Result<()> {
        let Some(mut own) = self.own.take() else {
            bail!("a server that is not ours can't be restarted; use --spawn");
        };
        own.end(signal).await?;
        let own = Own::start(own.directory).await?;
        self.profile.url = Profile::load(own.profile())?.url;
        self.own = Some(own);
        Ok(())
    }

    /// Ends our server in order.
    pub(super) async fn finish(mut self) -> Result<()> {
        match &mut self.own {
            Some(own) => own.end(Signal::TERM).await,
            None => Ok(()),
        }
    }
}

impl Own {
    async fn start(directory: TempDir) -> Result<Self> {
        let program = std::env::current_exe().context("this program can't be found again")?;
        let mut child = Command::new(program)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--operations-listen",
                "127.0.0.1:0",
                "--log-level",
                "warn",
            ])
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the server can't be started")?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut operations = None;
        while let Some(line) = lines.next_line().await? {
            if let Some((_, rest)) = line.split_once("operations at http://") {
                operations = rest.split_whitespace().next().map(str::to_owned);
            }
            if line.starts_with("next,") {
                break;
            }
        }
        let operations = operations.context("the server did not start")?;
        Ok(Self { child, directory, operations })
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn profile(&self) -> PathBuf {
        self.data().join("client.toml")
    }

    async fn end(&mut self, signal: Signal) -> Result<()> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            kill_process(id, signal).context("the server can't be ended")?;
        }
        self.child.wait().await?;
        Ok(())
    }
}
