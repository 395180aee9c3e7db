//! Scripts: what happens to queues, one command a line, and what must come of it after `->`.
//!
//! ```text
//! queue q [at-most-once] [buffered] [10s]       create; a lease lasts 10 s      -> exists, conflict
//! publish q a b:100                             two messages, b of 100 bytes    -> no-queue
//! lease q [2] [30s] [by s]                      the stream s leases 2           -> a#1 b#1, none, no-queue
//! receive q [2] [30s] [by r]                    the same for a Receive call
//! grant q a b [by s]                            proposes just these picks       -> a#1
//! join q s [2 messages] [100 bytes]             a stream with credit comes
//! dispatch q                                    leases to who has credit        -> s:a#1 t:b#1, none
//! took q s a                                    the transport took a for s: its credit returns
//! ack a#1 b#1, nack a#1                         settle                          -> ok gone
//! extend 10s a#1                                the lease ends in 10 s          -> expired
//! release q s [uncounted]                       the stream s ended              -> 2 released
//! purge q, delete q                                                             -> 3 gone
//! advance 30s                                   time goes on; due leases end
//! wait 30s                                      time goes on; nothing else happens
//! expire 2                                      at most 2 due leases end        -> 1 expired
//! restart                                       from what was kept              -> 1 released
//! depth q                                                                       -> 1 ready 2 leased 3 bytes
//! ready q                                       in the order of delivery        -> a#2 b c
//! deadline                                      of the first lease to end       -> 30s, none
//! freed                                         credit, by the line before      -> s:1
//! ```
//!
//! A receipt is `message#attempt`, with the epoch that granted it, or `message#attempt@epoch`. A message is its label or
//! `queue/sequence`. Without `->` a line must succeed.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use super::shadow::{Keep, Shadow, digest};
use crate::engine::{Created, Credit, Dispatch, Effects, Engine, Granted, Outcome};
use crate::types::{
    Attempt, Claim, Command, Consumer, Content, DeliveryMode, Durability, Duration, Epoch, Holder, HolderId,
    Pick, QueueId, QueueSettings, ReceiptFailure, Sequence, Timestamp,
};

/// Runs a script; panics with the line that did not do as it says.
pub fn check(text: &str) {
    let mut script = Script::new(Shadow::default());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        script.step(line);
    }
}

/// A script as far as it ran.
pub struct Script<K> {
    engine: Engine,
    keep: K,
    now: Timestamp,
    done: String,
    queues: HashMap<String, QueueId>,
    labels: HashMap<String, (QueueId, Sequence)>,
    messages: BTreeMap<(QueueId, Sequence), Published>,
    epochs: BTreeMap<(QueueId, Sequence, Attempt), Epoch>,
    holders: HashMap<String, HolderId>,
    dispatches: BTreeMap<QueueId, Dispatch>,
    effects: Effects,
}

struct Published {
    label: String,
    at: Timestamp,
    content: Content,
}

/// What came of a line.
struct Reply {
    text: String,
    /// Whether a script need not mention it.
    plain: bool,
}

enum Kind {
    Stream,
    Receive,
}

fn plain(text: impl Into<String>) -> Reply {
    Reply { text: text.into(), plain: true }
}

fn fact(text: impl Into<String>) -> Reply {
    Reply { text: text.into(), plain: false }
}

impl<K: Keep> Script<K> {
    /// Starts on nothing, at epoch 1.
    pub fn new(keep: K) -> Self {
        let mut script = Self {
            engine: Engine::default(),
            keep,
            now: Timestamp(1_000_000),
            done: String::new(),
            queues: HashMap::new(),
            labels: HashMap::new(),
            messages: BTreeMap::new(),
            epochs: BTreeMap::new(),
            holders: HashMap::new(),
            dispatches: BTreeMap::new(),
            effects: Effects::default(),
        };
        script.apply(Command::StartEpoch);
        script
    }

    /// The engine that the script drives.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// All lines so far.
    pub fn text(&self) -> &str {
        &self.done
    }

    /// The id of the latest queue of that name.
    pub fn id(&self, queue: &str) -> QueueId {
        *self.queues.get(queue).unwrap_or_else(|| panic!("no line made a queue {queue}"))
    }

