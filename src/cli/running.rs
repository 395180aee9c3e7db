//! Commands that run for messages, some at a time.
//!
//! Always true: a message is settled after its command has ended: acked if that was with exit code 0, else given back, or
//! lost where there is nothing to give back. Until then its lease is kept.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Result, anyhow};
use bbq_client::Delivery;
use tokio::task::JoinSet;

use super::exec::exec;
use super::output::Output;
use super::record::object;
use super::settling::Settling;

/// The commands that run.
pub(super) struct Running {
    commands: JoinSet<Ended>,
    max: usize,
    /// How long the leases are, if somebody has to extend them.
    lease: Option<Duration>,
}

/// A command that has ended, or could not be run.
pub(super) struct Ended {
    delivery: Delivery,
    status: Result<ExitStatus>,
}

impl Running {
    pub(super) fn new(max: u32, lease: Option<Duration>) -> Self {
        Self { commands: JoinSet::new(), max: usize::try_from(max).unwrap_or(1), lease }
    }

    pub(super) fn has_room(&self) -> bool {
        self.commands.len() < self.max
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(super) fn start(&mut self, command: &str, delivery: Delivery) {
        let command = command.to_owned();
        let lease = self.lease.filter(|_| comes_back(&delivery));
        self.commands.spawn(async move {
            let status = keeping(lease, &delivery, exec(&command, &delivery)).await;
            Ended { delivery, status }
        });
    }

    /// The next command that ends; none if none runs. Cancel safe.
    pub(super) async fn ended(&mut self) -> Option<Ended> {
        while let Some(ended) = self.commands.join_next().await {
            // A task of ours that panicked has said so, and its message comes back with its lease.
            if let Ok(ended) = ended {
                return Some(ended);
            }
        }
        None
    }
}

impl Ended {
    /// Acks or gives back the message, and tells how it went.
    pub(super) fn settle(self, settling: &Settling, output: &mut Output) -> Result<()> {
        let Self { delivery, status } = self;
        let sequence = delivery.sequence();
        let status = match status {
            Ok(status) => status,
            Err(error) => {
                let lost =
                    if comes_back(&delivery) { "" } else { "; it was delivered at most once and is lost" };
                settling.send(delivery.nack());
                return Err(anyhow!("message {sequence}: {error:#}{lost}"));
            }
        };
        let outcome = match (status.success(), comes_back(&delivery)) {
            (true, _) => "acked",
            (false, true) => "nacked",
            (false, false) => "lost",
        };
        let json = object([
            ("queue", delivery.queue().into()),
            ("sequence", sequence.into()),
            ("attempt", delivery.attempt().into()),
            ("outcome", outcome.into()),
            ("exit_code", status.code().into()),
        ]);
        if status.success() {
            settling.send(delivery.ack());
        } else {
            let then = if comes_back(&delivery) { "given back" } else { "delivered at most once and lost" };
            eprintln!("message {sequence}: the command ended with {status}, {then}");
            settling.send(delivery.nack());
        }
        output.note(&json.into())
    }
}

/// Whether there is a lease to give back: a queue that delivers at most once hands out no receipts, and has forgotten the message.
fn comes_back(delivery: &Delivery) -> bool {
    !delivery.receipt().is_empty()
}

/// Waits for a command's end and, if there is a lease to keep, extends it meanwhile.
async fn keeping<T>(lease: Option<Duration>, delivery: &Delivery, command: impl Future<Output = T>) -> T {
    let Some(lease) = lease else { return command.await };
    tokio::pin!(command);
    loop {
        tokio::select! {
            biased;
            ended = &mut command => return ended,
            () = tokio::time::sleep(lease / 2) => {
                if let Err(error) = delivery.extend(lease).await {
                    tracing::warn!(%error, sequence = delivery.sequence(), "the lease was not extended");
                }
            }
        }
    }
}
