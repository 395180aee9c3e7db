//! Publishing: room is made where the queue says so, then the messages go in, or are refused.
//!
//! What has to go is named by the broker, with its size, in the same entry. If a size is on disk only, the publish waits
//! until it was read, and what comes after it for the same queue waits behind it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::attributes::ordering_key;
use super::batch::Batch;
use super::error::BrokerError;
use super::outbox::{Answer, Departure};
use super::request::{Arrival, Notice, Publish};
use super::task::{Broker, Stopped};
use crate::engine::{Leaving, Outcome, Queue, Sifted};
use crate::types::{
    Command, Content, Dropped, Durability, Duration, Excess, Facts, Lane, LaneId, Overflow, Priority,
    QueueId, Sequence,
};

/// The most messages that go in one step because their queue holds more than it may.
const TRIM_MAX: usize = 65_536;
/// The least and the most sizes that one read fetches. As many may be kept for a queue, 12 bytes each.
const SIZES_MIN: usize = 512;
const SIZES_MAX: usize = 65_536;

/// Publishes that wait for sizes, and the sizes that were read.
#[derive(Default)]
pub(super) struct Parked {
    waiting: HashMap<QueueId, VecDeque<Arrival>>,
    /// Sizes of messages that are next to go.
    sizes: HashMap<LaneId, Known>,
    count: usize,
}

/// The sizes of all untouched messages of a lane from one up to, but not including, another.
struct Known {
    from: Sequence,
    until: Sequence,
    sizes: BTreeMap<Sequence, u32>,
}

/// Sizes that were read.
pub(super) struct Sized {
    lane: LaneId,
    from: Sequence,
    sizes: Result<Vec<(Sequence, u32)>, String>,
}

/// What making room came to.
pub(super) enum Room {
    /// There is room, or there can be none.
    Settled,
    /// These have to go first, and it fits.
    After(Vec<Dropped>),
    /// These have to go, whatever comes in: the queue holds more than it may. There may be more of them.
    Trim(Vec<Dropped>),
    /// The sizes of this lane from here on are on disk, and about so many are needed.
    Unknown(LaneId, Sequence, usize),
}

impl Parked {
    /// Whether publishes wait for sizes of this queue's messages.
    pub(super) fn holds(&self, queue: QueueId) -> bool {
        self.waiting.contains_key(&queue)
    }

    /// How many publishes wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Adds sizes of a lane from `from` on to what is known.
    fn learn(&mut self, lane: LaneId, from: Sequence, sizes: Vec<(Sequence, u32)>) {
        let until = sizes.last().map_or(from, |&(last, _)| last.next());
        match self.sizes.get_mut(&lane) {
            Some(known) if known.until == from => {
                known.until = until;
                known.sizes.extend(sizes);
            }
            Some(_) | None => {
                self.sizes.insert(lane, Known { from, until, sizes: sizes.into_iter().collect() });
            }
        }
    }
}

impl Broker {
    pub(super) fn on_publish(&mut self, batch: &mut Batch, publish: Publish) {
        let Some(id) = self.engine.named(&publish.queue).map(|queue| queue.record().id) else {
            let answer = Answer::new(publish.reply, Err(BrokerError::NoQueue(publish.queue)));
            return batch.departures.push(Departure::Published(answer));
        };
        if self.parked.holds(id) {
            return self.park(id, Arrival::Publish(publish));
        }
        if let Some(publish) = self.try_publish(batch, id, publish) {
            self.park(id, Arrival::Publish(publish));
        }
    }

    /// Lets a publish wait behind those that wait for this queue.
    pub(super) fn park(&mut self, id: QueueId, arrival: Arrival) {
        self.parked.waiting.entry(id).or_default().push_back(arrival);
        self.parked.count += 1;
    }

    /// Tries again what has waited; what has to wait on, and for which queue.
    fn retry(&mut self, batch: &mut Batch, id: QueueId, arrival: Arrival) -> Option<(QueueId, Arrival)> {
        match arrival {
            Arrival::Publish(publish) => {
                self.try_publish(batch, id, publish).map(|publish| (id, Arrival::Publish(publish)))
            }
            Arrival::Topic(publish) => {
                let parked = self.try_topic_publish(batch, *publish);
                parked.map(|(id, publish)| (id, Arrival::Topic(Box::new(publish))))
            }
            Arrival::Transact(transacting) => {
                let parked = self.try_transact(batch, *transacting);
                parked.map(|(id, transacting)| (id, Arrival::Transact(Box::new(transacting))))
            }
        }
    }

