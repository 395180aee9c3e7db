//! `bbq bench cancel`: from the cancel of an idle stream to the redelivery of all that it held.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bbq_client::{Client, Message, Subscription};
use clap::Args;
use tokio::time::{Instant, timeout};

use super::super::Global;
use super::super::argument::whole;
use super::super::output::Output;
use super::At;
use super::figures::{Figures, times};
use super::target::Target;

/// Messages that come back later than this do not come back.
const LOST: Duration = Duration::from_secs(60);

/// From the cancel of a stream to the redelivery of all it held
#[derive(Debug, Args)]
pub(super) struct Cancel {
    /// The queue; made if it is not there, and it must be empty
    #[arg(long, default_value = "bench-cancel")]
    queue: String,
    /// How often
    #[arg(long, default_value_t = 200, value_parser = whole::<u32>(1..=u32::MAX.into()), allow_negative_numbers = true)]
    rounds: u32,
    /// How many messages the stream holds
    #[arg(long, default_value_t = 10, value_parser = whole::<u32>(1..=10_000), allow_negative_numbers = true)]
    held: u32,
    #[command(flatten)]
    at: At,
}

impl Cancel {
    pub(super) async fn run(&self, global: &Global, output: &mut Output) -> Result<()> {
        let target = Target::reach(&self.at, global).await?;
        let (first, second) = (target.connect().await?, target.connect().await?);
        target.queue(&first, &self.queue).await?;
        let (mut cancels, mut calls, mut publishes) = (times(), times(), times());
        for _ in 0..self.rounds {
            cancels.saturating_record(us(self.round(&first, &second).await?));
            let begun = Instant::now();
            first.get_queue(&self.queue).await?;
            calls.saturating_record(us(begun.elapsed()));
            let begun = Instant::now();
            first.publish(&self.queue, Message::new("x")).await?;
            publishes.saturating_record(us(begun.elapsed()));
            first.purge_queue(&self.queue).await?;
        }
        target.finish().await?;
        let mut figures = Figures::default();
        figures.add("rounds", f64::from(self.rounds), "");
        figures.percentiles("", &cancels);
        // What the figures above are to be held against: a round trip, and a round trip with an fsync.
        figures.percentiles("call_", &calls);
        figures.percentiles("publish_", &publishes);
        output.record(figures.text(), &figures.json())
    }

    async fn round(&self, first: &Client, second: &Client) -> Result<Duration> {
        let mut holder = first.subscribe(&self.queue).max_in_flight(self.held).start().await?;
        let messages = (0..self.held).map(|n| Message::new(n.to_string())).collect();
        first.publish_all(&self.queue, messages).await?;
        let held = self.take(&mut holder, 1).await?;
        let mut waiting = second.subscribe(&self.queue).max_in_flight(self.held).start().await?;
        let begun = Instant::now();
        drop(holder);
        let back = self.take(&mut waiting, 2).await?;
        let took = begun.elapsed();
        drop(held);
        for delivery in back {
            delivery.ack_later();
        }
        waiting.close().await;
        Ok(took)
    }

    async fn take(&self, stream: &mut Subscription, attempt: u32) -> Result<Vec<bbq_client::Delivery>> {
        let mut taken = Vec::new();
        for _ in 0..self.held {
            let delivery = timeout(LOST, stream.next()).await.context("a message did not come back")?;
            let delivery = delivery.context("the stream ended")??;
            if delivery.attempt() != attempt {
                bail!(
                    "message {} came as attempt {}, not {attempt}",
                    delivery.sequence(),
                    delivery.attempt()
                );
            }
            taken.push(delivery);
        }
        Ok(taken)
    }
}

fn us(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1)
}
