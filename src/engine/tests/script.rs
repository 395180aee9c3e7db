//! Scripts: what happens to queues, one command a line, and what must come of it after `->`.
//!
//! ```text
//! queue q [at-most-once] [buffered] [10s]       create; a lease lasts 10 s      -> exists, conflict, cycle
//!     [max:5] [bytes:100] [drop-oldest]         so much it may hold
//!     [dedup:10s] [ttl:10s]                     so long it remembers ids; so long a message may wait
//!     [fifo] [by-key] [single] [paused]         who gets what
//!     [tries:3] [dead:d] [backoff:1s:2000:10s]  attempts; dead letters; initial, multiplier in thousandths, max
//! update q [resumed] [unordered] [tries:0] ..   changes some of these           -> not-empty, cycle
//! publish q a b:100 c:9=x d!5 e~10s f^9s g@k    b of 100 bytes, c with the id x, d of priority 5, e in 10 s, f for 9 s,
//!                                               g of the key k
//!                                                                             -> no-queue, full, c=b (it is b)
//! drop q a b, drop q 2                          just these go, or the oldest 2  -> 2 gone
//! lapse q                                       what is in front and over goes  -> a b, none, no-queue
//! forget 2                                      at most 2 ids whose time is over are forgotten
//! topic t, drop t                               a topic comes, goes               -> exists, no-topic
//! bind t q a.* [+k=v]                           q takes what matches; - for all   -> exists, no-topic, no-queue
//! unbind t q a.* [+k=v]                                                           -> no-topic, no-binding
//! send t a.b [+k=v] a b:100=x                   publishes to a topic              -> a.q b.q, none, no-topic, full
//! transact x ack a#1 publish q c send t a.b d   all or nothing, with the id x     -> c d.q, stale a#1 gone, full,
//!     in any number; - for no id                                                   again c d.q, other, no-queue
//! lease q [2] [30s] [by s]                      the stream s leases 2           -> a#1 b#1, none, no-queue
//! receive q [2] [30s] [by r]                    the same for a Receive call
//! grant q a b [by s]                            proposes just these picks       -> a#1
//! join q s [2 messages] [100 bytes]             a stream with credit comes
//! dispatch q                                    leases to who has credit        -> s:a#1 t:b#1, none
//! took q s a                                    the transport took a for s: its credit returns
//! ack a#1 b#1, nack a#1                         settle                          -> ok gone
//! nack after 5s a#1, nack dead a#1              another attempt later, or none
//! bury q                                        what is dead goes to its queue  -> a', none, no-target
//! redrive q 2 [of p]                            back to where they came from    -> a'', none
//! extend 10s a#1                                the lease ends in 10 s          -> expired
//! release q s [uncounted]                       the stream s ended              -> 2 released
//! purge q, delete q                                                             -> 3 gone, named
//! advance 30s                                   time goes on; due leases end
//! wait 30s                                      time goes on; nothing else happens
//! expire 2                                      at most 2 due leases end        -> 1 expired
//! restart                                       from what was kept              -> 1 released
//! depth q                                       and if there are [4 delayed] [5 dead] [6 parked]
//!                                                                             -> 1 ready 2 leased 3 bytes
//! ready q                                       in the order of delivery        -> a#2 b c
//! uncounted a                                   attempts that do not count      -> 2
//! why a                                         it is dead                      -> max_attempts, none
//! deadline                                      of the first lease to end       -> 30s, none
//! freed                                         credit, by the line before      -> s:1
//! ```
//!
//! A receipt is `message#attempt`, with the epoch that granted it, or `message#attempt@epoch`. A message is its label or
//! `queue/sequence`. Without `->` a line must succeed.

