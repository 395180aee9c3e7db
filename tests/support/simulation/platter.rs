//! The platter: files and rows in memory, and what is left of them when the process is killed or the power fails.
//!
//! A file keeps what was synced; of what was written since, the power leaves any sectors. A name that was made or removed since its
//! directory was synced is there or not. Rows keep what was persisted, and the first few changes after that, whole
//! transactions. A kill leaves the files as they are, and of the rows what was flushed and the first few changes after that.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read};
use std::ops::{Bound, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bbq::store::host::{Disk, DiskFile, Row, RowChange, Rows};
use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

const SECTOR: usize = 512;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The process is killed.
    Kill,
    /// The power fails.
    PowerCut,
}

/// What an operation of the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Create,
    Remove,
    SyncDirectory,
    Write,
    SyncData,
    SyncAll,
    Resize,
    Change,
    Flush,
    Persist,
}

/// After which operations a life ends.
#[derive(Clone, Copy, Debug)]
pub enum After {
    /// So many of any kind.
    Any(u64),
    /// So many of one kind: most of all are writes, and what is rare is as interesting.
    Some(Kind, u64),
}

/// A fault that is planted, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The journal is never synced, though it is said to be.
    NoJournalSync,
    /// The journal is synced some operations after it was said to be: what follows from it leaves too early.
    LateJournalSync,
    /// The state is not persisted before the journal is purged.
    NoPersist,
    /// A transaction's rows are not written as one.
    TornTransaction,
    /// A directory is not synced.
    NoDirectorySync,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
    dirty: Vec<Range<usize>>,
}

type Trees = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

/// What survives.
#[derive(Clone, Debug, Default)]
pub struct Image {
    files: BTreeMap<PathBuf, Vec<u8>>,
    rows: Trees,
}

#[derive(Debug)]
struct State {
    rng: SmallRng,
    names: BTreeMap<PathBuf, u64>,
    lasting_names: BTreeMap<PathBuf, u64>,
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    rows: Trees,
    persisted: Trees,
    /// Changes since then, and how many of them were flushed.
    log: Vec<Vec<RowChange>>,
    flushed: usize,
    fault: Option<Fault>,
    /// Syncs that are late, by the operation at which they happen.
    late: Vec<(u64, u64)>,
    operations: u64,
    /// Behind which operations the life ends; it does before the next.
    end_after: Option<(After, End)>,
    image: Option<Image>,
    trace: u64,
}

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Platter(Arc<Mutex<State>>);

#[derive(Debug)]
struct Open {
    platter: Platter,
    inode: u64,
}

impl Platter {
    pub fn new(seed: u64, image: Image, fault: Option<Fault>) -> Self {
        let mut state = State {
            rng: SmallRng::seed_from_u64(seed),
            names: BTreeMap::new(),
            lasting_names: BTreeMap::new(),
            inodes: BTreeMap::new(),
            next: 0,
            persisted: image.rows.clone(),
            rows: image.rows,
            log: Vec::new(),
            flushed: 0,
            fault,
            late: Vec::new(),
            operations: 0,
            end_after: None,
            image: None,
            trace: 0,
        };
        for (path, bytes) in image.files {
            let inode = state.inode(Inode { now: bytes.clone(), synced: bytes, dirty: Vec::new() });
            state.names.insert(path.clone(), inode);
            state.lasting_names.insert(path, inode);
        }
        Self(Arc::new(Mutex::new(state)))
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    /// The life ends behind these operations, before the next.
    pub fn end_after(&self, after: After, how: End) {
        self.with(|state| state.end_after = Some((after, how)));
    }

    /// Whether it has ended so.
    pub fn has_ended(&self) -> bool {
        self.with(|state| state.image.is_some())
    }

    /// What is left; if the life has not ended before an operation, it ends now.
    pub fn end(&self, how: End) -> Image {
        self.with(|state| state.image.take().unwrap_or_else(|| state.left_by(how)))
    }

    /// How many operations there were, and what they were.
    pub fn taken(&self) -> (u64, u64) {
        self.with(|state| (state.operations, state.trace))
    }
}

impl State {
    fn inode(&mut self, inode: Inode) -> u64 {
        self.next += 1;
        self.inodes.insert(self.next, inode);
        self.next
    }

