//! A small model of the engine, a workload made of seeds, and a harness that keeps both beside a store.
//!
//! What entry `n` holds depends on the seed, on `n` and on the state before it alone. So whoever knows the seed knows the state
//! after any entry.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::store::{Awaited, Lookup, OpenError, Opened, Store, StoreEvent, StoreOptions, open};
use crate::types::{
    Attempt, Change, Claim, Command, Consumer, Content, Duration, EngineRecord, Epoch, Holder, HolderId,
    Lane, LaneRecord, Lanes, Lease, LogId, Offer, Pick, Priority, QueueId, QueueRecord, QueueSettings, Retry,
    Sequence, StoredMessage, Timestamp, Touch, TouchState,
};

/// Small files, so that tests meet their ends.
pub(super) fn options() -> StoreOptions {
    StoreOptions { segment_bytes: 64 << 10, sled_segment_bytes: 4 << 20, ..StoreOptions::default() }
}

/// A choice below `bound` that depends on its arguments alone.
pub(super) fn choice(seed: u64, index: u64, what: u64, bound: u64) -> u64 {
    xxh3_64_with_seed(&[index.to_be_bytes(), what.to_be_bytes()].concat(), seed) % bound
}

/// What message `sequence` of a queue holds: mostly little, sometimes nothing, sometimes several parts.
pub(super) fn content(queue: QueueId, sequence: Sequence) -> Content {
    let kind = choice(u64::from(queue.0), sequence.0, 0, 40);
    let size = match kind {
        0 => 0,
        1 => 30_000 + choice(u64::from(queue.0), sequence.0, 1, 60_000),
        _ => choice(u64::from(queue.0), sequence.0, 1, 300),
    };
    let byte = sequence.0.to_le_bytes()[0];
    Content(Bytes::from(vec![byte; usize::try_from(size).unwrap()]))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) record: QueueRecord,
    pub(super) touched: BTreeMap<Sequence, Touch>,
}

/// The state that the entries so far lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) engine: EngineRecord,
    pub(super) queues: BTreeMap<QueueId, Queue>,
}

impl Model {
    pub(super) fn apply(&mut self, now: Timestamp, command: &Command) -> Vec<Change> {
        self.engine.now = now;
        match command {
            Command::StartEpoch => self.engine.epoch.0 += 1,
            Command::CreateQueue { name, settings } => {
                let id = self.engine.next_queue;
                self.engine.next_queue.0 += 1;
                let record = QueueRecord {
                    id,
                    name: name.clone(),
                    settings: settings.clone(),
                    created_at: now,
                    lanes: Lanes::default(),
                    next_sequence: Sequence(1),
                    remembered_from: Sequence(1),
                    expiring_before: Sequence(0),
                };
                self.queues.insert(id, Queue { record, touched: BTreeMap::new() });
            }
            Command::DeleteQueue { queue } => {
                self.queues.remove(queue);
                return vec![Change::Deleted { queue: *queue }];
            }
            Command::PurgeQueue { queue } => return self.purge(*queue),
            Command::Publish { queue, messages, facts: _ } => {
                let record = &mut self.queues.get_mut(queue).unwrap().record;
                let first = record.next_sequence;
                record.next_sequence = first.plus(messages.len().try_into().unwrap());
                let bytes = messages.iter().map(|message| u64::from(message.size())).sum();
                let lane = record.lanes.of_mut(Priority::default());
                lane.add(first, messages.len().try_into().unwrap(), bytes);
                return vec![Change::Stored {
                    queue: *queue,
                    first,
                    published_at: now,
                    messages: messages.clone(),
                    lanes: Vec::new(),
                }];
            }
            Command::Grant { queue, offers, picks } => {
                let lease = |offer: &Offer| Lease {
                    holder: offer.holder,
                    epoch: self.engine.epoch,
                    since: now,
                    deadline: now.after(offer.duration),
                    duration: offer.duration,
                    consumer: offer.consumer.clone(),
                };
                let leases: Vec<Lease> = offers.iter().map(lease).collect();
                let grant = |pick: &Pick| {
                    let place = usize::try_from(pick.offer.unwrap()).unwrap();
                    self.grant(*queue, *pick, &leases[place])
                };
                return picks.iter().map(grant).collect();
            }
            Command::Ack { queue, claims } => return self.ack(*queue, claims),
            Command::Nack { queue, claims, .. } => return self.nack(*queue, claims),
            Command::Extend { .. }
            | Command::Release { .. }
            | Command::Expire { .. }
            | Command::UpdateQueue { .. }
            | Command::Move { .. }
            | Command::Drop { .. }
            | Command::Lapse { .. }
            | Command::Forget { .. }
            | Command::Topic(_)
            | Command::PublishAll(_)
            | Command::Transact(_) => {}
        }
        Vec::new()
    }

