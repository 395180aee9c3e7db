//! Connections that are not HTTP/2 yet: how many there may be, and which goes first.
//!
//! Always true: at most `open_max` are open. One more ends the oldest: whoever means it is through in a few round trips,
//! whoever does not would otherwise keep others out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// All open handshakes of a listener, the oldest first.
pub(super) struct Handshakes {
    open_max: usize,
    open: Mutex<VecDeque<Arc<CancellationToken>>>,
}

/// An open handshake; over when dropped.
pub(super) struct Handshake {
    all: Arc<Handshakes>,
    ended: Arc<CancellationToken>,
}

impl Handshakes {
    pub(super) fn new(open_max: usize) -> Arc<Self> {
        Arc::new(Self { open_max: open_max.max(1), open: Mutex::default() })
    }

    /// Begins one, and ends the oldest if there are too many.
    pub(super) fn begin(self: &Arc<Self>) -> Handshake {
        let ended = Arc::new(CancellationToken::new());
        let mut open = self.lock();
        if open.len() >= self.open_max
            && let Some(oldest) = open.pop_front()
        {
            oldest.cancel();
        }
        open.push_back(Arc::clone(&ended));
        Handshake { all: Arc::clone(self), ended }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<CancellationToken>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handshake {
    /// Waits until others need its place. Cancel safe.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let mut open = self.all.lock();
        if let Some(place) = open.iter().position(|other| Arc::ptr_eq(other, &self.ended)) {
            open.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_ends_the_oldest_that_is_open() {
        let all = Handshakes::new(2);
        let (first, second, third) = (all.begin(), all.begin(), all.begin());
        assert!(first.ended.is_cancelled() && !second.ended.is_cancelled());
        drop(second);
        let fourth = all.begin();
        assert!(!third.ended.is_cancelled(), "there was room");
        drop((first, fourth));
        assert_eq!(all.lock().len(), 1);
    }
}
