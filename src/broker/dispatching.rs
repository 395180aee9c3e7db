//! Dispatching: which messages go to whom, as grants in the entry that made them possible.

use std::collections::HashMap;

use super::batch::Batch;
use super::consumers::{Counter, Line};
use super::gauges;
use super::keyed;
use super::lapses::is_over;
use super::outbox::{Answer, Departure};
use super::request::{Delivery, Feed, Notice};
use super::task::Broker;
use super::walk::{self, Go, Step};
use super::wanted::wanted;
use crate::engine::{Dealer, Granted, Outcome, Queue};
use crate::store::{Pressure, Store};
use crate::types::{
    Attempt, Command, Dropped, Epoch, HolderId, Lane, Offer, OrderingKey, Pick, QueueId, Receipt, Sequence,
    StoredMessage, Timestamp, Touch,
};

/// The most messages that one pass hands out, so that an entry stays small.
pub(super) const PICKS_MAX: usize = 16_384;
/// Reads after which a Receive call that has waited long enough is answered, whatever else there is to read.
const LAST_READS: u64 = 16;

/// The most grants of a queue in one entry, with what has lapsed between them.
const ROUNDS_MAX: usize = 1024;

/// What is left after one grant.
struct Round {
    /// What comes next is on disk.
    cold: bool,
    /// There is more, behind something that lapses.
    again: bool,
    /// Messages were stepped over.
    parked: bool,
}

/// What one pass over a queue found.
#[derive(Default)]
pub(super) struct Deal {
    /// Who gets something.
    takers: Vec<HolderId>,
    places: HashMap<HolderId, u32>,
    /// Which messages, in order, each with the place of its taker.
    picks: Vec<Pick>,
    messages: Vec<StoredMessage>,
    /// What was met before that and has no time to live left.
    over: Vec<Dropped>,
    /// Such a one was met behind others, which have to go first.
    pub(super) again: bool,
    /// Something ready was met that is on disk.
    pub(super) cold: bool,
    /// Messages among these that become known one by one, and whether there was no room for one more.
    pub(super) fresh: usize,
    pub(super) crowded: bool,
}

impl Broker {
    /// Hands out what can be handed out.
    pub(super) fn dispatch(&mut self, batch: &mut Batch) {
        if matches!(self.store.pressure(), Pressure::Grants) {
            // Whoever does not want to wait is told that there is nothing now.
            for id in self.restless.clone() {
                self.answer_last_calls(batch, id);
            }
            return;
        }
        self.wake_crowded();
        for id in std::mem::take(&mut self.restless) {
            self.dispatch_queue(batch, id);
            self.watch(batch, id, None);
        }
    }

    fn dispatch_queue(&mut self, batch: &mut Batch, id: QueueId) {
        let (mut cold, mut parked, mut rounds) = (false, false, 0);
        while let Some(round) = self.deal_round(batch, id) {
            cold = round.cold;
            parked |= round.parked;
            rounds += 1;
            if !round.again {
                break;
            }
            if rounds == ROUNDS_MAX || batch.bytes() >= self.settings.entry_bytes {
                self.restless.insert(id);
                break;
            }
        }
        if rounds > 0 {
            self.read_ahead(id, cold, parked);
            self.answer_last_calls(batch, id);
        }
    }

    /// Deals as far as one grant goes; nothing if there is nobody to deal to.
    fn deal_round(&mut self, batch: &mut Batch, id: QueueId) -> Option<Round> {
        let (epoch, now) = (self.engine.record().epoch, batch.now);
        let queue = self.engine.queue(id)?;
        let counter = self.consumers.counter_mut(id)?;
        let most = self.settings.touched_messages_max.saturating_sub(self.engine.touched());
        let mut deal = if queue.by_key() {
            let room = self.settings.parked_messages_max.saturating_sub(self.engine.parked());
            keyed::deal(&self.store, queue, (epoch, now), (room, most), counter)
        } else {
            deal(&self.store, queue, (epoch, now), most, counter)
        };
        if deal.crowded {
            if self.crowded.is_empty() {
                tracing::warn!(
                    limit = self.settings.touched_messages_max,
                    "so many messages are leased, given back, delayed or dead that no others are handed out; \
                     let consumers settle what they hold, or raise broker.touched_messages_max"
                );
            }
            self.crowded.insert(id);
        }
        if deal.picks.len() >= PICKS_MAX {
            self.restless.insert(id);
        }
        let parked = deal.picks.iter().any(|pick| pick.offer.is_none());
        let round = Round { cold: deal.cold, again: deal.again, parked };
        if !deal.over.is_empty() {
            self.lapse(batch, id, std::mem::take(&mut deal.over));
        }
        if !deal.picks.is_empty() {
            self.grant(batch, id, deal);
            self.took_turns(id);
        }
        Some(round)
    }