    /// Publishes, unless sizes have to be read first: then it gives the publish back.
    fn try_publish(&mut self, batch: &mut Batch, id: QueueId, publish: Publish) -> Option<Publish> {
        let Some(queue) = self.engine.queue(id) else {
            let answer = Answer::new(publish.reply, Err(BrokerError::NoQueue(publish.queue)));
            batch.departures.push(Departure::Published(answer));
            return None;
        };
        let durability = queue.record().settings.durability;
        if let Err(error) = self.admit(queue, batch, &publish) {
            batch.departures.push(Departure::Published(Answer::new(publish.reply, Err(error))));
            return None;
        }
        if queue.record().settings.limits.overflow == Overflow::DropOldest {
            let sifted = self.engine.sift(id, &publish.messages, &publish.facts, batch.now);
            let (messages, bytes) = sifted.map_or((0, 0), |sifted| (sifted.messages, sifted.bytes));
            match self.room(queue, &Leaving::default(), messages, bytes) {
                Room::Settled => {}
                Room::After(picks) => self.drop_oldest(batch, id, picks),
                later @ (Room::Trim(_) | Room::Unknown(..)) => {
                    self.make_later(batch, id, later);
                    return Some(publish);
                }
            }
        }
        let Publish { queue: name, messages, facts, reply, _room } = publish;
        let count = messages.len() as u64;
        let result = match self.act(batch, Command::Publish { queue: id, messages, facts }) {
            Outcome::Published(published) => {
                let new = count - published.duplicates.len() as u64;
                metrics::counter!("bbq_messages_published_total").increment(new);
                Ok(published)
            }
            Outcome::Full(full) => Err(BrokerError::Full(name, full)),
            _ => Err(BrokerError::NoQueue(name)),
        };
        let departure = Departure::Published(Answer::new(reply, result));
        match durability {
            Durability::Synced => batch.departures.push(departure),
            Durability::Buffered => batch.early.push(departure),
        }
        None
    }

    pub(super) fn drop_oldest(&mut self, batch: &mut Batch, queue: QueueId, picks: Vec<Dropped>) {
        metrics::counter!("bbq_messages_dropped_total", "why" => "overflow").increment(picks.len() as u64);
        self.act(batch, Command::Drop { queue, picks });
        self.restless.insert(queue);
    }

    /// Does what room for something has to wait for. What wants it is to be parked.
    pub(super) fn make_later(&mut self, batch: &mut Batch, queue: QueueId, room: Room) {
        match room {
            Room::Settled | Room::After(_) => {}
            Room::Trim(picks) => {
                self.drop_oldest(batch, queue, picks);
                // If the broker is gone, nobody waits.
                let _ = self.notices.send(Notice::Trimmed(queue));
            }
            Room::Unknown(lane, from, count) => self.read_sizes(lane, from, count),
        }
    }

    /// Whether a queue takes such messages, and the server has room for what they want it to keep in memory.
    fn admit(&self, queue: &Queue, batch: &Batch, publish: &Publish) -> Result<(), BrokerError> {
        let Publish { messages, facts, .. } = publish;
        suits(queue, messages, facts.iter().map(|(_, facts)| facts))?;
        may_wait(queue, facts)?;
        let with_id = facts.iter().any(|(_, facts)| facts.deduplication.is_some());
        let known = facts.iter().any(|(_, facts)| facts.delay > Duration::default());
        if !with_id && !known {
            return Ok(());
        }
        let sifted = self.engine.sift(queue.record().id, messages, facts, batch.now);
        self.has_memory(sifted.as_slice())
    }

