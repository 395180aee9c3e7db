//! A batch: the commands of one journal entry, and what came of them.

use super::outbox::Departure;
use crate::engine::{Effects, Engine, Outcome};
use crate::store::{EntryBuilder, Store};
use crate::types::{Command, Timestamp};

/// The entry that is being filled. All of its commands share one time.
pub(super) struct Batch {
    pub(super) now: Timestamp,
    entry: EntryBuilder,
    /// What leaves when the entry is durable.
    pub(super) departures: Vec<Departure>,
    /// What leaves when the entry is written.
    pub(super) early: Vec<Departure>,
}

impl Batch {
    pub(super) fn new(store: &mut Store, now: Timestamp) -> Self {
        Self { now, entry: store.begin(now), departures: Vec::new(), early: Vec::new() }
    }

    /// Puts a command into the entry and lets the engine carry it out.
    pub(super) fn act(&mut self, engine: &mut Engine, command: Command, effects: &mut Effects) -> Outcome {
        self.entry.push(&command);
        engine.apply(self.now, command, effects)
    }

    /// The entry's size so far.
    pub(super) fn bytes(&self) -> usize {
        self.entry.len_bytes()
    }

    /// Whether there is no command in it.
    pub(super) fn is_empty(&self) -> bool {
        self.entry.is_empty()
    }

    pub(super) fn into_parts(self) -> (EntryBuilder, Vec<Departure>, Vec<Departure>) {
        (self.entry, self.departures, self.early)
    }
}
