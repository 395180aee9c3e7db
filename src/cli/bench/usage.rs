//! What a run costs: processor time, memory, fsyncs, bytes written.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::target::Target;

/// Ticks of `/proc/PID/stat` a second: USER_HZ, which Linux fixes at 100 for what it shows to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// What was used up to now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) client_cpu_s: f64,
    pub(super) server_cpu_s: Option<f64>,
    pub(super) server_peak_kib: Option<u64>,
    pub(super) fsyncs: Option<f64>,
    pub(super) bytes_written: Option<f64>,
}

impl Usage {
    pub(super) async fn now(target: &Target) -> Result<Self> {
        let metrics = match target.operations() {
            Some(address) => Some(scrape(address).await?),
            None => None,
        };
        let server = target.pid().map(|pid| pid.to_string());
        Ok(Self {
            client_cpu_s: cpu_s("self").unwrap_or_default(),
            server_cpu_s: server.as_deref().and_then(cpu_s),
            server_peak_kib: server.as_deref().and_then(|pid| status_kib(pid, "VmHWM:")),
            fsyncs: metrics.as_deref().and_then(|text| metric(text, "bbq_commits_total")),
            bytes_written: server.as_deref().and_then(written),
        })
    }

    /// What was used since `earlier`; the peak is the peak.
    pub(super) fn since(self, earlier: Self) -> Self {
        let less = |now: Option<f64>, then: Option<f64>| Some(now? - then.unwrap_or_default());
        Self {
            client_cpu_s: self.client_cpu_s - earlier.client_cpu_s,
            server_cpu_s: less(self.server_cpu_s, earlier.server_cpu_s),
            server_peak_kib: self.server_peak_kib,
            fsyncs: less(self.fsyncs, earlier.fsyncs),
            bytes_written: less(self.bytes_written, earlier.bytes_written),
        }
    }
}

/// A size of a process in KiB, by its name in `/proc/PID/status`.
pub(super) fn status_kib(pid: &str, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Bytes below a directory, as the file system has allocated them.
pub(super) fn allocated(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .map(|(path, metadata)| if metadata.is_dir() { allocated(&path) } else { metadata.blocks() * 512 })
        .sum()
}

fn cpu_s(pid: &str) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything; fields 14 and 15 are user and system time.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<f64>().ok());
    ticks.sum::<Option<f64>>().map(|ticks| ticks / TICKS_PER_SECOND)
}

fn written(pid: &str) -> Option<f64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    io.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.parse().ok()
}

async fn scrape(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await.context("the server's metrics can't be read")?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

fn metric(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}
