//! The one clock. Everything else is told the time.
//!
//! Always true: readings never go back, and follow the monotonic clock to within a tenth, however the wall clock
//! jumps. So a jump neither ends leases in a burst nor stops time; the difference is made up slowly.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::types::Timestamp;

/// Tells the wall clock's time, in microseconds since the Unix epoch.
pub type Wall = Box<dyn Fn() -> u64 + Send>;

/// The engine's clock.
pub struct Clock {
    wall: Wall,
    /// Microseconds since the Unix epoch: in whole milliseconds, a clock that is read often could never be corrected.
    last_us: u64,
    last_seen: Instant,
}

/// By which part of the elapsed time a reading may differ from it, to come closer to the wall clock.
const SLEW: u64 = 10;

/// Readings closer together than this are the same: a tenth of less is nothing.
const STEP_US: u64 = 100;

impl Clock {
    /// A clock that starts at the wall clock's time, or at `earliest` if that is later.
    #[must_use]
    pub fn starting_at(earliest: Timestamp, wall: Wall) -> Self {
        Self { last_us: wall().max(earliest.0.saturating_mul(1000)), last_seen: Instant::now(), wall }
    }

    /// The time. At least as late as the last reading.
    pub fn now(&mut self) -> Timestamp {
        let seen = Instant::now();
        let elapsed_us = u64::try_from(seen.duration_since(self.last_seen).as_micros()).unwrap_or(u64::MAX);
        if elapsed_us >= STEP_US {
            self.last_us = slewed(self.last_us, elapsed_us, (self.wall)());
            self.last_seen = seen;
        }
        Timestamp(self.last_us / 1000)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("last_us", &self.last_us).finish_non_exhaustive()
    }
}

/// The reading `elapsed_us` after `last_us`, drawn towards `wall_us`.
fn slewed(last_us: u64, elapsed_us: u64, wall_us: u64) -> u64 {
    let expected = last_us.saturating_add(elapsed_us);
    let most = elapsed_us / SLEW;
    wall_us.clamp(expected - most, expected.saturating_add(most))
}

/// The wall clock as it is, for what is not the engine's: the age of tokens.
#[must_use]
pub fn wall() -> Timestamp {
    Timestamp(wall_us() / 1000)
}

#[expect(clippy::disallowed_methods, reason = "the one clock")]
pub(super) fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Duration;

    const HOUR_US: u64 = 3_600_000_000;

    #[test]
    fn a_jump_of_the_wall_clock_moves_time_by_a_tenth_at_most() {
        let last = 10 * HOUR_US;
        assert_eq!(slewed(last, 1000, 11 * HOUR_US), last + 1100);
        assert_eq!(slewed(last, 1000, 9 * HOUR_US), last + 900);
        assert_eq!(slewed(last, 1000, last + 1003), last + 1003);
    }

    #[test]
    fn a_clock_starts_no_earlier_than_told() {
        let far = wall().after(Duration::seconds(3600));
        let mut clock = Clock::starting_at(far, Box::new(wall_us));
        assert!(clock.now() >= far);
        assert!(Clock::starting_at(Timestamp(0), Box::new(wall_us)).now() > Timestamp(0));
    }

    /// A busy broker reads the clock far more often than every 10 ms.
    #[test]
    fn a_clock_that_is_read_often_comes_closer_to_the_wall_clock_too() {
        let (mut last, wall) = (10 * HOUR_US, 11 * HOUR_US);
        for _ in 0..1000 {
            last = slewed(last, STEP_US, wall);
        }
        assert_eq!(last, 10 * HOUR_US + 1000 * STEP_US * 11 / 10);
    }
}
