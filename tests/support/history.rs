//! What happened in a run, and what must hold of it.
//!
//! Producers and consumers record events; the checker reads them once, in order, and never talks to a server.
//!
//! Several processes may record, into one file; see `history/log.rs`.
//!
//! Always true: what may have an effect is recorded before it is begun, and what is known is recorded after it is known.
//! So an event that stands before another one began before it; nothing more is concluded from the order. An event whose
//! outcome was never recorded counts as both: it may have happened, and it may not.

#![allow(dead_code, reason = "each test uses a part")]

#[path = "history/check.rs"]
mod check;
#[path = "history/copy.rs"]
mod copy;
#[path = "history/log.rs"]
mod log;
#[path = "history/promise.rs"]
mod promise;
#[path = "history/story.rs"]
mod story;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash as _, Hasher as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What a panic says that tells of some.
pub const VIOLATIONS: &str = " violations, the first of them:";

/// By how much, in milliseconds, the server's clock may be ahead of ours or behind: it follows the wall clock slowly. Times of one
/// clock are compared without it.
pub const CLOCK_SLACK: u64 = 250;

/// A queue's name.
pub type Queue = &'static str;

use check::Check;
pub use copy::Found;
use log::Log;
pub use promise::{Durability, Mode, Order, Promise};
use promise::{gives_up, sources};
use story::{tell, told};

/// A message as its producer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id(pub u64);

/// One Subscribe or Receive call: the process that made it in the upper half, and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Call(pub u64);

/// The first number that a process gives to its calls and messages.
pub const fn first_of(process: u32) -> u64 {
    (process as u64) << 32
}

/// What a call's leases are bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Subscribe: they end with the call, or with the server.
    Stream,
    /// Receive: they end at their deadline alone.
    Receive,
}

/// What its producer asked for beside its delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// With messages of the same key it is kept in order, if the queue does that.
    pub key: Option<u64>,
    /// No earlier than this, in milliseconds of our clock, it may be gone without a delivery.
    pub expires: Option<u64>,
    /// No earlier than this, in milliseconds of our clock, it is delivered.
    pub due: Option<u64>,
    /// Higher first.
    pub priority: u32,
}

/// One attempt at one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// Where.
    #[serde(deserialize_with = "log::queue")]
    pub queue: Queue,
    /// The message's number.
    pub sequence: u64,
    /// The attempt.
    pub attempt: u32,
}

/// Why a message was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    pub reason: String,
    /// Those that count.
    pub attempts: u32,
}

/// A message in a consumer's hands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Delivered {
    /// Which attempt.
    pub lease: Lease,
    /// What the server says of its death, if it is a dead letter.
    pub letter: Option<Letter>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// For good.
    Ack,
    /// Back into the queue.
    Nack,
}

/// What was told of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It counts.
    Done,
    /// It certainly changed nothing.
    Refused,
}

