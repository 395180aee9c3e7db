//! The journal thread: writes entries, syncs them, says so.
//!
//! While one fdatasync runs, the next entries gather in the channel; they become the next batch. So the load makes the
//! batches, and nobody waits for a timer. The first error is the last thing that happens: a failed fsync may have thrown
//! away what it should have stored, and a second one would succeed without it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;

use crate::store::codec::length;
use crate::store::host::{Disk, DiskFile, Threads, turn};
use crate::store::{Awaited, StoreEvent};
use crate::types::LogId;

use super::{Progress, record, segment};

/// A batch stops growing at this size, so that the first of it need not wait for the sync of too much.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// An entry on its way.
pub(super) struct Append {
    pub(super) id: LogId,
    /// Room for the header, then the payload.
    pub(super) record: Vec<u8>,
    /// When somebody waits for it first.
    pub(super) awaited: Awaited,
}

/// Owned by the journal thread.
pub(super) struct Writer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) threads: Arc<dyn Threads>,
    pub(super) directory: PathBuf,
    pub(super) segment_bytes: u64,
    pub(super) file: Box<dyn DiskFile>,
    pub(super) path: PathBuf,
    pub(super) salt: u64,
    pub(super) end: usize,
    pub(super) written: u64,
    pub(super) durable: u64,
    pub(super) progress: Progress,
    pub(super) events: UnboundedSender<StoreEvent>,
}

impl Writer {
    /// Runs until the channel closes, which it does after the last entry is on disk, or until something fails.
    pub(super) async fn run(mut self, mut entries: UnboundedReceiver<Append>) {
        let _alarm = Alarm { progress: self.progress.clone(), events: self.events.clone() };
        while let Some(first) = entries.recv().await {
            if let Err(error) = self.commit(first, &mut entries).await {
                self.progress.fail();
                let what = format!("journal: could not write {}: {error}", self.path.display());
                _ = self.events.send(StoreEvent::Failed { what });
                return;
            }
        }
    }

    async fn commit(&mut self, first: Append, entries: &mut UnboundedReceiver<Append>) -> io::Result<()> {
        let started = Instant::now();
        let mut bytes = 0;
        let mut awaited = Awaited::Durable;
        let mut next = Some(first);
        while let Some(append) = next {
            bytes += append.record.len();
            awaited = awaited.min(append.awaited);
            turn(&self.threads).await;
            self.write(append).await?;
            next = if bytes < BATCH_BYTES_MAX { entries.try_recv().ok() } else { None };
        }
        if awaited == Awaited::Written {
            _ = self.events.send(StoreEvent::Written { index: self.written });
        }
        turn(&self.threads).await;
        self.file.sync_data()?;
        turn(&self.threads).await;
        self.durable = self.written;
        self.progress.reach(self.durable);
        let event =
            StoreEvent::Durable { index: self.durable, bytes: length(bytes), took: started.elapsed() };
        _ = self.events.send(event);
        Ok(())
    }

    async fn write(&mut self, Append { id, mut record, .. }: Append) -> io::Result<()> {
        if id.index != self.written + 1 {
            return Err(io::Error::other(format!("entry {id} came after entry {}", self.written)));
        }
        if !segment::fits(self.end, record.len(), self.segment_bytes) {
            self.rotate(id.index, record.len()).await?;
        }
        record::seal(&mut record, self.salt, id, self.durable);
        self.file.write_all_at(&record, segment::position(self.end))?;
        self.end += record.len();
        self.written = id.index;
        Ok(())
    }

    /// Goes on in a new segment, once the records in this one are on disk: the new one's header says that they are.
    async fn rotate(&mut self, first: u64, record: usize) -> io::Result<()> {
        self.file.sync_data()?;
        turn(&self.threads).await;
        self.durable = self.written;
        self.progress.reach(self.durable);
        let header = segment::Header { first, salt: self.disk.salt() };
        let bytes = self.segment_bytes.max(length(record + segment::HEADER_BYTES));
        self.path = segment::path(&self.directory, first);
        self.file = segment::create(&*self.disk, &self.directory, header, bytes)?;
        turn(&self.threads).await;
        self.disk.sync_directory(&self.directory)?;
        self.progress.began(first);
        self.salt = header.salt;
        self.end = segment::HEADER_BYTES;
        Ok(())
    }
}

/// Reports a thread that panics: whoever waits for it would wait for ever.
pub(in crate::store) struct Alarm {
    pub(in crate::store) progress: Progress,
    pub(in crate::store) events: UnboundedSender<StoreEvent>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.progress.fail();
            let name = std::thread::current().name().unwrap_or("store").to_owned();
            _ = self
                .events
                .send(StoreEvent::Failed { what: format!("{name}: it panicked, see standard error") });
        }
    }
}