    fn purge(&mut self, id: QueueId) -> Vec<Change> {
        let queue = self.queues.get_mut(&id).unwrap();
        let (from, until) = (frontier(&queue.record), queue.record.next_sequence);
        *queue.record.lanes.of_mut(Priority::default()) =
            LaneRecord { frontier: until, ..LaneRecord::default() };
        let free = queue.touched.iter().filter(|(_, touch)| touch.is_ready());
        let free: Vec<Sequence> = free.map(|(sequence, _)| *sequence).collect();
        let mut changes = vec![Change::Purged { queue: id, lane: Lane::default(), from, until }];
        for sequence in free {
            queue.touched.remove(&sequence);
            changes.push(Change::Settled { queue: id, lane: Lane::default(), sequence });
        }
        changes
    }

    fn grant(&mut self, id: QueueId, Pick { sequence, .. }: Pick, lease: &Lease) -> Change {
        let queue = self.queues.get_mut(&id).unwrap();
        let size = content(id, sequence).size();
        if sequence == frontier(&queue.record) {
            queue.record.lanes.of_mut(Priority::default()).advance(sequence, size);
        }
        let attempt = Attempt(queue.touched.get(&sequence).map_or(1, |touch| touch.attempt.0 + 1));
        let touch =
            Touch { epoch: lease.epoch, size, state: TouchState::Leased(lease.clone()), ..touch(attempt.0) };
        queue.touched.insert(sequence, touch.clone());
        Change::Touched { queue: id, sequence, touch }
    }

    fn ack(&mut self, id: QueueId, claims: &[Claim]) -> Vec<Change> {
        let queue = self.queues.get_mut(&id).unwrap();
        let settled = claims.iter().filter(|claim| queue.touched.remove(&claim.sequence).is_some());
        settled
            .map(|claim| Change::Settled { queue: id, lane: Lane::default(), sequence: claim.sequence })
            .collect()
    }

    fn nack(&mut self, id: QueueId, claims: &[Claim]) -> Vec<Change> {
        let queue = self.queues.get_mut(&id).unwrap();
        let mut changes = Vec::new();
        for claim in claims {
            let touch = queue.touched.get_mut(&claim.sequence).unwrap();
            touch.state = TouchState::Ready;
            changes.push(Change::Touched { queue: id, sequence: claim.sequence, touch: touch.clone() });
        }
        changes
    }

    /// The commands of entry `index`.
    pub(super) fn commands(&self, seed: u64, index: u64) -> Vec<Command> {
        let pick = |what, bound| choice(seed, index, what, bound);
        let name = || format!("q{index}").parse().unwrap();
        let create = || Command::CreateQueue { name: name(), settings: QueueSettings::default() };
        let Some((&queue, state)) = self.queues.iter().nth(usize::try_from(pick(0, 3)).unwrap()) else {
            return vec![create()];
        };
        let first = state.record.next_sequence;
        let some = |count: u64| -> Vec<Claim> {
            let skip = usize::try_from(pick(3, 1 + u64::try_from(state.touched.len()).unwrap())).unwrap();
            let claim = |(&sequence, touch): (&Sequence, &Touch)| Claim {
                sequence,
                attempt: touch.attempt,
                epoch: touch.epoch,
            };
            state.touched.iter().skip(skip).take(usize::try_from(count).unwrap()).map(claim).collect()
        };
        vec![match pick(1, 200) {
            0..70 => {
                let count = [1, 1, 3, 40][usize::try_from(pick(2, 4)).unwrap()];
                let messages = (0..count).map(|n| content(queue, first.plus(n))).collect();
                Command::Publish { queue, messages, facts: Vec::new() }
            }
            70..130 => self.grant_command(queue, pick(2, 60), index),
            130..180 => Command::Ack { queue, claims: some(pick(2, 50)) },
            180..194 => {
                Command::Nack { queue, claims: some(pick(2, 20)), retry: Retry::Backoff, reason: "".into() }
            }
            194..197 => Command::PurgeQueue { queue },
            197 => Command::DeleteQueue { queue },
            _ => create(),
        }]
    }

