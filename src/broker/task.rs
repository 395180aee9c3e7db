//! The broker's task: wait for something, put all that has come into one entry, hand it to the journal, let go what
//! has become durable.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::batch::Batch;
use super::board::{BoardMaker, Tallies};
use super::clock::Clock;
use super::consumers::Consumers;
use super::dead_letters::DeadLetters;
use super::error::BrokerError;
use super::gauges::{self, DepthsSender};
use super::handle::Handle;
use super::hashes::Hashes;
use super::inbox::Inbox;
use super::lapses::Lapses;
use super::outbox::Outbox;
use super::publishing::Parked;
use super::request::{Arrival, Notice, Request};
use super::settings::Settings;
use crate::engine::{Effects, Engine, Outcome, Queue};
use crate::store::{Awaited, Pressure, Store, StoreEvent};
use crate::types::{Change, Command, LogId, QueueId, TouchState};

/// Why the broker ended before it was told to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store failed: {0}; nothing that was confirmed is lost: remove the cause and start again")]
pub struct Stopped(pub Arc<str>);

/// A checkpoint that runs longer than this hangs: the largest take seconds.
const CHECKPOINT_MAX: Duration = Duration::from_secs(120);

/// The most leases that one entry ends for their deadlines.
const EXPIRE_LIMIT: u32 = 10_000;
/// The most deduplication ids that one entry forgets for their age.
const FORGET_LIMIT: u32 = 100_000;

/// The broker, to be run by one task.
pub struct Broker {
    pub(super) engine: Engine,
    pub(super) store: Store,
    pub(super) consumers: Consumers,
    pub(super) settings: Settings,
    /// Where readers of the broker's own report.
    pub(super) notices: mpsc::UnboundedSender<Notice>,
    /// Queues where a consumer may get something that it could not get before.
    pub(super) restless: BTreeSet<QueueId>,
    /// Queues that stopped because no more messages may be known one by one.
    pub(super) crowded: BTreeSet<QueueId>,
    pub(super) dead_letters: DeadLetters,
    pub(super) lapses: Lapses,
    pub(super) draining: bool,
    pub(super) tallies: Tallies,
    pub(super) board: BoardMaker,
    /// Alive while a backup is ordered or being read.
    pub(super) backup: Weak<()>,
    pub(super) stopped: Arc<OnceLock<BrokerError>>,
    pub(super) parked: Parked,
    depths: DepthsSender,
    clock: Clock,
    hashes: Option<Hashes>,
    inbox: Inbox,
    durable: Outbox,
    written: Outbox,
    last: LogId,
    /// The last entry whose changes a checkpoint has, or is taking.
    checkpointed: u64,
    finishing: bool,
}

/// What woke the broker.
enum Wake {
    Store(Option<StoreEvent>),
    Notice(Option<Notice>),
    Request(Option<Request>),
    Publish(Option<Arrival>),
    Checkpoint,
    Board,
    Deadline,
}

impl Broker {
    pub(super) fn new(
        engine: Engine,
        store: Store,
        clock: Clock,
        hashes: Option<Hashes>,
        inbox: Inbox,
        (handle, depths): (&Handle, DepthsSender),
        settings: Settings,
    ) -> Self {
        let last = store.last();
        Self {
            engine,
            store,
            consumers: Consumers::default(),
            settings,
            notices: handle.notices.clone(),
            restless: BTreeSet::new(),
            crowded: BTreeSet::new(),
            dead_letters: DeadLetters::default(),
            lapses: Lapses::default(),
            draining: false,
            tallies: Tallies::default(),
            board: BoardMaker::new(),
            backup: Weak::new(),
            parked: Parked::default(),
            depths,
            clock,
            hashes,
            inbox,
            stopped: Arc::clone(&handle.stopped),
            durable: Outbox::default(),
            written: Outbox::default(),
            last,
            checkpointed: 0,
            finishing: false,
        }
    }

    /// Serves until it is told to stop, then takes a last checkpoint.
    ///
    /// # Errors
    /// If the store failed. Whoever was waiting has been told; the process must end.
    pub async fn run(mut self) -> Result<(), Stopped> {
        let ended = self.serve().await;
        let why = match &ended {
            Ok(()) => BrokerError::Draining,
            Err(Stopped(_)) => BrokerError::StoreFailed,
        };
        // Set before the channels close, so that whoever sees them closed can say why.
        let _ = self.stopped.set(why.clone());
        self.consumers.end_all(&why);
        if self.hangs() {
            let Self { store, .. } = self;
            // Dropping it would wait for what hangs. The journal has everything; the process ends without it.
            std::mem::forget(store);
        }
        ended
    }

