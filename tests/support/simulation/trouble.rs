//! Trouble: what the disk refuses in a life, and when the wall clock jumps, as the seed has it.

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::clocks::Jump;
use super::platter::{Cause, Kind, Platter, Refusal};

/// What can be refused.
const ALL: [Kind; 10] = [
    Kind::Create,
    Kind::Remove,
    Kind::SyncDirectory,
    Kind::Write,
    Kind::SyncData,
    Kind::SyncAll,
    Kind::Resize,
    Kind::Change,
    Kind::Flush,
    Kind::Persist,
];
/// By when a jump of the wall clock is in a life, at the latest: in powers of two of a microsecond.
const JUMP_BITS: u32 = 22;

/// Draws from the seed for itself: without trouble, a seed is what it would be.
pub struct Trouble(SmallRng);

impl Trouble {
    pub fn of(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(!seed))
    }

    /// Has the disk refuse something in some lives, of some kind if that is given; whether it will, but for the copies of backups.
    pub fn refuse(&mut self, platter: &Platter, of: Option<Kind>) -> bool {
        if self.0.random_ratio(1, 4) {
            let after = self.0.random_range(0..12);
            platter.refuse_copy(after, self.cause());
        }
        if !self.0.random_ratio(1, 3) {
            return false;
        }
        let (of, at) = match (of, self.0.random_range(0..4)) {
            (Some(of), _) => (Some(of), self.up_to(6)),
            // Most of these are at the start.
            (None, 0) => (None, self.0.random_range(1..12)),
            (None, 1) => (None, self.up_to(10)),
            (None, _) => (Some(ALL[self.0.random_range(0..ALL.len())]), self.up_to(6)),
        };
        platter.refuse(Refusal { of, at, lasting: self.0.random_ratio(1, 3), cause: self.cause() });
        true
    }

    /// A number, small ones as often as large ones.
    fn up_to(&mut self, bits: u32) -> u64 {
        let most = 1 << self.0.random_range(0..bits);
        self.0.random_range(1..=most)
    }

    fn cause(&mut self) -> Cause {
        if self.0.random() { Cause::Full } else { Cause::Broken }
    }

    /// Whether few clients come in a life, so that the jumps of the clock are more than a moment apart.
    pub fn rests(&mut self) -> bool {
        self.0.random_ratio(1, 6)
    }

    /// A jump of the wall clock between two lives, if there is one.
    pub fn jump_before(&mut self) -> Option<Jump> {
        self.0.random_ratio(1, 4).then(|| self.jump())
    }

    /// The jumps of the wall clock in a life, and after how many microseconds.
    pub fn jumps_within(&mut self) -> Vec<(u64, Jump)> {
        let count = self.0.random_range(0..3);
        (0..count).map(|_| (self.up_to(JUMP_BITS).max(self.up_to(JUMP_BITS)), self.jump())).collect()
    }

    fn jump(&mut self) -> Jump {
        if self.0.random() { Jump::Ahead } else { Jump::Back }
    }

    /// Whether a life in which something was refused ends with the process alone, and the power does not fail as well.
    pub fn ends_alone(&mut self) -> bool {
        self.0.random()
    }
}
