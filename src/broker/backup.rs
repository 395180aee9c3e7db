//! Ordering a backup: one at a time, of the next checkpoint, which begins with this entry.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::error::BrokerError;
use super::task::Broker;
use crate::store::{Backup, BackupOrder, ReadError};
use crate::types::Timestamp;

impl Broker {
    /// Where the backup will come from. All that was carried out so far, the entry under way among it, is in it.
    pub(super) fn order_backup(
        &mut self,
        made_at: Timestamp,
    ) -> Result<oneshot::Receiver<Result<Backup, ReadError>>, BrokerError> {
        if self.draining {
            return Err(BrokerError::Draining);
        }
        if self.backup.strong_count() > 0 {
            return Err(BrokerError::BackupRunning);
        }
        let hold = Arc::new(());
        self.backup = Arc::downgrade(&hold);
        let messages_bytes = self.engine.queues().map(|queue| queue.depth().bytes).sum();
        let (reply, begun) = oneshot::channel();
        self.store.order_backup(BackupOrder { hold, made_at, messages_bytes, reply });
        Ok(begun)
    }
}
