//! Retrying: how long to wait and what may be repeated.
//!
//! It decides delays (exponential, full jitter) and whether an error allows another try. It never makes a call.

use std::time::Duration;

use crate::Error;

/// Which failures allow a call to be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Doing it twice is doing it once.
    Anytime,
    /// Doing it twice does it twice: only if the server certainly did nothing.
    Unprocessed,
}

impl Repeat {
    /// Whether a call that failed so may be made again.
    pub(crate) fn allows(self, error: &Error) -> bool {
        if matches!(error, Error::Closed(_) | Error::Certificate { .. }) {
            return false;
        }
        match self {
            Self::Anytime => error.is_unprocessed() || matches!(error, Error::Unavailable(_)),
            Self::Unprocessed => error.is_unprocessed(),
        }
    }
}

/// Delays between tries: a random part of a bound that doubles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    bound: Duration,
    initial: Duration,
    max: Duration,
}

impl Backoff {
    /// Up to 100 ms first, up to 5 s in the end.
    pub(crate) fn new() -> Self {
        let initial = Duration::from_millis(100);
        Self { bound: initial, initial, max: Duration::from_secs(5) }
    }

    /// The next delay: at least what the server asked for.
    pub(crate) fn delay(&mut self, error: &Error) -> Duration {
        let jittered = self.bound.mul_f64(rand::random_range(0.0..=1.0));
        self.bound = (self.bound * 2).min(self.max);
        error.retry_after().map_or(jittered, |asked| asked.saturating_add(jittered))
    }

    /// Starts over after a success.
    pub(crate) fn reset(&mut self) {
        self.bound = self.initial;
    }
}

#[cfg(test)]
mod tests;
