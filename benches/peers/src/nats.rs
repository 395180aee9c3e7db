//! NATS JetStream: a work-queue stream on disk, acked publishes, one pull consumer that all connections share.
//!
//! Decides: the server is run as it comes, which confirms before it fsyncs (every two minutes), and with
//! `sync_interval: always`, which fsyncs first.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use rustix::process::Signal;
use tokio::process::Command;

use crate::peer::{self, Peer};
use crate::process::{Process, free_port};
use crate::run::{Run, Times, times};

const STREAM: &str = "bench";
const CONSUMER: &str = "consumers";
/// No answer for so long means that it is lost.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// When the server fsyncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// As it comes: every two minutes.
    Default,
    /// Before every confirmation.
    Always,
}

/// A running server.
pub struct Nats {
    process: Process,
    url: String,
}

/// A connection that publishes.
pub struct Producer(Context);

/// A connection that pulls.
pub struct Consumer {
    client: Client,
    messages: pull::Stream,
}

impl Nats {
    /// Starts `program` with its data in `directory`. All consumers together hold `unacked_max` messages.
    pub async fn start(program: &Path, directory: &Path, sync: Sync, unacked_max: i64) -> Result<Self> {
        let port = free_port()?;
        let interval = match sync {
            Sync::Default => "",
            Sync::Always => "sync_interval: always",
        };
        let store = directory.join("data");
        let text =
            format!("listen: 127.0.0.1:{port}\njetstream {{\n store_dir: {store:?}\n {interval}\n}}\n");
        let config = directory.join("nats.conf");
        std::fs::write(&config, text)?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&config);
        let process = Process::start("nats", command, directory, port).await?;
        let nats = Self { process, url: format!("nats://127.0.0.1:{port}") };
        let (_, context) = nats.connect().await?;
        let stream = Config {
            name: STREAM.to_owned(),
            subjects: vec![STREAM.to_owned()],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::File,
            ..Config::default()
        };
        let stream = context.create_stream(stream).await?;
        let consumer = pull::Config {
            durable_name: Some(CONSUMER.to_owned()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: unacked_max,
            ..pull::Config::default()
        };
        stream.create_consumer(consumer).await?;
        Ok(nats)
    }

    async fn connect(&self) -> Result<(Client, Context)> {
        let client = async_nats::connect(&self.url).await?;
        let context = jetstream::ContextBuilder::new().ack_timeout(ANSWER_MAX).build(client.clone());
        Ok((client, context))
    }
}

impl Peer for Nats {
    type Producer = Producer;
    type Consumer = Consumer;

    async fn producer(&self) -> Result<Producer> {
        Ok(Producer(self.connect().await?.1))
    }

    async fn consumer(&self, window: u16) -> Result<Consumer> {
        let (client, context) = self.connect().await?;
        let consumer: PullConsumer = context.get_consumer_from_stream(CONSUMER, STREAM).await?;
        let messages = consumer.stream().max_messages_per_batch(usize::from(window)).messages().await?;
        Ok(Consumer { client, messages })
    }

    async fn left(&self) -> Result<u64> {
        let (_, context) = self.connect().await?;
        Ok(context.get_stream(STREAM).await?.cached_info().state.messages)
    }

    async fn end(self) -> Result<()> {
        self.process.end(Signal::TERM).await
    }
}

impl peer::Producer for Producer {
    const BATCH: u16 = 16;

    async fn publish(&self, bodies: Vec<Vec<u8>>) -> Result<()> {
        let mut confirms = Vec::with_capacity(bodies.len());
        for body in bodies {
            confirms.push(self.0.publish(STREAM, body.into()).await?.into_future());
        }
        try_join_all(confirms).await?;
        Ok(())
    }
}

impl peer::Consumer for Consumer {
    async fn consume(mut self, run: Arc<Run>) -> Result<Times> {
        let mut times = times()?;
        loop {
            let message = tokio::select! {
                biased;
                message = self.messages.next() => message.context("NATS ended the messages")??,
                () = run.done() => break,
            };
            run.received(&message.payload, &mut times)?;
            message.ack().await.map_err(|error| anyhow!("NATS takes no ack: {error}"))?;
        }
        // Acks have no answer, but the server answers in order.
        self.client.flush().await?;
        Ok(times)
    }
}
