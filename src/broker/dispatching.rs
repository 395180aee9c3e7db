//! Dispatching: which messages go to whom, as grants in the entry that made them possible.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::batch::Batch;
use super::consumers::{Counter, Line};
use super::outbox::{Answer, Departure};
use super::read_ahead::Wanted;
use super::request::{Delivery, Feed, Notice};
use super::task::Broker;
use crate::engine::{Granted, Outcome, Queue};
use crate::store::{Lookup, Pressure, Store};
use crate::types::{Command, HolderId, Pick, QueueId, Receipt, Sequence, StoredMessage};

/// The most messages that one pass hands out, so that an entry stays small.
const PICKS_MAX: usize = 16_384;
/// The most messages that came back which one read fetches.
const RETURNED_MAX: usize = 256;

/// The most messages that one read fetches ahead: they are small, or the bytes bound them.
const READ_MAX: usize = 4096;

/// What one pass over a queue found.
#[derive(Default)]
struct Deal {
    hands: Vec<Hand>,
    places: HashMap<HolderId, usize>,
    dealt: usize,
    /// Something ready was met that is on disk.
    cold: bool,
}

/// What one consumer gets.
struct Hand {
    holder: HolderId,
    picks: Vec<Pick>,
    messages: Vec<StoredMessage>,
}

impl Broker {
    /// Hands out what can be handed out.
    pub(super) fn dispatch(&mut self, batch: &mut Batch) {
        if matches!(self.store.pressure(), Pressure::Grants) {
            return;
        }
        for id in std::mem::take(&mut self.restless) {
            self.dispatch_queue(batch, id);
        }
    }

    fn dispatch_queue(&mut self, batch: &mut Batch, id: QueueId) {
        let Some(queue) = self.engine.queue(id) else { return };
        let Some(counter) = self.consumers.counter_mut(id) else { return };
        let deal = deal(&self.store, queue, counter);
        let (cold, more) = (deal.cold, deal.dealt >= PICKS_MAX);
        for hand in deal.hands {
            self.grant(batch, id, hand);
        }
        if more {
            self.restless.insert(id);
        }
        self.read_ahead(id, cold);
        self.answer_last_calls(batch, id);
    }

