//! The state files: trees of rows, and how rows are found in them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sled::IVec;

use crate::types::{EngineRecord, LaneId, LogId, QueueId, QueueRecord, Sequence};

use super::codec::Malformed;
use super::database::Database;
use super::directory::Directory;
use super::host::{Host, Machine, Rows, Spool, Threads};
use super::keys::ChunkKey;
use super::record::Touches;
use super::rows::Tree;
use super::{OpenError, ReadError, StoreOptions, chunk, keys, meta, record};

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
    Sled(Database),
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
    pub(super) fn open(directory: Arc<Directory>, options: &StoreOptions) -> Result<Self, OpenError> {
        let path = directory.state();
        Self::open_at(directory, &path, options)
    }

    /// Opens state files that are somewhere else in their directory.
    pub(super) fn open_at(
        directory: Arc<Directory>,
        path: &Path,
        options: &StoreOptions,
    ) -> Result<Self, OpenError> {
        let base = Base::Sled(Database::open(directory, path.to_owned(), options)?);
        let state = Self::of(base, Arc::new(Machine), path.to_owned())?;
        if let Base::Sled(database) = &state.base {
            database.settle()?;
        }
        Ok(state)
    }

    /// The trees of another host.
    pub(super) fn on(host: &Host) -> Result<Self, OpenError> {
        let base = Base::Hosted(Arc::clone(&host.rows));
        Self::of(base, Arc::clone(&host.threads), host.journal.clone())
    }

    fn of(base: Base, threads: Arc<dyn Threads>, path: PathBuf) -> Result<Self, OpenError> {
        let tree = |name| match &base {
            Base::Sled(database) => database.tree(name),
            Base::Hosted(rows) => Ok(Tree::Hosted(name, Arc::clone(rows))),
        };
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

    /// The data directory, if it is one of this machine.
    pub(super) fn directory(&self) -> Option<Arc<Directory>> {
        match &self.base {
            Base::Sled(database) => Some(database.directory()),
            Base::Hosted(_) => None,
        }
    }

    /// A tree of sled's, whatever its name.
    pub(super) fn tree(&self, name: &str) -> Result<Tree, ReadError> {
        match &self.base {
            Base::Sled(database) => database.tree(name).map_err(|error| ReadError::State(error.to_string())),
            Base::Hosted(_) => Err(ReadError::State(format!("tree {name} is not in sled"))),
        }
    }

    /// All trees that hold rows, by name.
    pub(super) fn trees(&self) -> Result<Vec<(String, Tree)>, ReadError> {
        let mut trees = match &self.base {
            Base::Sled(database) => database.trees()?,
            Base::Hosted(_) => self.known().map(|(name, tree)| (name.to_owned(), tree.clone())).to_vec(),
        };
        trees.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(trees)
    }

    fn known(&self) -> [(&'static str, &Tree); 10] {
        [
            ("meta", &self.meta),
            ("queues", &self.queues),
            ("chunks", &self.chunks),
            ("records", &self.records),
            ("parts", &self.parts),
            ("sweeps", &self.sweeps),
            ("topics", &self.topics),
            ("bindings", &self.bindings),
            ("transactions", &self.transactions),
            ("ids", &self.ids),
        ]
    }

    /// Room for what is copied aside: a file beside the state files that has no name, so that it is gone when it is closed, however
    /// the process ends. Another host has its own.
    pub(super) fn spool(&self) -> io::Result<Box<dyn Spool>> {
        if let Base::Hosted(rows) = &self.base {
            return rows.spool();
        }
        let path = self.path.with_file_name("backup.copy");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        fs::remove_file(&path)?;
        Ok(Box::new(file))
    }

    /// Waits until sled's threads have nothing left to write. To be called at least once for every `DRAIN_BYTES` written.
    pub(super) fn drain(&self) -> Result<(), ReadError> {
        match &self.base {
            Base::Sled(database) => database.drain()?,
            Base::Hosted(rows) => rows.flush().map_err(sled::Error::from)?,
        }
        Ok(())
    }

    /// Brings everything that was written so far onto the disk; how many files there are in `blobs/`.
    pub(super) fn persist(&self) -> Result<u64, ReadError> {
        match &self.base {
            Base::Sled(database) => database.persist(),
            Base::Hosted(rows) => {
                rows.persist().map_err(sled::Error::from)?;
                Ok(0)
            }
        }
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