    /// Whether the server may keep so much more in memory.
    pub(super) fn has_memory<'a>(
        &self,
        sifted: impl IntoIterator<Item = &'a Sifted>,
    ) -> Result<(), BrokerError> {
        let (mut ids, mut delays) = (0, 0);
        for Sifted { new, delays: waiting, .. } in sifted {
            ids += new.len();
            delays += waiting.len();
        }
        let limit = self.settings.deduplication_ids_max;
        if ids > 0 && self.engine.deduplication_ids() + ids > limit {
            return Err(BrokerError::TooManyIds { limit });
        }
        let (held, limit) = (self.engine.postponed(), self.settings.delayed_messages_max);
        if delays > 0 && held + delays > limit {
            return Err(BrokerError::TooManyDelayed { held, limit });
        }
        Ok(())
    }

    /// What has to go so that so much more fits once others have gone, the least urgent first, and of these the oldest. Nothing,
    /// if it can't be made to fit. What is over the limits by itself goes first, in steps.
    pub(super) fn room(&self, queue: &Queue, gone: &Leaving, messages: u64, bytes: u64) -> Room {
        let (over, excess) = (queue.excess(gone, 0, 0), queue.excess(gone, messages, bytes));
        if excess.is_none() || !queue.record().settings.limits.excess(messages, bytes).is_none() {
            return Room::Settled;
        }
        let (excess, most) = if over.is_none() { (excess, usize::MAX) } else { (over, TRIM_MAX) };
        let making = self.picks(queue, gone, Making { picks: Vec::new(), excess, most });
        match making {
            Ok(picks) if over.is_none() => Room::After(picks),
            Ok(picks) => Room::Trim(picks),
            Err(room) => room,
        }
    }

    /// What goes, or what is to be done if that is not known, or not enough.
    fn picks(&self, queue: &Queue, gone: &Leaving, making: Making) -> Result<Vec<Dropped>, Room> {
        let mut making = making;
        for priority in queue.ready_priorities().rev() {
            let size = |sequence| queue.touch(sequence).map_or(0, |touch| touch.size);
            let stays = |sequence: &Sequence| !gone.sequences.contains(sequence);
            let returned = queue.returned_of(priority).filter(stays);
            let returned = returned.map(|sequence| (sequence, size(sequence)));
            for (sequence, size) in returned.chain(queue.open()) {
                if making.is_enough_with(sequence, size, priority) {
                    return Ok(making.picks);
                }
            }
            match self.untouched_room(queue, priority, &mut making) {
                Some(Room::Unknown(lane, from, count)) => return Err(Room::Unknown(lane, from, count)),
                Some(_) => return Ok(making.picks),
                None => {}
            }
        }
        Err(Room::Settled)
    }

    /// The same for what is untouched of one priority; `None` if that is not enough.
    fn untouched_room(&self, queue: &Queue, priority: Priority, making: &mut Making) -> Option<Room> {
        let record = queue.lane(priority);
        let lane = LaneId::new(queue.record().id, Lane::of(priority));
        let (mut from, cold_until) = (record.frontier, self.store.cold_until(lane));
        while record.messages > 0 && from < cold_until {
            let known =
                self.parked.sizes.get(&lane).filter(|known| (known.from..known.until).contains(&from));
            let Some((&sequence, &size)) = known.and_then(|known| known.sizes.range(from..).next()) else {
                let messages = usize::try_from(making.excess.messages).unwrap_or(SIZES_MAX);
                return Some(Room::Unknown(lane, from, messages.clamp(SIZES_MIN, SIZES_MAX)));
            };
            if making.is_enough_with(sequence, size, priority) {
                return Some(Room::After(Vec::new()));
            }
            from = sequence.next();
        }
        if record.messages > 0 {
            for message in self.store.hot_from(lane, from) {
                if making.is_enough_with(message.sequence, message.content.size(), priority) {
                    return Some(Room::After(Vec::new()));
                }
            }
        }
        None
    }

    pub(super) fn read_sizes(&self, lane: LaneId, from: Sequence, count: usize) {
        let (reader, notices) = (self.store.reader(), self.notices.clone());
        let until = self.store.cold_until(lane);
        let read = reader.blocking(move |reader| reader.sizes(lane, (from, until), count));
        tokio::spawn(async move {
            let sizes = match read.await {
                Ok(sizes) => sizes.map_err(|error| error.to_string()),
                Err(failed) => Err(failed),
            };
            // If the broker is gone, nobody wants it.
            let _ = notices.send(Notice::Sized(Sized { lane, from, sizes }));
        });
    }

    /// Takes sizes that were read, and goes on with what waited for them.
    pub(super) fn on_sized(&mut self, batch: &mut Batch, sized: Sized) -> Result<(), Stopped> {
        let Sized { lane, from, sizes } = sized;
        let sizes = sizes.map_err(|error| Stopped(error.into()))?;
        let queue = self.engine.queue(lane.queue);
        if sizes.is_empty() && queue.is_some_and(|queue| queue.is_untouched(lane.lane, from)) {
            return Err(Stopped(
                format!("message {from} of queue {} is in no state file", lane.queue.0).into(),
            ));
        }
        if queue.is_some() {
            self.parked.learn(lane, from, sizes);
        }
        self.try_waiting(batch, lane.queue);
        let engine = &self.engine;
        self.parked.sizes.retain(|lane, known| {
            let Some(queue) = engine.queue(lane.queue) else { return false };
            let frontier = queue.lane(lane.lane.priority()).frontier;
            known.sizes = known.sizes.split_off(&frontier);
            !known.sizes.is_empty()
        });
        Ok(())
    }

    /// Tries what waits for room in a queue, until one has to wait on.
    pub(super) fn try_waiting(&mut self, batch: &mut Batch, id: QueueId) {
        while let Some(arrival) = self.parked.waiting.get_mut(&id).and_then(VecDeque::pop_front) {
            match self.retry(batch, id, arrival) {
                Some((still, arrival)) if still == id => {
                    return self.parked.waiting.entry(id).or_default().push_front(arrival);
                }
                // It waits for another queue now.
                Some((other, arrival)) => {
                    self.parked.waiting.entry(other).or_default().push_back(arrival);
                }
                None => self.parked.count -= 1,
            }
        }
        self.parked.waiting.remove(&id);
    }
}