#[path = "dead.rs"]
mod dead;
#[path = "keyed.rs"]
mod keyed;
#[path = "lapsed.rs"]
mod lapsed;
#[path = "settings.rs"]
mod settings;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use super::names::{Names, Published};
use super::shadow::{Keep, Shadow, digest};
use super::words::{list, show, time, word, words};
use crate::engine::{
    Created, Credit, Dealer, Dispatch, Effects, Engine, Granted, Outcome, Stale, TopicOutcome, Transacted,
    Unpublished, Updated,
};
use crate::types::{
    Attributes, Binding, Claim, Command, Consumer, Content, Copies, DeduplicationId, Dropped, Duration,
    Facts, FactsByPlace, Holder, Lane, LaneId, Offer, OrderingKey, Pick, Priority, Publication, QueueId,
    QueueSettings, Retry, Sequence, Timestamp, TopicCommand, Transact, TransactionId,
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
    /// The engine that it drives.
    pub engine: Engine,
    /// The time.
    pub now: Timestamp,
    /// All lines so far.
    pub text: String,
    keep: K,
    names: Names,
    dispatches: BTreeMap<QueueId, Dispatch>,
    effects: Effects,
}

/// What came of a line.
struct Reply {
    text: String,
    /// Whether a script need not mention it.
    plain: bool,
}

#[derive(Clone, Copy)]
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

/// Messages that are to be published.
struct Coming {
    labels: Vec<String>,
    messages: Vec<Content>,
    keys: Vec<Option<OrderingKey>>,
    facts: FactsByPlace,
    /// The times to live that stand in contents.
    own: Vec<Option<Duration>>,
}

/// `label`, `label:size`, each with `!priority`, `@key`, `~delay`, `^time to live` and `=id` or without.
fn coming(words: &[&str]) -> Coming {
    let mut coming = Coming {
        labels: Vec::new(),
        messages: Vec::new(),
        keys: Vec::new(),
        facts: Vec::new(),
        own: Vec::new(),
    };
    for (place, word) in (0_u32..).zip(words) {
        let (word, id) = word.split_once('=').map_or((*word, None), |(word, id)| (word, Some(id)));
        let (word, own) = word.split_once('^').map_or((word, None), |(word, own)| (word, Some(time(own))));
        let (word, delay) = word.split_once('~').map_or((word, None), |(word, delay)| (word, Some(delay)));
        let (word, key) = word.split_once('@').map_or((word, None), |(word, key)| (word, Some(key)));
        let (word, urgent) = word.split_once('!').map_or((word, None), |(word, of)| (word, Some(of)));
        let (label, size) = match word.split_once(':') {
            Some((label, size)) => (label, size.parse().expect("a size")),
            None => (word, word.len()),
        };
        let hash = |id: &str| DeduplicationId::from(xxhash_rust::xxh3::xxh3_128(id.as_bytes()));
        let number = urgent.map_or(0, |number| number.parse().expect("a priority"));
        let facts = Facts {
            deduplication: id.map(hash),
            priority: Priority::new(number).expect("0 to 9"),
            delay: delay.map_or(Duration::default(), time),
            expires: own.is_some(),
        };
        if !facts.is_none() {
            coming.facts.push((place, facts));
        }
        coming.keys.push(key.map(|key| xxhash_rust::xxh3::xxh3_128(key.as_bytes()).into()));
        coming.own.push(own);
        coming.labels.push(label.to_owned());
        coming.messages.push(Content(label.bytes().cycle().take(size).collect::<Bytes>()));
    }
    coming
}

/// `+key=value`, some of them.
fn attributes(words: &[&str]) -> Attributes {
    let pair = |word: &&str| {
        let (key, value) = word.strip_prefix('+')?.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    };
    words.iter().map(|word| pair(word).expect("+key=value")).collect()
}

impl<K: Keep> Script<K> {
    /// Starts on nothing, at epoch 1.
    pub fn new(keep: K) -> Self {
        let mut script = Self {
            engine: Engine::default(),
            now: Timestamp(1_000_000),
            text: String::new(),
            keep,
            names: Names::default(),
            dispatches: BTreeMap::new(),
            effects: Effects::default(),
        };
        script.apply(Command::StartEpoch);
        script
    }

