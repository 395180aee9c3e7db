//! The real store, in a directory of its own, under a history.
//!
//! Commands become journal entries, one or several each; changes go to the overlay; checkpoints begin at random and are
//! waited for or not. A restart closes the store, or copies its directory while it is open, as a kill would leave it, and opens
//! what is there: the checkpoint must be the engine as it was then, and so must each entry that is replayed over it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bbq::store::inspect::inspect;
use bbq::store::{self, Awaited, Lookup, Opened, Snapshot, Store, StoreEvent, StoreOptions};
use bbq::types::{
    Change, Command, Dirty, EngineRecord, Lane, LaneId, LaneRecord, LogId, Sequence, StoredMessage, Timestamp,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::engine::{Effects, Engine};
use crate::shadow::{Keep, Shadow, digest};

/// What all disks did together: a history that never reads from the state files proves little.
#[derive(Debug, Default)]
pub struct Tally {
    /// Messages read from the state files.
    pub cold: AtomicU64,
    /// Messages found in memory.
    pub hot: AtomicU64,
    /// Checkpoints that ended.
    pub checkpoints: AtomicU64,
    /// Restarts from a copy of an open directory.
    pub kills: AtomicU64,
    /// Restarts from a directory that was closed.
    pub closes: AtomicU64,
    /// Entries that were replayed.
    pub replayed: AtomicU64,
}

/// See [`Tally`].
pub static TALLY: Tally = Tally {
    cold: AtomicU64::new(0),
    hot: AtomicU64::new(0),
    checkpoints: AtomicU64::new(0),
    kills: AtomicU64::new(0),
    closes: AtomicU64::new(0),
    replayed: AtomicU64::new(0),
};

/// A store, and what is known to be in it.
pub struct Disk {
    rng: SmallRng,
    home: tempfile::TempDir,
    /// How often the data moved to another directory.
    moves: u32,
    open: Option<(Store, UnboundedReceiver<StoreEvent>)>,
    /// What must be there, kept in memory.
    shadow: Shadow,
    pending: Option<Pending>,
    /// What changed besides messages since the latest checkpoint began.
    dirty: Dirty,
    /// The engine's digest after each entry.
    digests: BTreeMap<u64, u64>,
}

/// An entry that is not full.
struct Pending {
    now: Timestamp,
    commands: Vec<Command>,
    changes: Vec<Change>,
    digest: u64,
}

/// The smallest that the store takes, so that everything happens often.
fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes: 64 << 10,
        checkpoint_journal_bytes: 64 << 10,
        sled_segment_bytes: 4 << 20,
        sled_cache_bytes: 1 << 20,
        ..StoreOptions::default()
    }
}