    fn grant_command(&self, queue: QueueId, count: u64, index: u64) -> Command {
        let state = &self.queues[&queue];
        let free = state.touched.iter().filter(|(_, touch)| touch.is_ready()).map(|(sequence, _)| *sequence);
        let untouched = (frontier(&state.record).0..state.record.next_sequence.0).map(Sequence);
        let pick = |sequence: Sequence| {
            let (offer, size) = (u32::try_from(sequence.0 % 2).ok(), content(queue, sequence).size());
            Pick { sequence, size, offer, priority: Priority::default(), key: None }
        };
        let offer = |n| Offer {
            holder: Holder::Receive(HolderId(index + n)),
            duration: Duration::seconds(30),
            consumer: Arc::new(Consumer { name: format!("c{}", index % 3), ..Consumer::default() }),
        };
        Command::Grant {
            queue,
            offers: vec![offer(0), offer(1)],
            picks: free.chain(untouched).take(usize::try_from(count).unwrap()).map(pick).collect(),
        }
    }
}

/// The state after `last` entries of a seed.
pub(super) fn expected(seed: u64, last: u64) -> Model {
    let mut model = Model::default();
    for index in 1..=last {
        for command in model.commands(seed, index) {
            model.apply(Timestamp(index), &command);
        }
    }
    model
}

/// A store, and the model that should be in it.
pub(super) struct Harness {
    pub(super) store: Store,
    pub(super) events: tokio::sync::mpsc::UnboundedReceiver<StoreEvent>,
    pub(super) model: Model,
    pub(super) seed: u64,
    dirty: BTreeMap<QueueId, ()>,
    /// How often the state files were compacted, as far as that was reported.
    pub(super) compacted: usize,
    pub(super) last: LogId,
    published: BTreeMap<(QueueId, Sequence), Timestamp>,
}

impl Harness {
    /// Opens a directory: the model is what the snapshot and the journal lead to.
    pub(super) fn open(path: &Path, seed: u64) -> Self {
        Self::of(open(path, &options()).unwrap(), seed)
    }

    /// The same of a directory that is open.
    pub(super) fn of(opened: Opened, seed: u64) -> Self {
        Self::try_of(opened, seed).unwrap()
    }

    /// The same, if the journal can be read.
    #[expect(clippy::panic_in_result_fn, reason = "test code")]
    pub(super) fn try_of(opened: Opened, seed: u64) -> Result<Self, OpenError> {
        let Opened { store, snapshot, replay, events } = opened;
        let mut model = Model { engine: snapshot.engine, queues: BTreeMap::new() };
        for record in snapshot.queues {
            model.queues.insert(record.id, Queue { record, touched: BTreeMap::new() });
        }
        for (queue, sequence, touch) in snapshot.touched {
            let before = model.queues.get_mut(&queue).unwrap().touched.insert(sequence, touch);
            assert_eq!(before, None);
        }
        let (dirty, published) = (BTreeMap::new(), BTreeMap::new());
        let last = snapshot.applied;
        let mut harness = Self { store, events, model, seed, dirty, compacted: 0, last, published };
        for entry in replay {
            let entry = entry?;
            assert_eq!(entry.id.index, harness.last.index + 1);
            harness.last = entry.id;
            entry.commands.iter().for_each(|command| harness.apply(entry.now, command));
        }
        assert_eq!(harness.store.last().index, harness.last.index);
        Ok(harness)
    }

    fn apply(&mut self, now: Timestamp, command: &Command) {
        let changes = self.model.apply(now, command);
        for change in &changes {
            match change {
                Change::Stored { queue, first, messages, .. } => {
                    for n in 0..messages.len().try_into().unwrap() {
                        self.published.insert((*queue, first.plus(n)), now);
                    }
                }
                Change::Touched { .. }
                | Change::Settled { .. }
                | Change::Purged { .. }
                | Change::Remembered { .. }
                | Change::Deleted { .. } => {}
            }
        }
        // Queues that were merely touched have no changed record, and must not need one.
        for (id, queue) in &self.model.queues {
            if queue.record.created_at == now
                || !matches!(command, Command::Ack { .. } | Command::Nack { .. })
            {
                self.dirty.insert(*id, ());
            }
        }
        self.store.apply(changes);
    }

    /// Appends one entry with these commands.
    pub(super) fn push(&mut self, commands: &[Command]) {
        let now = Timestamp(self.last.index + 1);
        let mut entry = self.store.begin(now);
        commands.iter().for_each(|command| entry.push(command));
        self.last = self.store.append(entry, Awaited::Durable);
        commands.iter().for_each(|command| self.apply(now, command));
    }