    /// The number of a consumer in this epoch.
    pub fn holder(&mut self, name: &str) -> HolderId {
        let next = HolderId(self.holders.len() as u64 + 1);
        *self.holders.entry(name.to_owned()).or_insert(next)
    }

    /// Runs one line; panics if it does not do as it says.
    pub fn step(&mut self, line: &str) {
        writeln!(self.done, "{line}").expect("a string takes everything");
        let (command, expected) = match line.split_once("->") {
            Some((command, expected)) => (command, Some(words(expected).join(" "))),
            None => (line, None),
        };
        let reply = self.run(&words(command));
        match expected {
            Some(expected) => assert_eq!(reply.text, expected, "`{line}` is the last line of\n{}", self.done),
            None => assert!(reply.plain, "`{line}` gave {}; it is the last line of\n{}", reply.text, self.done),
        }
        self.engine.verify();
        self.keep.verify(&self.engine);
    }

    fn run(&mut self, words: &[&str]) -> Reply {
        match words {
            ["queue", queue, settings @ ..] => self.create(queue, settings),
            ["publish", queue, messages @ ..] => self.publish(queue, messages),
            ["lease", queue, terms @ ..] => self.lease(queue, Kind::Stream, terms),
            ["receive", queue, terms @ ..] => self.lease(queue, Kind::Receive, terms),
            ["grant", queue, picks @ .., "by", name] => self.propose(queue, name, picks),
            ["grant", queue, picks @ ..] => self.propose(queue, "s", picks),
            ["join", queue, name, credit @ ..] => self.join(queue, name, credit),
            ["dispatch", queue] => self.dispatch(queue),
            ["took", queue, name, message] => self.took(queue, name, message),
            ["ack", receipts @ ..] => self.claim(receipts, |queue, claims| Command::Ack { queue, claims }),
            ["nack", receipts @ ..] => self.claim(receipts, |queue, claims| Command::Nack { queue, claims }),
            ["extend", duration, receipts @ ..] => {
                let duration = time(duration);
                self.claim(receipts, |queue, claims| Command::Extend { queue, claims, duration })
            }
            ["release", queue, name] => self.release(queue, name, true),
            ["release", queue, name, "uncounted"] => self.release(queue, name, false),
            ["purge", queue] => self.tell(Command::PurgeQueue { queue: self.id(queue) }),
            ["delete", queue] => self.tell(Command::DeleteQueue { queue: self.id(queue) }),
            ["wait", duration] => {
                self.now = self.now.after(time(duration));
                plain("ok")
            }
            ["advance", duration] => {
                self.now = self.now.after(time(duration));
                self.tell(Command::Expire { limit: u32::MAX });
                plain("ok")
            }
            ["expire", limit] => self.expire(limit.parse().expect("how many")),
            ["restart"] => self.restart(),
            ["depth", queue] => self.depth(queue),
            ["ready", queue] => self.ready(queue),
            ["deadline"] => {
                let first = self.engine.next_deadline();
                fact(first.map_or("none".to_owned(), |at| show(at.since(self.now))))
            }
            ["freed"] => self.freed(),
            _ => panic!("no such command: {}", words.join(" ")),
        }
    }

    fn apply(&mut self, command: Command) -> Outcome {
        self.effects = Effects::default();
        let outcome = self.engine.apply(self.now, command.clone(), &mut self.effects);
        self.keep.entry(&mut self.engine, self.now, &[command], &self.effects);
        for freed in &self.effects.freed {
            if let Some(dispatch) = self.dispatches.get_mut(&freed.queue) {
                dispatch.freed(freed.holder, freed.size);
            }
        }
        outcome
    }

    fn tell(&mut self, command: Command) -> Reply {
        match self.apply(command) {
            Outcome::NoQueue => fact("no-queue"),
            Outcome::Started { released, .. } | Outcome::Returned { messages: released } => {
                plain(format!("{released} released"))
            }
            Outcome::Created(Created::New(_)) | Outcome::Published { .. } => plain("ok"),
            Outcome::Created(Created::Existed(_)) => fact("exists"),
            Outcome::Created(Created::Conflict) => fact("conflict"),
            Outcome::Deleted { messages } | Outcome::Purged { messages } => plain(format!("{messages} gone")),
            Outcome::Granted(_) | Outcome::Claimed(_) => unreachable!("those who grant and claim apply themselves"),
        }
    }

