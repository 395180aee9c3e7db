//! Compaction: what lives moves into state files of its own size.
//!
//! sled uses room again, but what a large backlog once took it seldom gives back to the disk. So where there is much more on
//! disk than lives, all rows are copied into new files: at a start, and between two checkpoints. Each step is on disk before the next:
//!
//! 1. `state.next/` is made, filled, closed, and read again from the disk: it must hold the rows of `state/`;
//! 2. `state/` becomes `state.old/`;
//! 3. `state.next/` becomes `state/`;
//! 4. `state.old/` is removed.
//!
//! Always true: where there is a `state/`, it is whole, and of what else there is nothing counts; where there is none, a stop came
//! between steps 2 and 3, and `state.next/` is whole. `resume` puts that in order before anything else looks.
//!
//! What fails before step 2 changes nothing: the store goes on with the files that it has. What fails later ends it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::codec::length;
use super::current::Current;
use super::database;
use super::directory::{self, Directory};
use super::error::Context;
use super::guard::guarded;
use super::host::Disk;
use super::state::{DRAIN_BYTES, State};
use super::{OpenError, ReadError, StoreOptions, recovery};

/// Files may take this many times as much room as the rows in them.
const RATIO: u64 = 4;
/// More is never copied: a start should not take much longer for it.
const LIVE_BYTES_MAX: u64 = 256 << 20;
/// Nor while the server runs: no checkpoint begins meanwhile, and memory holds what they would store.
const LIVE_BYTES_MAX_RUNNING: u64 = 64 << 20;

/// What a compaction came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// What the state files took on disk before it.
    pub before: u64,
    /// And after.
    pub after: u64,
}

fn places(root: &Path) -> [PathBuf; 3] {
    ["state", "state.next", "state.old"].map(|name| root.join(name))
}

/// Whether a stop left the state files under another name, from which `resume` brings them back.
pub(super) fn is_between_names(root: &Path) -> bool {
    let [state, _, old] = places(root);
    !state.is_dir() && old.is_dir()
}

/// Puts in order what a stop left of a compaction.
pub(super) fn resume(disk: &dyn Disk, root: &Path) -> Result<(), OpenError> {
    let [state, next, old] = places(root);
    if is_between_names(root) {
        rename(disk, root, if next.is_dir() { &next } else { &old }, &state)?;
    }
    if state.is_dir() {
        for left in [next, old] {
            if left.is_dir() {
                fs::remove_dir_all(&left).context("remove", &left)?;
            }
        }
    }
    Ok(())
}

fn rename(disk: &dyn Disk, root: &Path, from: &Path, to: &Path) -> Result<(), OpenError> {
    fs::rename(from, to).context("rename", from)?;
    directory::sync(disk, root)
}

/// Files that hold the same in less room, closed, beside those in use. If nobody takes them, they go with this.
struct Copied {
    directory: Arc<Directory>,
    next: PathBuf,
    /// What those in use take on disk.
    before: u64,
    /// Set before step 2: from then on they may be all that there is.
    taken: bool,
}

impl Drop for Copied {
    fn drop(&mut self) {
        if !self.taken {
            _ = fs::remove_dir_all(&self.next);
        }
    }
}

/// Compacts the state files before anybody reads them, if that is worth it.
pub(super) fn at_start(
    state: State,
    options: &StoreOptions,
) -> Result<(State, Option<Compacted>), OpenError> {
    match copied(&state, options, LIVE_BYTES_MAX)? {
        Some(copied) => take_over(state, copied, options),
        None => Ok((state, None)),
    }
}

/// Compacts them while the server runs, if that is worth it. The caller writes to them, and nobody else does; who reads them
/// waits while they are exchanged.
pub(super) fn while_running(
    current: &Current,
    state: Arc<State>,
    options: &StoreOptions,
) -> Result<(Arc<State>, Option<Compacted>), OpenError> {
    let Some(copied) = copied(&state, options, LIVE_BYTES_MAX_RUNNING)? else { return Ok((state, None)) };
    let mut compacted = None;
    let state = current.exchange(state, |state| {
        let (state, done) = take_over(state, copied, options)?;
        compacted = done;
        Ok(state)
    })?;
    Ok((state, compacted))
}

