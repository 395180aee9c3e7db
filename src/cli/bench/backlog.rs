//! `bbq bench backlog`: fill a queue, restart the server, drain the queue.

use anyhow::{Context as _, Result, bail};
use bbq_client::{Client, Message, PublisherOptions};
use clap::Args;
use rustix::process::Signal;
use tokio::time::Instant;

use super::super::Global;
use super::super::output::Output;
use super::figures::Figures;
use super::target::Target;
use super::usage::{allocated, status_kib};
use super::{At, Durability};

/// Fill a queue, restart the server, drain the queue
#[derive(Debug, Args)]
pub(super) struct Backlog {
    /// How many messages
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Bytes of each body
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=4 << 20))]
    size: u32,
    /// Kill the server instead of ending it in order
    #[arg(long)]
    kill: bool,
}

const QUEUE: &str = "backlog";

impl Backlog {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(super) async fn run(&self, global: &Global, output: &mut Output) -> Result<()> {
        let at = At { spawn: true, durability: Durability::Synced };
        let mut target = Target::reach(&at, global).await?;
        let client = target.connect().await?;
        target.queue(&client, QUEUE).await?;
        let messages = self.messages as f64;
        let mut figures = Figures::default();
        figures.add("messages", messages, "");

        let begun = Instant::now();
        self.fill(&client).await?;
        figures.add("fill_per_s", messages / begun.elapsed().as_secs_f64(), "msg/s confirmed");
        figures.add("filled_rss_mib", rss_mib(&target), "MiB");
        let disk = target.data().map_or(0, |data| allocated(&data));
        figures.add("disk_per_payload", disk as f64 / (messages * f64::from(self.size.max(1))), "x");
        drop(client);

        let begun = Instant::now();
        target.restart(if self.kill { Signal::KILL } else { Signal::TERM }).await?;
        let client = target.connect().await?;
        let stats = client.get_queue(QUEUE).await?.stats.unwrap_or_default();
        figures.add("restart_s", begun.elapsed().as_secs_f64(), "s, from the signal to the first answer");
        if stats.ready != self.messages {
            bail!("{} messages are there after the restart, not {}", stats.ready, self.messages);
        }
        figures.add("restarted_rss_mib", rss_mib(&target), "MiB");

        let begun = Instant::now();
        self.drain(&client).await?;
        figures.add("drain_per_s", messages / begun.elapsed().as_secs_f64(), "msg/s acked");
        figures.add("drained_rss_mib", rss_mib(&target), "MiB");
        target.finish().await?;
        output.record(figures.text(), &figures.json())
    }

    async fn fill(&self, client: &Client) -> Result<()> {
        let options = PublisherOptions { calls_in_flight: 4, ..PublisherOptions::default() };
        let publisher = client.publisher_with(QUEUE, options);
        let body = bytes::Bytes::from(vec![b'.'; usize::try_from(self.size).unwrap_or(0)]);
        for _ in 0..self.messages {
            // Errors reach the flush.
            drop(publisher.publish(Message::new(body.clone())).await);
        }
        Ok(publisher.flush().await?)
    }

    async fn drain(&self, client: &Client) -> Result<()> {
        let mut stream = client.subscribe(QUEUE).max_in_flight(10_000).auto_extend(false).start().await?;
        for _ in 0..self.messages {
            stream.next().await.context("the stream ended")??.ack_later();
        }
        stream.close().await;
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn rss_mib(target: &Target) -> f64 {
    let kib = target.pid().and_then(|pid| status_kib(&pid.to_string(), "VmRSS:"));
    kib.unwrap_or_default() as f64 / 1024.0
}
