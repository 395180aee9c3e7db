//! One reading of a history, event by event.

#[path = "check/calls.rs"]
mod calls;
#[path = "check/ends.rs"]
mod ends;
#[path = "check/kinds.rs"]
mod kinds;
#[path = "check/leases.rs"]
mod leases;
#[path = "check/letters.rs"]
mod letters;
#[path = "check/lines.rs"]
mod lines;
#[path = "check/purges.rs"]
mod purges;
#[path = "check/ranks.rs"]
mod ranks;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    CLOCK_SLACK, Delivered, Durability, Event, Id, Lease, Limits, Mode, Outcome, Promise, Publish, Queue,
    Rule, Verdict, Violation, gives_up, sources,
};

use calls::Calls;
use ends::Ends;
use kinds::Kinds;
use leases::Held;
use lines::Lines;
use purges::Purges;
use ranks::Ranks;

#[derive(Default)]
pub(super) struct Check {
    promises: BTreeMap<Queue, Promise>,
    sent: HashMap<(Queue, Id), Sent>,
    unsent: HashSet<Id>,
    sequences: HashMap<(Queue, Id), u64>,
    messages: BTreeMap<(Queue, u64), Message>,
    calls: Calls,
    lines: Lines,
    purges: Purges,
    /// The last event that is about a message.
    last: HashMap<(Queue, u64), usize>,
    /// Where what was given up, or moved back, came from, and the first event that showed it.
    given_up: HashMap<(Queue, Id), usize>,
    together: Vec<Together>,
    /// What was confirmed before this event was on disk later: there is one journal.
    durable_before: usize,
    ends: Ends,
    kinds: Kinds,
    ranks: Ranks,
    found: Vec<Violation>,
}

/// Publishes and acks.
type Together = (Vec<Publish>, Vec<Lease>);

#[derive(Clone, Copy)]
struct Sent {
    at: usize,
    content: u64,
    limits: Limits,
}

#[derive(Default)]
struct Message {
    id: Option<Id>,
    confirmed: Option<usize>,
    held: Vec<Held>,
    /// Acks that may count, by attempt, and whether they certainly did not.
    acks: HashMap<u32, bool>,
    /// Acks that were told to count.
    acked: HashSet<u32>,
    /// Since the first ack that was told to count: the highest attempt that can have been made.
    gone: Option<u32>,
    /// Settlements that were begun when their receipt was out of date already.
    stale: HashSet<u32>,
}

impl Check {
    pub(super) fn of(promises: &BTreeMap<Queue, Promise>, events: &[Event]) -> Vec<Violation> {
        let mut check = Self { promises: promises.clone(), ..Self::default() };
        check.look_ahead(events);
        for (at, event) in events.iter().enumerate() {
            check.event(at, event);
        }
        check.finish(events.len());
        check.found
    }

    /// What is known from the start: what was certainly not sent, so that it is never counted as there, and what was given up.
    fn look_ahead(&mut self, events: &[Event]) {
        for (at, event) in events.iter().enumerate() {
            let (queue, sequence) = match event {
                Event::Unsent { id } => {
                    self.unsent.insert(*id);
                    continue;
                }
                Event::Confirmed { queue, sequence, .. } => (*queue, *sequence),
                Event::Delivered(Delivered { lease, id, .. }) => {
                    for (source, id) in
                        sources(&self.promises, lease.queue).into_iter().zip(id.iter().cycle())
                    {
                        self.given_up.entry((source, *id)).or_insert(at);
                    }
                    (lease.queue, lease.sequence)
                }
                Event::Settling { lease, .. }
                | Event::Settled { lease, .. }
                | Event::Extending { lease, .. }
                | Event::Extended { lease, .. } => (lease.queue, lease.sequence),
                _ => continue,
            };
            self.last.insert((queue, sequence), at);
        }
    }