    /// Runs one line; panics if it does not do as it says. `-> ?` takes whatever comes, and notes it.
    pub fn step(&mut self, line: &str) {
        let (command, expected) = match line.split_once("->") {
            Some((command, expected)) => (command, Some(words(expected).join(" "))),
            None => (line, None),
        };
        writeln!(self.text, "{}", line.trim_end_matches('?')).expect("a string takes everything");
        let reply = self.run(&words(command));
        match expected.as_deref() {
            Some("?") => {
                self.text.truncate(self.text.trim_end().len());
                writeln!(self.text, " {}", reply.text).expect("a string takes everything");
            }
            Some(expected) if expected == reply.text => {}
            None if reply.plain => {}
            Some(_) | None => {
                panic!("`{line}` gave {}; it is the last line of\n{}", reply.text, self.text)
            }
        }
        self.engine.verify();
        self.keep.verify(&self.engine);
    }

    fn run(&mut self, words: &[&str]) -> Reply {
        match words {
            ["queue", queue, settings @ ..] => self.create(queue, settings),
            ["update", queue, settings @ ..] => self.update(queue, settings),
            ["bury", queue] => self.bury(queue),
            ["redrive", queue, count] => self.redrive(queue, count, None),
            ["redrive", queue, count, "of", source] => self.redrive(queue, count, Some(source)),
            ["why", message] => self.why(message),
            ["publish", queue, messages @ ..] => self.publish(queue, messages),
            ["topic", topic] => self.tell(Command::Topic(TopicCommand::Create(topic.parse().expect(topic)))),
            ["drop", topic] => self.tell(Command::Topic(TopicCommand::Delete(topic.parse().expect(topic)))),
            ["bind", topic, queue, pattern, wanted @ ..] => {
                let binding = self.binding(queue, pattern, wanted);
                self.tell(Command::Topic(TopicCommand::Bind(topic.parse().expect(topic), binding)))
            }
            ["unbind", topic, queue, pattern, wanted @ ..] => {
                let binding = self.binding(queue, pattern, wanted);
                self.tell(Command::Topic(TopicCommand::Unbind(topic.parse().expect(topic), binding)))
            }
            ["send", topic, key, messages @ ..] => self.send(topic, key, messages),
            ["transact", id, parts @ ..] => self.transact(id, parts),
            ["lease", queue, terms @ ..] => self.lease(queue, Kind::Stream, terms),
            ["receive", queue, terms @ ..] => self.lease(queue, Kind::Receive, terms),
            ["grant", queue, picks @ .., "by", name] => self.propose(queue, name, picks),
            ["grant", queue, picks @ ..] => self.propose(queue, "s", picks),
            ["join", queue, name, credit @ ..] => self.join(queue, name, credit),
            ["dispatch", queue] => self.dispatch(queue),
            ["took", queue, name, message] => self.took(queue, name, message),
            ["ack", receipts @ ..] => self.claim(receipts, |queue, claims| Command::Ack { queue, claims }),
            ["nack", "after", delay, receipts @ ..] => self.nack(receipts, Retry::After(time(delay))),
            ["nack", "dead", receipts @ ..] => self.nack(receipts, Retry::Never),
            ["nack", receipts @ ..] => self.nack(receipts, Retry::Backoff),
            ["extend", duration, receipts @ ..] => {
                let duration = time(duration);
                self.claim(receipts, |queue, claims| Command::Extend { queue, claims, duration })
            }
            ["release", queue, name] => self.release(queue, name, true),
            ["release", queue, name, "uncounted"] => self.release(queue, name, false),
            ["drop", queue, picks @ ..] => self.drop_messages(queue, picks),
            ["lapse", queue] => self.lapse(queue),
            ["forget", limit] => self.tell(Command::Forget { limit: limit.parse().expect("how many") }),
            ["purge", queue] => self.tell(Command::PurgeQueue { queue: self.names.queue(queue) }),
            ["delete", queue] => self.tell(Command::DeleteQueue { queue: self.names.queue(queue) }),
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
            ["uncounted", message] => {
                let (queue, sequence) = self.names.message(message);
                let touch = self.engine.queue(queue).and_then(|queue| queue.touch(sequence));
                fact(touch.map_or("none".to_owned(), |touch| touch.uncounted.to_string()))
            }
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
            Outcome::Created(Created::New(_)) | Outcome::Published(_) | Outcome::Forgotten => plain("ok"),
            Outcome::Full(_) => fact("full"),
            Outcome::Dropped { messages } => plain(format!("{messages} gone")),
            Outcome::Created(Created::Existed(_)) => fact("exists"),
            Outcome::Created(Created::Conflict) => fact("conflict"),
            Outcome::Updated(Updated::NotEmpty(_)) => fact("not-empty"),
            Outcome::Created(Created::Cycle(_)) | Outcome::Updated(Updated::Cycle(_)) => fact("cycle"),
            Outcome::Updated(Updated::Done) => plain("ok"),
            Outcome::Named(_) => fact("named"),
            Outcome::Deleted { messages } | Outcome::Purged { messages } => plain(format!("{messages} gone")),
            Outcome::QueueBound { topic, .. } => fact(format!("bound to {topic}")),
            Outcome::Topic(outcome) => match outcome {
                TopicOutcome::Done => plain("ok"),
                TopicOutcome::Already => fact("exists"),
                TopicOutcome::NoTopic => fact("no-topic"),
                TopicOutcome::NoQueue => fact("no-queue"),
                TopicOutcome::NoBinding => fact("no-binding"),
                TopicOutcome::Full => fact("full"),
            },
            Outcome::Granted(_)
            | Outcome::Claimed(_)
            | Outcome::Moved { .. }
            | Outcome::Lapsed { .. }
            | Outcome::PublishedAll(_)
            | Outcome::Transacted(_)
            | Outcome::Unpublished(_) => {
                unreachable!("those who grant, claim, move, send and transact apply themselves")
            }
        }
    }