    fn create(&mut self, name: &str, words: &[&str]) -> Reply {
        let mut settings = QueueSettings::default();
        for word in words {
            match *word {
                "at-most-once" => settings.delivery = DeliveryMode::AtMostOnce,
                "buffered" => settings.durability = Durability::Buffered,
                duration => settings.lease_duration = time(duration),
            }
        }
        let next = self.engine.record().next_queue;
        let reply = self.tell(Command::CreateQueue { name: name.parse().expect(name), settings });
        if reply.plain {
            self.queues.insert(name.to_owned(), next);
        }
        reply
    }

    fn publish(&mut self, queue: &str, words: &[&str]) -> Reply {
        let queue = self.id(queue);
        let next = self.engine.queue(queue).map(|queue| queue.untouched().end);
        let mut messages = Vec::new();
        for (place, word) in words.iter().enumerate() {
            let (label, size) = match word.split_once(':') {
                Some((label, size)) => (label, size.parse().expect("a size")),
                None => (*word, word.len()),
            };
            let content = Content(Bytes::from(format!("{label:.<size$}")));
            messages.push(content.clone());
            let Some(next) = next else { continue };
            let key = (queue, next.plus(place as u64));
            assert_eq!(self.labels.insert(label.to_owned(), key), None, "there are two messages {label}");
            self.messages.insert(key, Published { label: label.to_owned(), at: self.now, content });
        }
        self.tell(Command::Publish { queue, messages })
    }

    fn lease(&mut self, queue: &str, kind: Kind, terms: &[&str]) -> Reply {
        let (mut name, mut count, mut duration) = ("s", 1, None);
        let mut terms = terms.iter();
        while let Some(&term) = terms.next() {
            match (term, term.parse()) {
                ("by", _) => name = terms.next().expect("by whom"),
                (_, Ok(number)) => count = number,
                (_, Err(_)) => duration = Some(time(term)),
            }
        }
        let id = self.id(queue);
        let picks = self.candidates(id).take(count).collect();
        let holder = match kind {
            Kind::Stream => Holder::Stream(self.holder(name)),
            Kind::Receive => Holder::Receive(self.holder(name)),
        };
        match self.grant(id, holder, duration, name, picks) {
            Some(granted) => fact(list(granted.iter().map(|granted| self.receipt(id, *granted)))),
            None => fact("no-queue"),
        }
    }

    fn propose(&mut self, queue: &str, name: &str, words: &[&str]) -> Reply {
        let id = self.id(queue);
        let pick = |word: &&str| {
            let key = self.message(word);
            Pick { sequence: key.1, size: self.messages.get(&key).map_or(1, |message| message.content.size()) }
        };
        let picks = words.iter().map(pick).collect();
        let holder = Holder::Stream(self.holder(name));
        match self.grant(id, holder, None, name, picks) {
            Some(granted) => fact(list(granted.iter().map(|granted| self.receipt(id, *granted)))),
            None => fact("no-queue"),
        }
    }

    /// What may be leased, in the order of delivery.
    fn candidates(&self, id: QueueId) -> impl Iterator<Item = Pick> {
        self.engine.queue(id).into_iter().flat_map(move |queue| {
            let untouched = queue.untouched().start.0..queue.untouched().end.0;
            queue.returned().chain(untouched.map(move |sequence| {
                let sequence = Sequence(sequence);
                Pick { sequence, size: self.messages[&(id, sequence)].content.size() }
            }))
        })
    }

