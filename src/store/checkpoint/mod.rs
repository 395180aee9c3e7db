//! Checkpoints: what is still alive goes to the state files, in one transaction, with the entry whose state it is.
//!
//! A thread takes one frozen overlay at a time. New messages are packed into chunks, which go ahead; the
//! transaction that names them waits until the journal is on disk as far as the state goes. Once the transaction is on
//! disk, and not before, the journal up to there is removed. Between checkpoints the thread sweeps what is dead.

mod merge;
mod pack;
mod plan;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use crate::types::{Dirty, EngineRecord, Lane, LaneId, LogId, QueueId, QueueRecord, Sequence};

use super::backup::{Backup, BackupOrder};
use super::codec::length;
use super::current::Current;
use super::host::{Disk, turn};
use super::journal::{self, Alarm, Progress};
use super::overlay::{LaneOverlay, Overlay};
use super::state::State;
use super::{ReadError, StoreEvent, StoreOptions, compaction, keys, remembered};
use plan::Plan;

pub(super) use sweep::{Sweep, sweeps};

/// What a checkpoint stores.
pub(super) struct Job {
    pub(super) applied: LogId,
    pub(super) engine: EngineRecord,
    pub(super) overlay: Arc<Overlay>,
    /// Who wants a backup of it.
    pub(super) backup: Option<BackupOrder>,
    pub(super) dirty: Dirty,
}

/// Ids that are forgotten which a checkpoint removes of each queue, at least.
const REMOVED_IDS: usize = 50_000;
/// How often to look whether a backup is still being read, when there is something to sweep behind it.
const HELD_PAUSE: Duration = Duration::from_secs(1);

/// The checkpoint thread. Dropping it waits for a checkpoint that runs.
#[derive(Debug)]
pub(super) struct Checkpointer {
    jobs: Option<UnboundedSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(super) fn start(
        state: Arc<State>,
        current: &Arc<Current>,
        (disk, journal): (Arc<dyn Disk>, PathBuf),
        (sweeps, options): (Vec<Sweep>, &StoreOptions),
        progress: Progress,
        events: UnboundedSender<StoreEvent>,
    ) -> std::io::Result<Self> {
        let (jobs, receiver) = unbounded_channel();
        let threads = Arc::clone(&state.threads);
        let worker = Worker {
            state,
            current: Arc::clone(current),
            options: options.clone(),
            looked: Instant::now(),
            disk,
            journal,
            sweeps,
            progress,
            events,
            hold: Weak::new(),
        };
        let thread = threads.run("bbq-checkpoint", Box::pin(worker.run(receiver)))?;
        Ok(Self { jobs: Some(jobs), thread })
    }

