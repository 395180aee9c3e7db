//! The platter: files and rows in memory, what is left of them when the process is killed or the power fails, and what of it fails.
//!
//! A file keeps what was synced; of what was written since, the power leaves any sectors. A name that was made or removed since its
//! directory was synced is there or not. Rows keep what was persisted, and the first few changes after that, whole
//! transactions. A kill leaves the files as they are, and of the rows what was flushed and the first few changes after that.

mod files;
mod image;
mod inode;
mod refusals;
mod rows;
mod spool;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bbq::store::host::RowChange;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

pub use image::Image;
use inode::Inode;
pub use refusals::{Cause, Refusal, Refused};
use refusals::{Refusals, Target};

/// The directory of the journal.
pub const JOURNAL: &str = "/journal";

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
    /// Of a sync of the journal that is refused, nobody is told.
    HiddenSync,
    /// Of a write to the journal that is refused, nobody is told.
    HiddenWrite,
}

impl Fault {
    /// Of which refusals nobody is told.
    pub fn hides(self) -> Option<Kind> {
        match self {
            Self::HiddenSync => Some(Kind::SyncData),
            Self::HiddenWrite => Some(Kind::Write),
            Self::NoJournalSync
            | Self::LateJournalSync
            | Self::NoPersist
            | Self::TornTransaction
            | Self::NoDirectorySync => None,
        }
    }
}

type Trees = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

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
    refusals: Refusals,
    /// After how many operations on copies for backups one is refused, and how many were.
    copies: Option<(u64, Cause)>,
    spoiled_copies: u64,
    trace: u64,
}

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Platter(Arc<Mutex<State>>);

impl Platter {
    pub fn new(seed: u64, image: Image, fault: Option<Fault>) -> Self {
        let Image { names, lasting_names, inodes, rows } = image;
        let state = State {
            rng: SmallRng::seed_from_u64(seed),
            names,
            lasting_names,
            next: inodes.last_key_value().map_or(0, |(last, _)| *last),
            inodes,
            persisted: rows.clone(),
            rows,
            log: Vec::new(),
            flushed: 0,
            fault,
            late: Vec::new(),
            operations: 0,
            end_after: None,
            image: None,
            making: false,
            cut_short: false,
            refusals: Refusals::default(),
            copies: None,
            spoiled_copies: 0,
            trace: 0,
        };
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

    /// An operation is refused.
    pub fn refuse(&self, refusal: Refusal) {
        self.with(|state| state.refusals.plan(refusal));
    }

    /// An operation on the copies that backups make is refused, after so many of them.
    pub fn refuse_copy(&self, after: u64, cause: Cause) {
        self.with(|state| state.copies = Some((after, cause)));
    }

    /// What was refused first, of all but copies.
    pub fn refused(&self) -> Option<Refused> {
        self.with(|state| state.refusals.first().cloned())
    }

    /// What was tried again though it had been refused.
    pub fn tried_again(&self) -> Option<String> {
        self.with(|state| state.refusals.again().cloned())
    }

    /// How many operations on copies were refused.
    pub fn spoiled_copies(&self) -> u64 {
        self.with(|state| state.spoiled_copies)
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

    /// Every operation that changes something begins here. If it is refused, as much of it is done as whoever asks for it likes.
    fn begin(&mut self, kind: Kind, what: u64, target: Target) -> io::Result<()> {
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
        let Some(cause) = self.refusals.judge(kind, &target) else { return Ok(()) };
        if !self.is_hidden(kind) {
            let place = self.place(&target);
            self.refusals.note(target, Refused { kind, place, cause });
        }
        Err(cause.error())
    }

    /// Whether a fault is planted that hides a refusal.
    fn is_hidden(&self, kind: Kind) -> bool {
        self.fault.and_then(Fault::hides) == Some(kind)
    }

    /// What an operation says that was refused.
    fn told(&self, kind: Kind, refused: io::Result<()>) -> io::Result<()> {
        if self.is_hidden(kind) { Ok(()) } else { refused }
    }

    fn place(&self, target: &Target) -> PathBuf {
        match target {
            Target::File(inode) => {
                let mut names = self.names.iter().filter(|(_, named)| *named == inode);
                names.next().map_or_else(PathBuf::new, |(path, _)| path.clone())
            }
            Target::Directory(path) | Target::Name(path) => path.clone(),
            // They are told by the journal's directory, as the host gives them no other place.
            Target::Rows => Path::new(JOURNAL).join("rows"),
        }
    }

    fn sync(&mut self, inode: u64) {
        if let Some(inode) = self.inodes.get_mut(&inode) {
            inode.sync();
        }
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
