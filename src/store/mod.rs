//! The store: a journal of every entry, checkpoints of what is still alive, and an overlay of what happened in between.
//!
//! It decides what lasts, and in which files. It never knows what a command means, reads no clock but to measure itself, and
//! never writes a second time what failed to be written.
//!
//! Always true:
//! - an entry that was reported durable survives a power cut;
//! - the state files hold the state at one entry, exactly, and that entry is durable;
//! - the journal holds every entry after it;
//! - a message is in the active overlay, in the frozen one, in the state files, or gone; what is found first in this order
//!   is true.

mod backup;
pub mod check;
mod checkpoint;
mod chunk;
mod codec;
mod compaction;
mod current;
mod database;
mod directory;
mod entry;
mod error;
mod event;
pub(crate) mod fuzzing;
mod guard;
mod holder;
pub mod host;
pub mod inspect;
mod journal;
mod keys;
mod meta;
mod opening;
mod options;
mod overlay;
mod picks;
mod publication;
mod reader;
mod record;
mod recovery;
mod remembered;
mod rows;
mod settings;
mod sled_files;
mod state;
mod sums;
mod topic;
mod transaction;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::types::{Change, Dirty, EngineRecord, Lane, LaneId, LogId, Sequence, StoredMessage, Timestamp};

use checkpoint::{Checkpointer, Job};
use codec::length;
use current::Current;
use overlay::{Found, Overlay};

pub use backup::{Backup, BackupOrder, RestoreError, Restored, restore, restore_on, verify};
pub use compaction::Compacted;
pub use entry::EntryBuilder;
pub use error::{OpenError, ReadError};
pub use event::{Awaited, StoreEvent};
pub use journal::{JournalSummary, Replay, ReplayEntry, TornTail};
pub use opening::{Opened, open, open_on};
pub use options::StoreOptions;
pub use reader::Reader;
pub use recovery::Snapshot;
pub use remembered::RememberedId;

/// The format of a data directory that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The store. It has one owner, and its calls never block.
///
/// Dropping it waits until the entries that it took are on disk and a running checkpoint is done.
#[derive(Debug)]
pub struct Store {
    // Dropped in this order: what waits for the journal must find it done.
    journal: journal::Journal,
    checkpointer: Checkpointer,
    current: Arc<Current>,
    /// What opening gave back of the room that the state files took, if it did.
    compacted: Option<Compacted>,
    options: StoreOptions,
    active: Overlay,
    frozen: Option<(Arc<Overlay>, Instant)>,
    /// What opening cut off the journal.
    torn: Option<TornTail>,
    /// For each lane that has messages in the state files, where these end.
    cold: BTreeMap<LaneId, Sequence>,
    /// The backup that the next checkpoint begins.
    ordered: Option<BackupOrder>,
    last: LogId,
    written: u64,
    durable: u64,
    /// Bytes of journal that no checkpoint covers or is about to cover, and those that the running one is about to.
    bytes_active: u64,
    bytes_frozen: u64,
}

/// Where a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// In memory.
    Hot(StoredMessage),
    /// Settled, purged or deleted.
    Gone,
    /// In the state files, if anywhere: ask a `Reader`.
    Cold,
}

/// Who has to wait until a checkpoint has freed memory. Settlements never wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Nobody.
    None,
    /// Publishers.
    Publishers,
    /// Publishers and grants.
    Grants,
}

impl Store {
    /// Begins an entry that happens at `now`.
    #[must_use]
    pub fn begin(&self, now: Timestamp) -> EntryBuilder {
        EntryBuilder::new(now)
    }

    /// Hands an entry to the journal. The events say when it is durable and, if that is awaited, when it is written.
    pub fn append(&mut self, entry: EntryBuilder, awaited: Awaited) -> LogId {
        let record = entry.into_record();
        self.last = LogId { term: self.last.term.max(1), index: self.last.index + 1 };
        self.bytes_active += length(record.len());
        self.journal.append(self.last, record, awaited);
        self.last
    }

