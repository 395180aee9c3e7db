//! The reference model: what queues do, written as plainly as it can be.
//!
//! Every message that ever was stays in a list with its state; every question is answered by looking at all of them.
//! There is no index, no counter and no second copy of anything that could disagree. Each operation returns what a
//! script says after `->`.

use std::collections::BTreeSet;

use super::order::Ending;
use super::topics::Topic;

/// All queues that ever were.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Milliseconds.
    pub now: u64,
    /// Starts so far.
    pub epoch: u32,
    /// The place of a queue is its id.
    pub queues: Vec<Queue>,
    pub topics: Vec<Topic>,
    /// Those that were done: id, all that was asked for, what came of it.
    pub transactions: Vec<(String, String, String)>,
    /// Streams with credit.
    pub joined: Vec<Joined>,
    /// Whose leases the latest command ended, and the sizes of the messages.
    pub freed: Vec<(String, u64)>,
}

/// A queue, alive or deleted.
#[derive(Clone, Debug)]
pub struct Queue {
    pub name: String,
    pub settings: Settings,
    pub alive: bool,
    /// The place of a message is its sequence less one.
    pub messages: Vec<Message>,
    /// Each deduplication id that ever was: its message, and when it came.
    pub ids: Vec<(String, usize, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub at_most_once: bool,
    pub buffered: bool,
    pub lease_ms: u64,
    pub fifo: bool,
    pub by_key: bool,
    pub single: bool,
    pub paused: bool,
    /// 0 for no limit.
    pub max_attempts: usize,
    /// The first delay, by how much each further one grows, and the longest.
    pub backoff: Option<(u64, u64, u64)>,
    pub dead: Option<String>,
    pub messages_max: u64,
    pub bytes_max: u64,
    pub drop_oldest: bool,
    pub window_ms: u64,
    /// 0 for no limit.
    pub life_ms: u64,
}

/// A message that is to be published.
#[derive(Clone, Debug)]
pub struct Coming {
    pub label: String,
    pub size: u64,
    pub priority: u32,
    /// How long it waits.
    pub delay: u64,
    /// Its ordering key.
    pub key: Option<String>,
    /// Its own time to live.
    pub life: Option<u64>,
    /// Its deduplication id.
    pub id: Option<String>,
}

/// A message, there or gone.
#[derive(Clone, Debug)]
pub struct Message {
    pub label: String,
    pub size: u64,
    pub priority: u32,
    /// Whether it was published with a delay.
    pub postponed: bool,
    pub key: Option<String>,
    /// When it was published.
    pub born: u64,
    /// Its own time to live.
    pub life: Option<u64>,
    pub state: State,
    /// The epoch of each attempt.
    pub attempts: Vec<u32>,
    /// Attempts that do not count.
    pub uncounted: u32,
    /// Attempts that nobody had: the one before was taken back.
    pub skipped: Vec<usize>,
    /// The queue that it was moved from.
    pub source: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Never leased.
    Untouched,
    /// Leased, and given back; or stepped over.
    Returned,
    /// Not ready before this time.
    Delayed(u64),
    Leased(Lease),
    /// Stepped over, because its key has to wait.
    Parked,
    /// Waits for its dead-letter queue.
    Dead(&'static str),
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub by: String,
    pub kind: Kind,
    pub since: u64,
    pub deadline: u64,
    pub duration: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stream,
    Receive,
}

/// A stream with credit in one queue.
#[derive(Clone, Debug)]
pub struct Joined {
    pub queue: usize,
    pub name: String,
    pub messages: usize,
    pub bytes: u64,
    /// Sizes of at-most-once messages on their way.
    pub flying: Vec<(String, u64)>,
}

/// What a consumer claims to hold.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub sequence: usize,
    pub attempt: usize,
    pub epoch: u32,
}

/// What a claim asks for.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    Ack,
    Nack(Again),
    Extend(u64),
}

/// When a consumer wants a message to be tried again.
#[derive(Clone, Copy, Debug)]
pub enum Again {
    Backoff,
    After(u64),
    Never,
}

