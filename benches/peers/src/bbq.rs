//! BBQ, measured by its own `bbq bench`, which starts a server of its own.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::drive::RUN_MAX;
use crate::figures::Figures;
use crate::process::Group;
use crate::settings::Workload;

/// What gRPC runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// QUIC.
    Http3,
    /// TCP with TLS.
    Http2,
}

/// Runs `workload` with the data in `directory`.
pub async fn bench(
    program: &Path,
    directory: &Path,
    transport: Transport,
    workload: &Workload,
) -> Result<Figures> {
    let mut command = Command::new(program);
    command.args(["bench", "--spawn", "--json"]).env("TMPDIR", directory);
    match transport {
        Transport::Http3 => {}
        Transport::Http2 => _ = command.arg("--http2"),
    }
    let Workload { messages, rate, size, producers, consumers, window } = *workload;
    let mut flag = |name: &str, value: u64| _ = command.arg(format!("--{name}={value}"));
    flag("messages", messages);
    flag("size", size.into());
    flag("producers", producers.into());
    flag("consumers", consumers.into());
    flag("window", window.into());
    if let Some(rate) = rate {
        flag("rate", rate.into());
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let spawned = Group::spawn(&mut command);
    // The server that it starts is of the same group.
    let (child, _group) = spawned.with_context(|| format!("{} can't be run", program.display()))?;
    let ended = timeout(RUN_MAX, child.wait_with_output()).await;
    let output = ended.with_context(|| format!("bbq bench did not end in {} s", RUN_MAX.as_secs()))??;
    if !output.status.success() {
        bail!("bbq bench failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    let measured: Value =
        serde_json::from_slice(&output.stdout).context("bbq bench did not answer in JSON")?;
    let figure =
        |name: &str| measured[name].as_f64().with_context(|| format!("bbq bench measured no {name}"));
    Ok(Figures {
        published_per_s: figure("publish_per_s")?,
        end_to_end_per_s: figure("end_to_end_per_s")?,
        p50_us: figure("p50_us")?,
        p90_us: figure("p90_us")?,
        p99_us: figure("p99_us")?,
        p99_9_us: figure("p99_9_us")?,
        others: 0.0,
    })
}
