//! What all producers and consumers of one run share: its clock, and how much has arrived.
//!
//! A body starts with the microsecond of the run at which it was sent, eight bytes, big-endian.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The longest time that is told apart: an hour, in microseconds.
const LONGEST_US: u64 = 3_600_000_000;
/// Three digits are more than any run repeats.
const DIGITS: u8 = 3;

/// Times in microseconds. Longer ones count as an hour.
pub type Times = Histogram<u64>;

/// An empty set of times.
pub fn times() -> Result<Times> {
    Histogram::new_with_bounds(1, LONGEST_US, DIGITS).context("the bounds of the histogram make no sense")
}

/// One run.
#[derive(Debug)]
pub struct Run {
    started: Instant,
    total: u64,
    size: usize,
    received: AtomicU64,
    done: CancellationToken,
}

impl Run {
    /// A run of `total` messages of `size` bytes.
    pub fn new(total: u64, size: usize) -> Self {
        let done = CancellationToken::new();
        Self { started: Instant::now(), total, size, received: AtomicU64::new(0), done }
    }

    /// Microseconds since it began.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A body that is sent now.
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.size);
        body.extend_from_slice(&self.now_us().to_be_bytes());
        body.resize(self.size, b'.');
        body
    }

    /// Notes that `body` arrived now. The last one ends the run for every consumer.
    pub fn received(&self, body: &[u8], times: &mut Times) -> Result<()> {
        let stamp = body.first_chunk().context("a body came back without the time that it was sent with")?;
        times.saturating_record(self.now_us().saturating_sub(u64::from_be_bytes(*stamp)).max(1));
        if self.received.fetch_add(1, Ordering::Relaxed) + 1 >= self.total {
            self.done.cancel();
        }
        Ok(())
    }

    /// Whether everything has arrived.
    pub fn is_done(&self) -> bool {
        self.done.is_cancelled()
    }

    /// Ends when everything has arrived. Cancel safe.
    pub async fn done(&self) {
        self.done.cancelled().await;
    }
}