    fn create(&mut self, name: &str, words: &[&str]) -> Reply {
        let mut settings = QueueSettings::default();
        settings::read(&mut settings, words);
        let next = self.engine.record().next_queue;
        let reply = self.tell(Command::CreateQueue { name: name.parse().expect(name), settings });
        if reply.plain {
            self.names.made(name, next);
        }
        reply
    }

    fn update(&mut self, name: &str, words: &[&str]) -> Reply {
        let queue = self.names.queue(name);
        let now = self.engine.queue(queue).map(|queue| queue.settings().clone());
        let mut settings = now.unwrap_or_default();
        settings::read(&mut settings, words);
        self.tell(Command::UpdateQueue { queue, settings })
    }

    fn nack(&mut self, receipts: &[&str], retry: Retry) -> Reply {
        self.claim(receipts, |queue, claims| Command::Nack { queue, claims, retry, reason: "".into() })
    }

    fn publish(&mut self, queue: &str, words: &[&str]) -> Reply {
        let queue = self.names.queue(queue);
        let Coming { labels, messages, keys, facts, own } = coming(words);
        let published_as = |(place, ((label, content), key)): (u32, ((&String, &Content), _))| Published {
            key,
            label: label.clone(),
            at: self.now,
            content: content.clone(),
            lane: self.lane_in(queue, &facts, place),
            own: own[place as usize],
            source: None,
        };
        let coming = labels.iter().zip(&messages).zip(keys);
        let coming: Vec<_> = (0..).zip(coming).map(published_as).collect();
        let published = match self.apply(Command::Publish { queue, messages, facts }) {
            Outcome::Published(published) => published,
            Outcome::NoQueue => return fact("no-queue"),
            Outcome::Full(_) => return fact("full"),
            other => panic!("a publish gave {other:?}"),
        };
        let mut duplicates = Vec::new();
        let numbered: Vec<_> = published.sequences(coming.len()).collect();
        for (message, (sequence, duplicate)) in coming.into_iter().zip(numbered) {
            if duplicate {
                duplicates.push(format!("{}={}", message.label, self.names.label(queue, sequence)));
            } else {
                self.names.published(queue, sequence, message);
            }
        }
        if duplicates.is_empty() { plain("ok") } else { fact(duplicates.join(" ")) }
    }

