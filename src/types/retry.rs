//! Retries: what becomes of a message that its consumer could not handle.

use super::Duration;

/// The longest delay before another attempt.
pub const RETRY_DELAY_MAX: Duration = Duration::seconds(12 * 60 * 60);

/// Why a message is dead-lettered whose attempts are used up, unless its consumer says.
pub const ATTEMPTS_USED_UP: &str = "max_attempts";

/// Why a message is dead-lettered at its consumer's wish, unless the consumer says.
pub const NACKED: &str = "nack";

/// Why a message is dead-lettered that nobody got in time.
pub const LAPSED: &str = "time_to_live";

/// What a consumer wants for a message that it gives back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// Another attempt, after the queue's backoff.
    #[default]
    Backoff,
    /// Another attempt, so long from now.
    After(Duration),
    /// No more attempts: it is dead-lettered, or dropped if the queue names no dead-letter queue.
    Never,
}

/// The delay before the next attempt after a nack or an expired lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RetryBackoff {
    /// The delay after the first attempt: 1 ms to `RETRY_DELAY_MAX`.
    pub initial: Duration,
    /// By how much each further delay grows, in thousandths: 1,000 to `MULTIPLIER_MAX`. Whole numbers give the same
    /// delays on every machine.
    pub multiplier_thousandths: u32,
    /// No delay is longer: `initial` to `RETRY_DELAY_MAX`.
    pub max: Duration,
}

impl RetryBackoff {
    /// The most by which a delay may grow, in thousandths: a thousandfold.
    pub const MULTIPLIER_MAX: u32 = 1_000_000;

    /// The delay after so many attempts that count.
    #[must_use]
    pub fn delay(&self, attempts: u32) -> Duration {
        let growth = u128::from(self.multiplier_thousandths.max(1000));
        let max = u128::from(self.max.0) * 1_000_000;
        // In millionths of a millisecond, so that a small multiplier makes a short delay grow too.
        let mut delay = u128::from(self.initial.0) * 1_000_000;
        if growth > 1000 {
            for _ in 1..attempts {
                if delay >= max {
                    break;
                }
                delay = delay * growth / 1000;
            }
        }
        Duration(u64::try_from(delay.min(max) / 1_000_000).unwrap_or(self.max.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(initial: u64, multiplier_thousandths: u32, max: u64) -> Vec<u64> {
        let backoff = RetryBackoff { initial: Duration(initial), multiplier_thousandths, max: Duration(max) };
        [1, 2, 3, 4, 5, u32::MAX].map(|attempts| backoff.delay(attempts).0).to_vec()
    }

    #[test]
    fn delays_grow_up_to_the_longest() {
        assert_eq!(delays(1000, 2000, 10_000), [1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(delays(100, 1500, 1_000_000), [100, 150, 225, 337, 506, 1_000_000]);
        assert_eq!(delays(500, 1000, 10_000), [500; 6]);
    }

    /// The last of these takes the most steps that any backoff takes: some 17,600.
    #[test]
    fn a_small_multiplier_gets_there_too() {
        let max = RETRY_DELAY_MAX.0;
        assert_eq!(delays(1, 1001, max)[5], max);
        assert_eq!(delays(max, RetryBackoff::MULTIPLIER_MAX, max), [max; 6]);
    }
}
