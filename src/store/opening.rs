//! Opening a store: its directory in order, the state of the latest checkpoint, and the journal after it.
//!
//! It decides in which order files are opened and looked at. It never applies an entry: the caller does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::checkpoint::Checkpointer;
use super::current::Current;
use super::error::Context;
use super::host::{Disk, Host, Machine};
use super::overlay::Overlay;
use super::state::State;
use super::{
    OpenError, Replay, Snapshot, Store, StoreEvent, StoreOptions, compaction, directory, guard, journal,
    recovery,
};

/// A store as opening found it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// The state of the latest checkpoint.
    pub snapshot: Snapshot,
    /// The entries after it. Apply all of them, and hand their changes to `Store::apply`, before the first new entry.
    pub replay: Replay,
    /// What the store's threads report, from now on.
    pub events: UnboundedReceiver<StoreEvent>,
}

/// Opens a data directory, or makes it if there is none. Blocking.
///
/// # Errors
/// See `OpenError`: each says what the operator can do.
pub fn open(path: &Path, options: &StoreOptions) -> Result<Opened, OpenError> {
    open_through(Arc::new(Machine), path, options)
}

/// Opens it through a disk of somebody else's, which may refuse what this machine would not.
pub(super) fn open_through(
    disk: Arc<dyn Disk>,
    path: &Path,
    options: &StoreOptions,
) -> Result<Opened, OpenError> {
    options.validate()?;
    let directory = directory::Directory::open(Arc::clone(&disk), path, options.sled_segment_bytes)?;
    let journal = directory.journal();
    let (state, compacted) = compaction::at_start(State::open(directory, options)?, options)?;
    let mut opened = open_state(state, (disk, journal), options)?;
    opened.store.compacted = compacted;
    Ok(opened)
}

/// Opens a store on another host. Blocking as far as that blocks.
///
/// # Errors
/// As `open`.
pub fn open_on(host: &Host, options: &StoreOptions) -> Result<Opened, OpenError> {
    options.validate()?;
    open_state(State::on(host)?, (Arc::clone(&host.disk), host.journal.clone()), options)
}

fn open_state(
    state: State,
    (disk, journal): (Arc<dyn Disk>, PathBuf),
    options: &StoreOptions,
) -> Result<Opened, OpenError> {
    let state = Arc::new(state);
    let recover = || {
        let snapshot = recovery::snapshot(&state)?;
        let (_, sweeps) = recovery::remove_unnamed(&state, &snapshot.queues)?;
        let cold = recovery::cold_ends(&state, &snapshot.queues)?;
        Ok((snapshot, sweeps, cold))
    };
    let (snapshot, sweeps, cold) = guard::guarded(recover).map_err(|error| state.unreadable(&error))?;
    let current = Arc::new(Current::new(Arc::clone(&state)));
    let (sender, events) = unbounded_channel();
    let machine = (&disk, &current.threads);
    let found = journal::open(machine, &journal, options.segment_bytes, snapshot.applied, sender.clone())?;
    let progress = found.journal.progress.clone();
    let path = state.path().to_owned();
    let checkpointer =
        Checkpointer::start(state, &current, (disk, journal), (sweeps, options), progress, sender)
            .context("start the checkpoint thread for", &path)?;
    let store = Store {
        journal: found.journal,
        checkpointer,
        current,
        compacted: None,
        options: options.clone(),
        active: Overlay::default(),
        frozen: None,
        torn: found.torn,
        cold,
        ordered: None,
        last: found.last,
        written: found.last.index,
        durable: found.last.index,
        bytes_active: found.bytes,
        bytes_frozen: 0,
    };
    Ok(Opened { store, snapshot, replay: found.replay, events })
}
