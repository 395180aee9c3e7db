//! The board: what all queues hold and have done, copied for whoever watches.
//!
//! It is copied while somebody watches, and never otherwise: a pass over all queues begins at most every `SPACING` and copies at
//! most `STEP` queues at a time, with a `PAUSE` in between. All watchers share the copy, so a thousand of them cost the broker
//! what one does, and 100,000 queues no more of its time than `STEP` queues each `PAUSE`.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration as StdDuration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::consumers::Consumers;
use super::error::BrokerError;
use crate::engine::{Depth, Engine, Queue};
use crate::store::{Lookup, Store};
use crate::types::{Lane, LaneId, QueueId, QueueName, Sequence, Timestamp};

/// The least time between the beginnings of two passes: the shortest interval of a watcher.
const SPACING: StdDuration = StdDuration::from_millis(100);
/// Queues copied at once: less than a millisecond's work.
const STEP: usize = 2048;
/// The pause after so many.
const PAUSE: StdDuration = StdDuration::from_millis(5);

/// What a queue has done since the server started, or the queue was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that went into it.
    pub published: u64,
    /// Messages that went out, each time.
    pub delivered: u64,
    /// Those of them that had gone out before.
    pub redelivered: u64,
    /// Messages that were acked.
    pub acked: u64,
}

/// One queue at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its id, which no other queue ever has.
    pub id: QueueId,
    /// Its name.
    pub name: QueueName,
    /// When it was made.
    pub created_at: Timestamp,
    /// What is in it.
    pub depth: Depth,
    /// Subscribe streams and waiting Receive calls.
    pub consumers: u64,
    /// When the oldest message that was never delivered and does not wait for a delay was published, if that message is in
    /// memory.
    pub oldest: Option<Timestamp>,
    /// What it has done.
    pub tally: Tally,
}

/// All queues, as one pass found them.
#[derive(Debug, Default)]
pub struct Board {
    /// When the pass began.
    pub at: Timestamp,
    /// By name.
    rows: Vec<Row>,
}

/// A watcher's view of the board.
pub struct Watch {
    opened: Timestamp,
    boards: watch::Receiver<Arc<Board>>,
    ended: watch::Receiver<()>,
    stopped: Arc<OnceLock<BrokerError>>,
}

/// The tallies of all queues that have one.
#[derive(Default)]
pub(super) struct Tallies(HashMap<QueueId, Tally>);

/// What makes the boards. `None` once nobody may watch any more.
pub(super) struct BoardMaker {
    lines: Option<(watch::Sender<Arc<Board>>, watch::Sender<()>)>,
    /// When the pass under way began, or the one before.
    begun: Instant,
    /// When to go on.
    due: Instant,
    rows: Vec<Row>,
    at: Timestamp,
    next: Option<QueueName>,
}

impl Board {
    /// A queue.
    #[must_use]
    pub fn named(&self, name: &QueueName) -> Option<&Row> {
        self.rows.binary_search_by(|row| row.name.cmp(name)).ok().and_then(|place| self.rows.get(place))
    }

    /// The queues whose name begins so, by name.
    pub fn prefixed<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Row> {
        let first = self.rows.partition_point(|row| row.name.as_str() < prefix);
        self.rows.iter().skip(first).take_while(move |row| row.name.as_str().starts_with(prefix))
    }
}

impl Watch {
    /// A board that was begun after `after` and after the watch was opened. Cancel safe.
    ///
    /// # Errors
    /// If the broker is draining or has stopped.
    pub async fn board(&mut self, after: Option<Timestamp>) -> Result<Arc<Board>, BrokerError> {
        loop {
            let board = Arc::clone(&self.boards.borrow_and_update());
            if board.at >= self.opened && after.is_none_or(|after| board.at > after) {
                return Ok(board);
            }
            if self.boards.changed().await.is_err() {
                return Err(self.stopped());
            }
        }
    }