impl Disk {
    /// A store in a new directory.
    pub fn new(seed: u64) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut disk = Self {
            rng: SmallRng::seed_from_u64(!seed),
            home,
            moves: 0,
            open: None,
            shadow: Shadow::default(),
            pending: None,
            dirty: Dirty::default(),
            digests: BTreeMap::from([(0, digest(&Engine::default()))]),
        };
        disk.reopen();
        disk
    }

    fn path(&self) -> PathBuf {
        self.home.path().join(self.moves.to_string())
    }

    /// Opens the directory and brings back the engine.
    fn reopen(&mut self) -> Engine {
        let Opened { mut store, snapshot, replay, events } =
            store::open(&self.path(), &options()).expect("it opens");
        let Snapshot { applied, engine, queues, touched, topics, bindings, transactions, remembered } =
            snapshot;
        let mut engine = Engine::restore(engine, queues, touched)
            .with_topics(topics, bindings)
            .with_transactions(transactions);
        for (queue, sequence, id, at) in remembered {
            engine.remember(queue, sequence, at, id);
        }
        engine.verify();
        assert_eq!(
            digest(&engine),
            self.digests[&applied.index],
            "the checkpoint of {applied} is another engine"
        );
        let mut last = applied.index;
        for entry in replay {
            let entry = entry.expect("an entry that can be read");
            assert_eq!(entry.id.index, last + 1, "entries have no gaps");
            last = entry.id.index;
            let mut effects = Effects::default();
            for command in entry.commands {
                engine.apply(entry.now, command, &mut effects);
            }
            store.apply(effects.changes);
            TALLY.replayed.fetch_add(1, Ordering::Relaxed);
            assert_eq!(digest(&engine), self.digests[&last], "entry {last} led to another engine");
        }
        assert_eq!(last, store.last().index, "the store knows its last entry");
        assert_eq!(Some(&last), self.digests.last_key_value().map(|(index, _)| index), "no entry is lost");
        self.dirty = engine.take_dirty();
        self.open = Some((store, events));
        engine
    }

    fn store(&mut self) -> &mut Store {
        &mut self.open.as_mut().expect("it is open").0
    }

    /// Hands the entry that is being filled to the journal.
    fn append(&mut self) {
        let Some(Pending { now, commands, changes, digest }) = self.pending.take() else { return };
        let store = self.store();
        let mut entry = store.begin(now);
        commands.iter().for_each(|command| entry.push(command));
        let LogId { index, .. } = store.append(entry, Awaited::Written);
        store.apply(changes);
        self.digests.insert(index, digest);
    }

    /// Takes note of what the store's threads reported; waits for more until `enough`.
    fn listen(&mut self, enough: impl Fn(&Store) -> bool) {
        let (store, events) = self.open.as_mut().expect("it is open");
        loop {
            let event = match events.try_recv() {
                Ok(event) => event,
                Err(_) if enough(store) => return,
                Err(_) => events.blocking_recv().expect("the store's threads run"),
            };
            match &event {
                StoreEvent::Failed { what } => panic!("the store failed: {what}"),
                StoreEvent::Checkpointed { blobs, .. } => {
                    assert_eq!(*blobs, 0, "nothing spills into blobs");
                    TALLY.checkpoints.fetch_add(1, Ordering::Relaxed);
                }
                StoreEvent::Written { .. } | StoreEvent::Durable { .. } | StoreEvent::Compacted(_) => {}
            }
            store.handle(&event);
        }
    }

    fn checkpoint(&mut self, engine: EngineRecord) {
        let dirty = std::mem::take(&mut self.dirty);
        let store = self.store();
        let last = store.last();
        store.begin_checkpoint(last, engine, dirty);
        if self.rng.random_bool(0.5) {
            self.listen(|store| !store.checkpoint_running());
        }
    }

    /// What a kill would leave, in a directory of its own.
    fn kill(&mut self) {
        let from = self.path();
        self.listen(|store| store.written_index() == store.last().index);
        self.moves += 1;
        // The store's threads may be writing: only a copy during which nothing changed is of one moment.
        while !copy(&from, &self.path()).unwrap_or(false) {
            fs::remove_dir_all(self.path()).expect("a copy can be removed");
        }
        self.open = None;
        fs::remove_dir_all(from).expect("the store is closed");
    }

    /// What is gone takes no room in the state files, or is about to be swept.
    fn look_for_waste(&self) {
        let found = inspect(&self.path()).expect("a closed store can be inspected");
        if found.sweeps > 0 {
            return;
        }
        for chunks in &found.queues {
            let id = chunks.queue;
            let record = found.snapshot.queues.iter().find(|record| record.id == id);
            let record = record.unwrap_or_else(|| panic!("{id:?} is gone, but has {chunks:?}"));
            let touched = found.snapshot.touched.iter().filter(|(queue, ..)| *queue == id).count();
            let empty = record.lanes.messages() == 0 && touched == 0;
            assert!(!empty, "{id:?} is empty, but has {chunks:?}");
            assert!(
                chunks.records == 0 || touched > 0,
                "nothing of {id:?} is touched, but it has {chunks:?}"
            );
        }
        assert!(found.parts == 0 || !found.queues.is_empty(), "{} parts of nothing", found.parts);
    }

    /// Reads a message as the broker would.
    fn read(&mut self, lane: LaneId, sequence: Sequence) -> Option<StoredMessage> {
        let store = self.store();
        match store.lookup(lane, sequence) {
            Lookup::Hot(message) => {
                TALLY.hot.fetch_add(1, Ordering::Relaxed);
                Some(message)
            }
            Lookup::Gone => None,
            Lookup::Cold => {
                TALLY.cold.fetch_add(1, Ordering::Relaxed);
                let found = store.reader().messages(lane, &[sequence]).expect("it can be read");
                found.into_iter().next().expect("an answer for each")
            }
        }
    }

    /// Walks through what is untouched of a lane, as the broker would: what is on disk, then what is in memory.
    fn walk(&mut self, lane: LaneId, record: LaneRecord) {
        let bytes = self.rng.random_range(1..50_000);
        let count = self.rng.random_range(1..10);
        let store = self.store();
        let (mut found, mut from, until) = (Vec::new(), record.frontier, store.cold_until(lane));
        while record.messages > 0 && from < until {
            let read = store.reader().untouched(lane, (from, until), count, bytes).expect("it can be read");
            let sizes = store.reader().sizes(lane, (from, until), count).expect("they can be read");
            assert!((1..=count).contains(&read.len()), "{} were read of {count} from {from}", read.len());
            let same = read.iter().zip(&sizes).all(|(message, &(sequence, size))| {
                message.sequence == sequence && message.content.size() == size
            });
            assert!(same, "sizes are those of the messages from {from} on");
            from = read.last().expect("at least one").sequence.next();
            found.extend(read);
        }
        if record.messages > 0 {
            found.extend(store.hot_from(lane, from));
        }
        assert_eq!(found.len() as u64, record.messages, "untouched messages of {lane:?}");
        let sorted = found.is_sorted_by(|a, b| a.sequence < b.sequence);
        assert!(sorted, "messages of {lane:?} come in their order");
        for message in found {
            let sequence = message.sequence;
            assert_eq!(Some(message), self.shadow.content(lane, sequence), "{sequence} reads as it was");
        }
    }
}