    /// Every operation that changes something begins here.
    fn begin(&mut self, kind: Kind, what: u64) {
        if self.image.is_none()
            && let Some((After::Any(0) | After::Some(_, 0), how)) = self.end_after
        {
            self.image = Some(self.left_by(how));
        }
        match &mut self.end_after {
            Some((After::Any(left), _)) => *left = left.saturating_sub(1),
            Some((After::Some(of, left), _)) if *of == kind => *left = left.saturating_sub(1),
            Some((After::Some(..), _)) | None => {}
        }
        self.trace = (self.trace.rotate_left(5) ^ what).wrapping_mul(0x517c_c1b7_2722_0a95);
        self.trace = self.trace.rotate_left(3) ^ kind as u64;
        self.operations += 1;
        let (due, late): (Vec<_>, _) =
            std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= self.operations);
        self.late = late;
        for (_, inode) in due {
            self.sync(inode);
        }
    }

    fn sync(&mut self, inode: u64) {
        let Some(inode) = self.inodes.get_mut(&inode) else { return };
        inode.synced.resize(inode.now.len(), 0);
        for range in inode.dirty.drain(..) {
            let end = range.end.min(inode.now.len());
            if range.start < end {
                inode.synced[range.start..end].copy_from_slice(&inode.now[range.start..end]);
            }
        }
    }

    fn left_by(&mut self, how: End) -> Image {
        match how {
            End::Kill => {
                let files =
                    self.names.iter().map(|(path, inode)| (path.clone(), self.inodes[inode].now.clone()));
                let files = files.collect();
                let kept = self.rng.random_range(self.flushed..=self.log.len());
                Image { files, rows: self.rows_after(kept) }
            }
            End::PowerCut => {
                let kept = self.rng.random_range(0..=self.log.len());
                let rows = self.rows_after(kept);
                // Sometimes all, sometimes nothing, mostly some.
                let keeps = [0.0, 0.2, 0.5, 0.9, 1.0][self.rng.random_range(0..5)];
                let paths: BTreeSet<_> =
                    self.names.keys().chain(self.lasting_names.keys()).cloned().collect();
                let mut files = BTreeMap::new();
                for path in paths {
                    let (now, lasting) = (self.names.get(&path), self.lasting_names.get(&path));
                    let chosen = if self.rng.random_bool(0.5) { now } else { lasting };
                    if let Some(&inode) = chosen {
                        files.insert(path, self.torn(inode, keeps));
                    }
                }
                Image { files, rows }
            }
        }
    }

    /// A file of which only some of what was not synced arrived.
    fn torn(&mut self, inode: u64, keeps: f64) -> Vec<u8> {
        let Inode { now, synced, dirty } = self.inodes[&inode].clone();
        let mut left = synced;
        if self.rng.random_bool(0.5) {
            left.resize(now.len(), 0);
        }
        for range in dirty {
            let mut at = range.start;
            while at < range.end.min(now.len()) {
                let end = (at / SECTOR * SECTOR + SECTOR).min(range.end).min(now.len());
                if self.rng.random_bool(keeps) {
                    if left.len() < end {
                        left.resize(end, 0);
                    }
                    left[at..end].copy_from_slice(&now[at..end]);
                }
                at = end;
            }
        }
        left
    }

    fn rows_after(&self, kept: usize) -> Trees {
        let mut rows = self.persisted.clone();
        for change in self.log[..kept].iter().flatten() {
            carry_out(&mut rows, change);
        }
        rows
    }
}

fn carry_out(rows: &mut Trees, change: &RowChange) {
    if !rows.contains_key(change.tree) {
        rows.insert(change.tree.to_owned(), BTreeMap::new());
    }
    let Some(tree) = rows.get_mut(change.tree) else { return };
    match &change.value {
        Some(value) => _ = tree.insert(change.key.clone(), value.clone()),
        None => _ = tree.remove(&change.key),
    }
}

fn missing() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Disk for Platter {
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let inside = |path: &&PathBuf| path.parent() == Some(directory);
        self.with(|state| Ok(state.names.keys().filter(inside).cloned().collect()))
    }

    fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        self.with(|state| {
            state.names.get(file).map(|inode| state.inodes[inode].now.clone()).ok_or_else(missing)
        })
    }

    fn reader(&self, file: &Path, from: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut cursor = Cursor::new(self.read(file)?);
        cursor.set_position(from);
        Ok(Box::new(cursor))
    }

    fn write(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        self.create(file)?.write_all_at(bytes, 0)
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.with(|state| {
            state.begin(Kind::Create, 0);
            if let Some(&inode) = state.names.get(file) {
                let emptied = state.inodes.entry(inode).or_default();
                emptied.now.clear();
                emptied.dirty.clear();
                return inode;
            }
            let inode = state.inode(Inode::default());
            state.names.insert(file.to_owned(), inode);
            inode
        });
        Ok(Box::new(Open { platter: self.clone(), inode }))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.with(|state| state.names.get(file).copied()).ok_or_else(missing)?;
        Ok(Box::new(Open { platter: self.clone(), inode }))
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        self.with(|state| {
            state.begin(Kind::Remove, 0);
            state.names.remove(file).map(drop).ok_or_else(missing)
        })
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.with(|state| {
            state.begin(Kind::SyncDirectory, 0);
            if state.fault != Some(Fault::NoDirectorySync) {
                state.lasting_names.retain(|path, _| path.parent() != Some(directory));
                let inside = state.names.iter().filter(|(path, _)| path.parent() == Some(directory));
                let inside: Vec<_> = inside.map(|(path, inode)| (path.clone(), *inode)).collect();
                state.lasting_names.extend(inside);
            }
            Ok(())
        })
    }

    fn salt(&self) -> u64 {
        self.with(|state| state.rng.next_u64())
    }
}

