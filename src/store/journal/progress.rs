//! How far the journal is on disk, for those who must not be ahead of it.
//!
//! Once failed, for ever failed.

use std::sync::Arc;

use tokio::sync::watch;

#[derive(Debug, Default)]
struct State {
    durable: u64,
    /// Where the last segment begins whose name is on disk.
    newest: u64,
    failed: bool,
}

/// Shared by the journal thread, which moves it, and the checkpoint thread, which waits for it.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Progress(Arc<watch::Sender<State>>);

impl Progress {
    pub(super) fn starting_at(durable: u64, newest: u64) -> Self {
        let progress = Self::default();
        progress.reach(durable);
        progress.began(newest);
        progress
    }

    /// A segment is on disk, and so is its name.
    pub(super) fn began(&self, newest: u64) {
        self.0.send_modify(|state| state.newest = newest);
    }

    /// Where the last segment begins that is on disk by name.
    pub(in crate::store) fn newest(&self) -> u64 {
        self.0.borrow().newest
    }

    pub(super) fn reach(&self, durable: u64) {
        self.0.send_modify(|state| state.durable = durable);
    }

    pub(in crate::store) fn fail(&self) {
        self.0.send_modify(|state| state.failed = true);
    }

    /// Waits until entry `index` is on disk; false if it never will be. Cancel safe.
    pub(in crate::store) async fn wait(&self, index: u64) -> bool {
        let mut states = self.0.subscribe();
        let reached = states.wait_for(|state| state.durable >= index || state.failed).await;
        reached.is_ok_and(|state| !state.failed)
    }
}
