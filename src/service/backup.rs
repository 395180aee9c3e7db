//! Backup: the pieces of a backup file, as fast as the client takes them.
//!
//! A client that takes nothing for `STALL_MAX` is given up: while a backup is being read, what is dead stays on disk.

use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::mpsc;
use tonic::Status;

use super::{Services, proto, status};
use crate::broker::{Backup, BrokerError};

/// How long a client may take nothing.
const STALL_MAX: Duration = Duration::from_secs(60);
/// Pieces that are read ahead, each some 256 KiB.
const AHEAD: usize = 4;

/// A piece, or the end.
type Piece = Result<Option<bytes::Bytes>, BrokerError>;

impl Services {
    pub(super) async fn back_up(
        &self,
    ) -> Result<impl Stream<Item = Result<proto::BackupResponse, Status>> + use<>, Status> {
        let backup = self.broker.backup().await?;
        let total_bytes = backup.total_bytes();
        let (sender, pieces) = mpsc::channel(AHEAD);
        tokio::spawn(read(backup, sender));
        Ok(unfold(Some(pieces), move |pieces| async move {
            let mut pieces = pieces?;
            let answer = match pieces.recv().await {
                Some(Ok(Some(data))) => {
                    return Some((Ok(proto::BackupResponse { data, total_bytes }), Some(pieces)));
                }
                Some(Ok(None)) => return None,
                Some(Err(error)) => error.into(),
                None => {
                    status::stalled("the backup was given up: nothing was taken of it for 60 s; begin again")
                }
            };
            Some((Err(answer), None))
        }))
    }
}

/// Reads a backup to its end, or until nobody takes it any more.
async fn read(mut backup: Backup, pieces: mpsc::Sender<Piece>) {
    loop {
        let next = tokio::task::spawn_blocking(move || {
            let piece = backup.next_piece();
            (backup, piece)
        });
        let piece = match next.await {
            Ok((rest, piece)) => {
                backup = rest;
                piece
            }
            Err(_) => return,
        };
        let piece = piece.map_err(|error| {
            tracing::error!(%error, "the backup can't be read");
            BrokerError::Backup
        });
        let last = !matches!(piece, Ok(Some(_)));
        match tokio::time::timeout(STALL_MAX, pieces.send(piece)).await {
            Ok(Ok(())) if !last => {}
            // All is read, or the client has gone.
            Ok(_) => return,
            Err(_) => {
                tracing::warn!("a backup was given up: its client takes nothing");
                return;
            }
        }
    }
}
