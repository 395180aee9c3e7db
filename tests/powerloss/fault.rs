//! What can be wrong with a disk, beside its power.

use std::ffi::OsStr;

use fuser::Errno;

/// What the server asks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Write,
    /// Growth ahead of writing, or the opposite.
    Resize,
    Sync,
    Create,
    Rename,
    Remove,
}

/// Which files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The journal's segments.
    Journal,
    /// sled's log.
    State,
    /// What sled makes beside it, to start sooner.
    Snapshot,
    Directory,
    Other,
}

impl Which {
    pub fn of(name: &OsStr) -> Self {
        match name.to_str() {
            Some("db") => Self::State,
            Some(name) if name.ends_with(".seg") => Self::Journal,
            Some(name) if name.starts_with("snap.") => Self::Snapshot,
            Some(_) | None => Self::Other,
        }
    }
}

/// From a certain call on, calls of a kind fail.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub calls: &'static [Call],
    pub which: Which,
    /// How many more of them go well.
    pub after: u64,
    pub error: Errno,
}

impl Fault {
    pub fn strikes(&mut self, call: Call, which: Which) -> Option<Errno> {
        if !self.calls.contains(&call) || self.which != which {
            return None;
        }
        let strikes = self.after == 0;
        self.after = self.after.saturating_sub(1);
        strikes.then_some(self.error)
    }
}

/// A promise that the disk breaks, as a server without some fsync of its own would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    Nothing,
    /// Segments are never synced.
    JournalNotSynced,
    /// sled's `flush` alone: its log is never synced.
    StateNotSynced,
    /// What a checkpoint replaces goes before the checkpoint is on disk.
    PurgedTooEarly,
}
