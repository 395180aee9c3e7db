//! Which answers of a connection are not yet acknowledged.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::time::{Instant, timeout_at};

/// Answers that were finished last. Closing the connection would discard what the client has not acknowledged.
pub(super) struct Unacknowledged {
    kept_max: usize,
    streams: Mutex<VecDeque<quinn::SendStream>>,
}

impl Unacknowledged {
    /// Keeps at most `kept_max` answers: older ones have been acknowledged, or their client reads none.
    pub(super) const fn new(kept_max: usize) -> Self {
        Self { kept_max, streams: Mutex::new(VecDeque::new()) }
    }

    /// Remembers a finished stream.
    pub(super) fn keep(&self, stream: quinn::SendStream) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.len() >= self.kept_max {
            streams.pop_front();
        }
        streams.push_back(stream);
    }

    /// Waits until all are acknowledged, stopped or lost, but not beyond `deadline`.
    pub(super) async fn settle(&self, deadline: Instant) {
        let streams = std::mem::take(&mut *self.streams.lock().unwrap_or_else(PoisonError::into_inner));
        for stream in streams {
            if timeout_at(deadline, stream.stopped()).await.is_err() {
                return;
            }
        }
    }
}