    pub(super) fn begin(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            _ = jobs.send(job);
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

struct Worker {
    state: Arc<State>,
    /// The same, for those who read.
    current: Arc<Current>,
    options: StoreOptions,
    /// When it was last seen whether compacting is worth it.
    looked: Instant,
    disk: Arc<dyn Disk>,
    journal: PathBuf,
    sweeps: Vec<Sweep>,
    progress: Progress,
    events: UnboundedSender<StoreEvent>,
    /// While it is held, somebody reads a backup, and no chunk goes.
    hold: Weak<()>,
}

/// Why a checkpoint was not made.
enum Stop {
    /// The journal failed, and has said so.
    Journal,
    Failed(String),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<sled::Error> for Stop {
    fn from(error: sled::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Worker {
    async fn run(self, jobs: UnboundedReceiver<Job>) {
        let (progress, events, path) =
            (self.progress.clone(), self.events.clone(), self.state.path().to_owned());
        let _alarm = Alarm { progress: progress.clone(), events: events.clone() };
        match self.work(jobs).await {
            Ok(()) | Err(Stop::Journal) => {}
            Err(Stop::Failed(why)) => {
                progress.fail();
                let what = format!("checkpoint in {}: {why}", path.display());
                _ = events.send(StoreEvent::Failed { what });
            }
        }
    }

    /// Until there is nothing more to do.
    async fn work(mut self, mut jobs: UnboundedReceiver<Job>) -> Result<(), Stop> {
        loop {
            match self.wait(&mut jobs).await {
                Next::Checkpoint(job) => self.checkpoint(job).await?,
                Next::Sweep => self.sweep().await?,
                Next::Nothing => {}
                Next::End => return Ok(()),
            }
            self = self.compact()?;
        }
    }

    /// Exchanges the state files for smaller ones if that is worth it, once in a while, when nothing in them is dead and nobody
    /// reads a backup.
    fn compact(mut self) -> Result<Self, Stop> {
        let interval = Duration::from_millis(self.options.compaction_interval_ms);
        if !self.sweeps.is_empty() || self.is_held() || self.looked.elapsed() < interval {
            return Ok(self);
        }
        self.looked = Instant::now();
        let done = compaction::while_running(&self.current, self.state, &self.options);
        let (state, compacted) = done.map_err(|error| Stop::Failed(error.to_string()))?;
        if let Some(compacted) = compacted {
            _ = self.events.send(StoreEvent::Compacted(compacted));
        }
        Ok(Self { state, ..self })
    }

    async fn wait(&self, jobs: &mut UnboundedReceiver<Job>) -> Next {
        if self.sweeps.is_empty() {
            return jobs.recv().await.map_or(Next::End, Next::Checkpoint);
        }
        if self.is_held() {
            return match tokio::time::timeout(HELD_PAUSE, jobs.recv()).await {
                Ok(Some(job)) => Next::Checkpoint(job),
                Ok(None) => Next::End,
                Err(_) => Next::Nothing,
            };
        }
        match jobs.try_recv() {
            Ok(job) => Next::Checkpoint(job),
            Err(TryRecvError::Empty) => Next::Sweep,
            Err(TryRecvError::Disconnected) => Next::End,
        }
    }

    /// Whether somebody reads a backup.
    fn is_held(&self) -> bool {
        self.hold.strong_count() > 0
    }

    /// Begins a backup of the checkpoint that has just been made. If that fails, the checkpoint stands.
    fn back_up(&mut self, applied: LogId, order: BackupOrder) {
        let BackupOrder { hold, made_at, messages_bytes, reply } = order;
        self.hold = Arc::downgrade(&hold);
        // Whoever ordered it may have gone; then it goes too.
        let _ = reply.send(Backup::begin(self.state.clone(), applied, made_at, messages_bytes, hold));
    }

    /// Lets others go first where what comes next shows.
    async fn turn(&self) {
        turn(&self.state.threads).await;
    }

    async fn sweep(&mut self) -> Result<(), Stop> {
        self.turn().await;
        if let Some(sweep) = self.sweeps.last_mut()
            && sweep::step(&self.state, sweep)?
        {
            self.sweeps.pop();
        }
        Ok(())
    }

    async fn checkpoint(&mut self, job: Job) -> Result<(), Stop> {
        let started = Instant::now();
        let Job { applied, engine, overlay, dirty, backup } = job;
        let mut plan = Plan::of(&dirty);
        let dirty = dirty.queues;
        let mut packer = pack::Packer::new(&self.state);
        let changed = overlay.lanes.keys().map(|lane| lane.queue).chain(dirty.keys().copied());
        for id in changed.collect::<BTreeSet<_>>() {
            self.turn().await;
            self.queue(id, &overlay, dirty.get(&id), &mut packer, &mut plan)?;
        }
        for &id in &overlay.deleted {
            if self.state.queue(id)?.is_some() {
                plan.queues.push((keys::queue(id).to_vec(), None));
                sweep::add(&mut plan.sweeps, Sweep::all_of(id));
            }
        }
        remembered::write(&self.state, overlay.ids.iter())?;
        remembered::change(&self.state, overlay.ids.iter(), dirty.values(), &mut plan.sums)?;
        let packed = packer.packed();
        let removed = length(plan.dead.len());
        plan.bound(self.is_held());
        // Rows of one key are one sweep, old or new.
        for sweep in std::mem::take(&mut plan.sweeps) {
            sweep::add(&mut self.sweeps, sweep);
        }
        plan.sweeps.clone_from(&self.sweeps);
        // The state must never be ahead of the journal: what is not on disk there may be taken back.
        if !self.progress.wait(applied.index).await {
            return Err(Stop::Journal);
        }
        self.state.drain()?;
        self.turn().await;
        plan::commit(&self.state, applied, engine, &plan)?;
        self.turn().await;
        let blobs = self.state.persist()?;
        self.turn().await;
        self.tidy(&overlay, &dirty)?;
        self.turn().await;
        journal::purge(&*self.disk, &self.journal, applied.index, self.progress.newest())
            .map_err(|error| Stop::Failed(format!("removing from {}: {error}", self.journal.display())))?;
        if let Some(order) = backup {
            self.back_up(applied, order);
        }
        let pack::Packed { messages, bytes, chunks } = packed;
        let took = started.elapsed();
        _ = self.events.send(StoreEvent::Checkpointed {
            applied,
            took,
            bytes,
            messages,
            chunks,
            removed,
            blobs,
        });
        Ok(())
    }

    /// Removes ids that are forgotten: at least twice as many as were written, so that they don't pile up. Should it not come to
    /// that, the next start does it.
    fn tidy(&self, overlay: &Overlay, dirty: &BTreeMap<QueueId, QueueRecord>) -> Result<(), Stop> {
        if self.state.ids.is_empty() {
            return Ok(());
        }
        let most = REMOVED_IDS.max(2 * overlay.ids.len());
        for &id in &overlay.deleted {
            remembered::remove_before(&self.state, id, Sequence(u64::MAX), most)?;
        }
        for record in dirty.values() {
            remembered::remove_before(&self.state, record.id, record.remembered_from, most)?;
        }
        Ok(())
    }

    fn queue(
        &self,
        id: QueueId,
        overlay: &Overlay,
        record: Option<&QueueRecord>,
        packer: &mut pack::Packer<'_>,
        plan: &mut Plan,
    ) -> Result<(), Stop> {
        let stored = self.state.queue(id)?;
        let Some(record) = record.or(stored.as_ref()) else {
            return Err(Stop::Failed(format!("queue {} has changes but no record", id.0)));
        };
        let nothing = LaneOverlay::default();
        for lane in Lane::all() {
            let id = LaneId::new(id, lane);
            let changes = overlay.lanes.get(&id).unwrap_or(&nothing);
            if changes.stored_last.is_some_and(|last| last >= record.next_sequence) {
                let next = record.next_sequence;
                let what = format!("queue {} has messages past its next sequence {next}", id.queue.0);
                return Err(Stop::Failed(what));
            }
            let old = stored.as_ref().map_or(merge::Bounds::default(), |old| merge::Bounds::of(old, lane));
            pack::lane(packer, plan, id, changes, old.next)?;
            merge::lane(&self.state, plan, id, changes, old, merge::Bounds::of(record, lane))?;
        }
        Ok(())
    }
}

enum Next {
    Checkpoint(Job),
    Sweep,
    Nothing,
    End,
}
