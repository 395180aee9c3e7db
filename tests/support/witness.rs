//! What happened in a run, and what must hold of it.
//!
//! Producers and consumers record events; the checker reads them once, in order, and never talks to a server.
//!
//! Always true: what may have an effect is recorded before it is begun, and what is known is recorded after it is known.
//! So an event that stands before another one began before it; nothing more is concluded from the order. An event whose
//! outcome was never recorded counts as both: it may have happened, and it may not.

#![allow(dead_code, reason = "each test uses a part")]

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A queue's name.
pub type Queue = &'static str;

/// By how much, in milliseconds, the server's clock may be ahead of ours: it follows the wall clock slowly.
const CLOCK_SLACK: u64 = 250;

/// A message as its producer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u64);

/// One Subscribe or Receive call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call(pub u64);

/// What a call's leases are bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Subscribe: they end with the call, or with the server.
    Stream,
    /// Receive: they end at their deadline alone.
    Receive,
}

/// How often a queue may deliver a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Until it is acked.
    AtLeastOnce,
    /// Once, or never if the consumer was lost with it.
    AtMostOnce,
}

/// One attempt at one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Where.
    pub queue: Queue,
    /// The message's number.
    pub sequence: u64,
    /// The attempt.
    pub attempt: u32,
}

/// A message in a consumer's hands.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// Which attempt.
    pub lease: Lease,
    /// The server's start that granted it; 0 in an at-most-once queue.
    pub epoch: u32,
    /// How it came.
    pub call: Call,
    /// What the message says it is.
    pub id: Option<Id>,
    /// See [`content`].
    pub content: u64,
    /// When the lease ends, in milliseconds of the server's clock; 0 in an at-most-once queue.
    pub until: u64,
    /// When it was recorded, in milliseconds of ours.
    pub at: u64,
}

/// How a lease is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// For good.
    Ack,
    /// Back into the queue.
    Nack,
}

/// What was told of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It counts.
    Done,
    /// It certainly changed nothing.
    Refused,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// From now on the message may be there.
    Sending { queue: Queue, id: Id, content: u64 },
    /// Its publish was confirmed.
    Confirmed { queue: Queue, id: Id, sequence: u64 },
    /// Its publish certainly did nothing.
    Unsent { id: Id },
    /// From now on the call may have leases.
    Opened { call: Call, kind: Kind },
    /// The call is about to be ended by its consumer.
    Ended { call: Call },
    /// A message came.
    Delivered(Delivered),
    /// From now on the settlement may count.
    Settling { lease: Lease, verdict: Verdict },
    /// What became of it.
    Settled { lease: Lease, verdict: Verdict, outcome: Outcome },
    /// From now on the lease may last until then instead.
    Extending { lease: Lease, until: u64 },
    /// It does.
    Extended { lease: Lease, until: u64 },
    /// From here on nothing breaks and nobody is killed until the queue is empty.
    Draining { queue: Queue },
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// What was confirmed, or delivered once, is delivered until it is acked.
    NothingIsLost,
    /// An at-most-once queue loses what it had handed out, never what waits in it.
    NothingIsSkipped,
    /// What is delivered was sent.
    NothingIsInvented,
    /// It is what was sent, body and attributes.
    NothingIsAltered,
    /// A publish that certainly did nothing did nothing.
    RefusedIsRefused,
    /// A publish stores a message once.
    StoredOnce,
    /// A sequence names one message for ever.
    OneNameEach,
    /// What was acked does not come back.
    AckedIsGone,
    /// An at-most-once queue delivers no message twice.
    DeliveredOnce,
    /// Nobody gets a message that another one still holds.
    OneHolder,
    /// No attempt is made twice.
    AttemptsDiffer,
    /// Later attempts have higher numbers.
    AttemptsRise,
    /// A receipt that was superseded settles nothing.
    StaleIsStale,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub rule: Rule,
    /// Where.
    pub queue: Queue,
    /// For which message.
    pub sequence: u64,
    /// The event that broke it, as its place in the history; the end if it is something that never happened.
    pub at: usize,
}

/// A hash of a message: what must come out as it went in.
pub fn content(body: &[u8], attributes: &HashMap<String, String>) -> u64 {
    let sorted: BTreeMap<_, _> = attributes.iter().collect();
    let mut hasher = DefaultHasher::new();
    (body, sorted).hash(&mut hasher);
    hasher.finish()
}

/// Events in the order of their recording.
pub struct Witness {
    modes: BTreeMap<Queue, Mode>,
    events: Mutex<Vec<Event>>,
    calls: AtomicU64,
}