    /// Appends the next entry of the seed.
    pub(super) fn step(&mut self) {
        let commands = self.model.commands(self.seed, self.last.index + 1);
        self.push(&commands);
    }

    pub(super) fn begin_checkpoint(&mut self) {
        let dirty = std::mem::take(&mut self.dirty).into_keys();
        let dirty =
            dirty.filter_map(|id| self.model.queues.get(&id)).map(|queue| queue.record.clone()).collect();
        self.store.begin_checkpoint(self.last, self.model.engine, dirty);
    }

    /// Says that every queue's record changed.
    pub(super) fn dirty_all(&mut self) {
        self.dirty = self.model.queues.keys().map(|id| (*id, ())).collect();
    }

    /// Handles events until `done` says so.
    pub(super) fn until(&mut self, done: impl Fn(&Store) -> bool) {
        while !done(&self.store) {
            let event = self.events.blocking_recv().unwrap();
            if let StoreEvent::Failed { what } = &event {
                panic!("{what}");
            }
            self.handle(&event);
        }
    }

    pub(super) fn handle(&mut self, event: &StoreEvent) {
        self.compacted += usize::from(matches!(event, StoreEvent::Compacted(_)));
        self.store.handle(event);
    }

    pub(super) fn checkpoint(&mut self) {
        self.begin_checkpoint();
        self.until(|store| !store.checkpoint_running());
    }

    pub(super) fn synced(&mut self) {
        let last = self.last.index;
        self.until(|store| store.durable_index() >= last);
    }

    /// The message as the store has it, wherever it is.
    pub(super) fn read(&self, queue: QueueId, sequence: Sequence) -> Option<StoredMessage> {
        match self.store.lookup(queue, sequence) {
            Lookup::Hot(message) => Some(message),
            Lookup::Gone => None,
            Lookup::Cold => self.store.reader().messages(queue, &[sequence]).unwrap().remove(0),
        }
    }

    /// Every message that is alive in the model is in the store, with its content; what is settled is not found in an overlay.
    pub(super) fn check(&self) {
        for (&id, queue) in &self.model.queues {
            let Queue { record, touched } = queue;
            let untouched = (frontier(record).0..record.next_sequence.0).map(Sequence);
            for sequence in touched.keys().copied().chain(untouched) {
                let message = self.read(id, sequence);
                let message = message.unwrap_or_else(|| panic!("message {sequence} of {id:?} is lost"));
                assert_eq!((message.sequence, &message.content), (sequence, &content(id, sequence)));
                let published = self.published.get(&(id, sequence));
                assert!(published.is_none_or(|at| *at == message.published_at));
            }
            for sequence in
                (1..frontier(record).0).map(Sequence).filter(|sequence| !touched.contains_key(sequence))
            {
                let found = self.store.lookup(id, sequence);
                assert!(!matches!(found, Lookup::Hot(_)), "message {sequence} of {id:?} came back");
            }
            self.check_untouched(id, record);
        }
    }

    /// Walks the queue as a dispatcher does.
    fn check_untouched(&self, id: QueueId, record: &QueueRecord) {
        let mut next = frontier(record);
        while next < record.next_sequence {
            match self.store.lookup(id, next) {
                Lookup::Hot(_) => next = next.next(),
                Lookup::Gone => panic!("message {next} of {id:?} is gone"),
                Lookup::Cold => {
                    let until = self.store.cold_until(id.into());
                    let found = self.store.reader().untouched(id, (next, until), 37, 50_000).unwrap();
                    assert!((1..=37).contains(&found.len()));
                    for message in found {
                        assert_eq!((message.sequence, &message.content), (next, &content(id, next)));
                        next = next.next();
                    }
                }
            }
        }
    }
}

/// A touch without a lease.
pub(super) fn touch(attempt: u32) -> Touch {
    Touch {
        attempt: Attempt(attempt),
        uncounted: 0,
        epoch: Epoch(1),
        size: 4,
        lane: Lane::default(),
        key: None,
        state: TouchState::Ready,
    }
}

pub(super) fn frontier(record: &QueueRecord) -> Sequence {
    record.lanes.of(Priority::default()).frontier
}

pub(super) fn set_frontier(record: &mut QueueRecord, frontier: Sequence) {
    record.lanes.of_mut(Priority::default()).frontier = frontier;
}
