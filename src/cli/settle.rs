//! `bbq ack|nack|extend QUEUE RECEIPT..`.
//!
//! A receipt that settled nothing is a failure of the command, told after the others were settled.

use std::time::Duration;

use anyhow::{Result, bail};
use bbq_client::{FailedReceipt, ReceiptFailure};
use clap::Args;
use serde_json::json;

use super::Global;
use super::argument::duration;
use super::connection::with_client;
use super::output::Output;

#[derive(Debug, Args)]
struct Receipts {
    /// The queue
    queue: String,
    /// Receipts, as deliveries show them
    #[arg(required = true, value_name = "RECEIPT")]
    receipts: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Ack {
    #[command(flatten)]
    receipts: Receipts,
}

#[derive(Debug, Args)]
pub(super) struct Nack {
    #[command(flatten)]
    receipts: Receipts,
    /// How long the messages wait before their next attempt [default: the queue's backoff]
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    delay: Option<Duration>,
    /// Dead-letter now instead of another attempt
    #[arg(long)]
    dead_letter: bool,
    /// Kept with a dead-lettered message
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct Extend {
    #[command(flatten)]
    receipts: Receipts,
    /// How long each lease lasts from now, 1s to 12h [default: the queue's setting]
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    lease_duration: Option<Duration>,
}

impl Ack {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let Receipts { queue, receipts } = self.receipts;
        with_client(global, async |client| {
            let failed = client.ack(&queue, &receipts).await?;
            report(Output::new(global), "acked", &receipts, &failed)
        })
        .await
    }
}

impl Nack {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let Receipts { queue, receipts } = self.receipts;
        let how = bbq_client::Nack { delay: self.delay, dead_letter: self.dead_letter, reason: self.reason };
        with_client(global, async |client| {
            let failed = client.nack(&queue, &receipts, &how).await?;
            report(Output::new(global), "nacked", &receipts, &failed)
        })
        .await
    }
}

impl Extend {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let Receipts { queue, receipts } = self.receipts;
        with_client(global, async |client| {
            let failed = client.extend(&queue, &receipts, self.lease_duration).await?;
            report(Output::new(global), "extended", &receipts, &failed)
        })
        .await
    }
}

fn report(mut output: Output, done: &str, receipts: &[String], failed: &[FailedReceipt]) -> Result<()> {
    for receipt in receipts {
        let outcome =
            failed.iter().find(|failed| failed.receipt == *receipt).map_or(done, |failed| word(failed.why));
        let json = json!({"receipt": receipt, "outcome": outcome});
        output.record(format_args!("{receipt} {outcome}"), &json)?;
    }
    match failed {
        [] => Ok(()),
        [one] => bail!("receipt {}: {}", one.receipt, one.why),
        [first, ..] => bail!(
            "{} of {} receipts changed nothing, such as {}: {}",
            failed.len(),
            receipts.len(),
            first.receipt,
            first.why
        ),
    }
}

fn word(why: ReceiptFailure) -> &'static str {
    match why {
        ReceiptFailure::Superseded => "superseded",
        ReceiptFailure::Expired => "expired",
        ReceiptFailure::Gone => "gone",
        ReceiptFailure::Unknown => "unknown",
    }
}
