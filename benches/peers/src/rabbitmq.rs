//! RabbitMQ: a quorum queue, publisher confirms, manual acks, prefetch.
//!
//! Decides: one node, which fsyncs its write-ahead log before it confirms, as quorum queues always do. Acks are sent
//! for all that arrived together (`multiple`), the way the protocol means it.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use rustix::process::Signal;
use tokio::process::Command;

use crate::peer::{self, Peer};
use crate::process::{Process, free_port};
use crate::run::{Run, Times, times};

const QUEUE: &str = "bench";
/// AMQP's mark of a message that outlives the server.
const PERSISTENT: u8 = 2;

/// A running node and the name service that every Erlang node needs.
pub struct RabbitMq {
    node: Process,
    names: Process,
    uri: String,
}

/// A channel with confirms, on a connection of its own.
pub struct Producer {
    channel: Channel,
    _connection: Connection,
}

/// A channel that consumes, on a connection of its own.
pub struct Consumer {
    channel: Channel,
    deliveries: lapin::Consumer,
    window: u16,
    _connection: Connection,
}

impl RabbitMq {
    /// Starts `program` and `epmd` with their data in `directory`.
    pub async fn start(program: &Path, epmd: &Path, directory: &Path) -> Result<Self> {
        let (port, names_port) = (free_port()?, free_port()?);
        let mut command = Command::new(epmd);
        command.args(["-port", &names_port.to_string(), "-address", "127.0.0.1"]);
        let names = Process::start("epmd", command, directory, names_port).await?;
        std::fs::write(directory.join("rabbitmq.conf"), "loopback_users.guest = true\n")?;
        std::fs::write(directory.join("enabled_plugins"), "[].\n")?;
        let mut command = Command::new(program);
        // Tells the script to become the node instead of staying its parent.
        command.env("RUNNING_UNDER_SYSTEMD", "true").env_remove("NOTIFY_SOCKET");
        command.env("HOME", directory).current_dir(directory);
        command.env("ERL_EPMD_PORT", names_port.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
        command.env("RABBITMQ_NODENAME", "bench@localhost").env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1");
        command
            .env("RABBITMQ_NODE_PORT", port.to_string())
            .env("RABBITMQ_DIST_PORT", free_port()?.to_string());
        command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}");
        command.env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
        command.env("RABBITMQ_CONFIG_FILE", directory.join("rabbitmq.conf"));
        command.env("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("enabled_plugins"));
        command
            .env("RABBITMQ_MNESIA_BASE", directory.join("data"))
            .env("RABBITMQ_LOG_BASE", directory.join("log"));
        let node = Process::start("rabbitmq", command, directory, port).await?;
        let uri = format!("amqp://guest:guest@{}:{port}/%2f", Ipv4Addr::LOCALHOST);
        let rabbit = Self { node, names, uri };
        rabbit.declare().await?;
        Ok(rabbit)
    }

    async fn connect(&self) -> Result<(Connection, Channel)> {
        let connection = Connection::connect(&self.uri, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        Ok((connection, channel))
    }

    /// Declares the queue, which is harmless when it is there; returns how many messages it has.
    async fn declare(&self) -> Result<u64> {
        let (connection, channel) = self.connect().await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(QUEUE.into(), options, arguments).await?;
        let left = u64::from(queue.message_count());
        connection.close(200, "done".into()).await?;
        Ok(left)
    }
}

impl Peer for RabbitMq {
    type Producer = Producer;
    type Consumer = Consumer;

    async fn producer(&self) -> Result<Producer> {
        let (connection, channel) = self.connect().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Producer { channel, _connection: connection })
    }

    async fn consumer(&self, window: u16) -> Result<Consumer> {
        let (connection, channel) = self.connect().await?;
        channel.basic_qos(window, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let deliveries =
            channel.basic_consume(QUEUE.into(), "".into(), options, FieldTable::default()).await?;
        Ok(Consumer { channel, deliveries, window, _connection: connection })
    }

    async fn left(&self) -> Result<u64> {
        self.declare().await
    }

    async fn end(self) -> Result<()> {
        self.node.end(Signal::TERM).await?;
        self.names.end(Signal::TERM).await
    }
}

impl peer::Producer for Producer {
    const BATCH: u16 = 16;

    async fn publish(&self, bodies: Vec<Vec<u8>>) -> Result<()> {
        let mut confirms = Vec::with_capacity(bodies.len());
        for body in bodies {
            let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
            let options = BasicPublishOptions::default();
            confirms
                .push(self.channel.basic_publish("".into(), QUEUE.into(), options, &body, properties).await?);
        }
        if try_join_all(confirms).await?.iter().any(|confirmation| !confirmation.is_ack()) {
            bail!("RabbitMQ refused a message");
        }
        Ok(())
    }
}

impl peer::Consumer for Consumer {
    async fn consume(self, run: Arc<Run>) -> Result<Times> {
        let mut times = times()?;
        let tag = self.deliveries.tag();
        let mut deliveries = self.deliveries.ready_chunks(usize::from(self.window));
        loop {
            let chunk = tokio::select! {
                biased;
                chunk = deliveries.next() => chunk.context("RabbitMQ ended the deliveries")?,
                () = run.done() => break,
            };
            let mut last = None;
            for delivery in chunk {
                let delivery = delivery?;
                run.received(&delivery.data, &mut times)?;
                last = Some(delivery.delivery_tag);
            }
            if let Some(last) = last {
                self.channel.basic_ack(last, BasicAckOptions { multiple: true }).await?;
            }
        }
        // Acks have no answer, but a channel answers in order: when this one comes, the acks have been taken.
        self.channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
        Ok(times)
    }
}
