//! The workload: producers and consumers, each with a connection of its own.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bbq_client::{Client, Confirmation, Message, PublisherOptions, Subscription};
use bytes::{BufMut as _, BytesMut};
use clap::Args;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::Global;
use super::super::argument::{positive, whole};
use super::super::output::Output;
use super::At;
use super::figures::{Figures, times};
use super::pace::Pace;
use super::target::Target;
use super::usage::Usage;

/// Bytes of the sending time, which leads every body.
const STAMP: usize = 8;
/// If nothing arrives for so long, something is wrong.
const STALLED: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Args)]
pub(super) struct Workload {
    /// The queue; made if it is not there, and it must be empty
    #[arg(long, default_value = "bench")]
    queue: String,
    /// How many messages in all
    #[arg(long, default_value_t = 200_000, value_parser = whole::<u64>(1..=u64::MAX), allow_negative_numbers = true)]
    messages: u64,
    /// Bytes of each body, at least 8
    #[arg(long, default_value_t = 1024, value_parser = whole::<u32>(8..=4 << 20), allow_negative_numbers = true)]
    size: u32,
    /// Producers, each with a connection of its own
    #[arg(long, default_value_t = 4, value_parser = whole::<u32>(1..=1000), allow_negative_numbers = true)]
    producers: u32,
    /// Consumers, each with a connection of its own
    #[arg(long, default_value_t = 4, value_parser = whole::<u32>(1..=1000), allow_negative_numbers = true)]
    consumers: u32,
    /// Unconfirmed messages of each producer, unsettled ones of each consumer
    #[arg(long, default_value_t = 256, value_parser = whole::<u32>(1..=10_000), allow_negative_numbers = true)]
    window: u32,
    /// Messages a second in all; as fast as it goes if not given
    #[arg(long, value_parser = positive, allow_negative_numbers = true)]
    rate: Option<f64>,
    /// The most messages of one Publish call [default: what the window allows]
    #[arg(long, value_parser = whole::<u32>(1..=10_000), allow_negative_numbers = true)]
    batch: Option<u32>,
    /// Publish calls in flight for each producer
    #[arg(long, default_value_t = 1, value_parser = whole::<u32>(1..=1000), allow_negative_numbers = true)]
    calls: u32,
}

/// What all producers and consumers share.
struct Run {
    queue: String,
    total: u64,
    started: Instant,
    received: AtomicU64,
    done: Notify,
    bar: ProgressBar,
}

/// What the producers and consumers did.
struct Outcome {
    published: Duration,
    delivered: Duration,
    times: Histogram<u64>,
}