    fn grant(
        &mut self,
        queue: QueueId,
        holder: Holder,
        duration: Option<Duration>,
        name: &str,
        picks: Vec<Pick>,
    ) -> Option<Vec<Granted>> {
        let settings = self.engine.queue(queue).map(|queue| queue.record().settings.lease_duration);
        let duration = duration.or(settings).unwrap_or(Duration::seconds(30));
        let consumer = Arc::new(Consumer { name: name.to_owned(), ..Consumer::default() });
        for pick in &picks {
            self.read(queue, pick.sequence);
        }
        match self.apply(Command::Grant { queue, holder, duration, consumer, picks }) {
            Outcome::NoQueue => None,
            Outcome::Granted(granted) => {
                let epoch = self.engine.record().epoch;
                self.epochs.extend(granted.iter().map(|it| ((queue, it.sequence, it.attempt), epoch)));
                Some(granted)
            }
            other => panic!("a grant gave {other:?}"),
        }
    }

    /// Whoever gets a message gets what was published.
    fn read(&mut self, queue: QueueId, sequence: Sequence) {
        let Some(published) = self.messages.get(&(queue, sequence)) else { return };
        let there = self.engine.queue(queue).is_some_and(|queue| {
            queue.touch(sequence).is_some() || queue.untouched().contains(&sequence)
        });
        let kept = self.keep.content(queue, sequence);
        assert_eq!(kept.is_some(), there, "{} is kept if and only if it is there", published.label);
        if let Some(kept) = kept {
            let same = kept.content == published.content && kept.published_at == published.at;
            assert!(same && kept.sequence == sequence, "{} is not what was published", published.label);
        }
    }

    fn join(&mut self, queue: &str, name: &str, words: &[&str]) -> Reply {
        let mut limit = Credit { messages: 100, bytes: 16 << 20 };
        for pair in words.chunks(2) {
            match pair {
                [messages, "messages"] => limit.messages = messages.parse().expect("how many"),
                [bytes, "bytes"] => limit.bytes = bytes.parse().expect("how many"),
                _ => panic!("not a credit: {pair:?}"),
            }
        }
        let (queue, holder) = (self.id(queue), self.holder(name));
        self.dispatches.entry(queue).or_default().join(holder, limit);
        plain("ok")
    }

    fn dispatch(&mut self, queue: &str) -> Reply {
        let id = self.id(queue);
        let mut dispatch = self.dispatches.remove(&id).expect("someone joined");
        let mut grants = Vec::new();
        for pick in self.candidates(id) {
            let Some(holder) = dispatch.take(pick.size) else { break };
            grants.push((holder, pick));
        }
        self.dispatches.insert(id, dispatch);
        let mut given = Vec::new();
        for run in grants.chunk_by(|a, b| a.0 == b.0) {
            let name = self.name(run[0].0);
            let picks = run.iter().map(|&(_, pick)| pick).collect();
            let granted = self.grant(id, Holder::Stream(run[0].0), None, &name, picks).expect("the queue is there");
            assert_eq!(granted.len(), run.len(), "what is ready can be leased");
            given.extend(granted.iter().map(|granted| format!("{name}:{}", self.receipt(id, *granted))));
        }
        fact(list(given))
    }

    fn took(&mut self, queue: &str, name: &str, message: &str) -> Reply {
        let size = self.messages[&self.message(message)].content.size();
        let (queue, holder) = (self.id(queue), self.holder(name));
        self.dispatches.get_mut(&queue).expect("someone joined").freed(holder, size);
        plain("ok")
    }

    fn claim(&mut self, words: &[&str], command: impl FnOnce(QueueId, Vec<Claim>) -> Command) -> Reply {
        let named: Vec<_> = words.iter().map(|word| self.claimed(word)).collect();
        let queue = named.first().expect("a receipt").0;
        assert!(named.iter().all(|(other, _)| *other == queue), "one command settles in one queue");
        match self.apply(command(queue, named.iter().map(|(_, claim)| *claim).collect())) {
            Outcome::NoQueue => fact("no-queue"),
            Outcome::Claimed(failures) if failures.is_empty() => plain("ok"),
            Outcome::Claimed(failures) => {
                let mut results = vec!["ok"; named.len()];
                for (place, failure) in failures {
                    results[place] = word(failure);
                }
                fact(results.join(" "))
            }
            other => panic!("claims gave {other:?}"),
        }
    }

