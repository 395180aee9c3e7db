//! Lapses: messages whose time to live is over leave their queue.
//!
//! Whatever is to be handed out is looked at first, so nothing is delivered after its time. Besides, the fronts of each priority
//! are watched: the first message that was never leased, and the first of those that came back. So a message goes at its time if
//! it is in front then, and else when it comes to the front.
//!
//! What is in front may be on disk only. Then it is read, one read at a time for all queues, and what was learned of it is kept
//! while it stays in front. A queue where nothing expires is not watched.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::attributes;
use super::batch::Batch;
use super::read_ahead::{Kind, Loaded, Wanted};
use super::request::Notice;
use super::task::{Broker, Stopped};
use crate::engine::{Outcome, Queue};
use crate::store::{Lookup, Pressure};
use crate::types::{
    Command, Dropped, Duration, Lane, LaneId, Priority, QueueId, Sequence, StoredMessage, Timestamp,
};

/// The most messages of one queue that lapse in one step.
const LAPSED_MAX: usize = 16_384;
/// The most dead messages of one queue that wait to be moved before no more of it lapse by themselves: each of them is known one by
/// one, and their target may be missing.
const DEAD_MAX: u64 = 4096;
/// The most messages that one read fetches once the first of them has lapsed, and of those that came back.
const READ_MAX: usize = 4096;
const RETURNED_MAX: usize = 256;

/// The queues where something may expire.
#[derive(Debug, Default)]
pub(super) struct Lapses {
    /// When the time of the first of a queue's fronts is over.
    due: BTreeSet<(Timestamp, QueueId)>,
    watched: HashMap<QueueId, Watch>,
    /// Queues that have to be looked at again once a read is done, because a front is on disk only.
    unread: BTreeSet<QueueId>,
    reading: bool,
}

/// What is known of one queue.
#[derive(Debug, Default)]
struct Watch {
    due: Option<Timestamp>,
    fronts: BTreeMap<(Priority, Kind), Front>,
}

/// A message in front, or the first of a lane from some message on.
#[derive(Clone, Copy, Debug)]
struct Front {
    from: Sequence,
    sequence: Sequence,
    life: Life,
}

/// What is to be known of a message to say when its time is over.
#[derive(Clone, Copy, Debug)]
struct Life {
    size: u32,
    published_at: Timestamp,
    /// A time to live of its own.
    own: Option<Duration>,
}

/// What a look at a queue found.
#[derive(Debug, Default)]
struct Look {
    /// How many may lapse now.
    most: usize,
    over: Vec<Dropped>,
    next: Option<Timestamp>,
    fronts: BTreeMap<(Priority, Kind), Front>,
    /// What has to be read to see more.
    wanted: Option<Wanted>,
}

impl Lapses {
    /// When something is to be done, if nothing else happens.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|&(at, _)| at)
    }

    /// A queue is gone, or nothing in it expires any more.
    pub(super) fn forget(&mut self, queue: QueueId) {
        if let Some(Watch { due: Some(at), .. }) = self.watched.remove(&queue) {
            self.due.remove(&(at, queue));
        }
        self.unread.remove(&queue);
    }

    fn set(&mut self, queue: QueueId, watch: Watch) {
        self.forget(queue);
        self.due.extend(watch.due.map(|at| (at, queue)));
        self.watched.insert(queue, watch);
    }
}

impl Life {
    fn of(queue: &Queue, message: &StoredMessage) -> Self {
        let StoredMessage { sequence, published_at, content } = message;
        let may = *sequence < queue.record().expiring_before;
        let own = may.then(|| attributes::time_to_live(content)).flatten();
        Self { size: content.size(), published_at: *published_at, own }
    }
}

/// How many messages of a queue may lapse by themselves now.
fn may_lapse(queue: &Queue) -> usize {
    if queue.settings().dead_letter_queue.is_none() {
        return LAPSED_MAX;
    }
    usize::try_from(DEAD_MAX.saturating_sub(queue.depth().dead)).unwrap_or(LAPSED_MAX)
}

/// Whether the time of a message is over.
pub(super) fn is_over(queue: &Queue, message: &StoredMessage, now: Timestamp) -> bool {
    let Life { published_at, own, .. } = Life::of(queue, message);
    queue.settings().expires_at(published_at, own).is_some_and(|at| at <= now)
}

impl Broker {
    /// What was there before the last stop.
    pub(super) fn watch_all(&mut self) {
        let queues = self.engine.queues().filter(|queue| queue.may_expire());
        self.restless.extend(queues.map(|queue| queue.record().id));
    }

