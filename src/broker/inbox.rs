//! The inbox: the four channels by which everything reaches the broker. `docs/ARCHITECTURE.md` has their bounds.

use tokio::sync::mpsc;

use super::request::{Arrival, Notice, Request};
use crate::store::StoreEvent;

/// What reaches the broker.
pub(super) struct Inbox {
    pub(super) publishes: mpsc::Receiver<Arrival>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) notices: mpsc::UnboundedReceiver<Notice>,
    pub(super) events: mpsc::UnboundedReceiver<StoreEvent>,
}

/// How often the broker lets others run before it begins an entry, as long as more comes in.
const GATHER_MAX: u32 = 4;

impl Inbox {
    /// Lets the calls that have arrived with this one reach the inbox: they were sent at the same moment, and share an fsync if
    /// they share an entry. Takes no time where nothing else can run.
    pub(super) async fn gather(&self) {
        let mut seen = None;
        for _ in 0..GATHER_MAX {
            let waiting = self.publishes.len() + self.requests.len() + self.notices.len();
            if seen == Some(waiting) {
                break;
            }
            seen = Some(waiting);
            tokio::task::yield_now().await;
        }
    }
}