/// What a queue would store of what comes.
#[derive(Debug)]
pub struct Taken {
    /// Duplicates, each with the place of what is there.
    duplicates: Vec<(String, usize)>,
    new: Vec<Message>,
    /// All ids that were ever remembered, after it.
    ids: Vec<(String, usize, u64)>,
}

impl Message {
    /// One that was just stored.
    pub fn new(label: String, size: u64, born: u64, source: Option<String>) -> Self {
        let (attempts, skipped) = (Vec::new(), Vec::new());
        let (priority, key, postponed, life, state) = (0, None, false, None, State::Untouched);
        let uncounted = 0;
        Self {
            label,
            size,
            priority,
            key,
            postponed,
            born,
            life,
            state,
            attempts,
            uncounted,
            skipped,
            source,
        }
    }

    /// Whether it waits for its next consumer.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Untouched | State::Returned)
    }

    /// Whether it is in the queue.
    pub fn is_there(&self) -> bool {
        self.state != State::Gone
    }

    /// When something ends by itself.
    pub fn deadline(&self) -> Option<u64> {
        match &self.state {
            State::Leased(lease) => Some(lease.deadline),
            State::Delayed(until) => Some(*until),
            State::Untouched | State::Returned | State::Parked | State::Dead(_) | State::Gone => None,
        }
    }

    pub fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Leased(lease) => Some(lease),
            State::Untouched
            | State::Returned
            | State::Delayed(_)
            | State::Parked
            | State::Dead(_)
            | State::Gone => None,
        }
    }

    pub fn receipt(&self) -> String {
        format!("{}#{}", self.label, self.attempts.len())
    }
}

impl Queue {
    /// What is ready, in the order of delivery: the most urgent first, and of these what came back first.
    pub fn ready(&self) -> Vec<usize> {
        if self.settings.by_key {
            return self.ready_by_key();
        }
        let mut ready: Vec<_> = (0..self.messages.len()).filter(|&at| self.messages[at].is_ready()).collect();
        ready.sort_by_key(|&at| {
            let message = &self.messages[at];
            (std::cmp::Reverse(message.priority), message.state == State::Untouched, at)
        });
        ready
    }

    /// The first of a priority that was never leased.
    pub fn first_untouched(&self, priority: u32) -> Option<usize> {
        let first = |message: &Message| message.state == State::Untouched && message.priority == priority;
        self.messages.iter().position(first)
    }

    /// Whether everything is in the lane of priority 0.
    pub fn is_flat(&self) -> bool {
        self.messages.iter().all(|message| message.priority == 0 && !message.postponed)
    }

    /// The message behind the last that was ever leased, or is gone.
    fn passed(&self) -> usize {
        self.messages.iter().rposition(|message| message.state != State::Untouched).map_or(0, |at| at + 1)
    }
}

impl Model {
    /// The queue of that name that is alive.
    pub fn alive(&self, name: &str) -> Option<usize> {
        self.queues.iter().position(|queue| queue.alive && queue.name == name)
    }

    pub fn create(&mut self, name: &str, settings: Settings) -> String {
        self.freed.clear();
        if let Some(at) = self.alive(name) {
            let same = self.queues[at].settings == settings;
            return if same { "exists" } else { "conflict" }.to_owned();
        }
        if self.is_cycle(name, &settings) {
            return "cycle".to_owned();
        }
        self.queues.push(Queue {
            name: name.to_owned(),
            settings,
            alive: true,
            messages: Vec::new(),
            ids: Vec::new(),
        });
        "ok".to_owned()
    }

    pub fn publish(&mut self, queue: &str, coming: &[Coming]) -> String {
        self.freed.clear();
        let Some(at) = self.alive(queue) else { return "no-queue".to_owned() };
        let Some(taken) = self.take(at, coming) else { return "full".to_owned() };
        let duplicates = self.store(at, taken);
        if duplicates.is_empty() { "ok".to_owned() } else { duplicates.join(" ") }
    }

