//! The server: everything wired together, from top to bottom.
//!
//! It starts from the inside out (store, broker, services, listeners) and ends from the outside in (readiness,
//! streams, connections, broker, store), so that nothing is ever asked of what is not there.

mod caller;
mod check;
mod connections;
mod first_start;
mod signals;
mod stack;
mod tokens;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::{JoinHandle, JoinSet};
use tonic_health::ServingStatus;

use crate::broker::{self, Broker, Depths, Handle, Stopped};
use crate::config::{Config, PlaintextAddress};
use crate::service::Services;
use crate::store;
use crate::telemetry;
use crate::telemetry::operations::{Exported, Operations, Phase, Readiness, router};
use crate::transport::h2::{self, PlainListener};
use crate::transport::tls::ServerIdentity;
use crate::transport::{Drain, bind_pair, h3, http1, quic};
use signals::{Signals, Told};

pub use check::check;

/// The broker's task, and its end.
type Running = JoinHandle<Result<(), Stopped>>;

/// How long the last checkpoint may take. It writes as much as a few seconds of publishing at most, so what takes longer
/// hangs.
const LAST_CHECKPOINT: Duration = Duration::from_secs(60);

/// Where the server can be reached.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// HTTP/3 over UDP and HTTP/2 over TCP.
    pub calls: SocketAddr,
    /// Health and metrics.
    pub operations: Option<SocketAddr>,
    /// HTTP/2 without TLS.
    pub plaintext: Option<PlaintextAddress>,
}

/// Serves until a signal ends it, or the store fails. Calls `ready` once it can be reached. Takes over this process's
/// logs, metrics and signals.
///
/// # Errors
/// If it can't start, each with the way out, or if the store failed.
pub async fn run(config: Config, ready: impl FnOnce(&Addresses)) -> anyhow::Result<()> {
    telemetry::logs::install(&config.log)?;
    let metrics = telemetry::metrics::install()?;
    let mut signals = Signals::listen()?;
    let readiness = Readiness::new();
    let config = Config { http2: connections::fitting(&config)?, ..config };

    // The sockets first: a port in use should not cost a recovery, nor look like one.
    let sockets = bind_pair(config.listen)?;
    let calls = sockets.address()?;
    let mut tasks = JoinSet::new();
    let depths = Arc::new(OnceLock::<Depths>::new());
    let shown = Arc::clone(&depths);
    let more = Arc::new(move || shown.get().map(Depths::text).unwrap_or_default());
    let exported = Exported { recorded: metrics, more };
    let operations = operations(&config, exported, &readiness, &mut tasks).await?;

    // The data: nothing else touches the directory before it is open and locked.
    let (handle, broker) = open(&config).await?;
    depths.get_or_init(|| handle.depths());
    let (identity, ca) = first_start::identity(&config)?;
    let tokens = first_start::tokens(&config, calls, ca)?;
    let mut running: Running = tokio::spawn(broker.run());

    // The services, and the stack above them.
    let services =
        Services::new(handle.clone(), config.limits.clone(), Arc::new(tokens::Table(Arc::clone(&tokens))));
    let (mut health, health_service) = tonic_health::server::health_reporter();
    let stack = stack::build(&config, &services, health_service, tokens)?;

    // The listeners, all with the same stack.
    let drain = Drain::new();
    let observer = connections::observer();
    let endpoint = quic::endpoint(sockets.udp, &identity, &config.quic)?;
    let (http3, http2) = (config.http3.clone(), config.http2.clone());
    tasks.spawn(h3::serve(endpoint, stack.clone(), http3, drain.clone(), observer.clone()));
    tasks.spawn(h2::serve_tls(
        sockets.tcp,
        &identity,
        stack.clone(),
        http2.clone(),
        Some(calls.port()),
        drain.clone(),
        observer.clone(),
    )?);
    if let Some(listener) = plaintext(&config)? {
        tasks.spawn(h2::serve_plain(listener, stack, http2, drain.clone(), observer));
    }

    health.set_service_status("", ServingStatus::Serving).await;
    readiness.set(Phase::Ready);
    ready(&Addresses { calls, operations, plaintext: config.plaintext.listen.0.clone() });

    let ended = serve(&mut signals, &mut running, &mut tasks, &identity).await;
    if let Err(error) = ended {
        readiness.set(Phase::Failed);
        // The broker has told everyone who waits why; that must reach them before the process ends.
        drain.begin();
        if tokio::time::timeout(bound(&config), drain.finished()).await.is_err() {
            tracing::warn!(
                connections = drain.connections(),
                "not all clients took their leave (drain_timeout_ms)"
            );
        }
        return Err(error);
    }
    health.set_service_status("", ServingStatus::NotServing).await;
    // Ends the streams that watch it, which would otherwise hold up the drain.
    health.clear_service_status("").await;
    readiness.set(Phase::Draining);
    tokio::select! {
        stopped = stop(&config, &handle, &drain, running) => stopped,
        () = signals.end() => anyhow::bail!(
            "ended by a second signal before the last checkpoint; nothing is lost, the next start reads the journal"
        ),
    }
}

