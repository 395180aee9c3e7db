//! `bbq subscribe`: messages as they come, printed or handed to a command.
//!
//! Without `--count` it is a Subscribe stream. With it, messages are taken by Receive, exactly as many as are missing: a
//! stream would be sent more than it wants, which would have to come back. Of an at-most-once queue that would be lost, so that
//! commands, which are slower than a stream, get it by Receive in any case. Where there is a single active consumer, only a
//! stream is one, and with `--no-ack` only a stream's end gives everything back.
//!
//! Always true: a message is settled after its line was written or its command has ended, never before; the settlements
//! are answered before the command ends.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Result, bail};
use bbq_client::proto::DeliveryMode;
use bbq_client::{Client, Delivery, Error, Subscription};
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::Global;
use super::argument::{command, duration, whole};
use super::connection::{stop_signal, with_client};
use super::exec::EXEC_HELP;
use super::output::Output;
use super::record::{self, were};
use super::running::Running;
use super::settling::Settling;

/// How long one Receive waits; the next one follows.
const WAIT: Duration = Duration::from_secs(20);
/// The most messages of one Receive.
const RECEIVE_MAX: u64 = 1000;
/// The lease of a message that a command works on; extended at half its time.
const EXEC_LEASE: Duration = Duration::from_secs(30);
/// The pause after a lost connection.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// The most messages that a stream may hold.
const IN_FLIGHT_MAX: u64 = 10_000;

#[derive(Debug, Args)]
pub(super) struct Subscribe {
    /// The queue
    queue: String,
    /// End after so many messages
    ///
    /// Killed before that, it leaves what it holds to the leases' deadlines; without --count that comes back at once.
    #[arg(long, value_name = "COUNT", value_parser = whole::<u64>(1..=u64::MAX), allow_negative_numbers = true)]
    count: Option<u64>,
    /// Settle nothing: the messages stay leased until the end, which gives them back
    #[arg(long, conflicts_with = "exec")]
    no_ack: bool,
    /// Run a command for each message, its body on standard input; exit code 0 settles it, else it is given back
    #[arg(long, value_name = "COMMAND", value_parser = command, long_help = EXEC_HELP)]
    exec: Option<String>,
    /// With --exec, how many commands run at once
    #[arg(long, value_name = "COUNT", requires = "exec", default_value_t = 1,
        value_parser = whole::<u32>(1..=1000), allow_negative_numbers = true)]
    parallel: u32,
    /// The most messages held unsettled [default: 100; with --exec as many as run at once]
    #[arg(long, value_name = "COUNT", value_parser = whole::<u32>(1..=u32::MAX.into()), allow_negative_numbers = true)]
    max_in_flight: Option<u32>,
    /// How long each lease lasts, 1s to 12h; extended as long as needed [default: the queue's setting]
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    lease_duration: Option<Duration>,
    /// What `bbq leases` shows
    #[arg(long, value_name = "CONSUMER", default_value = "", hide_default_value = true)]
    name: String,
}

/// Where deliveries come from.
enum Source {
    Stream(Subscription),
    Polls(Polls),
}

struct Polls {
    client: Client,
    queue: String,
    lease: Option<Duration>,
    /// The most messages of one call.
    batch: u64,
    taken: VecDeque<Delivery>,
}

