//! The platter: files and rows in memory, and what is left of them when the process is killed or the power fails.
//!
//! A file keeps what was synced; of what was written since, the power leaves any sectors. A name that was made or removed since its
//! directory was synced is there or not. Rows keep what was persisted, and the first few changes after that, whole
//! transactions. A kill leaves the files as they are, and of the rows what was flushed and the first few changes after that.

mod files;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bbq::store::host::RowChange;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

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
    /// So many of one kind, and some of any kind after that: most of all are writes, and what is rare is as interesting.
    Some(Kind, u64, u64),
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
    /// A file is being made: its directory is not synced yet. And whether one was when the life ended.
    making: bool,
    cut_short: bool,
    trace: u64,
}

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Platter(Arc<Mutex<State>>);

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
            making: false,
            cut_short: false,
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

    /// Whether that was while a file was being made, with its bytes, its length and its name.
    pub fn has_ended_making(&self) -> bool {
        self.with(|state| state.cut_short)
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
            && let Some((After::Any(0) | After::Some(_, 0, 0), how)) = self.end_after
        {
            self.image = Some(self.left_by(how));
            self.cut_short = self.making;
        }
        match &mut self.end_after {
            Some((After::Any(left) | After::Some(_, 0, left), _)) => *left = left.saturating_sub(1),
            Some((After::Some(of, left, _), _)) if *of == kind => *left = left.saturating_sub(1),
            Some((After::Some(..), _)) | None => {}
        }
        match kind {
            Kind::Create => self.making = true,
            Kind::SyncDirectory => self.making = false,
            _ => {}
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