/// Waits for the end: a signal, or the broker's own.
async fn serve(
    signals: &mut Signals,
    running: &mut Running,
    tasks: &mut JoinSet<()>,
    identity: &ServerIdentity,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            told = signals.next() => match told {
                Told::End => return Ok(()),
                Told::Reload => reload(identity),
            },
            ended = &mut *running => {
                ended.context("the broker's task failed")??;
                anyhow::bail!("the broker ended unexpectedly");
            }
            Some(ended) = tasks.join_next() => {
                ended.context("a listener failed")?;
                anyhow::bail!("a listener ended unexpectedly");
            }
        }
    }
}

fn reload(identity: &ServerIdentity) {
    match identity.reload() {
        Ok(()) => tracing::info!("certificate reloaded"),
        Err(error) => tracing::error!(%error, "certificate not reloaded; the old one stays in use"),
    }
}

/// Ends in order: streams give back what they hold, connections finish, then a last checkpoint.
async fn stop(config: &Config, handle: &Handle, drain: &Drain, running: Running) -> anyhow::Result<()> {
    tracing::info!("draining: new calls are refused, those in flight finish");
    let in_time = tokio::time::timeout(bound(config), async {
        drain.begin();
        handle.drain().await;
        drain.finished().await;
    });
    if in_time.await.is_err() {
        tracing::warn!(connections = drain.connections(), "calls still in flight are cut (drain_timeout_ms)");
    }
    handle.stop();
    let last = tokio::time::timeout(LAST_CHECKPOINT, running);
    last.await
        .context("the last checkpoint takes too long; nothing is lost, the next start reads the journal")?
        .context("the broker's task failed")??;
    tracing::info!("stopped; everything is in a checkpoint");
    Ok(())
}

/// How long clients may take to go.
fn bound(config: &Config) -> Duration {
    Duration::from_millis(config.drain_timeout_ms)
}

async fn operations(
    config: &Config,
    metrics: Exported,
    readiness: &Readiness,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Option<SocketAddr>> {
    let Some(address) = config.operations_listen.0 else { return Ok(None) };
    let operations = Operations::bind(address).await?;
    let address = operations.address();
    tasks.spawn(telemetry::metrics::upkeep(metrics.recorded.clone()));
    let router = router(readiness.clone(), metrics);
    // It is up until the process ends: whoever asks during a drain gets an answer.
    tasks.spawn(http1::serve(operations.into_listener(), router, config.operations.clone()));
    Ok(Some(address))
}

/// Opens the data directory and replays its journal, on a thread that may block.
async fn open(config: &Config) -> anyhow::Result<(Handle, Broker)> {
    let (path, options, settings) = (config.data_dir.clone(), config.store.clone(), config.broker.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let opened = store::open(&path, &options)?;
        anyhow::Ok(broker::start(opened, settings)?)
    });
    opened.await.context("opening the data directory failed")?
}

fn plaintext(config: &Config) -> anyhow::Result<Option<PlainListener>> {
    Ok(match &config.plaintext.listen.0 {
        Some(PlaintextAddress::Loopback(address)) => Some(PlainListener::tcp(*address)?),
        Some(PlaintextAddress::Unix(path)) => Some(PlainListener::unix(path)?),
        None => None,
    })
}

#[cfg(test)]
mod tests;
