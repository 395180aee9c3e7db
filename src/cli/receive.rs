//! `bbq receive`: a long poll. What it takes stays leased until its deadline, whatever becomes of this process.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::Global;
use super::argument::{duration, whole};
use super::connection::with_client;
use super::output::Output;
use super::record;

#[derive(Debug, Args)]
pub(super) struct Receive {
    /// The queue
    queue: String,
    /// The most messages to take, up to 1000
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = whole::<u32>(1..=1000),
        allow_negative_numbers = true)]
    max: u32,
    /// How long to wait for the first message, up to 60s
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true, default_value = "0s")]
    wait: Duration,
    /// How long each lease lasts, 1s to 12h [default: the queue's setting]
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    lease_duration: Option<Duration>,
    /// What `bbq leases` shows
    #[arg(long, value_name = "CONSUMER", default_value = "", hide_default_value = true)]
    name: String,
    /// Settle the messages once they are printed
    #[arg(long)]
    ack: bool,
}

impl Receive {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let mut output = Output::new(global);
        with_client(global, async |client| {
            let client = client.with_consumer_name(&self.name);
            let deliveries = client.receive(&self.queue, self.max, self.wait, self.lease_duration).await?;
            let mut settlements = Vec::new();
            for delivery in deliveries {
                let line = [delivery.receipt().as_bytes(), b"\t", delivery.body()].concat();
                output.message(&line, || record::delivery(&delivery))?;
                if self.ack {
                    settlements.push(delivery.ack());
                }
            }
            for settlement in settlements {
                settlement.await?;
            }
            Ok(())
        })
        .await
    }
}
