//! `bbq bench backlog`: fill a queue, restart the server, drain the queue.

use anyhow::{Context as _, Result, bail};
use bbq_client::{Client, Message, PublisherOptions};
use clap::{Args, ValueEnum};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use tokio::time::Instant;

use super::super::Global;
use super::super::argument::whole;
use super::super::output::Output;
use super::figures::Figures;
use super::target::Target;
use super::usage::{allocated, status_kib};
use super::{At, Durability};

/// Fill a queue, restart the server, drain the queue
#[derive(Debug, Args)]
pub(super) struct Backlog {
    /// How many messages
    #[arg(long, default_value_t = 1_000_000, value_parser = whole::<u64>(1..=u64::MAX), allow_negative_numbers = true)]
    messages: u64,
    /// Bytes of each body
    #[arg(long, default_value_t = 256, value_parser = whole::<u32>(0..=4 << 20), allow_negative_numbers = true)]
    size: u32,
    /// What the bodies are
    #[arg(long, value_enum, default_value_t = Bodies::Text)]
    bodies: Bodies,
    /// Kill the server instead of ending it in order
    #[arg(long)]
    kill: bool,
}

const QUEUE: &str = "backlog";

/// What the bodies are: the server compresses what lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Bodies {
    /// Orders as JSON, each different
    Text,
    /// Random bytes, which can't be compressed
    Random,
}

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
        let mut random = SmallRng::seed_from_u64(1);
        for number in 0..self.messages {
            // Errors reach the flush.
            drop(publisher.publish(Message::new(self.body(number, &mut random))).await);
        }
        Ok(publisher.flush().await?)
    }

    fn body(&self, number: u64, random: &mut SmallRng) -> Vec<u8> {
        let size = usize::try_from(self.size).unwrap_or(0);
        let mut body = Vec::with_capacity(size + 256);
        match self.bodies {
            Bodies::Random => {
                body.resize(size, 0);
                random.fill(&mut body[..]);
            }
            Bodies::Text => {
                while body.len() < size {
                    let (id, customer, cents): (u128, u32, u16) = random.random();
                    let order = format!(
                        r#"{{"order_id":"{id:032x}","number":{number},"customer_id":{customer},"currency":"EUR","amount_cents":{cents},"items":[{{"sku":"A-{}","quantity":{}}}],"status":"created"}}"#,
                        cents % 977,
                        1 + cents % 5,
                    );
                    body.extend_from_slice(order.as_bytes());
                }
                body.truncate(size);
            }
        }
        body
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