impl Workload {
    pub(super) async fn run(&self, at: &At, global: &Global, output: &mut Output) -> Result<()> {
        if self.rate.is_some_and(|rate| rate.is_nan() || rate <= 0.0) {
            bail!("--rate must be above 0");
        }
        let target = Target::reach(at, global).await?;
        let admin = target.connect().await?;
        target.queue(&admin, &self.queue).await?;
        let before = Usage::now(&target).await?;
        let outcome = self.drive(&target).await?;
        let usage = Usage::now(&target).await?.since(before);
        let left = admin.get_queue(&self.queue).await?.stats.unwrap_or_default();
        if left.ready + left.leased > 0 {
            bail!("{} messages are left in queue {}", left.ready + left.leased, self.queue);
        }
        target.finish().await?;
        let figures = self.figures(&outcome, usage);
        output.record(figures.text(), &figures.json())
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn figures(&self, outcome: &Outcome, usage: Usage) -> Figures {
        let messages = self.messages as f64;
        let mut figures = Figures::default();
        figures.add("messages", messages, "");
        figures.add("publish_per_s", messages / outcome.published.as_secs_f64(), "msg/s confirmed");
        figures.add("end_to_end_per_s", messages / outcome.delivered.as_secs_f64(), "msg/s acked");
        figures.percentiles("", &outcome.times);
        figures.usage(usage, messages);
        figures
    }

    async fn drive(&self, target: &Target) -> Result<Outcome> {
        let run = Arc::new(Run {
            queue: self.queue.clone(),
            total: self.messages,
            started: Instant::now(),
            received: AtomicU64::new(0),
            done: Notify::new(),
            bar: bar(self.messages),
        });
        let mut consumers = JoinSet::new();
        for _ in 0..self.consumers {
            let client = target.connect().await?;
            let start = client.subscribe(&self.queue).max_in_flight(self.window);
            let subscription = start.max_in_flight_bytes(256 << 20).auto_extend(false).start().await?;
            consumers.spawn(consume(Arc::clone(&run), client, subscription));
        }
        let mut clients = Vec::new();
        for _ in 0..self.producers {
            clients.push(target.connect().await?);
        }
        // What took time so far was connecting.
        let begun = run.started.elapsed();
        let mut producers = JoinSet::new();
        for (place, client) in (0_u64..).zip(clients) {
            let share = share(self.messages, u64::from(self.producers), place);
            producers.spawn(produce(Arc::clone(&run), client, self.clone(), share));
        }
        join(&mut producers, |()| {}).await?;
        let published = run.started.elapsed() - begun;
        let mut all = times();
        let waited = tokio::time::timeout(STALLED, join(&mut consumers, |times| _ = all.add(times)));
        waited.await.context("messages are missing")??;
        let delivered = run.started.elapsed() - begun;
        run.bar.finish_and_clear();
        Ok(Outcome { published, delivered, times: all })
    }

    fn options(&self) -> PublisherOptions {
        let standard = PublisherOptions::default();
        let batch =
            self.batch.map_or(standard.call_messages_max, |batch| usize::try_from(batch).unwrap_or(1));
        PublisherOptions {
            call_messages_max: batch,
            calls_in_flight: usize::try_from(self.calls).unwrap_or(1),
            unconfirmed_max: self.window,
            ..standard
        }
    }
}

async fn join<T: 'static>(tasks: &mut JoinSet<Result<T>>, mut each: impl FnMut(T)) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        each(ended.context("a task failed")??);
    }
    Ok(())
}

/// How many of `total` fall to one of `parts`.
fn share(total: u64, parts: u64, place: u64) -> u64 {
    total / parts + u64::from(place < total % parts)
}

async fn produce(run: Arc<Run>, client: Client, workload: Workload, share: u64) -> Result<()> {
    let publisher = client.publisher_with(&run.queue, workload.options());
    let size = usize::try_from(workload.size).unwrap_or(STAMP);
    let mut pace = Pace::new(workload.rate, workload.producers);
    let mut unconfirmed: FuturesUnordered<Confirmation> = FuturesUnordered::new();
    for _ in 0..share {
        pace.next().await;
        let mut body = BytesMut::with_capacity(size);
        body.put_u64(run.now_us());
        body.resize(size, b'.');
        unconfirmed.push(publisher.publish(Message::new(body.freeze())).await);
        while unconfirmed.len() >= 64
            && let Some(confirmed) = futures_util::FutureExt::now_or_never(unconfirmed.next())
        {
            confirmed.transpose()?;
        }
    }
    while let Some(confirmed) = unconfirmed.next().await {
        confirmed?;
    }
    Ok(())
}

async fn consume(run: Arc<Run>, client: Client, mut subscription: Subscription) -> Result<Histogram<u64>> {
    let mut times = times();
    loop {
        let delivery = tokio::select! {
            biased;
            delivery = subscription.next() => delivery,
            () = run.done.notified() => break,
        };
        let delivery = delivery.context("the stream ended")??;
        let sent = delivery.body().first_chunk().map_or(0, |stamp| u64::from_be_bytes(*stamp));
        times.saturating_record(run.now_us().saturating_sub(sent).max(1));
        delivery.ack_later();
        run.bar.inc(1);
        if run.received.fetch_add(1, Ordering::Relaxed) + 1 >= run.total {
            run.finish();
            break;
        }
    }
    subscription.close().await;
    client.close().await;
    Ok(times)
}

impl Run {
    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Ends every consumer, those too that look only later.
    fn finish(&self) {
        self.done.notify_waiters();
        for _ in 0..1000 {
            self.done.notify_one();
        }
    }
}

/// A progress bar, on a terminal.
fn bar(total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta}");
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
