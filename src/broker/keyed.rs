//! Dealing by ordering key: one pass over a BY_KEY queue.
//!
//! First come the messages whose key's turn it is and that were stepped over or came back, then the lane. A message in the
//! lane whose key has to wait is parked, so that it stalls nobody else; it is met once, and known by its number from then on.

use std::collections::HashMap;

use super::attributes::ordering_key;
use super::consumers::Counter;
use super::dispatching::{Deal, PICKS_MAX};
use super::lapses::is_over;
use super::walk::{self, Go, Step};
use crate::engine::{Dealer, Dispatch, Queue, Turn};
use crate::store::{Lookup, Store};
use crate::types::{
    Dropped, Epoch, HolderId, Lane, LaneId, OrderingKey, Priority, Sequence, StoredMessage, Timestamp,
};

/// The most messages of one key that follow its first within a pass.
pub(super) const RUN_MAX: usize = 64;
/// The most heads on disk that a pass looks at: enough for the next read.
pub(super) const COLD_MAX: usize = 256;

/// A pass under way.
struct Pass<'a> {
    store: &'a Store,
    queue: &'a Queue,
    epoch: Epoch,
    now: Timestamp,
    expires: bool,
    dealer: Dealer,
    /// Whom the latest message of a key went to in this pass; nobody, if one was parked.
    dealt: HashMap<OrderingKey, Option<HolderId>>,
    /// How many messages may be parked, and how many more may be known one by one besides.
    room: u64,
    most: usize,
    deal: Deal,
}

/// One pass over a queue, in which at most `room` messages are parked, and after which at most `most` more are known one by one.
pub(super) fn deal(
    store: &Store,
    queue: &Queue,
    (epoch, now): (Epoch, Timestamp),
    (room, most): (u64, usize),
    counter: &mut Counter,
) -> Deal {
    let (dealer, dealt, deal) = (Dealer::new(queue, epoch), HashMap::new(), Deal::default());
    let expires = queue.may_expire();
    let mut pass = Pass { store, queue, epoch, now, expires, dealer, dealt, room, most, deal };
    if pass.heads(counter) == Go::On {
        let Counter { dispatch, ahead, .. } = counter;
        walk::untouched((store, queue, Priority::default()), ahead, |step| match step {
            Step::Ready(_, message) => pass.meet(dispatch, message),
            Step::Cold => {
                pass.deal.cold = true;
                Go::Stop
            }
        });
    }
    pass.deal
}

