//! From an opened store to a running broker: replay the journal over the checkpoint, then begin a new epoch.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use tokio::sync::{Semaphore, mpsc};

use super::clock::{Clock, Wall, wall_us};
use super::gauges::{self, Depths};
use super::handle::Handle;
use super::hashes::Hashes;
use super::inbox::Inbox;
use super::settings::Settings;
use super::task::Broker;
use crate::engine::{Effects, Engine};
use crate::store::{OpenError, Opened, ReplayEntry, Store};

/// Why the broker could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal could not be read.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The file for state hashes could not be written.
    #[error("cannot write state hashes to {path} (broker.state_hashes): {error}")]
    Hashes {
        /// Its path.
        path: String,
        /// Why.
        error: io::Error,
    },
}

/// Replays what the checkpoint lacks and gives the broker, to be run, and the way to it.
///
/// # Errors
/// If the journal is damaged.
pub fn start(opened: Opened, settings: Settings) -> Result<(Handle, Broker), StartError> {
    start_by(Box::new(wall_us), opened, settings)
}

/// The same by another wall clock. The monotonic clock and the timers are tokio's.
///
/// # Errors
/// As `start`.
pub fn start_by(wall: Wall, opened: Opened, settings: Settings) -> Result<(Handle, Broker), StartError> {
    let Opened { mut store, snapshot, replay, events } = opened;
    let mut hashes = match &settings.state_hashes {
        Some(path) => Some(Hashes::open(path).map_err(|error| hash_error(&settings, error))?),
        None => None,
    };
    let mut engine = Engine::restore(snapshot.engine, snapshot.queues, snapshot.touched)
        .with_topics(snapshot.topics, snapshot.bindings)
        .with_transactions(snapshot.transactions);
    for (queue, sequence, id, at) in snapshot.remembered {
        engine.remember(queue, sequence, at, id);
    }
    let mut replayed = 0_u64;
    for entry in replay {
        let entry = entry?;
        let index = entry.id.index;
        replay_entry(&mut engine, &mut store, entry);
        if let Some(hashes) = &mut hashes {
            hashes.note(index, &engine).map_err(|error| hash_error(&settings, error))?;
        }
        replayed += 1;
    }
    if let Some(torn) = store.torn() {
        tracing::warn!(
            file = %torn.file.display(),
            offset = torn.offset,
            bytes = torn.bytes,
            last = torn.last,
            kept = %torn.kept.display(),
            "the journal had more behind its last whole entry, which was cut off and kept: after a power cut or a kill that is \
             nothing that was confirmed; otherwise the disk changed it, and a backup may have more"
        );
    }
    if let Some(compacted) = store.compacted() {
        gauges::compacted(compacted);
    }
    let clock = Clock::starting_at(engine.record().now, wall);
    tracing::info!(queues = engine.queues().count(), replayed, "state recovered");

    let (publishes, publish_inbox) = mpsc::channel(settings.inbox_calls);
    let (requests, request_inbox) = mpsc::channel(settings.inbox_calls);
    let (notices, notice_inbox) = mpsc::unbounded_channel();
    // Holders of different epochs must not be mistaken for one another; 2^32 calls an epoch are far off.
    let first_holder = u64::from(engine.record().epoch.0 + 1) << 32;
    let room_bytes = settings.inbox_bytes;
    let (depths, shown) = Depths::channel();
    let handle = Handle {
        depths: shown,
        publishes,
        requests,
        notices,
        room: Arc::new(Semaphore::new(usize::try_from(room_bytes).unwrap_or(usize::MAX))),
        room_bytes,
        holders: Arc::new(AtomicU64::new(first_holder)),
        stopped: Arc::new(OnceLock::new()),
    };
    let inbox = Inbox { publishes: publish_inbox, requests: request_inbox, notices: notice_inbox, events };
    let broker = Broker::new(engine, store, clock, hashes, inbox, (&handle, depths), settings);
    Ok((handle, broker))
}

fn replay_entry(engine: &mut Engine, store: &mut Store, entry: ReplayEntry) {
    for command in entry.commands {
        let mut effects = Effects::default();
        engine.apply(entry.now, command, &mut effects);
        store.apply(effects.changes);
    }
}

fn hash_error(settings: &Settings, error: io::Error) -> StartError {
    let path = settings.state_hashes.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    StartError::Hashes { path, error }
}
