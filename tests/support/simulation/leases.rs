//! Leases that nobody settles: each lasts as long as was asked for, by the monotonic clock, and no longer, however the wall clock jumps.
//!
//! The server's time may pass faster or slower by a tenth, so it may be a tenth more or less.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bbq::broker::{BrokerError, Delivery, Settlement};
use bbq::types::{self, QueueName, QueueSettings};
use rand::RngExt as _;
use tokio::time::Instant;

use super::clients::Client;
use super::consumers::terms;
use super::queues::name;

/// Timers, and the server's time, go by milliseconds.
const GRAIN: Duration = Duration::from_millis(10);

/// When leases that were asked for in some time can end.
struct End {
    earliest: Instant,
    latest: Instant,
}

impl End {
    /// Of leases for `lease_ms` that began after `before`, by now.
    fn of(lease_ms: u64, before: Instant) -> Self {
        let lease = Duration::from_millis(lease_ms);
        Self { earliest: before + lease * 10 / 11, latest: Instant::now() + lease * 10 / 9 }
    }
}

impl Client {
    /// Takes messages of a queue of its own, and looks when their leases end.
    pub(super) async fn hold(self) {
        loop {
            self.pause(300).await;
            let queue = name(&format!("held-{}", self.made("held").id.0));
            // A call that gets no answer says nothing about leases; that the broker ends is seen elsewhere.
            let _ = self.hold_some(&queue).await;
            let _ = self.handle.delete(queue).await;
        }
    }

    async fn hold_some(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.handle.create(queue.clone(), QueueSettings::default()).await?;
        let count = self.draw(|rng| rng.random_range(1..5));
        self.handle.publish(queue.clone(), self.nameless(count), Vec::new()).await?;
        let (lease_ms, before) = (self.some_time(), Instant::now());
        let soon = tokio::time::sleep(Duration::from_secs(1));
        let (taken, handout) = self.handle.receive(queue.clone(), terms(count, lease_ms), soon).await?;
        handout.keep();
        let mut end = End::of(lease_ms, before);
        if self.draw(|rng| rng.random_bool(0.5)) {
            self.pause(lease_ms).await;
            if let Some(later) = self.extend_all(queue, &taken).await? {
                end = later;
            }
        }
        tokio::time::sleep_until(end.earliest - GRAIN).await;
        let held = self.leased(queue).await?;
        // What is told too late may have ended rightly.
        if held != taken.len() as u64 && Instant::now() + GRAIN / 2 < end.earliest {
            let of = taken.len();
            self.complain(format!("{held} of {of} leases in {queue} for {lease_ms} ms last long enough"));
        }
        tokio::time::sleep_until(end.latest + GRAIN).await;
        let held = self.leased(queue).await?;
        if held > 0 {
            self.complain(format!("{held} leases in {queue} for {lease_ms} ms do not end"));
        }
        self.crowd.looked.fetch_add(taken.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// When the leases end now; none if one of them had ended.
    async fn extend_all(&self, queue: &QueueName, taken: &[Delivery]) -> Result<Option<End>, BrokerError> {
        let (longer, before) = (self.some_time(), Instant::now());
        let receipts = taken.iter().map(|delivery| Ok(delivery.receipt)).collect();
        let what = Settlement::Extend(Some(types::Duration(longer)));
        let refused = self.handle.settle(queue.clone(), receipts, what).await?;
        Ok(refused.is_empty().then(|| End::of(longer, before)))
    }

    /// In milliseconds, mostly short: so are most lives.
    fn some_time(&self) -> u64 {
        self.draw(|rng| {
            let most = 200 << rng.random_range(0..5);
            rng.random_range(100..most)
        })
    }

    async fn leased(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        Ok(self.handle.show(queue.clone()).await?.depth.leased)
    }
}