    /// When a message lapses, unless the store has too much to write for that.
    pub(super) fn next_lapse(&self) -> Option<Timestamp> {
        self.lapses.next().filter(|_| !matches!(self.store.pressure(), Pressure::Grants))
    }

    /// Takes what has come to its time.
    pub(super) fn lapse_due(&mut self, batch: &mut Batch) {
        if self.next_lapse().is_none_or(|at| at > batch.now) {
            return;
        }
        let due: Vec<_> = self.lapses.due.iter().take_while(|(at, _)| *at <= batch.now).copied().collect();
        for (_, id) in due {
            // What is left is for the next entry.
            if batch.bytes() >= self.settings.entry_bytes {
                break;
            }
            self.watch(batch, id, None);
        }
    }

    /// Takes messages whose time is over.
    pub(super) fn lapse(&mut self, batch: &mut Batch, queue: QueueId, picks: Vec<Dropped>) {
        if let Outcome::Lapsed { messages } = self.act(batch, Command::Lapse { queue, picks }) {
            metrics::counter!("bbq_messages_expired_total").increment(messages);
        }
    }

    /// Looks at the fronts of a queue: takes those whose time is over, and notes when the next one's is. `read` is what was
    /// just read of it.
    pub(super) fn watch(&mut self, batch: &mut Batch, id: QueueId, read: Option<&Loaded>) {
        let Some(queue) = self.engine.queue(id).filter(|queue| queue.may_expire()) else {
            return self.lapses.forget(id);
        };
        let most = may_lapse(queue);
        if most == 0 {
            // Once some of its dead are moved, it is looked at again.
            return self.lapses.set(id, Watch::default());
        }
        let Look { over, next, fronts, wanted, .. } = self.look(queue, batch.now, most, read);
        self.lapses.set(id, Watch { due: next, fronts });
        if !over.is_empty() {
            self.lapse(batch, id, over);
        }
        match wanted {
            Some(_) if self.lapses.reading => _ = self.lapses.unread.insert(id),
            Some(wanted) => {
                self.lapses.reading = true;
                wanted.fetch(self.store.reader(), id, self.notices.clone(), Notice::FrontRead);
            }
            None => {}
        }
    }

    /// Takes what was read of a front. What is ready and in no overlay is on disk; if it is not, something confirmed is lost,
    /// and to go on would hide it.
    pub(super) fn on_front_read(&mut self, batch: &mut Batch, loaded: &Loaded) -> Result<(), Stopped> {
        self.lapses.reading = false;
        self.check_found(loaded)?;
        self.watch(batch, loaded.queue, Some(loaded));
        while !self.lapses.reading
            && let Some(id) = self.lapses.unread.pop_first()
        {
            self.watch(batch, id, None);
        }
        Ok(())
    }

    fn look(&self, queue: &Queue, now: Timestamp, most: usize, read: Option<&Loaded>) -> Look {
        let mut look = Look { most, ..Look::default() };
        for priority in queue.ready_priorities() {
            self.look_at_returned(queue, priority, now, read, &mut look);
            self.look_at_untouched(queue, priority, now, read, &mut look);
        }
        look
    }

    fn look_at_returned(
        &self,
        queue: &Queue,
        priority: Priority,
        now: Timestamp,
        read: Option<&Loaded>,
        look: &mut Look,
    ) {
        let of = (priority, Kind::Returned);
        for sequence in queue.first_of(priority) {
            let lane = queue.touch(sequence).map_or(Lane::default(), |touch| touch.lane);
            let Some(life) = self.life(queue, lane, sequence, read) else {
                return look.wants(|| self.wanted_returned(queue, lane, sequence));
            };
            if !look.passes(queue, now, of, Front { from: sequence, sequence, life }) {
                return;
            }
        }
    }

    /// What is known of a message that came back.
    fn life(&self, queue: &Queue, lane: Lane, sequence: Sequence, read: Option<&Loaded>) -> Option<Life> {
        let id = queue.record().id;
        if let Lookup::Hot(message) = self.store.lookup(LaneId::new(id, lane), sequence) {
            return Some(Life::of(queue, &message));
        }
        let fronts = self.lapses.watched.get(&id).map(|watch| &watch.fronts);
        let front = fronts.and_then(|fronts| fronts.get(&(lane.priority(), Kind::Returned)));
        if let Some(front) = front.filter(|front| front.sequence == sequence) {
            return Some(front.life);
        }
        let ahead = self.consumers.counter(id).and_then(|counter| counter.ahead.get(lane, sequence));
        let read = read.filter(|read| read.lane == lane).and_then(|read| {
            let messages = read.messages.as_ref().ok()?;
            messages.iter().find(|message| message.sequence == sequence)
        });
        ahead.or(read).map(|message| Life::of(queue, message))
    }