impl Open {
    fn change(&self, kind: Kind, what: u64, change: impl FnOnce(&mut Inode)) -> io::Result<()> {
        self.platter.with(|state| {
            state.begin(kind, what);
            state.inodes.get_mut(&self.inode).map(change).ok_or_else(missing)
        })
    }
}

impl DiskFile for Open {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let sum =
            bytes.iter().fold(at as u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        self.change(Kind::Write, sum, |inode| {
            let end = at + bytes.len();
            if inode.now.len() < end {
                inode.now.resize(end, 0);
            }
            inode.now[at..end].copy_from_slice(bytes);
            inode.dirty.push(at..end);
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.platter.with(|state| {
            state.begin(Kind::SyncData, 0);
            match state.fault {
                Some(Fault::NoJournalSync) => {}
                Some(Fault::LateJournalSync) => {
                    let at = state.operations + state.rng.random_range(1..6);
                    state.late.push((at, self.inode));
                }
                _ => state.sync(self.inode),
            }
        });
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.platter.with(|state| {
            state.begin(Kind::SyncAll, 0);
            state.sync(self.inode);
        });
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        self.change(Kind::Resize, 0, |inode| {
            let old = inode.now.len();
            inode.now.resize(bytes, 0);
            inode.dirty.push(old.min(bytes)..old.max(bytes));
        })
    }

    fn length(&self) -> io::Result<u64> {
        let length = self.platter.with(|state| state.inodes[&self.inode].now.len());
        u64::try_from(length).map_err(io::Error::other)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        self.change(Kind::Resize, 1, |inode| {
            if inode.now.len() < bytes {
                inode.now.resize(bytes, 0);
            }
        })
    }
}

impl Rows for Platter {
    fn get(&self, tree: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.with(|state| state.rows.get(tree)?.get(key).cloned())
    }

    fn first(&self, tree: &str, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Option<Row> {
        self.with(|state| {
            within(state, tree, bounds)?.next().map(|(key, value)| (key.clone(), value.clone()))
        })
    }

    fn last(&self, tree: &str, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Option<Row> {
        self.with(|state| {
            within(state, tree, bounds)?.next_back().map(|(key, value)| (key.clone(), value.clone()))
        })
    }

    fn change(&self, changes: Vec<RowChange>) {
        self.with(|state| {
            if state.fault == Some(Fault::TornTransaction) && changes.len() > 1 {
                for change in changes {
                    state.begin(Kind::Change, 0);
                    carry_out(&mut state.rows, &change);
                    state.log.push(vec![change]);
                }
                return;
            }
            state.begin(Kind::Change, 0);
            changes.iter().for_each(|change| carry_out(&mut state.rows, change));
            state.log.push(changes);
        });
    }

    fn flush(&self) {
        self.with(|state| {
            state.begin(Kind::Flush, 0);
            state.flushed = state.log.len();
        });
    }

    fn persist(&self) {
        self.with(|state| {
            state.begin(Kind::Persist, 0);
            if state.fault != Some(Fault::NoPersist) {
                for change in std::mem::take(&mut state.log).iter().flatten() {
                    carry_out(&mut state.persisted, change);
                }
                state.flushed = 0;
            }
        });
    }
}

/// The rows of a tree within bounds, which may be empty or crossed.
fn within<'a>(
    state: &'a State,
    tree: &str,
    (from, to): (Bound<&[u8]>, Bound<&[u8]>),
) -> Option<std::collections::btree_map::Range<'a, Vec<u8>, Vec<u8>>> {
    let crossed = match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
            from >= to
        }
    };
    if crossed {
        return None;
    }
    Some(state.rows.get(tree)?.range::<[u8], _>((from, to)))
}
