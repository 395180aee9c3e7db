//! The drain signal: says once that both transports shall end, and knows the tasks that must end first.
//!
//! It never ends a call itself: each transport stops accepting, lets the calls in flight finish within its own bound,
//! and then cuts what is left.
//!
//! Always true: a connection is served by a task of [`Drain`]'s tracker, so [`Drain::finished`] returns only when no
//! connection is left.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The shared drain signal and the tracker of all connection tasks; clones share both.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    signal: CancellationToken,
    connections: TaskTracker,
}

impl Drain {
    /// A signal that has not been given.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the drain. Later calls change nothing.
    pub fn begin(&self) {
        self.signal.cancel();
        self.connections.close();
    }

    /// Whether the drain has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.signal.is_cancelled()
    }

    /// Waits until the drain begins. Cancel safe.
    pub async fn begun(&self) {
        self.signal.cancelled().await;
    }

    /// Waits until the drain has begun and every connection task has ended. Cancel safe.
    pub async fn finished(&self) {
        self.connections.wait().await;
    }

    /// How many connection tasks are running.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    pub(super) fn spawn<F>(&self, connection: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.connections.spawn(connection)
    }
}