impl Witness {
    pub fn new(modes: impl IntoIterator<Item = (Queue, Mode)>) -> Self {
        Self { modes: modes.into_iter().collect(), events: Mutex::new(Vec::new()), calls: AtomicU64::new(0) }
    }

    pub fn record(&self, event: Event) {
        self.record_all([event]);
    }

    pub fn record_all(&self, events: impl IntoIterator<Item = Event>) {
        self.events.lock().unwrap().extend(events);
    }

    /// Names a call that is about to be made.
    pub fn open(&self, kind: Kind) -> Call {
        let call = Call(self.calls.fetch_add(1, Ordering::Relaxed));
        self.record(Event::Opened { call, kind });
        call
    }

    /// How many events fit a description.
    pub fn count(&self, which: impl Fn(&Event) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|event| which(event)).count()
    }

    /// Everything that does not hold.
    pub fn check(&self) -> Vec<Violation> {
        let events = self.events.lock().unwrap();
        let mut check = Check { modes: self.modes.clone(), ..Check::default() };
        for (at, event) in events.iter().enumerate() {
            check.event(at, event);
        }
        check.finish(events.len());
        check.found
    }

    /// Panics if something does not hold, with all that happened to the first messages concerned.
    pub fn assert_holds(&self) {
        let found = self.check();
        let shown: String = found.iter().take(5).map(|violation| self.explain(violation)).collect();
        assert!(found.is_empty(), "{} violations, the first of them:\n{shown}", found.len());
    }

    fn explain(&self, violation: &Violation) -> String {
        let events = self.events.lock().unwrap();
        let concerned: HashSet<Id> =
            events.iter().filter_map(|event| named(event, violation.queue, violation.sequence)).collect();
        let mut text = format!("{violation}\n");
        for (at, event) in events.iter().enumerate() {
            if concerns(event, violation, &concerned) {
                text += &format!("  {at}: {event:?}\n");
            }
        }
        text
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, queue, sequence, at } = self;
        write!(f, "{rule:?} does not hold of message {sequence} of {queue}, see event {at}")
    }
}

/// The message that an event says a sequence is.
fn named(event: &Event, at: Queue, number: u64) -> Option<Id> {
    match event {
        Event::Confirmed { queue, id, sequence } => (*queue == at && *sequence == number).then_some(*id),
        Event::Delivered(delivered) => {
            let Lease { queue, sequence, .. } = delivered.lease;
            delivered.id.filter(|_| queue == at && sequence == number)
        }
        _ => None,
    }
}

fn concerns(event: &Event, violation: &Violation, ids: &HashSet<Id>) -> bool {
    match event {
        Event::Sending { id, .. } | Event::Confirmed { id, .. } | Event::Unsent { id } => ids.contains(id),
        Event::Delivered(Delivered { lease, .. })
        | Event::Settling { lease, .. }
        | Event::Settled { lease, .. }
        | Event::Extending { lease, .. }
        | Event::Extended { lease, .. } => {
            lease.queue == violation.queue && lease.sequence == violation.sequence
        }
        Event::Opened { .. } | Event::Ended { .. } | Event::Draining { .. } => false,
    }
}

/// One reading of a history.
#[derive(Default)]
struct Check {
    modes: BTreeMap<Queue, Mode>,
    sent: HashMap<Id, u64>,
    unsent: HashSet<Id>,
    sequences: HashMap<Id, (Queue, u64)>,
    messages: BTreeMap<(Queue, u64), Message>,
    calls: HashMap<Call, Open>,
    drained: BTreeMap<Queue, BTreeSet<u64>>,
    found: Vec<Violation>,
}

struct Open {
    kind: Kind,
    at: usize,
    ended: bool,
}

