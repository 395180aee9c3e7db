//! Leases: how they begin, move and end.
//!
//! A receipt is a fencing token. Only the latest attempt's receipt settles a message; an ack, and only an ack, that
//! comes after its lease ended still counts as long as nobody else got the message.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::outcome::{Effects, Freed, Granted, Outcome};
use super::requeue::Ending;
use super::{Engine, Queue};
use crate::types::{
    Attempt, Change, Claim, Duration, Epoch, HolderId, Lane, Lease, Offer, Pick, QueueId, ReceiptFailure,
    Retry, Sequence, Timestamp, Touch, TouchState,
};

/// What a claim says of a message that may be settled by it.
pub(super) enum Standing {
    /// It holds the message.
    Leased,
    /// It held the message last, and nobody has got it since: the lease ended, or its deadline has come and only the
    /// `Expire` that says so has not.
    Over,
}

impl Engine {
    pub(super) fn grant(
        &mut self,
        id: QueueId,
        offers: &[Offer],
        picks: &[Pick],
        effects: &mut Effects,
    ) -> Outcome {
        let (now, epoch) = (self.record.now, self.record.epoch);
        let Some(queue) = self.queues.get_mut(&id) else { return Outcome::NoQueue };
        let (parked, touched) = (queue.parked(), queue.touched_count());
        let mut granted = Vec::with_capacity(picks.len());
        let mut leased = Vec::new();
        for &pick in picks {
            let Some(place) = pick.offer else {
                leased.extend(park(queue, pick).map(|touch| (pick.sequence, touch)));
                continue;
            };
            let offer = usize::try_from(place).ok().and_then(|place| offers.get(place));
            let Some(touch) = offer.and_then(|offer| take(queue, pick, lease(offer, now, epoch))) else {
                continue;
            };
            granted.push(Granted { sequence: pick.sequence, attempt: touch.attempt });
            if queue.at_most_once() {
                if queue.remove(pick.sequence).is_some_and(|touch| touch.lane.is_delayed()) {
                    self.postponed -= 1;
                }
                effects.changes.push(Change::Settled {
                    queue: id,
                    lane: touch.lane,
                    sequence: pick.sequence,
                });
            } else {
                queue.put(pick.sequence, touch.clone());
                leased.push((pick.sequence, touch));
            }
        }
        self.parked = self.parked + queue.parked() - parked;
        self.touched = self.touched + queue.touched_count() - touched;
        self.dirty.insert(id);
        for (sequence, touch) in leased {
            self.index(id, sequence, &touch);
            effects.changes.push(Change::Touched { queue: id, sequence, touch });
        }
        Outcome::Granted(granted)
    }

    pub(super) fn ack(&mut self, id: QueueId, claims: &[Claim], effects: &mut Effects) -> Outcome {
        self.claim(id, claims, 0..claims.len(), |engine, sequence, _| match engine {
            Acting::On(engine) => {
                engine.settle(id, sequence, effects);
                Ok(())
            }
            Acting::Gone => Ok(()),
        })
    }

    pub(super) fn nack(
        &mut self,
        id: QueueId,
        claims: &[Claim],
        retry: Retry,
        reason: &Arc<str>,
        effects: &mut Effects,
    ) -> Outcome {
        // Where there is an order the last goes first, because what was leased after one that goes back goes with it.
        let in_order = self.queues.get(&id).is_some_and(Queue::is_ordered);
        let mut places: Vec<_> = (0..claims.len()).collect();
        if in_order {
            places.sort_by_key(|&place| Reverse(claims[place].sequence));
        }
        self.claim(id, claims, places, |engine, sequence, standing| match (engine, standing) {
            (Acting::On(engine), Standing::Leased) => {
                engine.give_back(id, sequence, Ending::Nack(retry, reason), effects);
                Ok(())
            }
            (Acting::On(_), Standing::Over) => Err(ReceiptFailure::Expired),
            (Acting::Gone, _) => Err(ReceiptFailure::Gone),
        })
    }

    pub(super) fn extend(
        &mut self,
        id: QueueId,
        claims: &[Claim],
        duration: Duration,
        effects: &mut Effects,
    ) -> Outcome {
        let now = self.record.now;
        self.claim(id, claims, 0..claims.len(), |engine, sequence, standing| match (engine, standing) {
            (Acting::On(engine), Standing::Leased) => engine.prolong(id, sequence, now, duration, effects),
            (Acting::On(_), Standing::Over) => Err(ReceiptFailure::Expired),
            (Acting::Gone, _) => Err(ReceiptFailure::Gone),
        })
    }

