//! The one clock. Everything else is told the time.
//!
//! Always true: readings never go back, and follow the monotonic clock to within a tenth, however the wall clock
//! jumps. So a jump neither ends leases in a burst nor stops time; the difference is made up slowly.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::types::{Duration, Timestamp};

/// The engine's clock.
#[derive(Debug)]
pub struct Clock {
    last: Timestamp,
    last_seen: Instant,
}

/// By how much of the elapsed time a reading may differ from it, to come closer to the wall clock.
const SLEW: u64 = 10;

impl Clock {
    /// A clock that starts at the wall clock's time, or at `earliest` if that is later.
    #[must_use]
    pub fn starting_at(earliest: Timestamp) -> Self {
        Self { last: wall().max(earliest), last_seen: monotonic() }
    }

    /// The time. At least as late as the last reading.
    pub fn now(&mut self) -> Timestamp {
        let seen = monotonic();
        let elapsed = u64::try_from(seen.duration_since(self.last_seen).as_millis()).unwrap_or(u64::MAX);
        if elapsed > 0 {
            self.last = slewed(self.last, Duration(elapsed), wall());
            self.last_seen += std::time::Duration::from_millis(elapsed);
        }
        self.last
    }
}

/// The reading `elapsed` after `last`, drawn towards `wall`.
fn slewed(last: Timestamp, elapsed: Duration, wall: Timestamp) -> Timestamp {
    let expected = last.after(elapsed);
    let most = Duration(elapsed.0 / SLEW);
    wall.clamp(Timestamp(expected.0 - most.0), expected.after(most))
}

/// The wall clock as it is, for what is not the engine's: the age of tokens.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one clock")]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "the one clock")]
fn monotonic() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn a_jump_of_the_wall_clock_moves_time_by_a_tenth_at_most() {
        let last = Timestamp(10 * HOUR);
        assert_eq!(slewed(last, Duration(1000), Timestamp(11 * HOUR)), last.after(Duration(1100)));
        assert_eq!(slewed(last, Duration(1000), Timestamp(9 * HOUR)), last.after(Duration(900)));
        assert_eq!(slewed(last, Duration(1000), last.after(Duration(1003))), last.after(Duration(1003)));
    }

    #[test]
    fn a_clock_starts_no_earlier_than_told() {
        let far = wall().after(Duration(HOUR));
        let mut clock = Clock::starting_at(far);
        assert!(clock.now() >= far);
        assert!(Clock::starting_at(Timestamp(0)).now() > Timestamp(0));
    }

    /// A busy broker reads the clock far more often than every 10 ms.
    #[test]
    fn a_clock_that_is_read_often_comes_closer_to_the_wall_clock_too() {
        let (mut last, wall) = (Timestamp(10 * HOUR), Timestamp(11 * HOUR));
        for _ in 0..1000 {
            last = slewed(last, Duration(5), wall);
        }
        assert!(last > Timestamp(10 * HOUR + 5000), "5 s passed and nothing was made up");
    }
}