    /// What a queue would store; nothing if it is full.
    pub fn take(&self, at: usize, coming: &[Coming]) -> Option<Taken> {
        let (now, queue) = (self.now, &self.queues[at]);
        let mut taken = Taken { duplicates: Vec::new(), new: Vec::new(), ids: queue.ids.clone() };
        for Coming { label, size, priority, key, delay, life, id } in coming {
            let known = |(other, _, since): &&(String, usize, u64)| {
                id.as_ref() == Some(other) && since + queue.settings.window_ms > now
            };
            if let Some((_, first, _)) = taken.ids.iter().rfind(known) {
                taken.duplicates.push((label.clone(), *first));
                continue;
            }
            if let Some(id) = id {
                taken.ids.push((id.clone(), queue.messages.len() + taken.new.len(), now));
            }
            let priority = if queue.is_ordered() { 0 } else { *priority };
            let waits = *delay > 0 && !queue.is_ordered();
            let state = if waits { State::Delayed(now + delay) } else { State::Untouched };
            let message = Message::new(label.clone(), *size, now, None);
            let (key, life) = (key.clone(), *life);
            taken.new.push(Message { priority, key, state, postponed: waits, life, ..message });
        }
        let there = || queue.messages.iter().filter(|message| message.is_there()).chain(&taken.new);
        let (count, bytes) = (there().count() as u64, there().map(|message| message.size).sum::<u64>());
        let over = |held: u64, most: u64| most > 0 && held > most;
        let Settings { messages_max, bytes_max, .. } = queue.settings;
        let full = !taken.new.is_empty() && (over(count, messages_max) || over(bytes, bytes_max));
        (!full).then_some(taken)
    }

    /// Stores it; what was a duplicate of what.
    pub fn store(&mut self, at: usize, taken: Taken) -> Vec<String> {
        let queue = &mut self.queues[at];
        queue.ids = taken.ids;
        queue.messages.extend(taken.new);
        let duplicate = |(label, first): (String, usize)| format!("{label}={}", queue.messages[first].label);
        taken.duplicates.into_iter().map(duplicate).collect()
    }

    /// The first that are ready go.
    pub fn drop(&mut self, queue: &str, count: usize) -> String {
        self.freed.clear();
        let Some(queue) = self.alive(queue) else { return "no-queue".to_owned() };
        let ready: Vec<_> = self.queues[queue].ready().into_iter().take(count).collect();
        for &at in &ready {
            self.queues[queue].messages[at].state = State::Gone;
        }
        format!("{} gone", ready.len())
    }

    /// Leases the first that are ready.
    pub fn lease(&mut self, queue: &str, count: usize, ms: Option<u64>, by: &str, kind: Kind) -> String {
        let Some(at) = self.alive(queue) else { return self.grant(queue, &[], ms, by, kind) };
        if self.queues[at].settings.by_key {
            return self
                .lease_by_key((queue, at), count, |model, pick| model.grant(queue, &[pick], ms, by, kind));
        }
        let fresh = |&it: &usize| !self.queues[at].is_over(it, self.now);
        let picks: Vec<_> = self.queues[at].ready().into_iter().take_while(fresh).take(count).collect();
        self.grant(queue, &picks, ms, by, kind)
    }

    /// Leases those of `picks` that can be had: what came back, and the first of those that were never leased.
    pub fn grant(&mut self, queue: &str, picks: &[usize], ms: Option<u64>, by: &str, kind: Kind) -> String {
        self.freed.clear();
        let Some(queue) = self.alive(queue) else { return "no-queue".to_owned() };
        let queue = &mut self.queues[queue];
        let mut granted = Vec::new();
        for &pick in picks {
            let first = queue.messages.get(pick).and_then(|it| queue.first_untouched(it.priority));
            if !queue.may_go(pick, by, self.epoch) {
                continue;
            }
            let Some(message) = queue.messages.get_mut(pick) else { continue };
            if !matches!(message.state, State::Returned | State::Parked) && first != Some(pick) {
                continue;
            }
            let duration = ms.unwrap_or(queue.settings.lease_ms);
            let (since, deadline) = (self.now, self.now + duration);
            message.attempts.push(self.epoch);
            message.state = match queue.settings.at_most_once {
                true => State::Gone,
                false => State::Leased(Lease { by: by.to_owned(), kind, since, deadline, duration }),
            };
            granted.push(message.receipt());
        }
        list(&granted)
    }