    /// Queues that had to stop for want of room go on once there is a fair piece of it.
    fn wake_crowded(&mut self) {
        if self.crowded.is_empty() {
            return;
        }
        let (held, limit) = (self.engine.touched(), self.settings.touched_messages_max);
        if held < limit - limit / 64 {
            self.restless.append(&mut self.crowded);
        }
    }

    /// Where consumers wait for each other, one that has got something or left may have made room for the next.
    pub(super) fn took_turns(&mut self, id: QueueId) {
        let turns = |queue: &Queue| queue.in_order() || queue.settings().single_active_consumer;
        if self.engine.queue(id).is_some_and(turns) {
            self.restless.insert(id);
        }
    }

    fn grant(&mut self, batch: &mut Batch, id: QueueId, deal: Deal) {
        let Deal { takers, picks, messages, .. } = deal;
        let Some(queue) = self.engine.queue(id) else { return };
        let (standard, leases) = (queue.record().settings.lease_duration, !queue.at_most_once());
        let offers: Vec<Offer> =
            takers.iter().filter_map(|&taker| self.consumers.offer(taker, standard)).collect();
        debug_assert_eq!(offers.len(), takers.len(), "whoever was dealt to is there");
        let ends: Vec<_> =
            offers.iter().map(|offer| leases.then(|| batch.now.after(offer.duration))).collect();
        let outcome = self.act(batch, Command::Grant { queue: id, offers, picks: picks.clone() });
        let mut granted = match outcome {
            Outcome::Granted(granted) => granted.into_iter().peekable(),
            _ => Vec::new().into_iter().peekable(),
        };
        let epoch = self.engine.record().epoch;
        let tally = self.tallies.of(id);
        let mut hands: Vec<Vec<Delivery>> = takers.iter().map(|_| Vec::new()).collect();
        for (pick, message) in picks.into_iter().zip(messages) {
            let Some(place) = pick.offer else { continue };
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            let (Some(&taker), Some(hand)) = (takers.get(place), hands.get_mut(place)) else { continue };
            let Some(Granted { attempt, sequence }) =
                granted.next_if(|granted| granted.sequence == pick.sequence)
            else {
                if let Some(counter) = self.consumers.counter_mut(id) {
                    counter.dispatch.freed(taker, pick.size);
                }
                continue;
            };
            gauges::delivered(attempt);
            tally.delivered += 1;
            tally.redelivered += u64::from(attempt > Attempt(1));
            let receipt = Receipt { queue: id, sequence, attempt, epoch };
            hand.push(Delivery { receipt, lease_expires_at: ends.get(place).copied().flatten(), message });
        }
        for (taker, hand) in takers.into_iter().zip(hands) {
            if !hand.is_empty() {
                self.hand_over(batch, taker, hand);
            }
        }
    }

    fn hand_over(&mut self, batch: &mut Batch, holder: HolderId, deliveries: Vec<Delivery>) {
        match self.consumers.consumer(holder).map(|consumer| &consumer.line) {
            Some(Line::Stream(line)) => {
                batch.departures.push(Departure::Fed(line.clone(), Feed::Deliveries(deliveries)));
            }
            Some(Line::Receive { .. }) => {
                if let Some(Line::Receive { reply }) = self.consumers.leave(holder).map(|gone| gone.line) {
                    batch.departures.push(Departure::Received(Answer::new(reply, Ok(deliveries))));
                }
            }
            None => {}
        }
    }

    /// Answers Receive calls that have waited long enough, once nothing that is being read could still be theirs, or enough was
    /// read that was not.
    fn answer_last_calls(&mut self, batch: &mut Batch, id: QueueId) {
        let Some(counter) = self.consumers.counter_mut(id) else { return };
        let (loading, reads) = (counter.ahead.is_loading(), counter.ahead.reads());
        let due = |&mut (_, begun): &mut (HolderId, u64)| !loading || reads > begun + LAST_READS;
        let due: Vec<_> = counter.last_calls.extract_if(.., due).collect();
        for (holder, _) in due {
            self.hand_over(batch, holder, Vec::new());
        }
    }