/// Refuses what a queue has no use for: priorities where there is an order, ordering keys and deduplication ids where they are
/// not looked at.
pub(super) fn suits<'a>(
    queue: &Queue,
    messages: &[Content],
    mut facts: impl Iterator<Item = &'a Facts> + Clone,
) -> Result<(), BrokerError> {
    let name = &queue.record().name;
    if queue.is_ordered() && facts.clone().any(|facts| facts.priority != Priority::default()) {
        return Err(BrokerError::NoPriorities(name.clone()));
    }
    if !queue.by_key() && messages.iter().any(|message| ordering_key(message).is_some()) {
        return Err(BrokerError::NoKeys(name.clone()));
    }
    if queue.settings().deduplication_window.0 == 0 && facts.any(|facts| facts.deduplication.is_some()) {
        return Err(BrokerError::NoDeduplication(name.clone()));
    }
    Ok(())
}

/// Refuses a delay where messages keep their order, and one that leaves no time.
pub(super) fn may_wait(queue: &Queue, facts: &[(u32, Facts)]) -> Result<(), BrokerError> {
    let longest = facts.iter().map(|(_, facts)| facts.delay).max().unwrap_or_default();
    if longest == Duration::default() {
        return Ok(());
    }
    let (name, limit) = (&queue.record().name, queue.settings().time_to_live);
    if !queue.takes_delays() {
        return Err(BrokerError::NoDelays(name.clone()));
    }
    if limit > Duration::default() && longest >= limit {
        return Err(BrokerError::LateDelay { queue: name.clone(), delay: longest, limit });
    }
    Ok(())
}

/// Room in the making.
struct Making {
    picks: Vec<Dropped>,
    /// What is still too much.
    excess: Excess,
    /// Picks that are enough for now.
    most: usize,
}

impl Making {
    /// Takes one more message; whether it is the last that is needed, or that may go at once.
    fn is_enough_with(&mut self, sequence: Sequence, size: u32, priority: Priority) -> bool {
        self.picks.push(Dropped { sequence, size, priority });
        self.excess = self.excess.less(size);
        self.excess.is_none() || self.picks.len() >= self.most
    }
}