    fn event(&mut self, at: usize, event: &Event) {
        match event {
            Event::Sending { queue, id, content, limits } => {
                self.sent.insert((queue, *id), Sent { at, content: *content, limits: *limits });
                if !self.unsent.contains(id) {
                    self.ends.sent(queue, self.promises[queue].drops_beyond);
                }
            }
            Event::Together { publishes, acks } => self.together.push((publishes.clone(), acks.clone())),
            Event::Confirmed { queue, id, sequence } => self.confirmed(at, queue, *id, *sequence),
            Event::Unsent { .. } => {}
            Event::Opened { call, queue, kind, lease } => self.calls.opened(at, *call, queue, *kind, *lease),
            Event::Ended { call } => self.calls.ended(at, *call),
            Event::Answered { call } => self.calls.over(at, *call),
            Event::Delivered(delivered) => self.delivered(at, delivered),
            Event::Settling { lease, verdict } => self.settling(at, *lease, *verdict),
            Event::Settled { lease, verdict, outcome, at: when } => {
                self.ends.seen(*when);
                self.settled(at, *lease, *verdict, *outcome, *when);
            }
            Event::Extending { lease, until } => self.held(*lease, |held| held.extending(*until)),
            Event::Extended { lease, until } => self.held(*lease, |held| held.until = *until),
            Event::Draining { queue, depth } => {
                if self.promises[queue].refuses_beyond.is_some_and(|most| *depth > most) {
                    self.broken(Rule::Bounded, queue, 0, at);
                }
                self.ends.draining(queue, *depth, at);
            }
            Event::Drained { queue, at: when } => self.ends.drained(queue, *when),
            Event::Purging { queue } => self.purges.begun(queue, at),
            Event::Purged { queue, at: when } => {
                self.ends.seen(*when);
                self.purges.done(queue, at, *when);
            }
            Event::Paused { queue, at: when } => self.kinds.paused(queue, *when),
            Event::Resuming { queue, at: when } => self.kinds.resuming(queue, *when),
            Event::Copying { .. } | Event::Copied { .. } => {}
            Event::Killing { process } => self.calls.end_all_of(at, *process),
            Event::Down => self.down(at),
            Event::PowerCut => {
                self.down(at);
                self.power_cut();
            }
        }
    }

    fn down(&mut self, at: usize) {
        self.calls.all_over(at);
        self.purges.down(at);
    }

    fn broken(&mut self, rule: Rule, queue: Queue, sequence: u64, at: usize) {
        self.found.push(Violation { rule, queue, sequence, at });
    }

    fn message(&mut self, lease: Lease) -> &mut Message {
        self.messages.entry((lease.queue, lease.sequence)).or_default()
    }

    fn held(&mut self, lease: Lease, change: impl FnMut(&mut Held)) {
        // What is settled or extended was delivered; if nobody sent it, that was found.
        let held = self.message(lease).held.iter_mut().find(|held| held.attempt == lease.attempt);
        held.into_iter().for_each(change);
    }

    fn confirmed(&mut self, at: usize, queue: Queue, id: Id, sequence: u64) {
        self.identify(at, queue, id, sequence);
        self.messages.entry((queue, sequence)).or_default().confirmed.get_or_insert(at);
        if self.promises[queue].durability == Durability::Synced
            && let Some(sent) = self.sent.get(&(queue, id))
        {
            self.durable_before = self.durable_before.max(sent.at);
        }
    }

    /// What a buffered queue had confirmed and not handed out may be gone, and its sequence be given again; unless something that
    /// was sent later is known to be on disk.
    fn power_cut(&mut self) {
        let promises = &self.promises;
        let sequences = &mut self.sequences;
        let durable_before = self.durable_before;
        self.messages.retain(|(queue, _), message| {
            let certain = promises[queue].durability == Durability::Synced
                || !message.held.is_empty()
                || message.confirmed.is_some_and(|at| at < durable_before);
            if let Some(id) = message.id.filter(|_| !certain) {
                sequences.remove(&(*queue, id));
            }
            certain
        });
    }

    /// A message has one sequence in a queue, and a sequence one message.
    fn identify(&mut self, at: usize, queue: Queue, id: Id, sequence: u64) {
        if *self.sequences.entry((queue, id)).or_insert(sequence) != sequence {
            self.broken(Rule::StoredOnce, queue, sequence, at);
        }
        let message = self.messages.entry((queue, sequence)).or_default();
        let known = *message.id.get_or_insert(id);
        if message.acks.is_empty()
            && let Some(line) = self.line(queue, id)
        {
            self.lines.stands(line, sequence);
        }
        if self.message(Lease { queue, sequence, attempt: 0 }).acks.is_empty() {
            self.is_there(at, queue, sequence);
        }
        if known != id {
            self.broken(Rule::OneNameEach, queue, sequence, at);
        }
    }