    fn drop_messages(&mut self, queue: &str, words: &[&str]) -> Reply {
        let id = self.names.queue(queue);
        let picks: Vec<_> = match words {
            [count] if count.parse::<usize>().is_ok() => {
                let ready = self.ready_of(id).into_iter().map(|sequence| {
                    let message = self.names.published_as(id, sequence).expect("a line published it");
                    pick(sequence, message)
                });
                ready.take(count.parse().expect("a number")).collect()
            }
            labels => labels.iter().map(|word| self.pick(id, word)).collect(),
        };
        for pick in &picks {
            self.read(id, pick.sequence);
        }
        let picks = picks
            .iter()
            .map(|&Pick { sequence, size, priority, .. }| Dropped { sequence, size, priority })
            .collect();
        self.tell(Command::Drop { queue: id, picks })
    }

    fn pick(&self, id: QueueId, word: &str) -> Pick {
        let (_, sequence) = self.names.message(word);
        match self.names.published_as(id, sequence) {
            Some(message) => pick(sequence, message),
            None => Pick { sequence, size: 1, offer: Some(0), priority: Priority::default(), key: None },
        }
    }

    fn binding(&self, queue: &str, pattern: &str, wanted: &[&str]) -> Binding {
        let pattern = if pattern == "-" { "" } else { pattern };
        let queue = self.names.queue(queue);
        Binding { queue, pattern: pattern.parse().expect("a pattern"), attributes: attributes(wanted) }
    }

    /// What stands in several queues has the queue's name behind its own.
    fn send(&mut self, topic: &str, key: &str, words: &[&str]) -> Reply {
        let split = words.iter().take_while(|word| word.starts_with('+')).count();
        let (given, words) = words.split_at(split);
        let key = if key == "-" { "" } else { key }.parse().expect("a key");
        let topic = topic.parse().expect(topic);
        self.effects = Effects::default();
        let attributes = vec![attributes(given); words.len()];
        let Ok(copies) = self.engine.route(&topic, &key, &attributes, u64::MAX) else {
            return fact("no-topic");
        };
        if copies.is_empty() {
            return fact("none");
        }
        let coming = coming(words);
        let (messages, facts) = (coming.messages.clone(), coming.facts.clone());
        let publication = Publication { messages, facts, copies: copies.clone() };
        let published = match self.apply(Command::PublishAll(publication)) {
            Outcome::PublishedAll(published) => published,
            Outcome::Unpublished(Unpublished::Full(..)) => return fact("full"),
            other => panic!("what was routed gave {other:?}"),
        };
        fact(list(self.stored(&copies, &published, &coming)))
    }

    /// Notes what was stored; what it is called, or what it is a duplicate of.
    fn stored(
        &mut self,
        copies: &[Copies],
        published: &[crate::types::Published],
        Coming { labels, messages, keys, facts, own }: &Coming,
    ) -> Vec<String> {
        let mut stored = Vec::new();
        for (copies, published) in copies.iter().zip(published) {
            let from = copies.from as usize;
            let numbered: Vec<_> = published.sequences(copies.count as usize).collect();
            for (at, (sequence, duplicate)) in (from..).zip(numbered) {
                let label = format!("{}.{}", labels[at], self.names.queue_name(copies.queue));
                if duplicate {
                    stored.push(format!("{label}={}", self.names.label(copies.queue, sequence)));
                    continue;
                }
                stored.push(label.clone());
                let lane = self.lane_in(copies.queue, facts, u32::try_from(at).expect("a few"));
                let (content, key, own) = (messages[at].clone(), keys[at], own[at]);
                let message = Published { label, at: self.now, content, lane, key, own, source: None };
                self.names.published(copies.queue, sequence, message);
            }
        }
        stored
    }