    pub(super) fn release(
        &mut self,
        id: QueueId,
        holder: HolderId,
        counted: bool,
        effects: &mut Effects,
    ) -> Outcome {
        let held: Vec<_> =
            self.holders.get(&(self.record.epoch, holder)).into_iter().flatten().copied().collect();
        // What comes after the first of an order can't have been in anybody's hands yet.
        let mut begun = BTreeSet::new();
        let mut messages = 0;
        for (_, sequence) in held.into_iter().filter(|&(queue, _)| queue == id) {
            let order = self.queues.get(&id).and_then(|queue| queue.order_of(sequence));
            let first = order.is_none_or(|order| begun.insert(order));
            let ending = if counted && first { Ending::Release } else { Ending::Server };
            messages += self.give_back(id, sequence, ending, effects);
        }
        Outcome::Returned { messages }
    }

    pub(super) fn expire(&mut self, limit: u32, effects: &mut Effects) -> Outcome {
        let mut messages = 0;
        let mut ended = 0;
        while ended < limit
            && let Some((queue, sequence)) = self.timers.due(self.record.now)
        {
            messages += self.time_out(queue, sequence, effects);
            ended += 1;
        }
        Outcome::Returned { messages }
    }

    pub(super) fn settle(&mut self, id: QueueId, sequence: Sequence, effects: &mut Effects) {
        let Some(touch) = self.queues.get_mut(&id).and_then(|queue| queue.remove(sequence)) else { return };
        self.touched -= 1;
        self.postponed -= usize::from(touch.lane.is_delayed());
        self.unindex(id, sequence, &touch);
        self.free(id, &touch, effects);
        effects.changes.push(Change::Settled { queue: id, lane: touch.lane, sequence });
    }

    fn prolong(
        &mut self,
        id: QueueId,
        sequence: Sequence,
        now: Timestamp,
        duration: Duration,
        effects: &mut Effects,
    ) -> Result<(), ReceiptFailure> {
        let queue = self.queues.get_mut(&id).ok_or(ReceiptFailure::Gone)?;
        let mut touch = queue.touch(sequence).cloned().ok_or(ReceiptFailure::Gone)?;
        let TouchState::Leased(lease) = &mut touch.state else { return Err(ReceiptFailure::Expired) };
        self.timers.remove(lease.deadline, id, sequence);
        lease.deadline = now.after(duration);
        self.timers.insert(lease.deadline, id, sequence);
        queue.put(sequence, touch.clone());
        effects.changes.push(Change::Touched { queue: id, sequence, touch });
        Ok(())
    }

