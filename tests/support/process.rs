//! A process of ours: what it prints, how it ends, and that it ends with the test.

use std::fmt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;

use super::waiting::{LONG, within};

/// A running process. Dropping it kills it.
pub struct Process {
    child: Child,
    pub stdin: Option<ChildStdin>,
    pub stdout: Text,
    pub stderr: Text,
    what: String,
}

/// What a process has printed so far.
pub struct Text {
    of: String,
    seen: watch::Receiver<String>,
}

impl Process {
    /// Starts a command with all three standard streams held here.
    pub fn spawn(mut command: Command) -> Self {
        let what = format!("{:?}", command.as_std());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        let stdout = Text::read(format!("{what}: stdout"), child.stdout.take().expect("stdout is piped"));
        let stderr = Text::read(format!("{what}: stderr"), child.stderr.take().expect("stderr is piped"));
        Self { stdin: child.stdin.take(), child, stdout, stderr, what }
    }

    /// Its number, while it runs.
    pub fn pid(&self) -> Pid {
        let id = self.child.id().unwrap_or_else(|| panic!("{}: it has ended", self.what));
        Pid::from_raw(i32::try_from(id).expect("a pid fits")).expect("a pid is not 0")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap_or_else(|error| panic!("{}: {error}", self.what));
    }

    /// Waits for its end, and for the end of what it prints.
    pub async fn ended(&mut self) -> ExitStatus {
        let Ok(status) = tokio::time::timeout(LONG, self.child.wait()).await else {
            panic!("{}: still running after {LONG:?}; {self:?}", self.what)
        };
        self.stdout.ended().await;
        self.stderr.ended().await;
        status.expect("our own child can be waited for")
    }

    /// Kills it and waits until it is gone.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Writes to its standard input.
    pub async fn write(&mut self, text: &[u8]) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        within("writing to standard input", stdin.write_all(text)).await.expect("it reads");
        stdin.flush().await.expect("it reads");
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n-- stdout --\n{}-- stderr --\n{}", self.what, self.stdout.now(), self.stderr.now())
    }
}

/// A failing test shows what its processes said; and whatever a test is about, no process of ours may panic.
impl Drop for Process {
    fn drop(&mut self) {
        // Gone before its directory is removed: it could still make files there.
        if self.child.start_kill().is_ok() {
            for _ in 0..1000 {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        if std::thread::panicking() {
            eprintln!("{self:?}");
        } else {
            assert!(!self.stderr.now().contains("panicked at"), "{self:?}");
        }
    }
}

impl Text {
    fn read(of: String, mut from: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (sender, seen) = watch::channel(String::new());
        tokio::spawn(async move {
            let mut partial = Vec::new();
            loop {
                let read = from.read_buf(&mut partial).await.unwrap_or(0);
                // A character may be cut in two; only the end of the output may end in half of one.
                let whole = match std::str::from_utf8(&partial) {
                    Err(error) if error.error_len().is_none() && read > 0 => error.valid_up_to(),
                    Ok(_) | Err(_) => partial.len(),
                };
                let text = String::from_utf8_lossy(&partial[..whole]).into_owned();
                partial.drain(..whole);
                sender.send_modify(|seen| seen.push_str(&text));
                if read == 0 {
                    return;
                }
            }
        });
        Self { of, seen }
    }

    /// All so far.
    pub fn now(&self) -> String {
        self.seen.borrow().clone()
    }

    /// Waits until what was printed is enough, and returns it.
    pub async fn until(&self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        let mut seen = self.seen.clone();
        match tokio::time::timeout(LONG, seen.wait_for(|text| enough(text))).await {
            Ok(Ok(text)) => text.clone(),
            Ok(Err(_)) => panic!("{} ended without {what}:\n{}", self.of, self.now()),
            Err(_) => panic!("{}: no {what} within {LONG:?}:\n{}", self.of, self.now()),
        }
    }

    /// Waits until this was printed.
    pub async fn contains(&self, text: &str) -> String {
        self.until(&format!("{text:?}"), |seen| seen.contains(text)).await
    }

    /// Waits until this was printed, or the output has ended without it; says whether it came.
    pub async fn comes(&self, text: &str) -> bool {
        let mut seen = self.seen.clone();
        within(&format!("{text:?} of {}", self.of), seen.wait_for(|seen| seen.contains(text))).await.is_ok()
    }

    /// Waits for so many whole lines, and returns them.
    pub async fn lines(&self, count: usize) -> Vec<String> {
        let text = self.until(&format!("line {count}"), |seen| seen.matches('\n').count() >= count).await;
        text.lines().take(count).map(ToOwned::to_owned).collect()
    }

    /// Waits for the end of the output.
    async fn ended(&self) {
        let mut seen = self.seen.clone();
        within(&format!("the end of {}", self.of), async { while seen.changed().await.is_ok() {} }).await;
    }
}
