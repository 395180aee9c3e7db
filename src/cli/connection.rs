//! The connection of a client command.
//!
//! Always true: it is closed before the process ends, whatever happened, so that the server gives back at once what this
//! process still held.

use std::io::{self, IsTerminal as _};

use anyhow::{Context as _, Result};
use bbq_client::{Client, Profile, Transport};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::EnvFilter;

use super::Global;

/// What the client tells that no command tells by itself. Settlements that failed each command reports.
const LOGS: &str = "warn,bbq_client::settle=off";

/// Connects as the profile says, does the work, and closes the connection.
pub(super) async fn with_client(global: &Global, work: impl AsyncFnOnce(Client) -> Result<()>) -> Result<()> {
    // The client tells of lost and new connections; if logs are taken care of already, so much the better.
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_env_filter(EnvFilter::new(LOGS))
        .with_target(false)
        .try_init()
        .ok();
    let mut profile = Profile::find(global.profile.as_deref())?;
    if global.http2 {
        profile.transport = Transport::Http2;
    }
    let client = Client::connect(profile).await?;
    let outcome = work(client.clone()).await;
    client.close().await;
    outcome
}

/// Is cancelled by the first Ctrl-C or SIGTERM; the second one ends the process at once.
pub(super) fn stop_signal() -> Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("signals can't be caught")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals can't be caught")?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                Some(()) = interrupt.recv() => {}
                Some(()) = terminate.recv() => {}
                else => return,
            }
            if stopping.is_cancelled() {
                std::process::exit(130);
            }
            stopping.cancel();
        }
    });
    Ok(stop)
}