#[derive(Default)]
struct Message {
    id: Option<Id>,
    confirmed: bool,
    held: Vec<Held>,
    /// Acks that may count, by attempt, and whether they certainly did not.
    acks: HashMap<u32, bool>,
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
    fn event(&mut self, at: usize, event: &Event) {
        match event {
            Event::Sending { id, content, .. } => _ = self.sent.insert(*id, *content),
            Event::Confirmed { queue, id, sequence } => self.confirmed(at, queue, *id, *sequence),
            Event::Unsent { id } => _ = self.unsent.insert(*id),
            Event::Opened { call, kind } => {
                self.calls.insert(*call, Open { kind: *kind, at, ended: false });
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

    /// A message has one sequence, and a sequence one message.
    fn identify(&mut self, at: usize, queue: Queue, id: Id, sequence: u64) {
        if *self.sequences.entry(id).or_insert((queue, sequence)) != (queue, sequence) {
            self.broken(Rule::StoredOnce, queue, sequence, at);
        }
        let known = self.messages.entry((queue, sequence)).or_default().id.get_or_insert(id);
        if *known != id {
            self.broken(Rule::OneNameEach, queue, sequence, at);
        }
    }

    fn delivered(&mut self, at: usize, delivered: &Delivered) {
        let Lease { queue, sequence, .. } = delivered.lease;
        match delivered.id.and_then(|id| Some((id, *self.sent.get(&id)?))) {
            None => return self.broken(Rule::NothingIsInvented, queue, sequence, at),
            Some((_, content)) if content != delivered.content => {
                self.broken(Rule::NothingIsAltered, queue, sequence, at);
            }
            Some((id, _)) if self.unsent.contains(&id) => {
                self.broken(Rule::RefusedIsRefused, queue, sequence, at);
            }
            Some((id, _)) => self.identify(at, queue, id, sequence),
        }
        let held = Held::new(at, delivered);
        match self.modes[queue] {
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

    /// A delivery may be recorded late, after higher attempts, but only if its call is older than these.
    fn leased(&mut self, at: usize, lease: Lease, new: &Held) {
        let Lease { queue, sequence, attempt } = lease;
        let opened = self.calls[&new.call].at;
        let message = self.messages.entry((queue, sequence)).or_default();
        let mut rules = Vec::new();
        if message.gone.is_some_and(|last| attempt > last) {
            rules.push(Rule::AckedIsGone);
        }
        if message.held.iter().any(|held| held.attempt == attempt) {
            rules.push(Rule::AttemptsDiffer);
        }
        if message.held.iter().any(|held| held.attempt > attempt && held.at < opened) {
            rules.push(Rule::AttemptsRise);
        }
        let earlier =
            message.held.iter().filter(|held| held.attempt < attempt).max_by_key(|held| held.attempt);
        let later = message.held.iter().filter(|held| held.attempt > attempt).min_by_key(|held| held.attempt);
        let free = earlier.is_none_or(|earlier| earlier.is_over(new, &self.calls));
        if !free || later.is_some_and(|later| !new.is_over(later, &self.calls)) {
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
            Verdict::Ack => _ = message.acks.insert(lease.attempt, false),
            Verdict::Nack => self.held(lease, |held| held.nacked = true),
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
                if stale && !later_ack {
                    self.broken(Rule::StaleIsStale, lease.queue, lease.sequence, at);
                }
            }
            (Verdict::Ack, Outcome::Refused) => _ = message.acks.insert(lease.attempt, true),
            (Verdict::Nack, Outcome::Done) if stale => {
                self.broken(Rule::StaleIsStale, lease.queue, lease.sequence, at);
            }
            (Verdict::Nack, Outcome::Done | Outcome::Refused) => {}
        }
    }

    fn finish(&mut self, end: usize) {
        let mut lost = Vec::new();
        let mut last: BTreeMap<Queue, u64> = BTreeMap::new();
        for (&(queue, sequence), message) in &self.messages {
            if message.confirmed || !message.held.is_empty() {
                last.insert(queue, sequence);
                let acked = message.acks.values().any(|refused| !refused);
                if self.modes[queue] == Mode::AtLeastOnce && !acked {
                    lost.push((Rule::NothingIsLost, queue, sequence));
                }
            }
        }
        for (&queue, drained) in &self.drained {
            let (Some(&first), Some(&last)) = (drained.first(), last.get(queue)) else { continue };
            if self.modes[queue] == Mode::AtMostOnce {
                let skipped = (first..=last).filter(|sequence| !drained.contains(sequence));
                lost.extend(skipped.map(|sequence| (Rule::NothingIsSkipped, queue, sequence)));
            }
        }
        for (rule, queue, sequence) in lost {
            self.broken(rule, queue, sequence, end);
        }
    }
}

impl Held {
    fn new(at: usize, delivered: &Delivered) -> Self {
        let Delivered { lease, epoch, call, until, at: recorded, .. } = *delivered;
        Self { attempt: lease.attempt, epoch, call, until, recorded, at, nacked: false }
    }

    /// Whether something can have ended this lease before a later attempt was recorded.
    fn is_over(&self, later: &Self, calls: &HashMap<Call, Open>) -> bool {
        let call = &calls[&self.call];
        let with_call = call.kind == Kind::Stream && (call.ended || later.epoch > self.epoch);
        self.nacked || with_call || later.recorded + CLOCK_SLACK >= self.until
    }
}

#[cfg(test)]
#[path = "witness/tests.rs"]
mod tests;