    /// A message that came back, and those behind it that are on disk, too.
    fn wanted_returned(&self, queue: &Queue, lane: Lane, first: Sequence) -> Wanted {
        let id = LaneId::new(queue.record().id, lane);
        let is_cold = |sequence: &Sequence| {
            queue.touch(*sequence).map_or(Lane::default(), |touch| touch.lane) == lane
                && matches!(self.store.lookup(id, *sequence), Lookup::Cold)
        };
        let behind = queue.first_of(lane.priority()).skip_while(|&sequence| sequence < first);
        let mut bytes = 0;
        let fits = |sequence: &Sequence| {
            bytes += queue.touch(*sequence).map_or(0, |touch| usize::try_from(touch.size).unwrap_or(0));
            *sequence == first || bytes <= self.settings.read_ahead_bytes
        };
        let sequences = behind.take_while(is_cold).take(RETURNED_MAX).take_while(fits).collect();
        Wanted::Returned { lane, sequences }
    }

    fn look_at_untouched(
        &self,
        queue: &Queue,
        priority: Priority,
        now: Timestamp,
        read: Option<&Loaded>,
        look: &mut Look,
    ) {
        let (record, of) = (queue.lane(priority), (priority, Kind::Untouched));
        let lane = LaneId::new(queue.record().id, Lane::of(priority));
        let cold_until = self.store.cold_until(lane);
        let (mut from, mut left) = (record.frontier, record.messages);
        while left > 0 && from < cold_until {
            let Some(front) = self.first_from(queue, lane, from, read) else {
                // One tells whether more have to be read.
                let bulk = read.is_some() && !look.over.is_empty();
                let (messages, bytes) =
                    if bulk { (READ_MAX, self.settings.read_ahead_bytes) } else { (1, 1) };
                let until = cold_until;
                return look.wants(|| Wanted::Untouched { lane: lane.lane, from, until, messages, bytes });
            };
            if !look.passes(queue, now, of, front) {
                return;
            }
            from = front.sequence.next();
            left -= 1;
        }
        if left == 0 {
            return;
        }
        for message in self.store.hot_from(lane, from) {
            let (sequence, life) = (message.sequence, Life::of(queue, &message));
            if !look.passes(queue, now, of, Front { from: sequence, sequence, life }) {
                return;
            }
        }
    }

    /// The first untouched message of a lane from one on that is on disk, if it is known.
    fn first_from(
        &self,
        queue: &Queue,
        lane: LaneId,
        from: Sequence,
        read: Option<&Loaded>,
    ) -> Option<Front> {
        let fronts = self.lapses.watched.get(&lane.queue).map(|watch| &watch.fronts);
        let known = fronts.and_then(|fronts| fronts.get(&(lane.lane.priority(), Kind::Untouched)));
        if let Some(front) = known.filter(|front| front.from <= from && from <= front.sequence) {
            return Some(Front { from, ..*front });
        }
        let counter = self.consumers.counter(lane.queue);
        let ahead = counter.and_then(|counter| counter.ahead.next(lane.lane, from));
        let read = read.filter(|it| it.kind == Kind::Untouched && it.lane == lane.lane && it.first <= from);
        let read = read.and_then(|read| {
            let messages = read.messages.as_ref().ok()?;
            messages.get(messages.partition_point(|message| message.sequence < from))
        });
        let message = ahead.or(read)?;
        Some(Front { from, sequence: message.sequence, life: Life::of(queue, message) })
    }
}

impl Look {
    /// Adds a front. Whether its time is over, so that what is behind it comes to the front.
    fn passes(&mut self, queue: &Queue, now: Timestamp, of: (Priority, Kind), front: Front) -> bool {
        let Front { sequence, life: Life { size, published_at, own }, .. } = front;
        let ends = queue.settings().expires_at(published_at, own);
        let over = ends.is_some_and(|at| at <= now);
        if over && self.over.len() < self.most {
            self.over.push(Dropped { sequence, size, priority: of.0 });
            return true;
        }
        // One too many for now is due at once.
        self.next = self.next.into_iter().chain(ends).min();
        self.fronts.insert(of, front);
        false
    }

    fn wants(&mut self, wanted: impl FnOnce() -> Wanted) {
        if self.wanted.is_none() {
            self.wanted = Some(wanted());
        }
    }
}
