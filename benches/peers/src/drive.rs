//! The workload: what `bbq bench` does to BBQ, done to any system.
//!
//! Always true: no producer has more unconfirmed messages than the window, and the clock runs from the first publish,
//! when everyone is connected, until the server has the last ack.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::figures::Figures;
use crate::peer::{Consumer, Peer, Producer};
use crate::run::{Run, times};
use crate::settings::Workload;

/// A run that takes longer has lost something.
pub const RUN_MAX: Duration = Duration::from_secs(600);
/// How long a server may take to show an empty queue: some count later than they confirm.
const EMPTY_MAX: Duration = Duration::from_secs(10);
const EMPTY_POLL: Duration = Duration::from_millis(100);

/// Puts `workload` on `peer` and ends it.
pub async fn drive<P: Peer>(peer: P, workload: &Workload) -> Result<Figures> {
    let measured = timeout(RUN_MAX, measure(&peer, workload)).await;
    let figures =
        measured.with_context(|| format!("messages are missing after {} s", RUN_MAX.as_secs()))??;
    empty(&peer).await?;
    peer.end().await?;
    Ok(figures)
}

async fn measure<P: Peer>(peer: &P, workload: &Workload) -> Result<Figures> {
    let run = Arc::new(Run::new(workload.messages, usize::try_from(workload.size)?));
    let mut consumers = JoinSet::new();
    for _ in 0..workload.consumers {
        let consumer = peer.consumer(workload.window).await?;
        consumers.spawn(consumer.consume(Arc::clone(&run)));
    }
    let mut connected = Vec::new();
    for _ in 0..workload.producers {
        connected.push(peer.producer().await?);
    }
    let begun = Instant::now();
    let mut producers = JoinSet::new();
    for (place, producer) in (0..).zip(connected) {
        let share = share(workload.messages, u64::from(workload.producers), place);
        producers.spawn(produce(Arc::clone(&run), producer, *workload, share));
    }
    let mut all = times()?;
    let publish = async {
        while let Some(ended) = producers.join_next().await {
            ended.context("a producer failed")??;
        }
        anyhow::Ok(begun.elapsed())
    };
    let consume = async {
        while let Some(ended) = consumers.join_next().await {
            all.add(ended.context("a consumer failed")??)?;
        }
        anyhow::Ok(begun.elapsed())
    };
    let (published, delivered) = tokio::try_join!(publish, consume)?;
    Ok(Figures::new(workload.messages, published, delivered, &all))
}

async fn produce<P: Producer>(run: Arc<Run>, producer: P, workload: Workload, share: u64) -> Result<()> {
    let mut pace = Pace::new(workload.rate, workload.producers);
    let batch_max = P::BATCH.min(workload.window);
    let mut calls = FuturesUnordered::new();
    let mut unconfirmed = 0;
    let mut left = share;
    while left > 0 {
        let due = loop {
            tokio::select! {
                biased;
                () = pace.due() => break pace.take(u64::from(batch_max).min(left)),
                Some(confirmed) = calls.next() => unconfirmed -= confirmed?,
            }
        };
        while unconfirmed + due > u64::from(workload.window) {
            let Some(confirmed) = calls.next().await else { break };
            unconfirmed -= confirmed?;
        }
        let bodies: Vec<_> = (0..due).map(|_| run.body()).collect();
        let call = producer.publish(bodies);
        calls.push(async move { call.await.map(|()| due) });
        unconfirmed += due;
        left -= due;
    }
    while let Some(confirmed) = calls.next().await {
        confirmed?;
    }
    Ok(())
}

/// How many of `total` fall to one of `parts`.
fn share(total: u64, parts: u64, place: u64) -> u64 {
    total / parts + u64::from(place < total % parts)
}

/// When each message of one producer is due. A producer that fell behind catches up.
struct Pace {
    started: Instant,
    interval: Option<Duration>,
    sent: u32,
}

impl Pace {
    fn new(rate: Option<u32>, producers: u32) -> Self {
        let interval = rate.map(|rate| Duration::from_secs(1) * producers / rate);
        Self { started: Instant::now(), interval, sent: 0 }
    }

    /// Ends when a message is due. Cancel safe.
    async fn due(&self) {
        if let Some(interval) = self.interval {
            sleep_until(self.started + interval * self.sent).await;
        }
    }

    /// Takes what is due by now, at most `most` and at least one.
    fn take(&mut self, most: u64) -> u64 {
        let Some(interval) = self.interval else { return most };
        let due = self.started.elapsed().as_nanos() / interval.as_nanos().max(1) + 1;
        let taken = due.saturating_sub(u128::from(self.sent)).clamp(1, u128::from(most.max(1)));
        let taken = u32::try_from(taken).unwrap_or(1);
        self.sent += taken;
        u64::from(taken)
    }
}

async fn empty<P: Peer>(peer: &P) -> Result<()> {
    let until = Instant::now() + EMPTY_MAX;
    loop {
        let left = peer.left().await?;
        if left == 0 {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("{left} messages are left in the queue although every one was received and acked");
        }
        sleep(EMPTY_POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shares of all producers add up to the whole.
    #[test]
    fn shares_add_up() {
        for total in [0, 1, 7, 200_000] {
            assert_eq!((0..3).map(|place| share(total, 3, place)).sum::<u64>(), total);
        }
    }

    /// A producer that fell behind sends what it owes at once, but never more than it may.
    #[tokio::test(start_paused = true)]
    async fn pace_catches_up() {
        let mut pace = Pace::new(Some(1000), 4);
        pace.due().await;
        assert_eq!(pace.take(256), 1);
        tokio::time::advance(Duration::from_millis(40)).await;
        assert_eq!(pace.take(6), 6);
        assert_eq!(pace.take(256), 4);
        let before = Instant::now();
        pace.due().await;
        assert_eq!(Instant::now() - before, Duration::from_millis(4));
    }
}
