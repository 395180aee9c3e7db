//! The state files: sled, helped to keep its promises.
//!
//! sled's `flush` is not an fsync on Linux, and it never syncs `conf`, its directories and what spills into `blobs/`. So all
//! of these are fsynced after opening, and `persist` follows each flush with an fdatasync of our own on `db`.
//!
//! sled writes its log with seven threads. If all of them wait for its segment table, and whoever holds that waits for the file to be
//! shortened, which is one more task for these threads, nothing moves again: seen after some hundred thousand writes on a busy
//! disk. So whoever writes much calls `drain` after every few megabytes, and no transaction is large: then fewer than seven
//! buffers are ever on their way.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sled::{Db, IVec};

use crate::types::{EngineRecord, LaneId, LogId, QueueId, QueueRecord, Sequence};

use super::codec::{Malformed, length};
use super::directory::Directory;
use super::error::Context;
use super::guard::guarded;
use super::host::{Host, Machine, Rows, Threads};
use super::keys::ChunkKey;
use super::record::Touches;
use super::rows::Tree;
use super::{OpenError, ReadError, StoreOptions, chunk, directory, keys, meta, record, sled_files};

/// sled gives its lock back a moment after it was closed: how often to try, and how long to wait between.
const LOCK_TRIES: u32 = 200;
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// How much may be written before sled's threads have to catch up. sled writes several times as much, which must stay below
/// seven of its segments.
pub(super) const DRAIN_BYTES: usize = 4 << 20;
/// As many rows may be removed: removing a chunk rewrites those beside it.
pub(super) const DRAIN_ROWS: usize = 256;

/// The trees, open. Shared by the checkpoint thread, which writes, and the readers.
#[derive(Debug)]
pub(super) struct State {
    pub(super) meta: Tree,
    pub(super) queues: Tree,
    pub(super) chunks: Tree,
    pub(super) records: Tree,
    pub(super) parts: Tree,
    pub(super) sweeps: Tree,
    pub(super) topics: Tree,
    pub(super) bindings: Tree,
    pub(super) transactions: Tree,
    pub(super) ids: Tree,
    /// Who reads and writes them.
    pub(super) threads: Arc<dyn Threads>,
    path: PathBuf,
    /// Last, so that the lock outlives the trees.
    base: Base,
}

/// What holds the trees.
#[derive(Debug)]
enum Base {
    Sled { db: Db, file: File, _directory: Directory },
    Hosted(Arc<dyn Rows>),
}

/// A chunk that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) key: ChunkKey,
    pub(super) last: Sequence,
    pub(super) parts: u16,
}

impl State {
    pub(super) fn open(directory: Directory, options: &StoreOptions) -> Result<Self, OpenError> {
        let path = directory.state();
        let refused = |reason: String| OpenError::State { directory: path.clone(), reason };
        let segment = usize::try_from(directory.sled_segment_bytes).unwrap_or(usize::MAX);
        let config = sled::Config::new()
            .path(&path)
            .cache_capacity(options.sled_cache_bytes)
            .segment_size(segment)
            .flush_every_ms(None);
        remove_unfinished(&path)?;
        sled_files::verify(&path)?;
        let refuse = |error: ReadError| refused(error.to_string());
        let db = guarded(|| Ok::<_, ReadError>(open_patiently(&config)?)).map_err(refuse)?;
        let tree = |name| guarded(|| Ok::<_, ReadError>(Tree::Sled(db.open_tree(name)?))).map_err(refuse);
        let file = File::open(path.join("db")).context("open", &path.join("db"))?;
        let base = Base::Sled { db: db.clone(), file, _directory: directory };
        let state = Self::of(tree, Arc::new(Machine), path.clone(), base)?;
        guarded(|| state.persist()).map_err(refuse)?;
        sync_files(&state.path)?;
        Ok(state)
    }

    /// The trees of another host.
    pub(super) fn on(host: &Host) -> Result<Self, OpenError> {
        let tree = |name| Ok(Tree::Hosted(name, Arc::clone(&host.rows)));
        Self::of(tree, Arc::clone(&host.threads), host.journal.clone(), Base::Hosted(Arc::clone(&host.rows)))
    }