    fn hangs(&self) -> bool {
        self.store.checkpoint_running_for().is_some_and(|running| running > CHECKPOINT_MAX)
    }

    async fn serve(&mut self) -> Result<(), Stopped> {
        let mut first = Batch::new(&mut self.store, self.clock.now());
        self.act(&mut first, Command::StartEpoch);
        self.commit(first)?;
        self.note_all_dead();
        self.watch_all();
        let every = Duration::from_millis(self.store.options().checkpoint_interval_ms.max(1));
        let mut checkpoints = tokio::time::interval(every);
        checkpoints.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.finished() {
            let wake = self.wait(&mut checkpoints).await;
            if let Wake::Notice(_) | Wake::Request(_) | Wake::Publish(_) = wake {
                self.inbox.gather().await;
            }
            self.handle(wake)?;
        }
        Ok(())
    }

    /// Whether everything is in a checkpoint and nothing more is to come.
    fn finished(&self) -> bool {
        let saved = self.checkpointed == self.last.index && !self.store.checkpoint_running();
        self.finishing && self.parked.len() == 0 && saved && self.store.durable_index() >= self.last.index
    }

    fn busy(&self) -> bool {
        self.last.index.saturating_sub(self.store.durable_index()) >= self.settings.entries_in_flight
    }

    /// Whether publishes may come in.
    fn admits(&self) -> bool {
        matches!(self.store.pressure(), Pressure::None) && self.parked.len() < self.settings.inbox_calls
    }

    async fn wait(&mut self, checkpoints: &mut Interval) -> Wake {
        let ready = !self.busy();
        let publishers = ready && self.admits();
        let now = self.clock.now();
        let deadline = self.engine.next_deadline().into_iter().chain(self.next_lapse()).min();
        let pause = deadline.map_or(Duration::MAX, |at| at.since(now).into());
        let board = self.board.due();
        let inbox = &mut self.inbox;
        tokio::select! {
            biased;
            event = inbox.events.recv() => Wake::Store(event),
            _ = checkpoints.tick() => Wake::Checkpoint,
            () = sleep_until(board) => Wake::Board,
            notice = inbox.notices.recv(), if ready => Wake::Notice(notice),
            request = inbox.requests.recv(), if ready => Wake::Request(request),
            publish = inbox.publishes.recv(), if publishers => Wake::Publish(publish),
            () = tokio::time::sleep(pause), if ready && deadline.is_some() => Wake::Deadline,
        }
    }

    fn handle(&mut self, wake: Wake) -> Result<(), Stopped> {
        let mut batch = Batch::new(&mut self.store, self.clock.now());
        match wake {
            Wake::Store(event) => self.on_event(event)?,
            Wake::Notice(Some(notice)) => self.on_notice(&mut batch, notice)?,
            Wake::Request(Some(request)) => self.on_request(&mut batch, request),
            Wake::Publish(Some(publish)) => self.on_arrival(&mut batch, publish),
            Wake::Checkpoint if self.hangs() => {
                return Err(Stopped("a checkpoint hangs; the next start reads the journal".into()));
            }
            Wake::Checkpoint => {
                gauges::set(&self.engine, &self.store, &self.consumers);
                gauges::show(&self.engine, &self.depths);
                if !self.busy() && self.engine.is_forgetful(batch.now) {
                    self.act(&mut batch, Command::Forget { limit: FORGET_LIMIT });
                }
                self.checkpoint();
            }
            Wake::Board => {
                let state = (&self.engine, &self.store);
                self.board.step(batch.now, state, &self.consumers, &self.tallies);
            }
            Wake::Deadline => {}
            // The broker holds a sender of notices; the other two close only when every handle is gone.
            Wake::Notice(None) | Wake::Request(None) | Wake::Publish(None) => self.finishing = true,
        }
        while let Ok(event) = self.inbox.events.try_recv() {
            self.on_event(Some(event))?;
        }
        if !self.busy() {
            self.fill(&mut batch)?;
        }
        self.commit(batch)
    }