impl Keep for Disk {
    fn entry(&mut self, engine: &mut Engine, now: Timestamp, commands: &[Command], effects: &Effects) {
        let dirty = engine.take_dirty();
        self.shadow.keep(engine.record(), dirty.clone(), &effects.changes);
        self.dirty.absorb(dirty);
        self.dirty.queues.retain(|&id, _| engine.queue(id).is_some());
        if self.pending.as_ref().is_some_and(|pending| pending.now != now) {
            self.append();
        }
        let pending = self.pending.get_or_insert_with(|| Pending {
            now,
            commands: Vec::new(),
            changes: Vec::new(),
            digest: 0,
        });
        pending.commands.extend_from_slice(commands);
        pending.changes.extend_from_slice(&effects.changes);
        pending.digest = digest(engine);
        if self.rng.random_bool(0.7) {
            self.append();
            self.listen(|_| true);
            let due = self.store().checkpoint_due() || self.rng.random_ratio(1, 8);
            if due && !self.store().checkpoint_running() {
                self.checkpoint(engine.record());
            }
        }
    }

    fn restart(&mut self) -> Engine {
        self.append();
        if self.rng.random_bool(0.5) {
            self.kill();
            TALLY.kills.fetch_add(1, Ordering::Relaxed);
        } else {
            self.open = None;
            self.look_for_waste();
            TALLY.closes.fetch_add(1, Ordering::Relaxed);
        }
        self.reopen()
    }

    fn content(&mut self, lane: LaneId, sequence: Sequence) -> Option<StoredMessage> {
        self.append();
        let there = self.shadow.content(lane, sequence).is_some();
        if !there {
            // A reader may still find it, but no overlay may.
            assert!(
                !matches!(self.store().lookup(lane, sequence), Lookup::Hot(_)),
                "{sequence} is gone, but hot"
            );
            return None;
        }
        self.read(lane, sequence)
    }

    fn verify(&mut self, engine: &Engine) {
        self.shadow.verify(engine);
        if self.pending.is_some() {
            return;
        }
        for queue in engine.queues() {
            let id = queue.record().id;
            let touched: Vec<_> = queue.touched().map(|(&sequence, touch)| (touch.lane, sequence)).collect();
            if !touched.is_empty() {
                let (lane, sequence) = touched[self.rng.random_range(0..touched.len())];
                let lane = LaneId::new(id, lane);
                assert_eq!(
                    self.read(lane, sequence),
                    self.shadow.content(lane, sequence),
                    "{sequence} reads as it was"
                );
            }
            for (priority, record) in queue.record().lanes.descending() {
                self.walk(LaneId::new(id, Lane::of(priority)), record);
            }
        }
    }
}

/// Copies a directory; false if it changed in the meantime.
fn copy(from: &Path, to: &Path) -> io::Result<bool> {
    fs::create_dir_all(to)?;
    let mut same = true;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            same &= copy(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(same && is_same(from, to)?)
}

fn is_same(from: &Path, to: &Path) -> io::Result<bool> {
    let names = |path: &Path| {
        let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name()));
        let mut names = entries.collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok::<_, io::Error>(names)
    };
    if names(from)? != names(to)? {
        return Ok(false);
    }
    for name in names(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        let same =
            if source.is_dir() { is_same(&source, &target)? } else { fs::read(source)? == fs::read(target)? };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}
