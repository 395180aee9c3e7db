//! What happened in a run, and what must hold of it.
//!
//! Producers and consumers record events; the checker reads them once, in order, and never talks to a server.
//!
//! Always true: what may have an effect is recorded before it is begun, and what is known is recorded after it is known.
//! So an event that stands before another one began before it; nothing more is concluded from the order. An event whose
//! outcome was never recorded counts as both: it may have happened, and it may not.

#![allow(dead_code, reason = "each test uses a part")]

#[path = "history/check.rs"]
mod check;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a panic says that tells of some.
pub const VIOLATIONS: &str = " violations, the first of them:";

/// A queue's name.
pub type Queue = &'static str;

use check::Check;

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

/// What a queue promises of its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    pub mode: Mode,
    pub durability: Durability,
    pub order: Order,
    /// Where what is given up comes from.
    pub dead_letters_of: Option<Queue>,
    /// With so many messages, the oldest ready one makes room for the next.
    pub drops_beyond: Option<usize>,
}

impl Promise {
    /// Every message until it is acked, on disk before it is confirmed, in no order.
    pub const PLAIN: Self = Self {
        mode: Mode::AtLeastOnce,
        durability: Durability::Synced,
        order: Order::Any,
        dead_letters_of: None,
        drops_beyond: None,
    };
}

/// Which message a queue delivers next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Any,
    /// The first that is not settled; more only to whoever has that one.
    Fifo,
    /// The same for each key.
    ByKey,
}

/// When a publish is confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    #[default]
    Synced,
    /// Before its fsync, so a power cut may lose it.
    Buffered,
}

/// How often a queue may deliver a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Until it is acked.
    #[default]
    AtLeastOnce,
    /// Once, or never if the consumer was lost with it.
    AtMostOnce,
}

/// What its producer asked for beside its delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// With messages of the same key it is kept in order, if the queue does that.
    pub key: Option<u64>,
    /// No earlier than this, in milliseconds of our clock, it may be gone without a delivery.
    pub expires: Option<u64>,
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
    Sending { queue: Queue, id: Id, content: u64, limits: Limits },
    /// All of this happens or nothing: messages that are about to be sent, and acks that are about to be settled.
    Together { publishes: Vec<(Queue, Id)>, acks: Vec<Lease> },
    /// Its publish was confirmed.
    Confirmed { queue: Queue, id: Id, sequence: u64 },
    /// Its publish certainly did nothing.
    Unsent { id: Id },
    /// From now on the call may have leases of a queue, each for so many milliseconds.
    Opened { call: Call, queue: Queue, kind: Kind, lease: u64 },
    /// The call is about to be ended by its consumer.
    Ended { call: Call },
    /// The call had its answer, and gets nothing more.
    Answered { call: Call },
    /// A message came.
    Delivered(Delivered),
    /// From now on the settlement may count.
    Settling { lease: Lease, verdict: Verdict },
    /// What became of it, and when that was known, in milliseconds of our clock.
    Settled { lease: Lease, verdict: Verdict, outcome: Outcome, at: u64 },
    /// From now on the lease may last until then instead.
    Extending { lease: Lease, until: u64 },
    /// It does.
    Extended { lease: Lease, until: u64 },
    /// From here on nothing breaks and nobody is killed until the queue is empty; the server says that it has so many messages.
    Draining { queue: Queue, depth: u64 },
    /// The server says that the queue is empty, at a time of our clock.
    Drained { queue: Queue, at: u64 },
    /// The server is gone, and so are all calls.
    Down,
    /// The same, and the power went: what was confirmed before its fsync may be lost.
    PowerCut,
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
    /// Later attempts have higher numbers, by one for each time that somebody can have got the message.
    AttemptsRise,
    /// What comes before it, in its queue or of its key, is settled, or in the same hands.
    InOrder,
    /// Of what belongs together all happens, or nothing.
    BothOrNeither,
    /// What is in the dead-letter queue is nowhere else.
    DeadIsGone,
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
    promises: BTreeMap<Queue, Promise>,
    events: Mutex<Vec<Event>>,
    calls: AtomicU64,
}

impl Witness {
    pub fn new(promises: impl IntoIterator<Item = (Queue, Promise)>) -> Self {
        Self {
            promises: promises.into_iter().collect(),
            events: Mutex::new(Vec::new()),
            calls: AtomicU64::new(0),
        }
    }

    pub fn record(&self, event: Event) {
        self.record_all([event]);
    }

    pub fn record_all(&self, events: impl IntoIterator<Item = Event>) {
        self.events.lock().unwrap().extend(events);
    }

    /// Names a call that is about to be made, for leases of so many milliseconds.
    pub fn open(&self, queue: Queue, kind: Kind, lease: u64) -> Call {
        let call = Call(self.calls.fetch_add(1, Ordering::Relaxed));
        self.record(Event::Opened { call, queue, kind, lease });
        call
    }

    /// How many events fit a description.
    pub fn count(&self, which: impl Fn(&Event) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|event| which(event)).count()
    }

    /// Everything that does not hold.
    pub fn check(&self) -> Vec<Violation> {
        let events = self.events.lock().unwrap();
        Check::of(&self.promises, &events)
    }

    /// Panics if something does not hold, with all that happened to the first messages concerned.
    pub fn assert_holds(&self) {
        let found = self.check();
        let shown: String = found.iter().take(5).map(|violation| self.explain(violation)).collect();
        assert!(found.is_empty(), "{}{VIOLATIONS}\n{shown}", found.len());
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
        Event::PowerCut | Event::Down => true,
        Event::Together { publishes, acks } => {
            publishes.iter().any(|(_, id)| ids.contains(id))
                || acks
                    .iter()
                    .any(|lease| (lease.queue, lease.sequence) == (violation.queue, violation.sequence))
        }
        Event::Draining { queue, .. } | Event::Drained { queue, .. } => *queue == violation.queue,
        Event::Opened { .. } | Event::Ended { .. } | Event::Answered { .. } => false,
    }
}

#[cfg(test)]
#[path = "history/tests.rs"]
mod tests;
