//! Redis Streams: XADD, XREADGROUP, XACK with XDEL, each in pipelines.
//!
//! Decides: a confirmed message is in the append-only file and fsynced (`appendfsync always`), and an acked one is
//! deleted, as it is in a queue.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Value};
use rustix::process::Signal;
use tokio::process::Command;

use crate::peer::{self, Peer};
use crate::process::{Process, free_port};
use crate::run::{Run, Times, times};

const STREAM: &str = "bench";
const GROUP: &str = "consumers";
/// How long a reader waits before it asks again, in milliseconds.
const BLOCK_MS: u32 = 1000;

/// A running server.
pub struct Redis {
    process: Process,
    client: Client,
    members: AtomicU32,
}

/// A connection that adds.
pub struct Producer(MultiplexedConnection);

/// A connection that reads, and which member of the group it is.
pub struct Consumer {
    connection: MultiplexedConnection,
    name: String,
    window: u16,
}

impl Redis {
    /// Starts `program` with its data in `directory`.
    pub async fn start(program: &Path, directory: &Path) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(directory);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no"]);
        let process = Process::start("redis", command, directory, port).await?;
        let client = Client::open(format!("redis://127.0.0.1:{port}/"))?;
        let redis = Self { process, client, members: AtomicU32::new(0) };
        let mut connection = redis.connect().await?;
        let make = redis::Cmd::new()
            .arg("XGROUP")
            .arg("CREATE")
            .arg(STREAM)
            .arg(GROUP)
            .arg("0")
            .arg("MKSTREAM")
            .to_owned();
        make.query_async::<()>(&mut connection).await?;
        Ok(redis)
    }

    async fn connect(&self) -> Result<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        Ok(self.client.get_multiplexed_async_connection_with_config(&config).await?)
    }
}

impl Peer for Redis {
    type Producer = Producer;
    type Consumer = Consumer;

    async fn producer(&self) -> Result<Producer> {
        Ok(Producer(self.connect().await?))
    }

    async fn consumer(&self, window: u16) -> Result<Consumer> {
        let connection = self.connect().await?;
        Ok(Consumer {
            connection,
            name: format!("c{}", self.members.fetch_add(1, Ordering::Relaxed)),
            window,
        })
    }

    async fn left(&self) -> Result<u64> {
        Ok(redis::cmd("XLEN").arg(STREAM).query_async(&mut self.connect().await?).await?)
    }

    async fn end(self) -> Result<()> {
        self.process.end(Signal::TERM).await
    }
}

impl peer::Producer for Producer {
    const BATCH: u16 = 64;

    async fn publish(&self, bodies: Vec<Vec<u8>>) -> Result<()> {
        let mut pipeline = redis::Pipeline::with_capacity(bodies.len());
        for body in bodies {
            pipeline.cmd("XADD").arg(STREAM).arg("*").arg("b").arg(body).ignore();
        }
        Ok(pipeline.query_async(&mut self.0.clone()).await?)
    }
}

impl peer::Consumer for Consumer {
    async fn consume(self, run: Arc<Run>) -> Result<Times> {
        let mut times = times()?;
        let mut unacked: Vec<Vec<u8>> = Vec::new();
        loop {
            // Both go out on one connection in this order, so what is acked leaves room for what is read.
            let acked = self.ack(std::mem::take(&mut unacked));
            if run.is_done() {
                acked.await?;
                return Ok(times);
            }
            let mut acked = Box::pin(acked);
            let mut read = Box::pin(self.read());
            let mut is_acked = false;
            let entries = loop {
                tokio::select! {
                    biased;
                    answered = &mut acked, if !is_acked => {
                        answered?;
                        is_acked = true;
                    }
                    entries = &mut read => break entries?,
                    () = run.done(), if is_acked => return Ok(times),
                }
            };
            if !is_acked {
                acked.await?;
            }
            unacked = Vec::with_capacity(entries.len());
            for (id, body) in entries {
                run.received(&body, &mut times)?;
                unacked.push(id);
            }
        }
    }
}

impl Consumer {
    async fn ack(&self, ids: Vec<Vec<u8>>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::Pipeline::with_capacity(2);
        pipeline.cmd("XACK").arg(STREAM).arg(GROUP).arg(&ids).ignore();
        pipeline.cmd("XDEL").arg(STREAM).arg(&ids).ignore();
        Ok(pipeline.query_async(&mut self.connection.clone()).await?)
    }

    /// What is there, or comes within a second: ids and bodies.
    async fn read(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(GROUP).arg(&self.name).arg("COUNT").arg(self.window).arg("BLOCK").arg(BLOCK_MS);
        let answer: Value =
            read.arg("STREAMS").arg(STREAM).arg(">").query_async(&mut self.connection.clone()).await?;
        if answer == Value::Nil {
            return Ok(Vec::new());
        }
        let [stream] = array(answer)?;
        let [_name, entries] = array(stream)?;
        let Value::Array(entries) = entries else { bail!("Redis answered without entries") };
        entries.into_iter().map(entry).collect()
    }
}

fn entry(entry: Value) -> Result<(Vec<u8>, Vec<u8>)> {
    let [id, fields] = array(entry)?;
    let [_field, body] = array(fields)?;
    match (id, body) {
        (Value::BulkString(id), Value::BulkString(body)) => Ok((id, body)),
        (id, _) => bail!("the entry {id:?} has no bytes"),
    }
}

fn array<const N: usize>(value: Value) -> Result<[Value; N]> {
    let Value::Array(values) = value else { bail!("Redis answered {value:?} instead of an array") };
    <[Value; N]>::try_from(values)
        .ok()
        .with_context(|| format!("Redis answered an array that has not {N} parts"))
}