impl Subscribe {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        with_client(global, async |client| {
            let stop = stop_signal()?;
            let source = self.source(client.with_consumer_name(&self.name)).await?;
            self.take(source, &stop, &mut Output::new(global)).await
        })
        .await
    }

    async fn source(&self, client: Client) -> Result<Source> {
        if self.polls(&client).await? {
            let (lease, batch) = match self.exec {
                Some(_) => (Some(self.lease_duration.unwrap_or(EXEC_LEASE)), 1),
                None => (self.lease_duration, self.max_in_flight.map_or(RECEIVE_MAX, u64::from)),
            };
            let batch = batch.clamp(1, RECEIVE_MAX);
            let queue = self.queue.clone();
            return Ok(Source::Polls(Polls { client, queue, lease, batch, taken: VecDeque::new() }));
        }
        let mut builder = client.subscribe(&self.queue);
        if let Some(in_flight) = self.in_flight() {
            builder = builder.max_in_flight(in_flight);
        }
        if let Some(lease) = self.lease_duration {
            builder = builder.lease_duration(lease);
        }
        Ok(Source::Stream(builder.start().await?))
    }

    /// Whether to take messages call by call; see above.
    async fn polls(&self, client: &Client) -> Result<bool> {
        if self.count.is_none() && self.exec.is_none() && !self.no_ack {
            return Ok(false);
        }
        let settings = client.get_queue(&self.queue).await?.settings.unwrap_or_default();
        let once = settings.delivery() == DeliveryMode::AtMostOnce;
        if once && self.no_ack {
            bail!(
                "queue {0} delivers at most once: what is taken is gone, and --no-ack could leave nothing in it; look at it with \
                 `bbq peek {0}`, or leave --no-ack away",
                self.queue
            );
        }
        Ok(once || self.count.is_some() && !self.no_ack && !settings.single_active_consumer)
    }

    /// A stream's credit; the server's default if nothing speaks against it.
    fn in_flight(&self) -> Option<u32> {
        // With --no-ack nothing is settled, so no more than the credit ever comes.
        let wanted = self.count.map(|count| count.clamp(1, IN_FLIGHT_MAX));
        let wanted = wanted.and_then(|count| u32::try_from(count).ok());
        self.max_in_flight.or(self.exec.as_ref().map(|_| self.parallel)).or(wanted)
    }

    /// Takes messages until there were enough or `stop` is cancelled, then waits for commands and settlements.
    async fn take(&self, mut source: Source, stop: &CancellationToken, output: &mut Output) -> Result<()> {
        let settling = Settling::start();
        let mut held = Vec::new();
        let mut missing = self.count;
        let mut running = Running::new(self.parallel, source.lease());
        let mut taken = Ok(());
        'taking: while missing != Some(0) {
            // It must not be dropped while a command ends: what a Receive has taken would stay with its lease.
            let next = source.next(missing);
            tokio::pin!(next);
            let delivery = loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break 'taking,
                    Some(ended) = running.ended(), if !running.is_empty() => {
                        taken = ended.settle(&settling, output);
                        if taken.is_err() {
                            break 'taking;
                        }
                    }
                    delivery = &mut next, if running.has_room() => break delivery,
                }
            };
            taken = match (delivery, &self.exec) {
                (Err(error), _) => Err(error.into()),
                (Ok(delivery), Some(command)) => {
                    running.start(command, delivery);
                    Ok(())
                }
                (Ok(delivery), None) => self.print(delivery, &settling, &mut held, output),
            };
            if taken.is_err() {
                break;
            }
            missing = missing.map(|missing| missing - 1);
        }
        // What is already running ends in its own time; its message is settled then.
        while let Some(ended) = running.ended().await {
            taken = taken.and(ended.settle(&settling, output));
        }
        source.give_back(&settling);
        let failed = settling.finish().await;
        if let Source::Stream(subscription) = source {
            subscription.close().await;
        }
        drop(held);
        taken?;
        match (failed, self.count) {
            (0, _) | (_, None) => Ok(()),
            (failed, Some(_)) => bail!("{} not settled and will come back", were(failed, "message")),
        }
    }

    fn print(
        &self,
        delivery: Delivery,
        settling: &Settling,
        held: &mut Vec<Delivery>,
        output: &mut Output,
    ) -> Result<()> {
        let printed = output.message(delivery.body(), || record::delivery(&delivery));
        if let Err(error) = printed {
            settling.send(delivery.nack());
            return Err(error);
        }
        if !self.no_ack {
            settling.send(delivery.ack());
        } else if !delivery.receipt().is_empty() {
            held.push(delivery);
        }
        Ok(())
    }
}

impl Source {
    /// The lease that has to be kept while a command runs; a stream's leases keep themselves.
    fn lease(&self) -> Option<Duration> {
        match self {
            Self::Stream(_) => None,
            Self::Polls(polls) => polls.lease,
        }
    }

    /// The next delivery; `missing` is how many are wanted. Dropped early, it may leave messages to their leases.
    async fn next(&mut self, missing: Option<u64>) -> Result<Delivery, Error> {
        match self {
            Self::Stream(subscription) => match subscription.next().await {
                Some(delivery) => delivery,
                None => std::future::pending().await,
            },
            Self::Polls(polls) => polls.next(missing.unwrap_or(u64::MAX)).await,
        }
    }

    /// Gives back what was taken and not handled; a stream's end does that by itself.
    fn give_back(&mut self, settling: &Settling) {
        if let Self::Polls(polls) = self {
            polls.taken.drain(..).for_each(|delivery| settling.send(delivery.nack()));
        }
    }
}

impl Polls {
    async fn next(&mut self, missing: u64) -> Result<Delivery, Error> {
        loop {
            if let Some(delivery) = self.taken.pop_front() {
                return Ok(delivery);
            }
            let max = u32::try_from(missing.min(self.batch)).unwrap_or(1);
            match self.client.receive(&self.queue, max, WAIT, self.lease).await {
                Ok(deliveries) => self.taken.extend(deliveries),
                Err(error @ (Error::Unavailable(_) | Error::Connect { .. } | Error::DeadlineExceeded(_))) => {
                    tracing::warn!(%error, "trying again");
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