    fn of(
        tree: impl Fn(&'static str) -> Result<Tree, OpenError>,
        threads: Arc<dyn Threads>,
        path: PathBuf,
        base: Base,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            meta: tree("meta")?,
            queues: tree("queues")?,
            chunks: tree("chunks")?,
            records: tree("records")?,
            parts: tree("parts")?,
            sweeps: tree("sweeps")?,
            topics: tree("topics")?,
            bindings: tree("bindings")?,
            transactions: tree("transactions")?,
            ids: tree("ids")?,
            threads,
            path,
            base,
        })
    }

    /// All trees that hold rows, by name.
    pub(super) fn trees(&self) -> Result<Vec<(String, Tree)>, ReadError> {
        let mut trees = Vec::new();
        if let Base::Sled { db, .. } = &self.base {
            for name in db.tree_names() {
                let text = String::from_utf8_lossy(&name).into_owned();
                if !text.starts_with("__sled__") {
                    trees.push((text, Tree::Sled(db.open_tree(name)?)));
                }
            }
        }
        trees.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(trees)
    }

    /// Waits until sled's threads have nothing left to write. To be called at least once for every `DRAIN_BYTES` written.
    pub(super) fn drain(&self) -> Result<(), ReadError> {
        match &self.base {
            Base::Sled { db, .. } => _ = db.flush()?,
            Base::Hosted(rows) => rows.flush(),
        }
        Ok(())
    }

    /// Brings everything that was written so far onto the disk; how many files there are in `blobs/`.
    pub(super) fn persist(&self) -> Result<u64, ReadError> {
        let (db, file) = match &self.base {
            Base::Sled { db, file, .. } => (db, file),
            Base::Hosted(rows) => {
                rows.persist();
                return Ok(0);
            }
        };
        let failed = |what: &str, error: &dyn std::fmt::Display| ReadError::State(format!("{what}: {error}"));
        let blobs = sync_all(&self.path.join("blobs")).map_err(|error| failed("fsync blobs", &error))?;
        db.flush()?;
        if let Err(error) = file.sync_data() {
            // The last one who closes sled has it sync its file, and panics where that fails. An fsync that failed is
            // never tried again, so sled stays open until the process ends.
            std::mem::forget(db.clone());
            return Err(failed("fdatasync db", &error));
        }
        Ok(blobs)
    }

    /// Why the directory can't be opened, if reading fails.
    pub(super) fn unreadable(&self, error: &ReadError) -> OpenError {
        OpenError::State { directory: self.path.clone(), reason: error.to_string() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The entry and the engine that the latest checkpoint holds; zeros before the first.
    pub(super) fn applied(&self) -> Result<(LogId, EngineRecord), ReadError> {
        let row = self.meta.get(meta::STATE)?;
        let decode =
            |row: IVec| meta::decode_state(&row).map_err(|error| ReadError::State(format!("meta: {error}")));
        row.map_or(Ok(Default::default()), decode)
    }

    pub(super) fn queue(&self, id: QueueId) -> Result<Option<QueueRecord>, ReadError> {
        let key = keys::queue(id);
        self.queues.get(key)?.map(|row| queue_record(&key, &row)).transpose()
    }

    pub(super) fn queue_records(&self) -> Result<Vec<QueueRecord>, ReadError> {
        self.queues
            .iter()
            .map(|row| row.map_err(ReadError::from).and_then(|(key, row)| queue_record(&key, &row)))
            .collect()
    }

    /// The last chunk of a lane that begins at or before a message.
    pub(super) fn chunk_before(
        &self,
        lane: LaneId,
        sequence: Sequence,
    ) -> Result<Option<(ChunkKey, IVec)>, ReadError> {
        let least = ChunkKey::new(lane, Sequence(0)).encode();
        let most = ChunkKey::new(lane, sequence).encode();
        let Some(row) = self.chunks.range(least..=most).next_back() else { return Ok(None) };
        let (key, value) = row?;
        Ok(Some((chunk_key(&key)?, value)))
    }

    /// The chunks of a lane that begin from one message up to, but not including, another.
    pub(super) fn chunks_between(
        &self,
        lane: LaneId,
        from: Sequence,
        until: Sequence,
    ) -> impl Iterator<Item = Result<(ChunkKey, IVec), ReadError>> {
        let least = ChunkKey::new(lane, from).encode();
        let most = ChunkKey::new(lane, until.max(from)).encode();
        self.chunks.range(least..most).map(|row| {
            let (key, value) = row?;
            Ok((chunk_key(&key)?, value))
        })
    }

    /// The touched messages of a chunk, and in how many pieces they are stored.
    pub(super) fn record(&self, key: ChunkKey) -> Result<(Touches, u16), ReadError> {
        let mut touches = Touches::new();
        let Some(value) = self.records.get(key.encode())? else { return Ok((touches, 0)) };
        let damaged = |malformed| corrupt("records", key, malformed);
        let pieces = record::decode(&value, key, &mut touches).map_err(damaged)?;
        for piece in 1..pieces {
            let value = self.records.get(key.part(piece))?;
            let value = value.ok_or(Malformed("a piece is missing")).map_err(damaged)?;
            record::decode(&value, key, &mut touches).map_err(damaged)?;
        }
        Ok((touches, pieces))
    }
}

/// What a chunk's header says.
pub(super) fn located(key: ChunkKey, value: &[u8]) -> Result<Located, ReadError> {
    let chunk::Extent { last, parts } =
        chunk::extent(value).map_err(|malformed| corrupt("chunks", key, malformed))?;
    Ok(Located { key, last, parts })
}

pub(super) fn corrupt(tree: &'static str, key: ChunkKey, malformed: Malformed) -> ReadError {
    ReadError::Corrupt { tree, queue: key.lane.queue.0, first: key.first.0, reason: malformed.0 }
}

pub(super) fn chunk_key(key: &[u8]) -> Result<ChunkKey, ReadError> {
    ChunkKey::decode(key).map_err(|error| ReadError::State(format!("a key: {error}")))
}

fn queue_record(key: &[u8], row: &[u8]) -> Result<QueueRecord, ReadError> {
    meta::decode_queue(key, row).map_err(|error| ReadError::State(format!("queues: {error}")))
}

/// Removes snapshots that sled was still writing when it was stopped. They hold nothing that the finished ones and the log do
/// not; but sled expects them under another name than it gives them, would take one for its latest snapshot, find it
/// damaged, and never open again. So it would with half a `conf`, which it writes before it makes `db`.
fn remove_unfinished(state: &Path) -> Result<(), OpenError> {
    let (conf, db) = (state.join("conf"), state.join("db"));
    if conf.is_file() && fs::metadata(&db).map_or(0, |db| db.len()) == 0 {
        fs::remove_file(&conf).context("remove", &conf)?;
    }
    for entry in fs::read_dir(state).context("list", state)? {
        let path = entry.context("list", state)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path).context("remove", &path)?;
        }
    }
    Ok(())
}

fn open_patiently(config: &sled::Config) -> sled::Result<Db> {
    let mut tries = 0;
    loop {
        match config.open() {
            // Our own lock is taken before: whoever holds sled's is about to give it back.
            Err(sled::Error::Io(error))
                if tries < LOCK_TRIES && error.to_string().contains("acquire lock") =>
            {
                tries += 1;
                std::thread::sleep(LOCK_WAIT);
            }
            opened => return opened,
        }
    }
}

fn sync_files(path: &Path) -> Result<(), OpenError> {
    sync_all(path).context("fsync files of", path)?;
    directory::sync(&path.join("blobs"))?;
    directory::sync(path)
}

/// Syncs the files of a directory, if there are any; how many.
fn sync_all(path: &Path) -> std::io::Result<u64> {
    let mut files = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            match File::open(entry.path()) {
                Ok(file) => file.sync_all()?,
                // sled removes its files when it likes.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            files += 1;
        }
    }
    if files > 0 {
        File::open(path)?.sync_all()?;
    }
    Ok(length(files))
}
