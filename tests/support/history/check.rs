//! One reading of a history, event by event.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{
    Call, Delivered, Durability, Event, Id, Kind, Lease, Limits, Mode, Order, Outcome, Promise, Queue, Rule,
    Verdict, Violation,
};

/// By how much, in milliseconds, the server's clock may be ahead of ours: it follows the wall clock slowly.
pub(super) const CLOCK_SLACK: u64 = 250;

#[derive(Default)]
pub(super) struct Check {
    promises: BTreeMap<Queue, Promise>,
    /// Content and limits.
    sent: HashMap<(Queue, Id), (u64, Limits)>,
    sent_to: HashMap<Queue, usize>,
    unsent: HashSet<Id>,
    sequences: HashMap<(Queue, Id), u64>,
    messages: BTreeMap<(Queue, u64), Message>,
    calls: HashMap<Call, Open>,
    calls_to: HashMap<Queue, u32>,
    /// In queues with an order, by key: what is not settled.
    unsettled: HashMap<(Queue, Option<u64>), BTreeSet<u64>>,
    /// Where what was given up came from, and the first event that showed it.
    given_up: HashMap<(Queue, Id), usize>,
    together: Vec<Together>,
    drained: BTreeMap<Queue, BTreeSet<u64>>,
    found: Vec<Violation>,
}

/// Publishes and acks.
type Together = (Vec<(Queue, Id)>, Vec<Lease>);

struct Open {
    kind: Kind,
    at: usize,
    ended: bool,
    /// In a queue with an order, one message that goes back takes along all later ones in the same hands.
    nacked: bool,
    until: u64,
}

#[derive(Default)]
struct Message {
    id: Option<Id>,
    confirmed: bool,
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

struct Held {
    attempt: u32,
    epoch: u32,
    call: Call,
    /// No later than this its deadline passed, unless it was extended since.
    until: u64,
    recorded: u64,
    at: usize,
    nacked: bool,
}

impl Check {
    pub(super) fn of(promises: &BTreeMap<Queue, Promise>, events: &[Event]) -> Vec<Violation> {
        let mut check = Self { promises: promises.clone(), ..Self::default() };
        for (at, event) in events.iter().enumerate() {
            check.event(at, event);
        }
        check.finish(events.len());
        check.found
    }

    fn event(&mut self, at: usize, event: &Event) {
        match event {
            Event::Sending { queue, id, content, limits } => {
                self.sent.insert((queue, *id), (*content, *limits));
                *self.sent_to.entry(queue).or_default() += 1;
            }
            Event::Together { publishes, acks } => self.together.push((publishes.clone(), acks.clone())),
            Event::Confirmed { queue, id, sequence } => self.confirmed(at, queue, *id, *sequence),
            Event::Unsent { id } => _ = self.unsent.insert(*id),
            Event::Opened { call, queue, kind } => {
                let open = Open { kind: *kind, at, ended: false, nacked: false, until: u64::MAX };
                self.calls.insert(*call, open);
                *self.calls_to.entry(queue).or_default() += 1;
            }
            Event::Ended { call } => self.calls.get_mut(call).expect("a call is opened first").ended = true,
            Event::Delivered(delivered) => self.delivered(at, delivered),
            Event::Settling { lease, verdict } => self.settling(*lease, *verdict),
            Event::Settled { lease, verdict, outcome } => self.settled(at, *lease, *verdict, *outcome),
            Event::Extending { lease, until } => {
                self.held(*lease, |held| held.until = held.until.min(*until));
            }
            Event::Extended { lease, until } => self.held(*lease, |held| held.until = *until),
            Event::Draining { queue } => _ = self.drained.entry(queue).or_default(),
            Event::PowerCut => self.power_cut(),
        }
    }

    fn broken(&mut self, rule: Rule, queue: Queue, sequence: u64, at: usize) {
        self.found.push(Violation { rule, queue, sequence, at });
    }

    fn message(&mut self, lease: Lease) -> &mut Message {
        self.messages.entry((lease.queue, lease.sequence)).or_default()
    }