    /// Puts everything that waits into the entry, then what follows from it.
    fn fill(&mut self, batch: &mut Batch) -> Result<(), Stopped> {
        if self.engine.next_deadline().is_some_and(|at| at <= batch.now) {
            self.act(batch, Command::Expire { limit: EXPIRE_LIMIT });
        }
        self.lapse_due(batch);
        while batch.bytes() < self.settings.entry_bytes {
            let admit = self.admits();
            let notice = self.inbox.notices.try_recv();
            let request = self.inbox.requests.try_recv();
            let publish = if admit { self.inbox.publishes.try_recv().ok() } else { None };
            if notice.is_err() && request.is_err() && publish.is_none() {
                break;
            }
            if let Ok(notice) = notice {
                self.on_notice(batch, notice)?;
            }
            if let Ok(request) = request {
                self.on_request(batch, request);
            }
            if let Some(publish) = publish {
                self.on_arrival(batch, publish);
            }
        }
        self.move_dead_letters(batch);
        self.dispatch(batch);
        Ok(())
    }

    /// Carries out a command as part of the batch.
    pub(super) fn act(&mut self, batch: &mut Batch, command: Command) -> Outcome {
        let mut effects = Effects::default();
        let outcome = batch.act(&mut self.engine, command, &mut effects);
        for freed in &effects.freed {
            if let Some(counter) = self.consumers.counter_mut(freed.queue) {
                counter.dispatch.freed(freed.holder, freed.size);
            }
            self.restless.insert(freed.queue);
        }
        for change in &effects.changes {
            match change {
                Change::Touched { touch, .. }
                    if touch.lease().is_some() || matches!(touch.state, TouchState::Parked) => {}
                Change::Touched { queue, touch, .. } if touch.is_dead() => {
                    self.dead_letters.note(*queue);
                    self.is_settled(*queue);
                }
                Change::Stored { queue, messages, .. } => {
                    self.tallies.of(*queue).published += messages.len() as u64;
                    self.restless.insert(*queue);
                }
                Change::Touched { queue, .. } => {
                    self.restless.insert(*queue);
                }
                Change::Settled { queue, .. } => self.is_settled(*queue),
                Change::Purged { .. } | Change::Remembered { .. } | Change::Deleted { .. } => {}
            }
        }
        if effects.dropped > 0 {
            metrics::counter!("bbq_messages_dropped_total").increment(effects.dropped);
        }
        self.store.apply(effects.changes);
        outcome
    }

    /// Something of a queue is done: where there is an order, that makes room for the next, whoever held it.
    fn is_settled(&mut self, queue: QueueId) {
        if self.engine.queue(queue).is_some_and(Queue::is_ordered) {
            self.restless.insert(queue);
        }
    }

    fn commit(&mut self, batch: Batch) -> Result<(), Stopped> {
        let changed = !batch.is_empty();
        let (entry, departures, early) = batch.into_parts();
        if changed {
            let awaited = if early.is_empty() { Awaited::Durable } else { Awaited::Written };
            self.last = self.store.append(entry, awaited);
            if let Some(hashes) = &mut self.hashes {
                hashes
                    .note(self.last.index, &self.engine)
                    .map_err(|error| Stopped(error.to_string().into()))?;
            }
        }
        self.durable.add(self.last.index, departures);
        self.written.add(self.last.index, early);
        self.let_go();
        if self.store.checkpoint_due() || self.finishing {
            self.checkpoint();
        }
        Ok(())
    }

    /// Begins a checkpoint of all that was appended so far, unless one is running or nothing has changed.
    fn checkpoint(&mut self) {
        let unchanged = self.last.index == self.checkpointed && !self.store.backup_ordered();
        if self.store.checkpoint_running() || unchanged {
            return;
        }
        self.checkpointed = self.last.index;
        let dirty = self.engine.take_dirty();
        self.store.begin_checkpoint(self.last, self.engine.record(), dirty);
    }

    fn on_event(&mut self, event: Option<StoreEvent>) -> Result<(), Stopped> {
        let Some(event) = event else {
            return Err(Stopped("the journal's thread ended unexpectedly".into()));
        };
        gauges::note(&event);
        self.store.handle(&event);
        match event {
            StoreEvent::Failed { what } => Err(Stopped(what.into())),
            StoreEvent::Written { .. }
            | StoreEvent::Durable { .. }
            | StoreEvent::Checkpointed { .. }
            | StoreEvent::Compacted(_) => {
                self.let_go();
                Ok(())
            }
        }
    }

    /// Lets go what waited for entries that have become durable, or written.
    fn let_go(&mut self) {
        let durable = self.store.durable_index();
        let written = self.store.written_index().max(durable);
        let early = self.written.take(written);
        let due = self.durable.take(durable);
        for departure in early.into_iter().chain(due) {
            departure.leave(|| self.store.reader());
        }
    }

    pub(super) fn finish(&mut self) {
        self.finishing = true;
    }
}

/// Waits until then; for ever if there is no such time.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