/// Step 1, if it is worth it. What can't be read, or written, is no reason to stop: whoever needs it will meet it.
fn copied(state: &State, options: &StoreOptions, live_max: u64) -> Result<Option<Copied>, OpenError> {
    let Some(directory) = state.directory() else { return Ok(None) };
    let before = room(state)?;
    if before <= options.compaction_bytes {
        return Ok(None);
    }
    let [_, next, _] = places(directory.root());
    let most = (before / RATIO).min(live_max);
    let wanted = || {
        Ok::<_, ReadError>(
            free(directory.root()) > 2 * most
                && is_worth_it(state, most)?
                && recovery::snapshot(state).is_ok(),
        )
    };
    if !guarded(wanted).unwrap_or(false) {
        return Ok(None);
    }
    let copied = Copied { directory, next, before, taken: false };
    let failed = |error: OpenError| ReadError::State(error.to_string());
    let done = guarded(|| copy(state, &copied.directory, &copied.next, options).map_err(failed));
    Ok(done.is_ok().then_some(copied))
}

/// Closes the files in use and goes on with the copy, or with what there was if either is still open.
fn take_over(
    state: State,
    mut copied: Copied,
    options: &StoreOptions,
) -> Result<(State, Option<Compacted>), OpenError> {
    let path = state.path().to_owned();
    drop(state);
    if database::is_closed(&path) && database::is_closed(&copied.next) {
        copied.taken = true;
        switch(&copied.directory)?;
    }
    let state = State::open(Arc::clone(&copied.directory), options)?;
    let after = room(&state)?;
    Ok((state, copied.taken.then_some(Compacted { before: copied.before, after })))
}

/// What is left of the disk. A file system that does not say how large it is has room.
fn free(root: &Path) -> u64 {
    rustix::fs::statvfs(root).map_or(0, |disk| match disk.f_blocks {
        0 => u64::MAX,
        _ => disk.f_bavail.saturating_mul(disk.f_frsize),
    })
}

/// What the state files take on disk.
fn room(state: &State) -> Result<u64, OpenError> {
    let db = state.path().join("db");
    Ok(fs::metadata(&db).context("look at", &db)?.blocks() * 512)
}

/// Whether no more than `most` lives. Reads no more than that.
fn is_worth_it(state: &State, most: u64) -> Result<bool, ReadError> {
    let waiting: u64 = state.queue_records()?.iter().map(|queue| queue.lanes.bytes()).sum();
    if waiting > most {
        return Ok(false);
    }
    let mut living = 0;
    for (_, tree) in state.trees()? {
        for row in &tree {
            let (key, value) = row?;
            living += length(key.len() + value.len());
            if living > most {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Step 1.
fn copy(
    state: &State,
    directory: &Arc<Directory>,
    next: &Path,
    options: &StoreOptions,
) -> Result<(), OpenError> {
    let failed =
        |error: ReadError| OpenError::State { directory: next.to_owned(), reason: error.to_string() };
    directory::create(&*directory.disk, next)?;
    let copy = State::open_at(Arc::clone(directory), next, options)?;
    fill(state, &copy).map_err(failed)?;
    drop(copy);
    // Not what is in memory, but what is found when it is opened.
    let copy = State::open_at(Arc::clone(directory), next, options)?;
    if !are_equal(state, &copy).map_err(failed)? {
        return Err(failed(ReadError::State("the copy differs".to_owned())));
    }
    Ok(())
}

/// Writes all rows of one state into another, which has none.
pub(super) fn fill(state: &State, copy: &State) -> Result<(), ReadError> {
    let mut written = 0;
    for (name, tree) in state.trees()? {
        let to = copy.tree(&name)?;
        for row in &tree {
            let (key, value) = row?;
            written += key.len() + value.len();
            to.insert(key, value)?;
            if written >= DRAIN_BYTES {
                written = 0;
                copy.drain()?;
            }
        }
    }
    copy.persist().map(drop)
}

/// Whether two states hold the same rows.
pub(super) fn are_equal(state: &State, copy: &State) -> Result<bool, ReadError> {
    Ok(hash(state)? == hash(copy)?)
}

fn hash(state: &State) -> Result<u64, ReadError> {
    let mut hash = Xxh3::new();
    for (name, tree) in state.trees()? {
        for row in &tree {
            let (key, value) = row?;
            for part in [name.as_bytes(), &key, &value] {
                hash.update(&length(part.len()).to_be_bytes());
                hash.update(part);
            }
        }
    }
    Ok(hash.digest())
}

/// Steps 2 to 4. Whatever fails here, the next start goes on with.
fn switch(directory: &Directory) -> Result<(), OpenError> {
    let root = directory.root();
    let [state, next, old] = places(root);
    rename(&*directory.disk, root, &state, &old)?;
    rename(&*directory.disk, root, &next, &state)?;
    fs::remove_dir_all(&old).context("remove", &old)
}