/// A publish.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Publish {
    #[serde(deserialize_with = "log::queue")]
    pub queue: Queue,
    pub id: Id,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    /// From now on the message may be there.
    Sending {
        #[serde(deserialize_with = "log::queue")]
        queue: Queue,
        id: Id,
        content: u64,
        limits: Limits,
    },
    /// All of this happens or nothing: messages that are about to be sent, and acks that are about to be settled.
    Together { publishes: Vec<Publish>, acks: Vec<Lease> },
    /// Its publish was confirmed.
    Confirmed {
        #[serde(deserialize_with = "log::queue")]
        queue: Queue,
        id: Id,
        sequence: u64,
    },
    /// Its publish certainly did nothing.
    Unsent { id: Id },
    /// From now on the call may have leases of a queue, each for so many milliseconds.
    Opened {
        call: Call,
        #[serde(deserialize_with = "log::queue")]
        queue: Queue,
        kind: Kind,
        lease: u64,
    },
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
    Draining {
        #[serde(deserialize_with = "log::queue")]
        queue: Queue,
        depth: u64,
    },
    /// The server says that the queue is empty, at a time of our clock.
    Drained {
        #[serde(deserialize_with = "log::queue")]
        queue: Queue,
        at: u64,
    },
    /// From now on what nobody holds may go.
    Purging {
        #[serde(deserialize_with = "log::queue")]
        queue: Queue,
    },
    /// It is gone, and nothing else goes, known at a time of our clock.
    Purged {
        #[serde(deserialize_with = "log::queue")]
        queue: Queue,
        at: u64,
    },
    /// Nothing is handed out any more, known at a time of our clock.
    Paused {
        #[serde(deserialize_with = "log::queue")]
        queue: Queue,
        at: u64,
    },
    /// From now on it may be.
    Resuming {
        #[serde(deserialize_with = "log::queue")]
        queue: Queue,
        at: u64,
    },
    /// From now on a backup is made, which will be of some moment until it is there.
    Copying { copy: u64 },
    /// It is there.
    Copied { copy: u64 },
    /// A process of producers and consumers is about to be killed, and all its calls with it.
    Killing { process: u32 },
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
    /// What is given up had used up its attempts, or its time was over.
    GivenUpForAReason,
    /// A receipt that was superseded settles nothing.
    StaleIsStale,
    /// Whoever holds a message can settle it.
    HoldersSettle,
    /// What nobody held when its queue was purged does not come back.
    PurgedIsGone,
    /// A queue that is paused hands out nothing.
    PausedIsPaused,
    /// Where there is one active consumer, the next one gets something only after the last of the one before.
    OneConsumer,
    /// What has a delay, or was given back, waits before it comes.
    NotTooSoon,
    /// Nothing comes while something with a higher priority waits.
    HighestFirst,
    /// A queue never has more than its bound.
    Bounded,
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
    log: Log,
    calls: AtomicU64,
}

impl Witness {
    pub fn new(promises: impl IntoIterator<Item = (Queue, Promise)>) -> Self {
        Self { promises: promises.into_iter().collect(), log: Log::default(), calls: AtomicU64::new(0) }
    }

    /// One of several processes that record in the same file.
    pub fn beside(promises: impl IntoIterator<Item = (Queue, Promise)>, process: u32, file: &Path) -> Self {
        let calls = AtomicU64::new(first_of(process));
        Self { log: Log::file(file), calls, ..Self::new(promises) }
    }

    pub fn record(&self, event: Event) {
        self.record_all([event]);
    }

    pub fn record_all(&self, events: impl IntoIterator<Item = Event>) {
        self.log.extend(events);
    }

    /// All that was recorded.
    pub fn events(&self) -> Vec<Event> {
        self.log.events()
    }

    /// Names a call that is about to be made, for leases of so many milliseconds.
    pub fn open(&self, queue: Queue, kind: Kind, lease: u64) -> Call {
        let call = Call(self.calls.fetch_add(1, Ordering::Relaxed));
        self.record(Event::Opened { call, queue, kind, lease });
        call
    }

    /// How many events fit a description.
    pub fn count(&self, which: impl Fn(&Event) -> bool) -> usize {
        self.events().iter().filter(|event| which(event)).count()
    }

    /// Everything that does not hold.
    pub fn check(&self) -> Vec<Violation> {
        Check::of(&self.promises, &self.events())
    }

    /// Panics if something does not hold, with all that happened to the first messages concerned.
    pub fn assert_holds(&self) {
        let events = self.events();
        tell(&Check::of(&self.promises, &events), &events);
    }

    /// Violations, with all that happened to the first messages concerned.
    pub fn explain(&self, found: &[Violation]) -> String {
        told(found, &self.events())
    }

    /// What a backup does not have though it has to, and what it has beside.
    pub fn check_copied(&self, copy: u64, found: &[Found]) -> Vec<Violation> {
        copy::compare(&self.promises, &self.events(), copy, found)
    }

    /// Panics if a backup does not have what it has to, or has something else.
    pub fn assert_copied(&self, copy: u64, found: &[Found]) {
        let events = self.events();
        tell(&copy::compare(&self.promises, &events, copy, found), &events);
    }
}

#[cfg(test)]
#[path = "history/tests.rs"]
mod tests;