    /// Everything that is published has its queue's name behind its own.
    fn transact(&mut self, id: &str, parts: &[&str]) -> Reply {
        let now = self.engine.record().epoch;
        let mut transact = Transact {
            id: (id != "-").then(|| TransactionId {
                namespace: String::new(),
                id: id.to_owned(),
                request: [xxhash_rust::xxh3::xxh3_64(parts.join(" ").as_bytes()), 0],
            }),
            ..Transact::default()
        };
        let mut receipts: Vec<Vec<&str>> = Vec::new();
        let (mut labels, mut keys, mut lives) = (Vec::new(), Vec::new(), Vec::new());
        let is_verb = |word: &&str| matches!(*word, "ack" | "publish" | "send");
        let begins = (0..parts.len()).filter(|&at| is_verb(&parts[at]));
        let ends = begins.clone().skip(1).chain([parts.len()]);
        for part in begins.zip(ends).map(|(begin, end)| &parts[begin..end]) {
            let from = u32::try_from(labels.len()).expect("a few");
            let (copies, words) = match part {
                ["ack", words @ ..] => {
                    let named: Vec<_> = words.iter().map(|word| self.names.claim(word, now)).collect();
                    let queue = named.first().expect("a receipt").0;
                    transact.acks.push((queue, named.iter().map(|(_, claim)| *claim).collect()));
                    receipts.push(words.to_vec());
                    continue;
                }
                ["publish", queue, words @ ..] => {
                    let count = u32::try_from(words.len()).expect("a few");
                    (vec![Copies { queue: self.names.queue(queue), from: 0, count }], words)
                }
                ["send", topic, key, words @ ..] => {
                    let (topic, key) = (topic.parse().expect(topic), key.parse().expect("a key"));
                    let none = vec![Attributes::new(); words.len()];
                    (self.engine.route(&topic, &key, &none, u64::MAX).expect("the topic is there"), words)
                }
                other => panic!("no part of a transaction: {other:?}"),
            };
            let Coming { labels: named, messages, keys: named_keys, facts, own } = coming(words);
            labels.extend(named);
            keys.extend(named_keys);
            lives.extend(own);
            let Publication { messages: all, facts: all_facts, copies: all_copies } =
                &mut transact.publication;
            all.extend(messages);
            all_facts.extend(facts.into_iter().map(|(place, facts)| (from + place, facts)));
            all_copies.extend(copies.into_iter().map(|copies| Copies { from: from + copies.from, ..copies }));
        }
        let Publication { messages, facts, copies } = transact.publication.clone();
        let Outcome::Transacted(outcome) = self.apply(Command::Transact(transact)) else {
            panic!("a transaction has an outcome of its own")
        };
        match outcome {
            Transacted::Done(published) => {
                let coming = Coming { labels, messages, keys, facts, own: lives };
                fact(list(self.stored(&copies, &published, &coming)))
            }
            Transacted::Before(before) => {
                let known = before.copies.iter().zip(&before.published).flat_map(|(copies, published)| {
                    let numbered = published.sequences(copies.count as usize);
                    numbered.map(|(sequence, _)| self.names.label(copies.queue, sequence)).collect::<Vec<_>>()
                });
                fact(format!("again {}", list(known)))
            }
            Transacted::OtherRequest => fact("other"),
            Transacted::Stale(Stale { ack, claim, why }) => {
                fact(format!("stale {} {}", receipts[ack][claim], word(why)))
            }
            Transacted::Unpublished(Unpublished::Full(..)) => fact("full"),
            Transacted::Unpublished(Unpublished::NoQueue) => fact("no-queue"),
        }
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
        let id = self.names.queue(queue);
        let number = self.names.holder(name);
        let picks = match self.engine.queue(id) {
            Some(queue) if queue.by_key() => self.keyed(id, number, count),
            Some(_) | None => {
                self.candidates(id).take_while(|pick| !self.is_over(id, pick)).take(count).collect()
            }
        };
        let holder = match kind {
            Kind::Stream => Holder::Stream(number),
            Kind::Receive => Holder::Receive(number),
        };
        match self.grant(id, holder, duration, name, picks) {
            Some(granted) => fact(list(granted.iter().map(|granted| self.names.receipt(id, *granted)))),
            None => fact("no-queue"),
        }
    }

