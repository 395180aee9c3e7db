//! How fast the calls of a connection may be cancelled early.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A call older than this when it is cancelled was no waste of ours: a long poll, a consumer that leaves.
const EARLY: Duration = Duration::from_secs(1);

/// A token bucket for calls that are cancelled right after they were opened: opening and cancelling costs the client
/// two packets and us a call each.
pub(super) struct EarlyCancels {
    burst: f64,
    per_second: f64,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// The client cancels too fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl EarlyCancels {
    pub(super) fn new(burst: u32, per_second: u32, now: Instant) -> Self {
        let (burst, per_second) = (f64::from(burst), f64::from(per_second));
        let bucket = Mutex::new(Bucket { tokens: burst, filled: now });
        Self { burst, per_second, bucket }
    }

    /// Counts the cancel, `now`, of a call that was opened at `opened` and had no answer yet.
    pub(super) fn count(&self, opened: Instant, now: Instant) -> Result<(), TooMany> {
        if now.duration_since(opened) >= EARLY {
            return Ok(());
        }
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = now.duration_since(bucket.filled).as_secs_f64() * self.per_second;
        bucket.tokens = (bucket.tokens + gained).min(self.burst);
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            return Err(TooMany);
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancels_beyond_the_burst_are_too_many_until_the_bucket_fills_again() {
        let start = Instant::now();
        let limiter = EarlyCancels::new(2, 10, start);
        assert_eq!(limiter.count(start, start), Ok(()));
        assert_eq!(limiter.count(start, start), Ok(()));
        assert_eq!(limiter.count(start, start), Err(TooMany));
        let later = start + Duration::from_millis(150);
        assert_eq!(limiter.count(later, later), Ok(()));
        assert_eq!(limiter.count(later, later), Err(TooMany));
    }

    #[test]
    fn the_cancel_of_an_old_call_is_free() {
        let start = Instant::now();
        let limiter = EarlyCancels::new(0, 0, start);
        assert_eq!(limiter.count(start, start), Err(TooMany));
        assert_eq!(limiter.count(start, start + EARLY), Ok(()));
    }
}
