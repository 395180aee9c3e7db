//! The clocks of a life: the monotonic one, a wall clock that jumps, and the time that the server should have.
//!
//! The monotonic clock is tokio's. The server's time begins at the wall clock's, or where it was if that is later, and comes closer to
//! the wall clock by a tenth of what passes; this is worked out here again, without a look at how the server does it.

use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use crate::history::CLOCK_SLACK;

/// By how much the wall clock jumps.
const JUMP_US: i64 = 3_600_000_000;

/// What the clocks show between two lives, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// Since the beginning of the first life, and never anything else; from some year on.
    passed_us: u64,
    /// By how much the wall clock is ahead of that.
    ahead_us: i64,
    /// The latest that the server's clock can have shown.
    server_us: u64,
}

/// A jump of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    Ahead,
    Back,
}

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clocks(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    time: Time,
    /// When it was that.
    seen: Instant,
    /// Jumps to come and when, by the time that has passed; the next one last.
    jumps: Vec<(u64, Jump)>,
    /// The least that the server's clock can have shown, of what was told: in milliseconds.
    told_ms: u64,
    /// Jumps that were.
    jumped: u64,
}

/// What is left of the clocks of a life.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    pub time: Time,
    /// The latest time that the server told of something lasting, in milliseconds.
    pub told_ms: u64,
    /// How often the wall clock jumped.
    pub jumped: u64,
}

impl Time {
    pub fn new() -> Self {
        let begun = 1_700_000_000_000_000;
        Self { passed_us: begun, ahead_us: 0, server_us: begun }
    }

    fn wall_us(&self) -> u64 {
        self.passed_us.saturating_add_signed(self.ahead_us)
    }

    pub fn jump(&mut self, jump: Jump) {
        match jump {
            Jump::Ahead => self.ahead_us += JUMP_US,
            Jump::Back => self.ahead_us -= JUMP_US,
        }
    }

    /// Some time passes without a jump.
    fn pass(&mut self, us: u64) {
        self.passed_us += us;
        let expected = self.server_us + us;
        self.server_us = self.wall_us().clamp(expected - us / 10, expected + us / 10);
    }
}

impl Clocks {
    /// A life begins now, with jumps that come after so many microseconds; `told_ms` is the latest time that the server told before.
    pub fn new(mut time: Time, told_ms: u64, mut jumps: Vec<(u64, Jump)>) -> Self {
        time.server_us = time.server_us.max(time.wall_us());
        jumps.iter_mut().for_each(|(at, _)| *at += time.passed_us);
        jumps.sort_unstable_by_key(|(at, _)| std::cmp::Reverse(*at));
        Self(Arc::new(Mutex::new(State { time, seen: Instant::now(), jumps, told_ms, jumped: 0 })))
    }

    fn now<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.lock().unwrap();
        state.advance();
        look(&mut state)
    }

    /// The wall clock, in microseconds.
    pub fn wall_us(&self) -> u64 {
        self.now(|state| state.time.wall_us())
    }

    /// What the server's clock should show, in milliseconds.
    pub fn server_ms(&self) -> u64 {
        self.now(|state| state.time.server_us / 1000)
    }

    /// How they are left.
    pub fn end(&self) -> Left {
        self.now(|state| Left { time: state.time, told_ms: state.told_ms, jumped: state.jumped })
    }

    /// The server told that something lasting happened at a time.
    pub fn told(&self, at_ms: u64) {
        self.now(|state| state.told_ms = state.told_ms.max(at_ms));
    }

    /// The server shows its time right after its start. It goes on where its last entry was, which nobody else knows: so this is what
    /// its clock should show, if it can be that.
    pub fn server_began(&self, at_ms: u64) -> Result<(), String> {
        self.now(|state| {
            let (least, most) = (state.told_ms.max(state.time.wall_us() / 1000), state.time.server_us / 1000);
            if at_ms + CLOCK_SLACK < least || at_ms > most + CLOCK_SLACK {
                return Err(format!("the server's clock begins at {at_ms}, not within {least} and {most}"));
            }
            state.time.server_us = at_ms * 1000;
            Ok(())
        })
    }

    /// The server shows its time.
    pub fn server_shows(&self, at_ms: u64) -> Result<(), String> {
        let expected = self.server_ms();
        if at_ms.abs_diff(expected) <= CLOCK_SLACK {
            return Ok(());
        }
        Err(format!("the server's clock shows {at_ms} and should show {expected}"))
    }
}

impl State {
    fn advance(&mut self) {
        let mut left = u64::try_from(self.seen.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.seen = Instant::now();
        while let Some((at, jump)) = self.jumps.pop_if(|(at, _)| *at <= self.time.passed_us + left) {
            let before = at.saturating_sub(self.time.passed_us);
            self.time.pass(before);
            self.time.jump(jump);
            self.jumped += 1;
            left -= before;
        }
        self.time.pass(left);
    }
}
