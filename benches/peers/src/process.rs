//! A server's process: started in a group of its own, watched until it listens, ended by its id.
//!
//! Always true: when its owner is gone, so is the whole group.

use std::fs::{File, read_to_string};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// A server that does not listen by then is not going to.
const READY_MAX: Duration = Duration::from_secs(90);
const READY_POLL: Duration = Duration::from_millis(50);
/// A server that was asked to end and has not by then is killed.
const END_MAX: Duration = Duration::from_secs(30);
/// How much of a failed server's log is shown.
const LOG_LINES: usize = 12;

/// A running server.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    group: Group,
    log: PathBuf,
}

/// A process with all that it starts. They are killed with this.
#[derive(Debug)]
pub struct Group(Pid);

/// A loopback port that is free now.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no loopback port is free")?;
    Ok(listener.local_addr()?.port())
}

impl Process {
    /// Starts `command` with a log in `directory` and waits until it listens on `port`.
    pub async fn start(
        name: &'static str,
        mut command: Command,
        directory: &Path,
        port: u16,
    ) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("{} can't be written", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let (child, group) =
            Group::spawn(&mut command).with_context(|| format!("{name} can't be started"))?;
        let mut process = Self { name, child, group, log };
        process.listening(port).await?;
        Ok(process)
    }

    async fn listening(&mut self, port: u16) -> Result<()> {
        let until = Instant::now() + READY_MAX;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended before it listened ({status}): {}", self.name, self.last_words());
            }
            if Instant::now() > until {
                bail!("{} does not listen after {READY_MAX:?}: {}", self.name, self.last_words());
            }
            sleep(READY_POLL).await;
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join(" | ")
    }

    /// Ends it with `signal` and waits until it is gone.
    pub async fn end(mut self, signal: Signal) -> Result<()> {
        kill_process(self.group.0, signal).with_context(|| format!("{} can't be ended", self.name))?;
        match timeout(END_MAX, self.child.wait()).await {
            Ok(ended) => ended.map(drop).with_context(|| format!("{} can't be waited for", self.name)),
            Err(_) => bail!("{} did not end in {END_MAX:?} and was killed: {}", self.name, self.last_words()),
        }
    }
}

impl Group {
    /// Starts `command` as the leader of a group.
    pub fn spawn(command: &mut Command) -> Result<(Child, Self)> {
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok((child, Self(id.context("it ended at once")?)))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The leader's id stays the group's as long as one member lives. A group that is gone is what is wanted.
        _ = kill_process_group(self.0, Signal::KILL);
    }
}