    fn propose(&mut self, queue: &str, name: &str, words: &[&str]) -> Reply {
        let id = self.names.queue(queue);
        let picks = words.iter().map(|word| self.pick(id, word)).collect();
        let holder = Holder::Stream(self.names.holder(name));
        match self.grant(id, holder, None, name, picks) {
            Some(granted) => fact(list(granted.iter().map(|granted| self.names.receipt(id, *granted)))),
            None => fact("no-queue"),
        }
    }

    /// Where the message at a place goes.
    fn lane_in(&self, queue: QueueId, facts: &[(u32, Facts)], place: u32) -> Lane {
        let own = facts.iter().find(|&&(at, _)| at == place);
        let Facts { priority, delay, .. } = own.map(|&(_, facts)| facts).unwrap_or_default();
        let Some(queue) = self.engine.queue(queue) else { return Lane::default() };
        if queue.takes_delays() && delay > Duration::default() {
            return Lane::delayed(priority);
        }
        queue.lane_for(priority)
    }

    /// What is ready, in the order of delivery.
    pub(super) fn ready_of(&self, id: QueueId) -> Vec<Sequence> {
        let Some(queue) = self.engine.queue(id) else { return Vec::new() };
        let mut ready = Vec::new();
        ready.extend(queue.heads().filter(|_| queue.by_key()));
        for priority in queue.ready_priorities() {
            ready.extend(queue.returned_of(priority).filter(|_| !queue.by_key()));
            let lane = Lane::of(priority);
            let untouched = self.names.published_from(id, queue.lane(priority).frontier);
            let here = untouched.filter(|&(at, it)| it.lane == lane && queue.is_untouched(lane, at));
            ready.extend(here.map(|(sequence, _)| sequence));
        }
        ready
    }

    /// What may be leased, in the order of delivery.
    fn candidates(&self, id: QueueId) -> impl Iterator<Item = Pick> {
        let of = move |sequence| {
            pick(sequence, self.names.published_as(id, sequence).expect("a line published it"))
        };
        let by_key = self.engine.queue(id).is_some_and(crate::engine::Queue::by_key);
        let keyed = by_key.then(|| self.ready_of(id)).into_iter().flatten().map(of);
        keyed.chain(self.engine.queue(id).filter(|_| !by_key).into_iter().flat_map(move |queue| {
            queue.ready_priorities().flat_map(move |priority| {
                let returned = queue.returned_of(priority).map(move |sequence| {
                    let message = self.names.published_as(id, sequence).expect("a line published it");
                    pick(sequence, message)
                });
                let lane = Lane::of(priority);
                let untouched = self.names.published_from(id, queue.lane(priority).frontier);
                let untouched = untouched.filter(move |&(sequence, message)| {
                    message.lane == lane && queue.is_untouched(lane, sequence)
                });
                returned
                    .chain(untouched.map(|(sequence, message)| pick(sequence, message)))
                    .take_while(|pick| queue.barrier().is_none_or(|barrier| pick.sequence < barrier))
            })
        }))
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
        match self.apply(Command::Grant { queue, offers: vec![Offer { holder, duration, consumer }], picks })
        {
            Outcome::NoQueue => None,
            Outcome::Granted(granted) => {
                let epoch = self.engine.record().epoch;
                granted.iter().for_each(|&granted| self.names.granted(queue, granted, epoch));
                Some(granted)
            }
            other => panic!("a grant gave {other:?}"),
        }
    }

