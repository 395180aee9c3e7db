//! beanstalkd: put, reserve and delete, pipelined, with `-f 0`.
//!
//! The protocol is lines of text and there is no Rust client that is kept up, so the five commands are spoken here.
//! Decides: a producer writes a batch of puts at once and reads as many answers. A consumer waits for one job, takes
//! what else is ready without waiting, and deletes all of it in one write.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::peer::{self, Peer};
use crate::process::{Process, free_port};
use crate::run::{Run, Times, times};

/// Jobs asked for at once, beside the one that is waited for. The server answers one request of a connection a turn.
const RESERVE_MAX: u16 = 15;
/// How long a consumer waits before it looks whether the run is done, in seconds: the protocol has nothing shorter.
const WAIT_S: u32 = 1;

/// A running server.
pub struct Beanstalkd {
    process: Process,
    port: u16,
}

/// A connection that puts.
pub struct Producer(Mutex<Connection>);

/// A connection that reserves.
pub struct Consumer {
    connection: Connection,
    window: u16,
}

struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    line: String,
}

/// A reserved job.
struct Job {
    id: u64,
    body: Vec<u8>,
}

impl Beanstalkd {
    /// Starts `program` with its log in `directory`.
    pub async fn start(program: &Path, directory: &Path) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(program);
        command
            .args(["-l", "127.0.0.1", "-p", &port.to_string(), "-f", "0", "-z", "2097152", "-b"])
            .arg(directory);
        let process = Process::start("beanstalkd", command, directory, port).await?;
        Ok(Self { process, port })
    }

    async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Connection { reader: BufReader::with_capacity(64 << 10, reader), writer, line: String::new() })
    }
}

impl Peer for Beanstalkd {
    type Producer = Producer;
    type Consumer = Consumer;

    async fn producer(&self) -> Result<Producer> {
        Ok(Producer(Mutex::new(self.connect().await?)))
    }

    async fn consumer(&self, window: u16) -> Result<Consumer> {
        Ok(Consumer { connection: self.connect().await?, window })
    }

    async fn left(&self) -> Result<u64> {
        let mut connection = self.connect().await?;
        connection.writer.write_all(b"stats-tube default\r\n").await?;
        let answer = connection.answer().await?;
        let bytes = answer.strip_prefix("OK ").context("beanstalkd has no statistics")?.parse()?;
        let statistics = connection.bytes(bytes).await?;
        let statistics = String::from_utf8_lossy(&statistics).into_owned();
        let count = |name: &str| -> Result<u64> {
            let value = statistics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            Ok(value.with_context(|| format!("beanstalkd does not count {name}"))?.trim().parse()?)
        };
        Ok(count("current-jobs-ready")? + count("current-jobs-reserved")?)
    }

    async fn end(self) -> Result<()> {
        self.process.end(Signal::TERM).await
    }
}

impl peer::Producer for Producer {
    // Answers come in the order of the requests, so a connection has one batch under way; it may fill the window.
    const BATCH: u16 = 256;

    async fn publish(&self, bodies: Vec<Vec<u8>>) -> Result<()> {
        let mut connection = self.0.lock().await;
        let mut puts = Vec::new();
        for body in &bodies {
            puts.extend_from_slice(format!("put 0 0 60 {}\r\n", body.len()).as_bytes());
            puts.extend_from_slice(body);
            puts.extend_from_slice(b"\r\n");
        }
        let Connection { reader, writer, line } = &mut *connection;
        let answers = async {
            for _ in &bodies {
                line.clear();
                reader.read_line(line).await?;
                if !line.starts_with("INSERTED ") {
                    bail!("beanstalkd answered a put with {:?}", line.trim_end());
                }
            }
            Ok(())
        };
        // Written and read at once: neither side's buffers hold a whole window of large bodies.
        let write = async { Ok(writer.write_all(&puts).await?) };
        tokio::try_join!(write, answers)?;
        Ok(())
    }
}

impl peer::Consumer for Consumer {
    async fn consume(mut self, run: Arc<Run>) -> Result<Times> {
        let mut times = times()?;
        let more = RESERVE_MAX.min(self.window - 1);
        let mut request = Vec::new();
        let mut deletes = 0;
        loop {
            let is_done = run.is_done();
            if !is_done {
                request.extend_from_slice(format!("reserve-with-timeout {WAIT_S}\r\n").as_bytes());
                for _ in 0..more {
                    request.extend_from_slice(b"reserve-with-timeout 0\r\n");
                }
            }
            self.connection.writer.write_all(&request).await?;
            request.clear();
            for _ in 0..deletes {
                let answer = self.connection.answer().await?;
                if answer != "DELETED" {
                    bail!("beanstalkd answered a delete with {answer:?}");
                }
            }
            deletes = 0;
            if is_done {
                return Ok(times);
            }
            for asked in 0..=more {
                let job = tokio::select! {
                    biased;
                    job = self.connection.job() => job?,
                    // Only the first may take long, and nothing is deleted that has not been answered.
                    () = run.done(), if asked == 0 => return Ok(times),
                };
                if let Some(job) = job {
                    run.received(&job.body, &mut times)?;
                    request.extend_from_slice(format!("delete {}\r\n", job.id).as_bytes());
                    deletes += 1;
                }
            }
        }
    }
}

impl Connection {
    /// The next line.
    async fn answer(&mut self) -> Result<&str> {
        self.line.clear();
        if self.reader.read_line(&mut self.line).await? == 0 {
            bail!("beanstalkd closed the connection");
        }
        Ok(self.line.trim_end())
    }

    /// The answer to a reserve: a job, or none in time.
    async fn job(&mut self) -> Result<Option<Job>> {
        let answer = self.answer().await?;
        if answer == "TIMED_OUT" {
            return Ok(None);
        }
        let Some((id, bytes)) = answer.strip_prefix("RESERVED ").and_then(|rest| rest.split_once(' ')) else {
            bail!("beanstalkd answered a reserve with {answer:?}");
        };
        let (id, bytes) = (id.parse()?, bytes.parse()?);
        Ok(Some(Job { id, body: self.bytes(bytes).await? }))
    }

    /// So many bytes and the end of their line.
    async fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count + 2];
        self.reader.read_exact(&mut bytes).await?;
        bytes.truncate(count);
        Ok(bytes)
    }
}
