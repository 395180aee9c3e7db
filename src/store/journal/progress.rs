//! How far the journal is on disk, for those who must not be ahead of it.
//!
//! Once failed, for ever failed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct State {
    durable: u64,
    failed: bool,
}

/// Shared by the journal thread, which moves it, and the checkpoint thread, which waits for it.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Progress(Arc<(Mutex<State>, Condvar)>);

impl Progress {
    pub(super) fn starting_at(durable: u64) -> Self {
        let progress = Self::default();
        progress.reach(durable);
        progress
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reach(&self, durable: u64) {
        self.state().durable = durable;
        self.0.1.notify_all();
    }

    pub(in crate::store) fn fail(&self) {
        self.state().failed = true;
        self.0.1.notify_all();
    }

    /// Waits until entry `index` is on disk; false if it never will be.
    pub(in crate::store) fn wait(&self, index: u64) -> bool {
        let mut state = self.state();
        while state.durable < index && !state.failed {
            state = self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.failed
    }
}