    /// Whoever gets a message gets what was published.
    fn read(&mut self, queue: QueueId, sequence: Sequence) {
        let Some(published) = self.names.published_as(queue, sequence) else { return };
        let there = self.engine.queue(queue).is_some_and(|it| {
            it.is_parked(sequence)
                || it.touch(sequence).is_some()
                || it.is_untouched(published.lane, sequence)
        });
        let kept = self.keep.content(LaneId::new(queue, published.lane), sequence);
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
        let (queue, holder) = (self.names.queue(queue), self.names.holder(name));
        self.dispatches.entry(queue).or_default().join(holder, limit);
        plain("ok")
    }

    fn dispatch(&mut self, queue: &str) -> Reply {
        let id = self.names.queue(queue);
        let mut dispatch = self.dispatches.remove(&id).expect("someone joined");
        let mut grants = Vec::new();
        let epoch = self.engine.record().epoch;
        let mut dealer = self.engine.queue(id).map(|queue| Dealer::new(queue, epoch));
        for pick in self.candidates(id).take_while(|pick| !self.is_over(id, pick)) {
            let taker = dealer.as_mut().and_then(|dealer| dealer.deal(&mut dispatch, pick.size));
            let Some(holder) = taker else { break };
            grants.push((holder, pick));
        }
        self.dispatches.insert(id, dispatch);
        let mut given = Vec::new();
        for run in grants.chunk_by(|a, b| a.0 == b.0) {
            let name = self.names.holder_name(run[0].0).to_owned();
            let picks = run.iter().map(|&(_, pick)| pick).collect();
            let granted =
                self.grant(id, Holder::Stream(run[0].0), None, &name, picks).expect("the queue is there");
            assert_eq!(granted.len(), run.len(), "what is ready can be leased");
            given
                .extend(granted.iter().map(|granted| format!("{name}:{}", self.names.receipt(id, *granted))));
        }
        fact(list(given))
    }

    fn took(&mut self, queue: &str, name: &str, message: &str) -> Reply {
        let (queue, holder) = (self.names.queue(queue), self.names.holder(name));
        let size = self.names.size(queue, self.names.message(message).1);
        self.dispatches.get_mut(&queue).expect("someone joined").freed(holder, size);
        plain("ok")
    }

    fn claim(&mut self, words: &[&str], command: impl FnOnce(QueueId, Vec<Claim>) -> Command) -> Reply {
        let epoch = self.engine.record().epoch;
        let named: Vec<_> = words.iter().map(|word| self.names.claim(word, epoch)).collect();
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
        let (queue, holder) = (self.names.queue(queue), self.names.holder(name));
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
        assert_eq!(digest(&self.engine), before, "another engine came back after\n{}", self.text);
        self.names.restarted();
        self.dispatches.clear();
        self.tell(Command::StartEpoch)
    }

    fn depth(&mut self, queue: &str) -> Reply {
        let depth = self.engine.queue(self.names.queue(queue)).map(crate::engine::Queue::depth);
        fact(depth.map_or("no-queue".to_owned(), |depth| {
            let mut text = format!("{} ready {} leased {} bytes", depth.ready, depth.leased, depth.bytes);
            for (count, name) in [(depth.delayed, "delayed"), (depth.dead, "dead"), (depth.parked, "parked")]
            {
                if count > 0 {
                    text += &format!(" {count} {name}");
                }
            }
            text
        }))
    }

    fn ready(&mut self, queue: &str) -> Reply {
        let id = self.names.queue(queue);
        let attempt = |sequence| self.engine.queue(id)?.touch(sequence).map(|touch| touch.attempt);
        let ready = self.candidates(id).map(|Pick { sequence, .. }| match attempt(sequence) {
            Some(attempt) => self.names.receipt(id, Granted { sequence, attempt }),
            None => self.names.label(id, sequence),
        });
        fact(list(ready))
    }

    fn freed(&mut self) -> Reply {
        fact(list(
            self.effects
                .freed
                .iter()
                .map(|freed| format!("{}:{}", self.names.holder_name(freed.holder), freed.size)),
        ))
    }
}

fn pick(sequence: Sequence, message: &Published) -> Pick {
    let (size, priority) = (message.content.size(), message.lane.priority());
    Pick { sequence, size, offer: Some(0), priority, key: message.key }
}
