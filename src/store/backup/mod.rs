//! Backups: the state at one entry, while the server goes on.
//!
//! sled has no snapshots. So a backup begins at a checkpoint, on the thread that makes them: all rows that are rewritten in place are
//! copied into a file without a name, before the next checkpoint. Chunks and parts are never rewritten, only removed; while a
//! backup is being read their removal is put off, and what was added since then is left out. So no checkpoint waits for a
//! backup's reader, and publishers never do.
//!
//! Restoring builds a directory beside the one that is wanted, and gives it its name when it is whole and on disk.

mod file;
pub(super) mod fuzzing;
mod restore;
mod source;

use std::sync::Arc;

use tokio::sync::oneshot;

use super::ReadError;
use crate::types::Timestamp;

pub use restore::{RestoreError, Restored, restore, restore_on, verify};
pub use source::Backup;

/// Holds back the removal of chunks and parts while it lives.
pub(super) type Hold = Arc<()>;

/// A backup that is wanted, of the next checkpoint.
#[derive(Debug)]
pub struct BackupOrder {
    /// Lives as long as the order and the backup.
    pub hold: Arc<()>,
    /// When it was ordered.
    pub made_at: Timestamp,
    /// The bytes of all messages, for who wants to know how far it is.
    pub messages_bytes: u64,
    /// Who gets it.
    pub reply: oneshot::Sender<Result<Backup, ReadError>>,
}