    fn held(&mut self, lease: Lease, change: impl FnOnce(&mut Held)) {
        let held = self.message(lease).held.iter_mut().find(|held| held.attempt == lease.attempt);
        change(held.expect("what is settled or extended was delivered"));
    }

    fn confirmed(&mut self, at: usize, queue: Queue, id: Id, sequence: u64) {
        self.identify(at, queue, id, sequence);
        self.messages.entry((queue, sequence)).or_default().confirmed = true;
    }

    /// What a buffered queue had confirmed and not handed out may be gone, and its sequence be given again.
    fn power_cut(&mut self) {
        let promises = &self.promises;
        let sequences = &mut self.sequences;
        self.messages.retain(|(queue, _), message| {
            let certain = promises[queue].durability == Durability::Synced || !message.held.is_empty();
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
            self.unsettled.entry(line).or_default().insert(sequence);
        }
        if known != id {
            self.broken(Rule::OneNameEach, queue, sequence, at);
        }
    }

    /// Where a message stands in line, if its queue has an order.
    fn line(&self, queue: Queue, id: Id) -> Option<(Queue, Option<u64>)> {
        match self.promises[queue].order {
            Order::Any => None,
            Order::Fifo => Some((queue, None)),
            Order::ByKey => {
                let key = self.sent.get(&(queue, id)).and_then(|(_, limits)| limits.key);
                key.map(|key| (queue, Some(key)))
            }
        }
    }

    fn delivered(&mut self, at: usize, delivered: &Delivered) {
        let Lease { queue, sequence, .. } = delivered.lease;
        let source = self.promises[queue].dead_letters_of;
        let sent_to = source.unwrap_or(queue);
        let Some((id, (content, _))) =
            delivered.id.and_then(|id| Some((id, *self.sent.get(&(sent_to, id))?)))
        else {
            return self.broken(Rule::NothingIsInvented, queue, sequence, at);
        };
        if content != delivered.content {
            self.broken(Rule::NothingIsAltered, queue, sequence, at);
        } else if self.unsent.contains(&id) {
            self.broken(Rule::RefusedIsRefused, queue, sequence, at);
        } else {
            self.identify(at, queue, id, sequence);
        }
        if let Some(source) = source {
            self.given_up.entry((source, id)).or_insert(at);
        }
        let open = self.calls.get_mut(&delivered.call).expect("a call is opened first");
        open.until = open.until.min(delivered.until);
        let opened = open.at;
        if self.given_up.get(&(queue, id)).is_some_and(|shown| *shown < opened) {
            self.broken(Rule::DeadIsGone, queue, sequence, at);
        }
        if let Some(line) = self.line(queue, id) {
            self.in_order(at, line, delivered);
        }
        let held = Held::new(at, delivered);
        match self.promises[queue].mode {
            Mode::AtLeastOnce => self.leased(at, delivered.lease, &held),
            Mode::AtMostOnce => {
                if !self.message(delivered.lease).held.is_empty() {
                    self.broken(Rule::DeliveredOnce, queue, sequence, at);
                }
            }
        }
        if let Some(drained) = self.drained.get_mut(queue) {
            drained.insert(sequence);
        }
        self.message(delivered.lease).held.push(held);
    }

    /// Sequences are given in order, so all lower ones were there before.
    fn in_order(&mut self, at: usize, line: (Queue, Option<u64>), delivered: &Delivered) {
        let Lease { queue, sequence, .. } = delivered.lease;
        let in_the_same_hands = |before: &u64| {
            self.messages[&(queue, *before)].held.iter().any(|held| held.call == delivered.call)
        };
        if !self.unsettled[&line].range(..sequence).all(in_the_same_hands) {
            self.broken(Rule::InOrder, queue, sequence, at);
        }
    }

    /// A delivery may be recorded late, after higher attempts, but only if its call is older than these.
    fn leased(&mut self, at: usize, lease: Lease, new: &Held) {
        let Lease { queue, sequence, attempt } = lease;
        let opened = self.calls[&new.call].at;
        let ordered = self.promises[queue].order != Order::Any;
        let calls = self.calls_to.get(queue).copied().unwrap_or_default();
        let message = self.messages.entry((queue, sequence)).or_default();
        let mut rules = Vec::new();
        if message.gone.is_some_and(|last| attempt > last) {
            rules.push(Rule::AckedIsGone);
        }
        if message.held.iter().any(|held| held.attempt == attempt) {
            rules.push(Rule::AttemptsDiffer);
        }
        let earlier: Vec<_> = message.held.iter().filter(|held| held.attempt < attempt).collect();
        let overtaken = message.held.iter().any(|held| held.attempt > attempt && held.at < opened);
        // An attempt that nobody saw was made for a call that ended, or whose lease ran out on the way.
        let unseen = attempt - 1 - u32::try_from(earlier.len()).unwrap_or(u32::MAX).min(attempt - 1);
        if overtaken || unseen > 2 * calls {
            rules.push(Rule::AttemptsRise);
        }
        let earlier = earlier.into_iter().max_by_key(|held| held.attempt);
        let later = message.held.iter().filter(|held| held.attempt > attempt).min_by_key(|held| held.attempt);
        let free = earlier.is_none_or(|earlier| earlier.is_over(new, &self.calls, ordered));
        if !free || later.is_some_and(|later| !new.is_over(later, &self.calls, ordered)) {
            rules.push(Rule::OneHolder);
        }
        for rule in rules {
            self.broken(rule, queue, sequence, at);
        }
    }

    fn settling(&mut self, lease: Lease, verdict: Verdict) {
        let message = self.message(lease);
        if message.held.iter().any(|held| held.attempt > lease.attempt) {
            message.stale.insert(lease.attempt);
        }
        match verdict {
            Verdict::Ack => {
                message.acks.insert(lease.attempt, false);
                self.stands(lease, Stands::Perhaps);
            }
            Verdict::Nack => {
                let mut call = None;
                self.held(lease, |held| {
                    held.nacked = true;
                    call = Some(held.call);
                });
                if let Some(open) = call.and_then(|call| self.calls.get_mut(&call)) {
                    open.nacked = true;
                }
            }
        }
    }

    /// Whether a message is still in the line of those that come one after the other.
    fn stands(&mut self, lease: Lease, stands: Stands) {
        let id = self.message(lease).id;
        if let Some(line) = id.and_then(|id| self.line(lease.queue, id)) {
            let line = self.unsettled.entry(line).or_default();
            match stands {
                Stands::Certainly => _ = line.insert(lease.sequence),
                Stands::Perhaps => _ = line.remove(&lease.sequence),
            }
        }
    }

    fn settled(&mut self, at: usize, lease: Lease, verdict: Verdict, outcome: Outcome) {
        let message = self.message(lease);
        let stale = message.stale.contains(&lease.attempt);
        // Acking what is gone counts, so a later attempt's ack excuses a stale one.
        let later_ack = message.acks.keys().any(|attempt| *attempt > lease.attempt);
        match (verdict, outcome) {
            (Verdict::Ack, Outcome::Done) => {
                let last = message.acks.keys().copied().max();
                message.gone = message.gone.or(last);
                message.acked.insert(lease.attempt);
                if stale && !later_ack && !self.ends_by_itself(lease.queue) {
                    self.broken(Rule::StaleIsStale, lease.queue, lease.sequence, at);
                }
            }
            (Verdict::Ack, Outcome::Refused) => {
                message.acks.insert(lease.attempt, true);
                if message.acks.values().all(|refused| *refused) {
                    self.stands(lease, Stands::Certainly);
                }
            }
            (Verdict::Nack, Outcome::Done) if stale => {
                self.broken(Rule::StaleIsStale, lease.queue, lease.sequence, at);
            }
            (Verdict::Nack, Outcome::Done | Outcome::Refused) => {}
        }
    }

    fn finish(&mut self, end: usize) {
        for (publishes, acks) in std::mem::take(&mut self.together) {
            self.both_or_neither(end, &publishes, &acks);
        }
        let mut lost = Vec::new();
        let mut last: BTreeMap<Queue, u64> = BTreeMap::new();
        for (&(queue, sequence), message) in &self.messages {
            if message.confirmed || !message.held.is_empty() {
                last.insert(queue, sequence);
                let acked = message.acks.values().any(|refused| !refused);
                let kept = self.promises[queue].mode == Mode::AtLeastOnce;
                if kept && !acked && !self.may_be_gone(queue, message) {
                    lost.push((Rule::NothingIsLost, queue, sequence));
                }
            }
        }
        for (&queue, drained) in &self.drained {
            let (Some(&first), Some(&last)) = (drained.first(), last.get(queue)) else { continue };
            if self.promises[queue].mode == Mode::AtMostOnce {
                let skipped = (first..=last).filter(|sequence| !drained.contains(sequence));
                lost.extend(skipped.map(|sequence| (Rule::NothingIsSkipped, queue, sequence)));
            }
        }
        for (rule, queue, sequence) in lost {
            self.broken(rule, queue, sequence, end);
        }
    }

    /// Whether something else than an ack can have ended a message.
    fn may_be_gone(&self, queue: Queue, message: &Message) -> bool {
        let Some(id) = message.id else { return false };
        let given_up = self.given_up.contains_key(&(queue, id));
        let sent = self.sent.get(&(queue, id));
        let expired = sent.is_some_and(|(_, limits)| limits.expires.is_some());
        let dropped = self.promises[queue]
            .drops_beyond
            .is_some_and(|most| self.sent_to.get(queue).is_some_and(|sent| *sent > most));
        given_up || expired || dropped
    }

    /// Whether a message can be gone without an ack: acking it then counts, whatever the attempt.
    fn ends_by_itself(&self, queue: Queue) -> bool {
        let gives_up = self.promises.values().any(|promise| promise.dead_letters_of == Some(queue));
        gives_up || self.promises[queue].drops_beyond.is_some()
    }

    fn both_or_neither(&mut self, end: usize, publishes: &[(Queue, Id)], acks: &[Lease]) {
        let done = |check: &Self, (queue, id): &(Queue, Id)| check.sequences.contains_key(&(*queue, *id));
        let happened = publishes.iter().any(|publish| done(self, publish));
        let absent = publishes.iter().filter(|publish| happened && !done(self, publish));
        let mut broken: Vec<_> = absent.map(|(queue, _)| (*queue, 0)).collect();
        for ack in acks {
            let message = self.message(*ack);
            let came_back = message.held.iter().any(|held| held.attempt > ack.attempt);
            if happened && came_back || !happened && message.acked.contains(&ack.attempt) {
                broken.push((ack.queue, ack.sequence));
            }
            if !happened {
                message.acks.insert(ack.attempt, true);
            }
        }
        for (queue, sequence) in broken {
            self.broken(Rule::BothOrNeither, queue, sequence, end);
        }
    }
}

#[derive(Clone, Copy)]
enum Stands {
    Certainly,
    Perhaps,
}

impl Held {
    fn new(at: usize, delivered: &Delivered) -> Self {
        let Delivered { lease, epoch, call, until, at: recorded, .. } = *delivered;
        Self { attempt: lease.attempt, epoch, call, until, recorded, at, nacked: false }
    }

    /// Whether something can have ended this lease before a later attempt was recorded.
    fn is_over(&self, later: &Self, calls: &HashMap<Call, Open>, ordered: bool) -> bool {
        let call = &calls[&self.call];
        let with_call = call.kind == Kind::Stream && (call.ended || later.epoch > self.epoch);
        let until = if ordered { call.until.min(self.until) } else { self.until };
        let with_others = ordered && call.nacked;
        self.nacked || with_others || with_call || later.recorded + CLOCK_SLACK >= until
    }
}