    /// Waits until `at`. Cancel safe.
    ///
    /// # Errors
    /// If the broker is draining or has stopped.
    pub async fn until(&mut self, at: Instant) -> Result<(), BrokerError> {
        tokio::select! {
            biased;
            // Nothing is ever sent there.
            _ = self.ended.changed() => Err(self.stopped()),
            () = tokio::time::sleep_until(at) => Ok(()),
        }
    }

    fn stopped(&self) -> BrokerError {
        self.stopped.get().cloned().unwrap_or(BrokerError::Draining)
    }
}

impl Tallies {
    pub(super) fn of(&mut self, queue: QueueId) -> &mut Tally {
        self.0.entry(queue).or_default()
    }

    /// The queue is gone.
    pub(super) fn remove(&mut self, queue: QueueId) {
        self.0.remove(&queue);
    }

    fn get(&self, queue: QueueId) -> Tally {
        self.0.get(&queue).copied().unwrap_or_default()
    }
}

impl BoardMaker {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let lines = Some((watch::Sender::default(), watch::Sender::default()));
        Self { lines, begun: now, due: now, rows: Vec::new(), at: Timestamp(0), next: None }
    }

    /// When to take the next step, if anybody watches.
    pub(super) fn due(&self) -> Option<Instant> {
        let (boards, _) = self.lines.as_ref()?;
        (boards.receiver_count() > 0).then_some(self.due)
    }

    pub(super) fn watch(&self, now: Timestamp, stopped: Arc<OnceLock<BrokerError>>) -> Option<Watch> {
        let (boards, ended) = self.lines.as_ref()?;
        Some(Watch { opened: now, boards: boards.subscribe(), ended: ended.subscribe(), stopped })
    }

    /// Ends every watch.
    pub(super) fn end(&mut self) {
        self.lines = None;
    }

    /// Copies some more queues, and shows them once it has all.
    pub(super) fn step(
        &mut self,
        now: Timestamp,
        (engine, store): (&Engine, &Store),
        consumers: &Consumers,
        tallies: &Tallies,
    ) {
        let from = self.next.take();
        if from.is_none() {
            self.begun = Instant::now();
            self.at = now;
            self.rows.clear();
        }
        let mut queues = engine.queues_from(from.as_ref().map_or("", QueueName::as_str));
        let row = |queue: &Queue| row(queue, store, consumers, tallies);
        self.rows.extend(queues.by_ref().take(STEP).map(row));
        self.next = queues.next().map(|queue| queue.record().name.clone());
        if self.next.is_some() {
            self.due = Instant::now() + PAUSE;
            return;
        }
        self.due = (self.begun + SPACING).max(Instant::now() + PAUSE);
        if let Some((boards, _)) = &self.lines {
            let rows = std::mem::take(&mut self.rows);
            boards.send_replace(Arc::new(Board { at: self.at, rows }));
        }
    }
}

fn row(queue: &Queue, store: &Store, consumers: &Consumers, tallies: &Tallies) -> Row {
    let record = queue.record();
    let oldest = oldest(queue, store);
    let consumers = consumers.counter(record.id).map_or(0, |counter| counter.dispatch.len() as u64);
    Row {
        id: record.id,
        name: record.name.clone(),
        created_at: record.created_at,
        depth: queue.depth(),
        consumers,
        oldest,
        tally: tallies.get(record.id),
    }
}

/// When the oldest message that was never leased and does not wait for a delay was published, if it is in memory.
fn oldest(queue: &Queue, store: &Store) -> Option<Timestamp> {
    let mut oldest = None;
    if let Some((parked, ..)) = queue.parked_from(Sequence(0)).next() {
        match store.lookup(LaneId::from(queue.record().id), parked) {
            Lookup::Hot(message) => oldest = Some((parked, message.published_at)),
            Lookup::Cold | Lookup::Gone => return None,
        }
    }
    for (priority, lane) in queue.record().lanes.waiting() {
        let id = LaneId::new(queue.record().id, Lane::of(priority));
        if lane.frontier < store.cold_until(id) {
            return None;
        }
        let first = store.hot_from(id, lane.frontier).next()?;
        oldest = oldest.into_iter().chain([(first.sequence, first.published_at)]).min();
    }
    oldest.map(|(_, at)| at)
}