    pub fn claim(&mut self, queue: usize, claims: &[Claim], ask: Ask) -> String {
        self.freed.clear();
        if !self.queues[queue].alive {
            return "no-queue".to_owned();
        }
        let mut order: Vec<_> = (0..claims.len()).collect();
        if self.queues[queue].is_ordered() && matches!(ask, Ask::Nack(_)) {
            order.sort_by_key(|&place| std::cmp::Reverse(claims[place].sequence));
        }
        let mut results = vec![""; claims.len()];
        for place in order {
            results[place] = self.claim_one(queue, claims[place], ask);
        }
        if results.iter().all(|&result| result == "ok") { "ok".to_owned() } else { results.join(" ") }
    }

    /// The message that a claim may act on, or why it may not.
    pub fn standing(&self, queue: usize, claim: Claim) -> Result<usize, &'static str> {
        let at = claim.sequence.checked_sub(1).ok_or("unknown")?;
        let passed = at < self.queues[queue].passed();
        let message = self.queues[queue].messages.get(at).ok_or("unknown")?;
        let latest = message.attempts.len();
        if claim.attempt == 0 || claim.epoch > self.epoch || (message.state == State::Untouched && !passed) {
            return Err("unknown");
        }
        if matches!(message.state, State::Gone | State::Dead(_) | State::Untouched | State::Parked) {
            return Err("gone");
        }
        if claim.attempt > latest || claim.epoch > message.attempts[latest - 1] {
            return Err("unknown");
        }
        if claim.attempt < latest {
            return Err("superseded");
        }
        if claim.epoch == message.attempts[latest - 1] { Ok(at) } else { Err("unknown") }
    }

    fn claim_one(&mut self, queue: usize, claim: Claim, ask: Ask) -> &'static str {
        let at = match self.standing(queue, claim) {
            Ok(at) => at,
            Err("gone") if matches!(ask, Ask::Ack) => return "ok",
            Err(why) => return why,
        };
        let now = self.now;
        let message = &mut self.queues[queue].messages[at];
        let holds = message.lease().is_some_and(|lease| lease.deadline > now);
        match (ask, &mut message.state) {
            (Ask::Ack, _) => self.end(queue, at, State::Gone),
            (Ask::Nack(again), _) if holds => _ = self.give_back(queue, at, Ending::Nack(again)),
            (Ask::Extend(ms), State::Leased(lease)) if holds => lease.deadline = now + ms,
            (Ask::Nack(_) | Ask::Extend(_), _) => return "expired",
        }
        "ok"
    }

    /// A message comes into another state; if it was leased in this epoch, its holder has credit again.
    pub fn end(&mut self, queue: usize, at: usize, state: State) {
        let message = &mut self.queues[queue].messages[at];
        let granted = message.attempts.last().copied();
        if let State::Leased(lease) = std::mem::replace(&mut message.state, state)
            && granted == Some(self.epoch)
        {
            self.freed.push((lease.by, message.size));
        }
    }

    pub fn release(&mut self, queue: &str, by: &str, counted: bool) -> String {
        self.freed.clear();
        let Some(queue) = self.last(queue) else { return "0 released".to_owned() };
        self.joined.retain(|joined| joined.queue != queue || joined.name != by);
        let epoch = self.epoch;
        let held = |message: &Message| {
            message.attempts.last() == Some(&epoch) && message.lease().is_some_and(|lease| lease.by == by)
        };
        self.release_where(queue, counted, held)
    }

    fn release_where(&mut self, queue: usize, counted: bool, held: impl Fn(&Message) -> bool) -> String {
        let mut begun = BTreeSet::new();
        let mut released = 0;
        for at in 0..self.queues[queue].messages.len() {
            if self.queues[queue].alive && held(&self.queues[queue].messages[at]) {
                let Queue { settings, messages, .. } = &self.queues[queue];
                let key = messages[at].key.clone().filter(|_| settings.by_key);
                let ordered = settings.fifo || key.is_some();
                let first = !ordered || begun.insert(key);
                let ending = if counted && first { Ending::Release } else { Ending::Server };
                released += self.give_back(queue, at, ending);
            }
        }
        format!("{released} released")
    }

    pub fn purge(&mut self, queue: &str) -> String {
        self.freed.clear();
        let Some(queue) = self.alive(queue) else { return "no-queue".to_owned() };
        let mut gone = 0;
        for message in self.queues[queue].messages.iter_mut().filter(|message| message.is_there()) {
            if message.lease().is_none() {
                message.state = State::Gone;
                gone += 1;
            }
        }
        format!("{gone} gone")
    }

    pub fn delete(&mut self, queue: &str) -> String {
        self.freed.clear();
        let Some(queue) = self.alive(queue) else { return "no-queue".to_owned() };
        if let Some(topic) = self.bound(queue) {
            return format!("bound to {topic}");
        }
        let name = Some(self.queues[queue].name.clone());
        if self.queues.iter().any(|other| other.alive && other.settings.dead == name) {
            return "named".to_owned();
        }
        self.queues[queue].alive = false;
        self.joined.retain(|joined| joined.queue != queue);
        format!("{} gone", self.queues[queue].messages.iter().filter(|message| message.is_there()).count())
    }

    /// Ends the first `limit` of the leases and delays that are due.
    pub fn expire(&mut self, limit: usize) -> String {
        self.freed.clear();
        let mut expired = 0;
        for _ in 0..limit {
            let first = self.deadlines().first().copied();
            let Some((_, queue, at)) = first.filter(|&(deadline, ..)| deadline <= self.now) else { break };
            expired += self.time_out(queue, at);
        }
        format!("{expired} expired")
    }

    /// A new epoch: streams are gone.
    pub fn restart(&mut self) -> String {
        self.freed.clear();
        self.joined.clear();
        self.epoch += 1;
        let released = |text: String| text.trim_end_matches(" released").parse::<u64>().expect("a number");
        let stream = |message: &Message| message.lease().is_some_and(|lease| lease.kind == Kind::Stream);
        let all = (0..self.queues.len())
            .map(|queue| released(self.release_where(queue, false, stream)))
            .sum::<u64>();
        format!("{all} released")
    }

    pub fn depth(&self, queue: &str) -> String {
        let Some(queue) = self.alive(queue) else { return "no-queue".to_owned() };
        let messages = &self.queues[queue].messages;
        let ready = if self.queues[queue].settings.by_key {
            self.queues[queue].ready().len()
        } else {
            messages.iter().filter(|message| message.is_ready()).count()
        };
        let leased = messages.iter().filter(|message| message.lease().is_some()).count();
        let bytes =
            messages.iter().filter(|message| message.is_there()).map(|message| message.size).sum::<u64>();
        let mut text = format!("{ready} ready {leased} leased {bytes} bytes");
        let delayed = messages.iter().filter(|message| matches!(message.state, State::Delayed(_))).count();
        let dead = messages.iter().filter(|message| matches!(message.state, State::Dead(_))).count();
        let there = messages.iter().filter(|message| message.is_there()).count();
        let parked = there - ready - leased - delayed - dead;
        for (count, name) in [(delayed, "delayed"), (dead, "dead"), (parked, "parked")] {
            if count > 0 {
                text += &format!(" {count} {name}");
            }
        }
        text
    }

    pub fn ready(&self, queue: &str) -> String {
        let Some(queue) = self.alive(queue) else { return "none".to_owned() };
        let show = |message: &Message| match message.state {
            State::Untouched | State::Parked => message.label.clone(),
            State::Returned | State::Delayed(_) | State::Leased(_) | State::Dead(_) | State::Gone => {
                message.receipt()
            }
        };
        let messages = &self.queues[queue].messages;
        list(&self.queues[queue].candidates().into_iter().map(|at| show(&messages[at])).collect::<Vec<_>>())
    }

    /// Deadlines of all leases and ends of all delays, earliest first.
    pub fn deadlines(&self) -> BTreeSet<(u64, usize, usize)> {
        let mut deadlines = BTreeSet::new();
        for (id, queue) in self.queues.iter().enumerate().filter(|(_, queue)| queue.alive) {
            for (at, message) in queue.messages.iter().enumerate() {
                deadlines.extend(message.deadline().map(|deadline| (deadline, id, at)));
            }
        }
        deadlines
    }

    pub fn join(&mut self, queue: &str, name: &str, messages: usize, bytes: u64) {
        let queue = self.alive(queue).expect("only a queue that is there is joined");
        self.joined.push(Joined { queue, name: name.to_owned(), messages, bytes, flying: Vec::new() });
    }

    /// Who was given what is the dispatcher's choice, within what was promised: order, credit, and that nobody who
    /// holds nothing goes without while there is something.
    pub fn dispatched(&mut self, queue: &str, reply: &str) {
        let at = self.alive(queue).expect("only a queue that is there has streams");
        let pairs = if reply == "none" { "" } else { reply };
        for pair in pairs.split_whitespace() {
            let (name, receipt) = pair.split_once(':').expect("stream:receipt");
            let first = self.queues[at].candidates()[0];
            assert!(!self.queues[at].is_over(first, self.now), "{receipt} is delivered after its time");
            let size = self.queues[at].messages[first].size;
            assert!(self.may_hold(at, name, size), "{name} has no credit for {receipt}");
            let oldest = self.joined.iter().find(|joined| joined.queue == at).expect("someone joined");
            assert!(!self.queues[at].settings.single || oldest.name == name, "{name} is not the oldest");
            let granted = self.grant(queue, &[first], None, name, Kind::Stream);
            assert_eq!(granted, receipt, "{name} got what was not next");
            if self.queues[at].settings.at_most_once {
                let joined = self.joined.iter_mut().find(|joined| joined.name == name).expect("it joined");
                joined.flying.push((self.queues[at].messages[first].label.clone(), size));
            }
        }
        self.nobody_goes_without(at);
    }

    /// Whoever may get the next message and holds nothing has got it.
    fn nobody_goes_without(&self, at: usize) {
        let Queue { settings, messages, .. } = &self.queues[at];
        let Some(&next) = self.queues[at].candidates().first() else { return };
        let held = settings.fifo && messages.iter().any(|message| message.lease().is_some());
        if settings.paused || held || self.queues[at].is_over(next, self.now) {
            return;
        }
        let mut here = self.joined.iter().filter(|joined| joined.queue == at);
        let turn = if settings.single { 1 } else { usize::MAX };
        let idle = here.by_ref().take(turn).find(|joined| self.held(joined).is_empty());
        assert!(idle.is_none(), "{idle:?} goes without {}", messages[next].label);
    }

    fn may_hold(&self, queue: usize, name: &str, size: u64) -> bool {
        let joined = self.joined.iter().find(|joined| joined.queue == queue && joined.name == name);
        let Some(joined) = joined else { return false };
        let held = self.held(joined);
        let bytes = held.iter().sum::<u64>() + size;
        held.is_empty() || (held.len() < joined.messages && bytes <= joined.bytes)
    }

    /// Sizes of what a stream holds.
    fn held(&self, joined: &Joined) -> Vec<u64> {
        let messages = self.queues[joined.queue].messages.iter();
        let leased = messages.filter(|message| message.lease().is_some_and(|lease| lease.by == joined.name));
        leased.map(|message| message.size).chain(joined.flying.iter().map(|&(_, size)| size)).collect()
    }

    /// The latest queue of that name, alive or not.
    pub fn last(&self, name: &str) -> Option<usize> {
        self.queues.iter().rposition(|queue| queue.name == name)
    }
}

/// Words, as a script writes them.
pub fn list(words: &[String]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}
