//! Pacing: so many messages a second, evenly, however long each takes to hand over.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// When each message of one producer is due.
pub(super) struct Pace {
    started: Instant,
    interval: Option<Duration>,
    sent: u32,
}

impl Pace {
    /// `rate` messages a second in all, shared by `producers`; as fast as it goes if none.
    pub(super) fn new(rate: Option<f64>, producers: u32) -> Self {
        let interval = rate.map(|rate| Duration::from_secs_f64(f64::from(producers) / rate));
        Self { started: Instant::now(), interval, sent: 0 }
    }

    /// Waits until the next one is due. A producer that fell behind catches up.
    pub(super) async fn next(&mut self) {
        if let Some(interval) = self.interval {
            sleep_until(self.started + interval * self.sent).await;
            self.sent += 1;
        }
    }
}