    fn delivered(&mut self, at: usize, delivered: &Delivered) {
        let Lease { queue, sequence, .. } = delivered.lease;
        self.ends.seen(delivered.at);
        let sources = sources(&self.promises, queue);
        let sent_to = sources.last().copied().unwrap_or(queue);
        let Some((id, sent)) = delivered.id.and_then(|id| Some((id, *self.sent.get(&(sent_to, id))?))) else {
            return self.broken(Rule::NothingIsInvented, queue, sequence, at);
        };
        if sent.content != delivered.content {
            self.broken(Rule::NothingIsAltered, queue, sequence, at);
        } else if self.unsent.contains(&id) {
            self.broken(Rule::RefusedIsRefused, queue, sequence, at);
        } else {
            self.identify(at, queue, id, sequence);
        }
        let opened = self.calls.get(delivered.call).at;
        if self.given_up.get(&(queue, id)).is_some_and(|shown| *shown < opened) {
            self.broken(Rule::DeadIsGone, queue, sequence, at);
        }
        let held = Held::new(at, delivered, self.calls.get(delivered.call));
        if let Some(line) = self.line(queue, id) {
            self.delivered_in_line(line, sequence, &held);
        }
        if self.comes_back(delivered.lease, &held) {
            self.broken(Rule::PurgedIsGone, queue, sequence, at);
        }
        if self.died_for_no_reason(delivered, &held, &sent.limits) {
            self.broken(Rule::GivenUpForAReason, queue, sequence, at);
        }
        self.in_its_kind(at, delivered.lease, &held, &sent.limits);
        match self.promises[queue].mode {
            Mode::AtLeastOnce => self.leased(at, delivered.lease, &held, sent.at),
            Mode::AtMostOnce => {
                if !self.message(delivered.lease).held.is_empty() {
                    self.broken(Rule::DeliveredOnce, queue, sequence, at);
                }
            }
        }
        self.ends.delivered(queue, sequence);
        self.message(delivered.lease).held.push(held);
    }

    fn settling(&mut self, at: usize, lease: Lease, verdict: Verdict) {
        let message = self.message(lease);
        if message.held.iter().any(|held| held.attempt > lease.attempt) {
            message.stale.insert(lease.attempt);
        }
        match verdict {
            Verdict::Ack => {
                message.acks.insert(lease.attempt, false);
                self.kinds.leaves(lease.queue, lease.sequence);
                self.leaves_its_line(lease);
            }
            Verdict::Nack => self.held(lease, |held| held.nacked = Some(at)),
        }
    }

    fn settled(&mut self, at: usize, lease: Lease, verdict: Verdict, outcome: Outcome, when: u64) {
        let message = self.message(lease);
        let stale = message.stale.contains(&lease.attempt);
        // Acking what is gone counts, so a later attempt's ack excuses a stale one.
        let later_ack = message.acks.keys().any(|attempt| *attempt > lease.attempt);
        match (verdict, outcome) {
            (Verdict::Ack, Outcome::Done) => {
                let last = message.acks.keys().copied().max();
                let first = message.acked.is_empty();
                message.gone = message.gone.or(last);
                message.acked.insert(lease.attempt);
                self.held(lease, |held| held.acked_by = Some(when));
                if first {
                    self.ends.acked(lease.queue);
                }
                if stale && !later_ack && !self.ends_by_itself(lease) {
                    self.broken(Rule::StaleIsStale, lease.queue, lease.sequence, at);
                }
            }
            (Verdict::Ack, Outcome::Refused) => {
                message.acks.insert(lease.attempt, true);
                if message.acks.values().all(|refused| *refused) {
                    self.back_in_its_line(lease);
                    self.is_there(at, lease.queue, lease.sequence);
                }
                if self.is_wronged(at, lease, when) {
                    self.broken(Rule::HoldersSettle, lease.queue, lease.sequence, at);
                }
            }
            (Verdict::Nack, Outcome::Done) => {
                self.held(lease, |held| (held.nacked_by, held.back) = (Some(when), Some(at)));
                if stale {
                    self.broken(Rule::StaleIsStale, lease.queue, lease.sequence, at);
                }
            }
            (Verdict::Nack, Outcome::Refused) => {
                self.held(lease, |held| held.nacked = None);
                let acked = !self.message(lease).acks.is_empty();
                if !acked && self.is_wronged(at, lease, when) {
                    self.broken(Rule::HoldersSettle, lease.queue, lease.sequence, at);
                }
            }
        }
    }

    fn gives_up(&self, queue: Queue) -> bool {
        gives_up(&self.promises, queue)
    }

    /// Whether a message can be gone without an ack: acking it then counts, whatever the attempt.
    fn ends_by_itself(&mut self, lease: Lease) -> bool {
        let queue = lease.queue;
        let id = self.message(lease).id;
        let sent = id.and_then(|id| self.sent.get(&(queue, id)));
        self.gives_up(queue)
            || self.promises[queue].drops_beyond.is_some()
            || self.purges.any(queue)
            || sent.is_some_and(|sent| sent.limits.expires.is_some())
    }
}