    /// Keeps what an entry did to messages.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        changes.into_iter().for_each(|change| self.active.apply(change));
    }

    /// Where a message is.
    #[must_use]
    pub fn lookup(&self, lane: impl Into<LaneId>, sequence: Sequence) -> Lookup {
        let lane = lane.into();
        let overlays = [Some(&self.active), self.frozen_overlay()];
        for overlay in overlays.into_iter().flatten() {
            match overlay.find(lane, sequence) {
                Found::Here(message) => return Lookup::Hot(message),
                Found::Gone => return Lookup::Gone,
                Found::Unknown => {}
            }
        }
        Lookup::Cold
    }

    /// Where the messages of a lane that are in the state files end: behind the last that was ever stored there.
    #[must_use]
    pub fn cold_until(&self, lane: LaneId) -> Sequence {
        self.cold.get(&lane).copied().unwrap_or_default()
    }

    /// The messages of a lane from `from` on that are in memory, in order.
    pub fn hot_from(&self, lane: LaneId, from: Sequence) -> impl Iterator<Item = StoredMessage> {
        let frozen =
            self.frozen_overlay().into_iter().flat_map(move |overlay| overlay.messages_from(lane, from));
        // Of what the frozen one still has, the active one may know that it is gone; but nothing at or past a frontier is.
        frozen.chain(self.active.messages_from(lane, from))
    }

    /// Reads cold messages, on other threads.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.current))
    }

    /// Whether so much has changed that a checkpoint should begin now. The owner also begins one from time to time, see
    /// `StoreOptions::checkpoint_interval_ms`, if `is_changed`.
    #[must_use]
    pub fn checkpoint_due(&self) -> bool {
        let StoreOptions { checkpoint_journal_bytes, overlay_touched_max, overlay_publish_bytes_max, .. } =
            self.options;
        !self.checkpoint_running()
            && (self.ordered.is_some()
                || self.bytes_active >= checkpoint_journal_bytes
                || self.active.touched() >= overlay_touched_max
                || self.active.bytes() >= overlay_publish_bytes_max / 2)
    }

    /// Makes a backup of the next checkpoint, which is due at once, also if nothing has changed. A backup that was ordered
    /// and has not begun is given up.
    pub fn order_backup(&mut self, order: BackupOrder) {
        self.ordered = Some(order);
    }

    /// Whether the next checkpoint begins a backup.
    #[must_use]
    pub fn backup_ordered(&self) -> bool {
        self.ordered.is_some()
    }

    /// Whether a checkpoint has begun and not ended.
    #[must_use]
    pub fn checkpoint_running(&self) -> bool {
        self.frozen.is_some()
    }

    /// How long the running checkpoint has been running. One that takes minutes will never end, as a failed disk or a fault in sled
    /// may have it: the owner should give the store up, as after a failure, and end the process without dropping the store.
    #[must_use]
    pub fn checkpoint_running_for(&self) -> Option<Duration> {
        self.frozen.as_ref().map(|(_, begun)| begun.elapsed())
    }

    fn frozen_overlay(&self) -> Option<&Overlay> {
        self.frozen.as_ref().map(|(overlay, _)| &**overlay)
    }

    /// Whether anything happened since the latest checkpoint began.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.bytes_active > 0 || !self.active.is_empty()
    }

    /// Begins a checkpoint of the state as it is now, after entry `applied`. `dirty` is all that changed besides messages since
    /// the one before; queues that are gone were named by `Change::Deleted`.
    ///
    /// # Panics
    /// While another one runs, or if `applied` was never appended: both are mistakes of the caller.
    pub fn begin_checkpoint(&mut self, applied: LogId, engine: EngineRecord, dirty: Dirty) {
        assert!(!self.checkpoint_running(), "one checkpoint at a time");
        assert!(applied.index <= self.last.index, "only what was appended can have been applied");
        let overlay = Arc::new(std::mem::take(&mut self.active));
        self.frozen = Some((overlay.clone(), Instant::now()));
        self.bytes_frozen = std::mem::take(&mut self.bytes_active);
        self.checkpointer.begin(Job { applied, engine, overlay, dirty, backup: self.ordered.take() });
    }

    /// Takes note of what a thread reported.
    pub fn handle(&mut self, event: &StoreEvent) {
        match event {
            StoreEvent::Written { index } => self.written = self.written.max(*index),
            StoreEvent::Durable { index, .. } => self.durable = self.durable.max(*index),
            StoreEvent::Checkpointed { .. } => {
                if let Some((overlay, _)) = self.frozen.take() {
                    self.thaw(&overlay);
                }
                self.bytes_frozen = 0;
            }
            // The overlays stay as they are: what they hold is in no state file.
            StoreEvent::Failed { .. } | StoreEvent::Compacted(_) => {}
        }
    }

    /// What was frozen is in the state files now.
    fn thaw(&mut self, overlay: &Overlay) {
        for queue in &overlay.deleted {
            for lane in Lane::all() {
                self.cold.remove(&LaneId::new(*queue, lane));
            }
        }
        for (&lane, changes) in &overlay.lanes {
            if let Some(last) = changes.stored_last {
                self.cold.insert(lane, last.next());
            }
        }
    }

    /// Who has to wait.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        let frozen = self.frozen_overlay();
        let bytes = self.overlay_bytes();
        let touched = self.active.touched() + frozen.map_or(0, Overlay::touched);
        if bytes > self.options.overlay_grant_bytes_max
            || touched > self.options.overlay_touched_max.saturating_mul(2)
        {
            Pressure::Grants
        } else if bytes > self.options.overlay_publish_bytes_max {
            Pressure::Publishers
        } else {
            Pressure::None
        }
    }

    /// The last entry that was appended.
    #[must_use]
    pub fn last(&self) -> LogId {
        self.last
    }

    /// The last entry that survives a kill.
    #[must_use]
    pub fn written_index(&self) -> u64 {
        self.written
    }

    /// The last entry that survives a power cut.
    #[must_use]
    pub fn durable_index(&self) -> u64 {
        self.durable
    }

    /// Bytes of journal that a restart would read.
    #[must_use]
    pub fn journal_bytes(&self) -> u64 {
        self.bytes_active + self.bytes_frozen
    }

    /// Memory that the overlays take, roughly.
    #[must_use]
    pub fn overlay_bytes(&self) -> u64 {
        self.active.bytes() + self.frozen_overlay().map_or(0, Overlay::bytes)
    }

    /// What opening found behind the last whole entry of the journal, cut off and kept aside.
    #[must_use]
    pub fn torn(&self) -> Option<&TornTail> {
        self.torn.as_ref()
    }

    /// What opening gave back of the room that the state files took, if it did.
    #[must_use]
    pub fn compacted(&self) -> Option<Compacted> {
        self.compacted
    }

    /// How it was configured.
    #[must_use]
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }
}

#[cfg(test)]
mod tests;
