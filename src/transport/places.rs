//! Places for connections that should soon be further, or over: how many there may be, and which goes first.
//!
//! Always true: at most `taken_max` are taken. One more ends the oldest, and waits until it is gone: whoever means it is
//! through in a few round trips, whoever does not would otherwise keep others out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// All places of a listener.
pub(super) struct Places {
    free: Arc<Semaphore>,
    /// The one that was taken first is in front. Whoever was told to end is not here any more.
    taken: Mutex<VecDeque<Arc<CancellationToken>>>,
}

/// A place that is taken; free again when dropped.
pub(super) struct Place {
    all: Arc<Places>,
    ended: Arc<CancellationToken>,
    _taken: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(super) fn new(taken_max: usize) -> Arc<Self> {
        let free = taken_max.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self { free: Arc::new(Semaphore::new(free)), taken: Mutex::default() })
    }

    /// Takes one. If none is free, it ends the oldest and waits for its place. Cancel safe, but the oldest ends.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        let free = Arc::clone(&self.free);
        let taken = match free.try_acquire_owned() {
            Ok(taken) => Some(taken),
            Err(_) => {
                let oldest = self.lock().pop_front();
                if let Some(oldest) = oldest {
                    oldest.cancel();
                }
                Arc::clone(&self.free).acquire_owned().await.ok()
            }
        };
        let ended = Arc::new(CancellationToken::new());
        self.lock().push_back(Arc::clone(&ended));
        Place { all: Arc::clone(self), ended, _taken: taken }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<CancellationToken>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until others need it. Cancel safe.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.all.lock();
        if let Some(place) = taken.iter().position(|other| Arc::ptr_eq(other, &self.ended)) {
            taken.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_too_many_ends_the_oldest_and_waits_for_its_place() {
        let all = Places::new(2);
        let (first, second) = (all.take().await, all.take().await);
        let mut third = Box::pin(all.take());
        assert!((&mut third).now_or_never().is_none(), "there is no place yet");
        assert!(first.ended.is_cancelled() && !second.ended.is_cancelled());
        drop(first);
        let third = third.await;
        drop(second);
        let fourth = all.take().await;
        assert!(!third.ended.is_cancelled(), "there was room");
        drop((third, fourth));
        assert!(all.lock().is_empty());
    }
}