    /// Checks each claim, in the order of `places`, and lets `act` do what it may; collects why it may not.
    fn claim(
        &mut self,
        id: QueueId,
        claims: &[Claim],
        places: impl IntoIterator<Item = usize>,
        mut act: impl FnMut(Acting<'_>, Sequence, Standing) -> Result<(), ReceiptFailure>,
    ) -> Outcome {
        if !self.queues.contains_key(&id) {
            return Outcome::NoQueue;
        }
        let mut failures = Vec::new();
        for place in places {
            let claim = claims[place];
            let standing = self.stand(id, claim);
            let done = match standing {
                Ok(standing) => act(Acting::On(self), claim.sequence, standing),
                Err(ReceiptFailure::Gone) => act(Acting::Gone, claim.sequence, Standing::Over),
                Err(failure) => Err(failure),
            };
            if let Err(failure) = done {
                failures.push((place, failure));
            }
        }
        failures.sort_unstable_by_key(|&(place, _)| place);
        Outcome::Claimed(failures)
    }

    /// What a claim is worth at this moment.
    pub(super) fn stand(&self, id: QueueId, claim: Claim) -> Result<Standing, ReceiptFailure> {
        let queue = self.queues.get(&id).ok_or(ReceiptFailure::Gone)?;
        if claim.attempt.0 == 0 || claim.sequence.0 == 0 || claim.epoch > self.record.epoch {
            return Err(ReceiptFailure::Unknown);
        }
        let Some(touch) = queue.touch(claim.sequence).filter(|touch| !touch.is_dead()) else {
            let granted = claim.sequence < queue.record().lanes.passed;
            return Err(if granted { ReceiptFailure::Gone } else { ReceiptFailure::Unknown });
        };
        match claim.attempt.cmp(&touch.attempt) {
            Ordering::Less if claim.epoch > touch.epoch => Err(ReceiptFailure::Unknown),
            Ordering::Less => Err(ReceiptFailure::Superseded),
            Ordering::Greater => Err(ReceiptFailure::Unknown),
            Ordering::Equal if claim.epoch != touch.epoch => Err(ReceiptFailure::Unknown),
            Ordering::Equal => match &touch.state {
                TouchState::Leased(lease) if lease.deadline > self.record.now => Ok(Standing::Leased),
                TouchState::Leased(_)
                | TouchState::Ready
                | TouchState::Delayed { .. }
                | TouchState::Parked
                | TouchState::Dead { .. } => Ok(Standing::Over),
            },
        }
    }

    /// Credit of an earlier epoch went with its consumers.
    pub(super) fn free(&self, queue: QueueId, touch: &Touch, effects: &mut Effects) {
        let Some((epoch, holder)) = touch.lease().map(holder_key) else { return };
        if epoch == self.record.epoch {
            effects.freed.push(Freed { queue, holder, size: touch.size });
        }
    }

    /// Keeps a message's new delivery state, in every index and for the store.
    pub(super) fn put(&mut self, id: QueueId, sequence: Sequence, touch: Touch, effects: &mut Effects) {
        self.index(id, sequence, &touch);
        if let Some(queue) = self.queues.get_mut(&id) {
            let before = queue.touched_count();
            queue.put(sequence, touch.clone());
            self.touched += queue.touched_count() - before;
        }
        effects.changes.push(Change::Touched { queue: id, sequence, touch });
    }

    pub(super) fn index(&mut self, id: QueueId, sequence: Sequence, touch: &Touch) {
        match &touch.state {
            TouchState::Leased(lease) => {
                self.timers.insert(lease.deadline, id, sequence);
                self.holders.entry(holder_key(lease)).or_default().insert((id, sequence));
            }
            TouchState::Delayed { until } => self.timers.insert(*until, id, sequence),
            TouchState::Ready | TouchState::Parked | TouchState::Dead { .. } => {}
        }
    }

    pub(super) fn unindex(&mut self, id: QueueId, sequence: Sequence, touch: &Touch) {
        let lease = match &touch.state {
            TouchState::Leased(lease) => lease,
            TouchState::Delayed { until } => return self.timers.remove(*until, id, sequence),
            TouchState::Ready | TouchState::Parked | TouchState::Dead { .. } => return,
        };
        self.timers.remove(lease.deadline, id, sequence);
        let holder = holder_key(lease);
        if let Some(held) = self.holders.get_mut(&holder) {
            held.remove(&(id, sequence));
            if held.is_empty() {
                self.holders.remove(&holder);
            }
        }
    }
}

/// What an action may act on.
enum Acting<'a> {
    /// The message is there.
    On(&'a mut Engine),
    /// The message is gone.
    Gone,
}

/// The lease that an offer gives now.
fn lease(offer: &Offer, since: Timestamp, epoch: Epoch) -> Lease {
    Lease {
        holder: offer.holder,
        epoch,
        since,
        deadline: since.after(offer.duration),
        duration: offer.duration,
        consumer: Arc::clone(&offer.consumer),
    }
}

/// Takes a picked message for its next attempt, if it can still be had.
fn take(queue: &mut Queue, pick: Pick, lease: Lease) -> Option<Touch> {
    let mut key = pick.key.filter(|_| queue.by_key());
    if !queue.may_go(pick.sequence, key, &lease) {
        return None;
    }
    let (attempt, uncounted, size, lane) = if queue.is_next(pick.priority, pick.sequence) {
        queue.advance(pick.priority, pick.sequence, pick.size);
        (Attempt(1), 0, pick.size, Lane::of(pick.priority))
    } else if let Some((own, size)) = queue.unpark(pick.sequence) {
        key = Some(own);
        (Attempt(1), 0, size, Lane::default())
    } else {
        let touch = queue.touch(pick.sequence).filter(|touch| touch.is_ready())?;
        key = touch.key;
        (Attempt(touch.attempt.0.checked_add(1)?), touch.uncounted, touch.size, touch.lane)
    };
    Some(Touch { attempt, uncounted, epoch: lease.epoch, size, lane, key, state: TouchState::Leased(lease) })
}

/// Steps over a picked message whose key has to wait, if it is the next of its lane.
fn park(queue: &mut Queue, pick: Pick) -> Option<Touch> {
    let Pick { sequence, size, priority, .. } = pick;
    let key = pick.key.filter(|_| queue.by_key() && !queue.at_most_once())?;
    if !queue.is_next(priority, sequence) {
        return None;
    }
    queue.advance(priority, sequence, size);
    queue.park(sequence, size, key);
    let (attempt, epoch, lane, state) = (Attempt(0), Epoch(0), Lane::of(priority), TouchState::Parked);
    Some(Touch { attempt, uncounted: 0, epoch, size, lane, key: Some(key), state })
}

pub(super) fn holder_key(lease: &Lease) -> (Epoch, HolderId) {
    (lease.epoch, lease.holder.id())
}