impl Pass<'_> {
    fn is_over(&self, dispatch: &Dispatch) -> bool {
        self.deal.len() >= PICKS_MAX || !self.dealer.hungry(dispatch)
    }

    /// Deals what is not untouched. Keys don't wait for each other: what is on disk is left for the next pass.
    fn heads(&mut self, counter: &mut Counter) -> Go {
        let mut cold = Vec::new();
        for head in self.queue.heads() {
            if self.is_over(&counter.dispatch) || cold.len() == COLD_MAX {
                return Go::Stop;
            }
            let Some(message) = self.find(counter, head) else {
                cold.push(head);
                self.deal.cold = true;
                continue;
            };
            let size = message.content.size();
            if !self.has_room(head) {
                return Go::Stop;
            }
            if self.lapses(&message) {
                if self.lapse(&message) == Go::Stop {
                    return Go::Stop;
                }
                // What comes behind it of its key is looked at in the next round.
                self.deal.again = true;
                self.dealt.extend(self.queue.key_of(head).map(|key| (key, None)));
                continue;
            }
            let Some(holder) = self.dealer.deal(&mut counter.dispatch, size) else { return Go::Stop };
            let key = self.queue.key_of(head);
            self.give(counter, holder, key, message);
            if let Some(key) = key {
                let all = self.follow(counter, holder, key, head);
                self.dealt.insert(key, all.then_some(holder));
            }
        }
        Go::On
    }

    /// Deals to the same holder what comes behind the head of a key; whether that was all of the key but what is in the lane.
    fn follow(&mut self, counter: &mut Counter, holder: HolderId, key: OrderingKey, head: Sequence) -> bool {
        let (run, more) = self.queue.run_behind(head, RUN_MAX);
        for next in run {
            let message = if self.deal.len() < PICKS_MAX { self.find(counter, next) } else { None };
            let Some(message) = message.filter(|message| !self.lapses(message)) else { return false };
            if !self.has_room(next)
                || !self.dealer.deal_to(&mut counter.dispatch, holder, message.content.size())
            {
                return false;
            }
            self.give(counter, holder, Some(key), message);
        }
        !more
    }

    /// Whether a message may be known one by one, if it is not.
    fn has_room(&mut self, sequence: Sequence) -> bool {
        let lasts = !self.queue.at_most_once();
        self.queue.touch(sequence).is_some() || !lasts || !self.deal.is_crowded(self.most)
    }

    /// Whether the time of a message is over.
    fn lapses(&self, message: &StoredMessage) -> bool {
        self.expires && is_over(self.queue, message, self.now)
    }

    fn lapse(&mut self, message: &StoredMessage) -> Go {
        let (sequence, size) = (message.sequence, message.content.size());
        self.deal.lapse(Dropped { sequence, size, priority: Priority::default() })
    }

    fn give(
        &mut self,
        counter: &mut Counter,
        holder: HolderId,
        key: Option<OrderingKey>,
        message: StoredMessage,
    ) {
        counter.ahead.take(Lane::default(), message.sequence);
        self.deal.fresh += usize::from(self.queue.touch(message.sequence).is_none());
        self.deal.give(Some(holder), Lane::default(), key, message);
    }

    fn find(&self, counter: &Counter, sequence: Sequence) -> Option<StoredMessage> {
        let lane = Lane::default();
        match self.store.lookup(LaneId::new(self.queue.record().id, lane), sequence) {
            Lookup::Hot(message) => Some(message),
            Lookup::Cold => counter.ahead.get(lane, sequence).cloned(),
            Lookup::Gone => unreachable!("a ready message is in the store"),
        }
    }

    /// Deals or parks the next message of the lane.
    fn meet(&mut self, dispatch: &mut Dispatch, message: StoredMessage) -> Go {
        if self.is_over(dispatch) {
            return Go::Stop;
        }
        if !self.has_room(message.sequence) {
            return Go::Stop;
        }
        if self.lapses(&message) {
            return self.lapse(&message);
        }
        let (size, key) = (message.content.size(), ordering_key(&message.content));
        let holder = match self.turn(key, message.sequence) {
            Turn::Anyone => match self.dealer.deal(dispatch, size) {
                None => return Go::Stop,
                holder => holder,
            },
            Turn::Only(epoch, holder) => {
                let may = epoch == self.epoch && self.dealer.deal_to(dispatch, holder, size);
                may.then_some(holder)
            }
            Turn::Nobody => None,
        };
        // At most once, nothing is parked, as nothing is in anybody's hands for long.
        if holder.is_none() && (self.queue.at_most_once() || self.room == 0) {
            return Go::Stop;
        }
        self.room -= u64::from(holder.is_none());
        self.deal.fresh += usize::from(holder.is_some());
        if let Some(key) = key {
            self.dealt.insert(key, holder);
        }
        self.deal.give(holder, Lane::default(), key, message);
        Go::On
    }

    /// Who may get an untouched message, after all that was dealt in this pass.
    fn turn(&self, key: Option<OrderingKey>, sequence: Sequence) -> Turn {
        let Some(key) = key else { return Turn::Anyone };
        match self.dealt.get(&key) {
            Some(Some(_)) if self.queue.at_most_once() => Turn::Anyone,
            Some(Some(holder)) => Turn::Only(self.epoch, *holder),
            Some(None) => Turn::Nobody,
            None => self.queue.turn_of(key, sequence),
        }
    }
}
