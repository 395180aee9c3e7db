//! The state files in use, for whoever reads them.
//!
//! Whoever reads has them for as long as that takes, and no longer. So the thread that makes checkpoints can close them when
//! nobody reads, and go on with others that hold the same: see `compaction`.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::directory::Directory;
use super::host::Threads;
use super::state::State;
use super::{OpenError, ReadError};

/// How often to look whether the last read has ended, and how long to wait between. Reads are small.
const TRIES: u32 = 100;
const WAIT: Duration = Duration::from_millis(10);

/// The state files in use.
#[derive(Debug)]
pub(super) struct Current {
    /// Nothing once they could not be opened again: then the store has failed.
    state: RwLock<Option<Arc<State>>>,
    /// Who reads and writes them.
    pub(super) threads: Arc<dyn Threads>,
    /// The directory stays ours while they are exchanged, and if that fails.
    _directory: Option<Arc<Directory>>,
}

impl Current {
    pub(super) fn new(state: Arc<State>) -> Self {
        let (threads, directory) = (Arc::clone(&state.threads), state.directory());
        Self { state: RwLock::new(Some(state)), threads, _directory: directory }
    }

    /// For one read. Waits while they are exchanged: blocking.
    pub(super) fn get(&self) -> Result<Arc<State>, ReadError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.clone().ok_or_else(|| ReadError::State("they could not be opened again".to_owned()))
    }

    /// Waits until nobody reads, and goes on with what `change` makes of the state; as it is, if somebody reads for too long.
    /// Reads that begin meanwhile wait.
    pub(super) fn exchange(
        &self,
        state: Arc<State>,
        change: impl FnOnce(State) -> Result<State, OpenError>,
    ) -> Result<Arc<State>, OpenError> {
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *current = None;
        let state = match unread(state) {
            Ok(state) => Arc::new(change(state)?),
            Err(state) => state,
        };
        *current = Some(Arc::clone(&state));
        Ok(state)
    }
}

/// The state, once nobody else has it.
fn unread(mut state: Arc<State>) -> Result<State, Arc<State>> {
    for _ in 0..TRIES {
        match Arc::try_unwrap(state) {
            Ok(state) => return Ok(state),
            Err(shared) => state = shared,
        }
        std::thread::sleep(WAIT);
    }
    Err(state)
}
