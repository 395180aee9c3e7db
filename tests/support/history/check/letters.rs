//! Dead letters: what the server says of their death must be so.

use super::super::{Delivered, Letter, Limits};
use super::leases::Held;
use super::{CLOCK_SLACK, Check};

impl Check {
    /// Whether a message was given up that had attempts, or time, left. A consumer may give up whatever it holds.
    pub(super) fn died_for_no_reason(&self, delivered: &Delivered, held: &Held, limits: &Limits) -> bool {
        let dead_letters_of = self.promises[delivered.lease.queue].dead_letters_of;
        let Some((source, Letter { reason, attempts })) = dead_letters_of.zip(delivered.letter.as_ref())
        else {
            return false;
        };
        match reason.as_str() {
            "max_attempts" => self.promises[source].gives_up_after != Some(*attempts),
            "time_to_live" => limits.expires.is_none_or(|expires| held.granted + CLOCK_SLACK < expires),
            _ => false,
        }
    }
}