    /// Starts a read of what the queue needs next, unless one is running or enough is there.
    fn read_ahead(&mut self, id: QueueId, cold: bool, parked: bool) {
        let Some(queue) = self.engine.queue(id) else { return };
        let Some(counter) = self.consumers.counter_mut(id) else { return };
        if counter.ahead.bytes() > 0 {
            let within = counter.ahead.bytes() <= self.settings.read_ahead_bytes;
            let first = |lane: Lane| match lane.is_delayed() {
                true => Sequence(u64::MAX),
                false => queue.lane(lane.priority()).frontier,
            };
            counter.ahead.forget(first, |sequence| {
                queue.touch(sequence).is_some_and(Touch::is_ready) || (within && queue.is_parked(sequence))
            });
        }
        if counter.ahead.is_loading() || (!cold && counter.ahead.bytes() == 0) {
            return;
        }
        let window = self.settings.read_ahead_bytes;
        if !cold && counter.ahead.bytes() > window / 2 {
            return;
        }
        let total = self.consumers.read_ahead_bytes();
        let bytes = if total < self.settings.read_ahead_total_bytes { window } else { 1 };
        let Some(counter) = self.consumers.counter_mut(id) else { return };
        let Some(wanted) = wanted(&self.store, queue, counter, bytes, parked) else { return };
        counter.ahead.started(bytes);
        wanted.fetch(self.store.reader(), id, self.notices.clone(), Notice::Loaded);
    }
}

/// One pass over a queue, after which at most `most` more messages are known one by one.
fn deal(
    store: &Store,
    queue: &Queue,
    (epoch, now): (Epoch, Timestamp),
    most: usize,
    counter: &mut Counter,
) -> Deal {
    let mut deal = Deal::default();
    let lasts = !queue.at_most_once();
    let Counter { dispatch, ahead, .. } = counter;
    let mut dealer = Dealer::new(queue, epoch);
    let (barrier, expires) = (queue.barrier(), queue.may_expire());
    for priority in queue.ready_priorities() {
        let go = walk::through((store, queue, priority), ahead, |step| {
            if deal.picks.len() >= PICKS_MAX || !dealer.hungry(dispatch) {
                return Go::Stop;
            }
            let Step::Ready(lane, message) = step else {
                deal.cold = true;
                return Go::Stop;
            };
            if barrier.is_some_and(|barrier| message.sequence >= barrier) {
                return Go::Stop;
            }
            let size = message.content.size();
            let fresh = lasts && queue.is_untouched(lane, message.sequence);
            if fresh && deal.is_crowded(most) {
                return Go::Stop;
            }
            if expires && is_over(queue, &message, now) {
                deal.fresh += usize::from(fresh);
                return deal.lapse(Dropped { sequence: message.sequence, size, priority });
            }
            let Some(holder) = dealer.deal(dispatch, size) else { return Go::Stop };
            deal.fresh += usize::from(fresh);
            deal.give(Some(holder), lane, None, message);
            Go::On
        });
        if go == Go::Stop {
            break;
        }
    }
    deal
}

impl Deal {
    pub(super) fn len(&self) -> usize {
        self.picks.len()
    }

    /// Whether there is no room for one more message that is known one by one.
    pub(super) fn is_crowded(&mut self, most: usize) -> bool {
        self.crowded = self.fresh >= most;
        self.crowded
    }

    /// A message is not handed out, because its time is over. It can go only once those before it have.
    pub(super) fn lapse(&mut self, pick: Dropped) -> Go {
        if !self.picks.is_empty() || self.over.len() >= PICKS_MAX {
            self.again = true;
            return Go::Stop;
        }
        self.over.push(pick);
        Go::On
    }

    /// To a holder, or to nobody: then it is parked.
    pub(super) fn give(
        &mut self,
        holder: Option<HolderId>,
        lane: Lane,
        key: Option<OrderingKey>,
        message: StoredMessage,
    ) {
        let offer = holder.map(|holder| {
            let next = u32::try_from(self.takers.len()).expect("no more takers than picks");
            let offer = *self.places.entry(holder).or_insert(next);
            if offer == next {
                self.takers.push(holder);
            }
            offer
        });
        let (sequence, size, priority) = (message.sequence, message.content.size(), lane.priority());
        self.picks.push(Pick { sequence, size, offer, priority, key });
        self.messages.push(message);
    }
}