    fn grant(&mut self, batch: &mut Batch, id: QueueId, hand: Hand) {
        let Hand { holder, picks, messages } = hand;
        let Some(queue) = self.engine.queue(id) else { return };
        let Some(consumer) = self.consumers.consumer(holder) else { return };
        let duration = consumer.lease_duration.unwrap_or(queue.record().settings.lease_duration);
        let expires_at = (!queue.at_most_once()).then(|| batch.now.after(duration));
        let command = Command::Grant {
            queue: id,
            holder: consumer.holder(holder),
            duration,
            consumer: Arc::clone(&consumer.who),
            picks: picks.clone(),
        };
        let granted = match self.act(batch, command) {
            Outcome::Granted(granted) => granted,
            _ => Vec::new(),
        };
        let epoch = self.engine.record().epoch;
        let mut granted = granted.into_iter().peekable();
        let mut deliveries = Vec::with_capacity(messages.len());
        for (pick, message) in picks.into_iter().zip(messages) {
            let Some(Granted { attempt, sequence }) =
                granted.next_if(|granted| granted.sequence == pick.sequence)
            else {
                if let Some(counter) = self.consumers.counter_mut(id) {
                    counter.dispatch.freed(holder, pick.size);
                }
                continue;
            };
            metrics::counter!("bbq_messages_delivered_total").increment(1);
            if attempt.0 > 1 {
                metrics::counter!("bbq_messages_redelivered_total").increment(1);
            }
            let receipt = Receipt { queue: id, sequence, attempt, epoch };
            deliveries.push(Delivery { receipt, lease_expires_at: expires_at, message });
        }
        self.hand_over(batch, holder, deliveries);
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

    /// Answers Receive calls that have waited long enough, once nothing that is being read could still be theirs.
    fn answer_last_calls(&mut self, batch: &mut Batch, id: QueueId) {
        let Some(counter) = self.consumers.counter_mut(id) else { return };
        if counter.ahead.is_loading() {
            return;
        }
        for holder in std::mem::take(&mut counter.last_calls) {
            self.hand_over(batch, holder, Vec::new());
        }
    }

    /// Starts a read of what the queue needs next, unless one is running or enough is there.
    fn read_ahead(&mut self, id: QueueId, cold: bool) {
        let Some(queue) = self.engine.queue(id) else { return };
        let Some(counter) = self.consumers.counter_mut(id) else { return };
        if counter.ahead.bytes() > 0 {
            counter.ahead.forget_before(queue.untouched().start, |sequence| {
                queue.touch(sequence).is_some_and(|touch| touch.lease.is_none())
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
        let Some(wanted) = wanted(&self.store, queue, counter, bytes) else { return };
        counter.ahead.started();
        let (reader, notices) = (self.store.reader(), self.notices.clone());
        tokio::task::spawn_blocking(move || {
            // If the broker is gone, nobody wants it.
            let _ = notices.send(Notice::Loaded(wanted.read(&reader, id)));
        });
    }
}

fn deal(store: &Store, queue: &Queue, counter: &mut Counter) -> Deal {
    let mut deal = Deal::default();
    let Counter { dispatch, ahead, .. } = counter;
    let returned = queue.returned().map(|pick| pick.sequence);
    let untouched = queue.untouched();
    let untouched = (untouched.start.0..untouched.end.0).map(Sequence);
    for sequence in returned.chain(untouched) {
        if deal.dealt >= PICKS_MAX || !dispatch.hungry() {
            break;
        }
        let message = match store.lookup(queue.record().id, sequence) {
            Lookup::Hot(message) => message,
            Lookup::Cold => match ahead.get(sequence) {
                Some(message) => message.clone(),
                None => {
                    deal.cold = true;
                    break;
                }
            },
            Lookup::Gone => unreachable!("a ready message is in the store"),
        };
        let size = message.content.size();
        let Some(holder) = dispatch.take(size) else { break };
        ahead.take(sequence);
        deal.give(holder, Pick { sequence, size }, message);
    }
    deal
}

impl Deal {
    fn give(&mut self, holder: HolderId, pick: Pick, message: StoredMessage) {
        self.dealt += 1;
        let place = match self.places.entry(holder) {
            Entry::Occupied(place) => *place.get(),
            Entry::Vacant(place) => {
                self.hands.push(Hand { holder, picks: Vec::new(), messages: Vec::new() });
                *place.insert(self.hands.len() - 1)
            }
        };
        if let Some(hand) = self.hands.get_mut(place) {
            hand.picks.push(pick);
            hand.messages.push(message);
        }
    }
}

/// What to read next, if anything that will be needed is on disk.
fn wanted(store: &Store, queue: &Queue, counter: &Counter, bytes: usize) -> Option<Wanted> {
    let id = queue.record().id;
    let is_cold = |sequence: Sequence| {
        matches!(store.lookup(id, sequence), Lookup::Cold) && counter.ahead.get(sequence).is_none()
    };
    let returned: Vec<_> = queue
        .returned()
        .map(|pick| pick.sequence)
        .filter(|&sequence| is_cold(sequence))
        .take(RETURNED_MAX)
        .collect();
    if !returned.is_empty() {
        return Some(Wanted::Returned(returned));
    }
    let untouched = queue.untouched();
    let from = counter.ahead.end_of_run(untouched.start);
    // Streams go on and on; a Receive takes what it wants and is gone, and what was read beyond that with it.
    let messages =
        if counter.streams > 0 { READ_MAX } else { counter.dispatch.free_messages().min(READ_MAX) };
    (from < untouched.end && is_cold(from)).then_some(Wanted::Untouched { from, messages, bytes })
}