    fn release(&mut self, queue: &str, name: &str, counted: bool) -> Reply {
        let (queue, holder) = (self.id(queue), self.holder(name));
        if let Some(dispatch) = self.dispatches.get_mut(&queue) {
            dispatch.leave(holder);
        }
        self.tell(Command::Release { queue, holder, counted })
    }

    fn expire(&mut self, limit: u32) -> Reply {
        match self.apply(Command::Expire { limit }) {
            Outcome::Returned { messages } => plain(format!("{messages} expired")),
            other => panic!("an expiry gave {other:?}"),
        }
    }

    fn restart(&mut self) -> Reply {
        let before = digest(&self.engine);
        self.engine = self.keep.restart();
        assert_eq!(digest(&self.engine), before, "another engine came back after\n{}", self.done);
        self.holders.clear();
        self.dispatches.clear();
        self.tell(Command::StartEpoch)
    }

    fn depth(&mut self, queue: &str) -> Reply {
        let depth = self.engine.queue(self.id(queue)).map(crate::engine::Queue::depth);
        fact(depth.map_or("no-queue".to_owned(), |depth| {
            format!("{} ready {} leased {} bytes", depth.ready, depth.leased, depth.bytes)
        }))
    }

    fn ready(&mut self, queue: &str) -> Reply {
        let id = self.id(queue);
        let attempt = |sequence| self.engine.queue(id)?.touch(sequence).map(|touch| touch.attempt);
        let ready = self.candidates(id).map(|Pick { sequence, .. }| match attempt(sequence) {
            Some(attempt) => self.receipt(id, Granted { sequence, attempt }),
            None => self.messages[&(id, sequence)].label.clone(),
        });
        fact(list(ready))
    }

    fn freed(&mut self) -> Reply {
        fact(list(self.effects.freed.iter().map(|freed| format!("{}:{}", self.name(freed.holder), freed.size))))
    }

    fn name(&self, holder: HolderId) -> String {
        let known = self.holders.iter().find(|&(_, &id)| id == holder);
        known.map_or(format!("?{}", holder.0), |(name, _)| name.clone())
    }

    fn receipt(&self, queue: QueueId, granted: Granted) -> String {
        format!("{}#{}", self.messages[&(queue, granted.sequence)].label, granted.attempt.0)
    }

    fn message(&self, word: &str) -> (QueueId, Sequence) {
        match word.rsplit_once('/') {
            Some((queue, sequence)) => (self.id(queue), Sequence(sequence.parse().expect("a sequence"))),
            None => *self.labels.get(word).unwrap_or_else(|| panic!("no line published {word}")),
        }
    }

    fn claimed(&self, word: &str) -> (QueueId, Claim) {
        let (message, attempt) = word.split_once('#').expect("message#attempt");
        let (queue, sequence) = self.message(message);
        let (attempt, epoch) = match attempt.split_once('@') {
            Some((attempt, epoch)) => (attempt, Some(Epoch(epoch.parse().expect("an epoch")))),
            None => (attempt, None),
        };
        let attempt = Attempt(attempt.parse().expect("an attempt"));
        let granted = self.epochs.get(&(queue, sequence, attempt)).copied();
        let epoch = epoch.or(granted).unwrap_or(self.engine.record().epoch);
        (queue, Claim { sequence, attempt, epoch })
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<_> = items.into_iter().collect();
    if items.is_empty() { "none".to_owned() } else { items.join(" ") }
}

fn word(failure: ReceiptFailure) -> &'static str {
    match failure {
        ReceiptFailure::Superseded => "superseded",
        ReceiptFailure::Expired => "expired",
        ReceiptFailure::Gone => "gone",
        ReceiptFailure::Unknown => "unknown",
    }
}

fn time(word: &str) -> Duration {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().unwrap_or_else(|_| panic!("not a time: {word}"));
    match &word[digits.len()..] {
        "ms" => Duration(number),
        "s" => Duration::seconds(number),
        _ => panic!("not a time: {word}"),
    }
}

/// A time as scripts write it.
pub fn show(duration: Duration) -> String {
    if duration.0.is_multiple_of(1000) { format!("{}s", duration.0 / 1000) } else { format!("{}ms", duration.0) }
}
