//! A random history: a mix of all commands over a few queues, written as a script and compared with the model.
//!
//! The same seed gives the same history. Each line carries what the model expects, so that the text of a history is a
//! script by itself.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::compare::compare;
use super::model::{Again, Ask, Claim, Coming, Kind, Model, Settings, State, list};
use crate::script::Script;
use crate::shadow::Keep;
use crate::words::show;

/// One run of a history.
pub struct History<K: Keep> {
    seed: u64,
    pub(super) rng: SmallRng,
    pub(super) model: Model,
    script: Script<K>,
    /// The model's time starts at zero.
    start: u64,
    pub(super) published: usize,
    /// Transactions that had an id: it, and the rest of the line.
    pub(super) transacted: Vec<(String, String)>,
    joined: usize,
    pub(super) sizes: Sizes,
}

/// How large things become now and then; mostly they are small.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes of a message.
    pub bytes_max: usize,
    /// Messages that are published, or leased, at once.
    pub batch_max: usize,
}

/// What a line may be, each as often as its number says.
const LINES: [(u32, Line); 31] = [
    (18, Line::Publish),
    (14, Line::Lease),
    (7, Line::Receive),
    (4, Line::Grant),
    (3, Line::Join),
    (8, Line::Dispatch),
    (3, Line::Took),
    (14, Line::Ack),
    (7, Line::Nack),
    (5, Line::Extend),
    (5, Line::Release),
    (2, Line::Purge),
    (2, Line::Drop),
    (1, Line::Forget),
    (6, Line::Lapse),
    (1, Line::Delete),
    (3, Line::Create),
    (4, Line::Update),
    (5, Line::Bury),
    (3, Line::Redrive),
    (4, Line::Wait),
    (6, Line::Advance),
    (3, Line::Expire),
    (3, Line::Restart),
    (1, Line::Depth),
    (1, Line::Ready),
    (1, Line::Deadline),
    (2, Line::Freed),
    (6, Line::Topic),
    (6, Line::Send),
    (8, Line::Transact),
];

#[derive(Clone, Copy)]
enum Line {
    Publish,
    Lease,
    Receive,
    Grant,
    Join,
    Dispatch,
    Took,
    Ack,
    Nack,
    Extend,
    Release,
    Purge,
    Drop,
    Forget,
    Lapse,
    Delete,
    Create,
    Update,
    Bury,
    Redrive,
    Wait,
    Advance,
    Expire,
    Restart,
    Depth,
    Ready,
    Deadline,
    Freed,
    Topic,
    Send,
    Transact,
}

impl<K: Keep> History<K> {
    /// A history that has not begun.
    pub fn new(seed: u64, keep: K, sizes: Sizes) -> Self {
        let script = Script::new(keep);
        let model = Model { epoch: 1, ..Model::default() };
        let start = script.now.0;
        let rng = SmallRng::seed_from_u64(seed);
        Self { seed, rng, model, script, start, published: 0, transacted: Vec::new(), joined: 0, sizes }
    }

    /// Runs `lines` lines; panics at the first that is not as the model says.
    pub fn run(mut self, lines: usize) -> String {
        for _ in 0..self.rng.random_range(1..=3) {
            while self.model.queues.is_empty() {
                self.create();
            }
        }
        if self.rng.random_bool(0.5) {
            self.topics();
        }
        for _ in 0..lines {
            let mut roll = self.rng.random_range(0..LINES.iter().map(|(weight, _)| weight).sum());
            let line = LINES.iter().find(|(weight, _)| {
                let hit = roll < *weight;
                roll = roll.saturating_sub(*weight);
                hit
            });
            self.line(line.expect("the roll is below the sum").1);
            compare(&self.model, &self.script.engine, self.start);
        }
        std::mem::take(&mut self.script.text)
    }

    fn line(&mut self, line: Line) {
        match line {
            Line::Publish => self.publish(),
            Line::Lease => self.lease("lease", Kind::Stream, &["s", "t", "u"]),
            Line::Receive => self.lease("receive", Kind::Receive, &["r", "v"]),
            Line::Grant => self.grant(),
            Line::Join => self.join(),
            Line::Dispatch => self.dispatch(),
            Line::Took => self.took(),
            Line::Ack => self.claim("ack", Ask::Ack),
            Line::Nack => {
                let ms = self.one(&[0, 1, 1000, 2500]);
                let (verb, again) = match self.rng.random_range(0..6) {
                    0 => (format!("nack after {}", time(ms)), Again::After(ms)),
                    1 => ("nack dead".to_owned(), Again::Never),
                    _ => ("nack".to_owned(), Again::Backoff),
                };
                self.claim(&verb, Ask::Nack(again));
            }
            Line::Extend => {
                let ms = self.lease_ms();
                self.claim(&format!("extend {}", time(ms)), Ask::Extend(ms));
            }
            Line::Release => self.release(),
            Line::Purge => self.on_queue("purge", Model::purge),
            Line::Drop => {
                let count = self.batch();
                let queue = self.name();
                let expected = self.model.drop(&queue, count);
                self.say(&format!("drop {queue} {count}"), &expected);
            }
            Line::Forget => {
                let limit = self.rng.random_range(0..4);
                self.model.freed.clear();
                self.say(&format!("forget {limit}"), "ok");
            }
            Line::Lapse => self.on_queue("lapse", Model::lapse),
            Line::Delete => self.on_queue("delete", Model::delete),
            Line::Create => self.create(),
            Line::Update => self.update(),
            Line::Bury => self.on_queue("bury", Model::bury),
            Line::Redrive => self.redrive(),
            Line::Wait => {
                let ms = self.pass();
                self.say(&format!("wait {}", time(ms)), "ok");
            }
            Line::Advance => {
                let ms = self.pass();
                self.model.expire(usize::MAX);
                self.say(&format!("advance {}", time(ms)), "ok");
            }
            Line::Expire => {
                let limit = self.rng.random_range(0..4);
                let expected = self.model.expire(limit);
                self.say(&format!("expire {limit}"), &expected);
            }
            Line::Restart => {
                let expected = self.model.restart();
                self.say("restart", &expected);
            }
            Line::Depth => self.on_queue("depth", |model, queue| model.depth(queue)),
            Line::Ready => self.on_queue("ready", |model, queue| model.ready(queue)),
            Line::Deadline => {
                let first = self.model.deadlines().first().map(|&(at, ..)| at.saturating_sub(self.model.now));
                self.say("deadline", &first.map_or("none".to_owned(), time));
            }
            Line::Topic => self.topic(),
            Line::Send => self.send(),
            Line::Transact => self.transact(),
            Line::Freed => {
                let freed = self.model.freed.iter().map(|(name, size)| format!("{name}:{size}"));
                let freed = list(&freed.collect::<Vec<_>>());
                self.say("freed", &freed);
            }
        }
    }

    pub(super) fn say(&mut self, command: &str, expected: &str) {
        match expected {
            "ok" => self.script.step(command),
            fact => self.script.step(&format!("{command} -> {fact}")),
        }
    }

    /// The name of a queue that was made; some of them are deleted.
    pub(super) fn name(&mut self) -> String {
        let at = self.rng.random_range(0..self.model.queues.len());
        self.model.queues[at].name.clone()
    }

    pub(super) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.random_range(0..of.len())]
    }

    fn on_queue(&mut self, verb: &str, model: impl FnOnce(&mut Model, &str) -> String) {
        let queue = self.name();
        let expected = model(&mut self.model, &queue);
        self.say(&format!("{verb} {queue}"), &expected);
    }

    fn create(&mut self) {
        let name = self.one(&["q1", "q2", "q3"]);
        let limited = self.rng.random_ratio(1, 3);
        let (fifo, by_key) = self.one(&[(true, false), (false, true), (false, false)]);
        let settings = Settings {
            at_most_once: self.rng.random_ratio(1, 5),
            buffered: self.rng.random_ratio(1, 5),
            lease_ms: self.lease_ms(),
            fifo,
            by_key,
            single: self.rng.random_ratio(1, 6),
            paused: self.rng.random_ratio(1, 12),
            max_attempts: self.one(&[0, 0, 0, 1, 2, 3]),
            backoff: self.backoff(),
            dead: self.dead(),
            messages_max: if limited { self.rng.random_range(0..20) } else { 0 },
            bytes_max: if limited { self.rng.random_range(0..400) } else { 0 },
            drop_oldest: limited && self.rng.random_bool(0.5),
            window_ms: if self.rng.random_bool(0.3) { self.lease_ms() } else { 0 },
            life_ms: if self.rng.random_bool(0.2) { self.lease_ms() } else { 0 },
        };
        let expected = self.model.create(name, settings.clone());
        self.say(&format!("queue {name}{}", settings_words(&settings)), &expected);
    }

    /// Changes one setting.
    fn update(&mut self) {
        let name = self.name();
        let last = self.model.last(&name).expect("it was made");
        let mut settings = self.model.queues[last].settings.clone();
        let mut word = match self.rng.random_range(0..14) {
            0 => {
                let word = self.one(&["fifo", "by-key", "unordered"]);
                (settings.fifo, settings.by_key) = (word == "fifo", word == "by-key");
                word.to_owned()
            }
            1 => {
                settings.at_most_once = !settings.at_most_once;
                if settings.at_most_once { "at-most-once" } else { "at-least-once" }.to_owned()
            }
            2 => {
                settings.max_attempts = self.one(&[0, 1, 2]);
                format!("tries:{}", settings.max_attempts)
            }
            3 => {
                settings.backoff = self.backoff();
                backoff_word(settings.backoff)
            }
            4 => {
                settings.dead = self.dead();
                format!("dead:{}", settings.dead.as_deref().unwrap_or_default())
            }
            5 => {
                settings.messages_max = self.one(&[0, 3, 30]);
                settings.bytes_max = self.one(&[0, 400]);
                settings.drop_oldest =
                    settings.messages_max + settings.bytes_max > 0 && self.rng.random_bool(0.5);
                limit_words(&settings)
            }
            6 => {
                // What a longer one would mean for what is forgotten is a matter of memory.
                settings.window_ms = settings.window_ms.min(self.lease_ms());
                format!("dedup:{}", time(settings.window_ms))
            }
            7 => {
                settings.lease_ms = self.lease_ms();
                time(settings.lease_ms)
            }
            8 => {
                settings.single = !settings.single;
                if settings.single { "single" } else { "shared" }.to_owned()
            }
            9 | 10 => {
                settings.life_ms = if self.rng.random_bool(0.5) { self.lease_ms() } else { 0 };
                format!("ttl:{}", time(settings.life_ms))
            }
            _ => {
                settings.paused = !settings.paused;
                if settings.paused { "paused" } else { "resumed" }.to_owned()
            }
        };
        if self.model.alive(&name).is_none() {
            // Without a queue a script begins with the defaults.
            word = "paused".to_owned();
        }
        let expected = self.model.update(&name, settings);
        self.say(&format!("update {name} {word}"), &expected);
    }

    fn redrive(&mut self) {
        let (queue, count) = (self.name(), self.batch());
        let of = self.rng.random_bool(0.5).then(|| self.one(&["q1", "q2", "q3"]));
        let expected = self.model.redrive(&queue, count, of);
        let of = of.map_or(String::new(), |of| format!(" of {of}"));
        self.say(&format!("redrive {queue} {count}{of}"), &expected);
    }

    fn backoff(&mut self) -> Option<(u64, u64, u64)> {
        let (initial, growth, max) =
            (self.one(&[1, 500, 1000]), self.one(&[1, 2, 3]), self.one(&[1000, 4000]));
        self.rng.random_ratio(1, 4).then_some((initial, growth, max))
    }

    fn dead(&mut self) -> Option<String> {
        let name = self.one(&["q1", "q2", "q3"]);
        self.rng.random_ratio(1, 2).then(|| name.to_owned())
    }

    fn publish(&mut self) {
        let queue = self.name();
        let messages = self.messages();
        let line = format!("publish {queue}{}", words(&messages));
        let expected = self.model.publish(&queue, &messages);
        self.say(&line, &expected);
    }

    /// New ones, with their sizes.
    pub(super) fn messages(&mut self) -> Vec<Coming> {
        let count = self.batch();
        let with_ids = self.rng.random_ratio(1, 3);
        let urgent = self.rng.random_ratio(1, 3);
        let late = self.rng.random_ratio(1, 4);
        let keyed = self.rng.random_bool(0.7);
        let mortal = self.rng.random_ratio(1, 4);
        let mut message = || {
            self.published += 1;
            let label = format!("m{}", self.published);
            let large = count < 8 && self.rng.random_ratio(1, 8);
            let bytes_max = if large { self.sizes.bytes_max } else { 40 };
            let size = self.rng.random_range(8..=bytes_max) as u64;
            let priority = if urgent { [0, 0, 1, 5, 9][self.rng.random_range(0..5)] } else { 0 };
            let id = with_ids.then(|| format!("i{}", self.rng.random_range(0..12)));
            let delay = if late { [0, 1, 500, 1000, 2500][self.rng.random_range(0..5)] } else { 0 };
            let key = keyed.then(|| ["a", "a", "b", "c", ""][self.rng.random_range(0..5)]);
            let key = key.filter(|key| !key.is_empty()).map(str::to_owned);
            let life = mortal.then(|| [1, 500, 1000, 3000, 20_000][self.rng.random_range(0..5)]);
            let life = life.filter(|_| self.rng.random_bool(0.5));
            Coming { label, size, priority, key, delay, life, id }
        };
        (0..count).map(|_| message()).collect()
    }

    fn lease(&mut self, verb: &str, kind: Kind, names: &[&str]) {
        let (queue, count, by) = (self.name(), self.batch(), self.one(names));
        let ms = self.rng.random_bool(0.5).then(|| self.lease_ms());
        let expected = self.model.lease(&queue, count, ms, by, kind);
        let ms = ms.map_or(String::new(), |ms| format!(" {}", time(ms)));
        self.say(&format!("{verb} {queue} {count}{ms} by {by}"), &expected);
    }

    /// Picks that may or may not hold.
    fn grant(&mut self) {
        let (queue, by) = (self.name(), self.one(&["s", "t"]));
        let at = self.model.last(&queue).expect("it was made");
        let end = self.model.queues[at].messages.len() + 2;
        let ready = self.model.queues[at].ready();
        let flat = self.model.queues[at].is_flat();
        let mut sequences = Vec::new();
        for _ in 0..self.rng.random_range(1..=5) {
            let sequence = match ready.first() {
                Some(&first) if self.rng.random_bool(0.5) => first + sequences.len() + 1,
                Some(_) | None => self.rng.random_range(1..=end),
            };
            // Where a lane has gaps, the engine takes the broker's word for which message is its next.
            let untouched = self.model.queues[at].messages.get(sequence - 1).filter(|_| !flat);
            let honest = untouched.is_none_or(|message| {
                let first = self.model.queues[at].first_untouched(message.priority);
                let gone = message.postponed && message.state == State::Gone;
                !gone && (message.state != State::Untouched || first == Some(sequence - 1))
            });
            if honest {
                sequences.push(sequence);
            }
        }
        if sequences.is_empty() {
            return;
        }
        let picks: Vec<_> = sequences.iter().map(|sequence| sequence - 1).collect();
        let expected = self.model.grant(&queue, &picks, None, by, Kind::Stream);
        let words: Vec<_> = sequences.iter().map(|sequence| format!("{queue}/{sequence}")).collect();
        self.say(&format!("grant {queue} {} by {by}", words.join(" ")), &expected);
    }

    fn join(&mut self) {
        let queue = self.name();
        if self.model.alive(&queue).is_none() {
            return;
        }
        self.joined += 1;
        let name = format!("j{}", self.joined);
        let (messages, bytes) = (self.rng.random_range(1..5), self.rng.random_range(1..100));
        self.model.join(&queue, &name, messages, bytes);
        self.say(&format!("join {queue} {name} {messages} messages {bytes} bytes"), "ok");
    }

    fn dispatch(&mut self) {
        let queue = self.name();
        let at = self.model.alive(&queue);
        let by_key = at.is_some_and(|at| self.model.queues[at].settings.by_key);
        if by_key || !self.model.joined.iter().any(|joined| Some(joined.queue) == at) {
            return;
        }
        self.script.step(&format!("dispatch {queue} -> ?"));
        let reply = self.script.text.trim_end().rsplit_once("-> ").expect("a reply").1;
        self.model.dispatched(&queue, reply);
    }

    /// The transport took the bytes of an at-most-once message.
    fn took(&mut self) {
        let Some(joined) = self.model.joined.iter_mut().find(|joined| !joined.flying.is_empty()) else {
            return;
        };
        let at = self.rng.random_range(0..joined.flying.len());
        let (message, _) = joined.flying.remove(at);
        let (queue, name) = (self.model.queues[joined.queue].name.clone(), joined.name.clone());
        self.say(&format!("took {queue} {name} {message}"), "ok");
    }

    fn release(&mut self) {
        let joined = self.model.joined.iter().map(|joined| joined.name.as_str());
        let names: Vec<_> = ["s", "t", "u", "r", "v"].into_iter().chain(joined).map(str::to_owned).collect();
        let (queue, by) = (self.name(), names[self.rng.random_range(0..names.len())].clone());
        let counted = self.rng.random_bool(0.5);
        let expected = self.model.release(&queue, &by, counted);
        let uncounted = if counted { "" } else { " uncounted" };
        self.say(&format!("release {queue} {by}{uncounted}"), &expected);
    }

    fn claim(&mut self, verb: &str, ask: Ask) {
        let queue = self.rng.random_range(0..self.model.queues.len());
        let mut words = Vec::new();
        let mut claims = Vec::new();
        for _ in 0..self.rng.random_range(1..=4) {
            let Some(claim) = self.receipt(queue) else { continue };
            words.push(self.spell(queue, claim));
            claims.push(claim);
        }
        if claims.is_empty() {
            return;
        }
        let expected = self.model.claim(queue, &claims, ask);
        self.say(&format!("{verb} {}", words.join(" ")), &expected);
    }

    /// Mostly one that was given, and mostly the latest of a message that is there; now and then one that was not.
    pub(super) fn receipt(&mut self, queue: usize) -> Option<Claim> {
        let messages = &self.model.queues[queue].messages;
        let leased = |at: &usize| messages[*at].lease().is_some();
        let mut places: Vec<_> = (0..messages.len()).filter(leased).collect();
        if places.is_empty() || self.rng.random_ratio(1, 4) {
            places = (0..messages.len()).collect();
        }
        let at = if places.is_empty() { 0 } else { self.one(&places) };
        let given = self.model.queues[queue].messages.get(at).map_or(Vec::new(), |it| it.attempts.clone());
        let latest = self.model.queues[queue].name.clone();
        let reachable = self.model.last(&latest) == Some(queue);
        if !given.is_empty() && self.rng.random_ratio(9, 10) {
            let old = self.rng.random_ratio(1, 6);
            let attempt = if old { self.rng.random_range(1..=given.len()) } else { given.len() };
            return Some(Claim { sequence: at + 1, attempt, epoch: given[attempt - 1] });
        }
        let sequence = match reachable {
            true => self.rng.random_range(0..=self.model.queues[queue].messages.len() + 1),
            false if given.is_empty() => return None,
            false => at + 1,
        };
        let epoch = self.rng.random_range(0..=self.model.epoch + 1);
        Some(Claim { sequence, attempt: self.rng.random_range(0..=given.len() + 1), epoch })
    }

    pub(super) fn spell(&self, queue: usize, Claim { sequence, attempt, epoch }: Claim) -> String {
        let it = sequence.checked_sub(1).and_then(|at| self.model.queues[queue].messages.get(at));
        let name = it.map_or(format!("{}/{sequence}", self.model.queues[queue].name), |it| it.label.clone());
        let given = it.and_then(|it| it.attempts.get(attempt.checked_sub(1)?));
        let had = it.is_some_and(|it| !it.skipped.contains(&attempt));
        let epoch = if given == Some(&epoch) && had { String::new() } else { format!("@{epoch}") };
        format!("{name}#{attempt}{epoch}")
    }

    pub(super) fn batch(&mut self) -> usize {
        let most = if self.rng.random_ratio(1, 20) { self.sizes.batch_max } else { 4 };
        self.rng.random_range(1..=most)
    }

    fn lease_ms(&mut self) -> u64 {
        self.one(&[1000, 1500, 2000, 3000, 10_000, 30_000])
    }

    /// Lets time go on: some of it, or just up to a deadline, or a millisecond less.
    fn pass(&mut self) -> u64 {
        let first =
            self.model.deadlines().first().map_or(1000, |&(at, ..)| at.saturating_sub(self.model.now));
        let ms = self.one(&[0, 1, 500, 1000, 2500, 20_000, first, first, first.saturating_sub(1)]);
        self.model.now += ms;
        ms
    }
}

/// What a failure needs to become a test.
impl<K: Keep> Drop for History<K> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("history {} failed at the last line of\n{}", self.seed, self.script.text);
        }
    }
}

/// Messages as a line has them.
pub(super) fn words(coming: &[Coming]) -> String {
    let id = |id: &Option<String>| id.as_ref().map_or(String::new(), |id| format!("={id}"));
    let urgent = |priority| if priority > 0 { format!("!{priority}") } else { String::new() };
    let late = |delay| if delay > 0 { format!("~{}", time(delay)) } else { String::new() };
    let key = |key: &Option<String>| key.as_ref().map_or(String::new(), |key| format!("@{key}"));
    let life = |life: Option<u64>| life.map_or(String::new(), |ms| format!("^{}", time(ms)));
    let word = |one: &Coming| {
        let (urgent, late, life) = (urgent(one.priority), late(one.delay), life(one.life));
        let Coming { label, size, .. } = one;
        format!(" {label}:{size}{urgent}{}{late}{life}{}", key(&one.key), id(&one.id))
    };
    coming.iter().map(word).collect()
}

/// Settings, as a script writes them.
fn settings_words(settings: &Settings) -> String {
    let mut words = format!(" {}", time(settings.lease_ms));
    let flags = [
        (settings.at_most_once, "at-most-once"),
        (settings.buffered, "buffered"),
        (settings.fifo, "fifo"),
        (settings.by_key, "by-key"),
        (settings.single, "single"),
        (settings.paused, "paused"),
        (settings.drop_oldest, "drop-oldest"),
    ];
    for (_, word) in flags.into_iter().filter(|&(set, _)| set) {
        words += &format!(" {word}");
    }
    if settings.messages_max + settings.bytes_max > 0 {
        words += &format!(" max:{} bytes:{}", settings.messages_max, settings.bytes_max);
    }
    if settings.life_ms > 0 {
        words += &format!(" ttl:{}", time(settings.life_ms));
    }
    if settings.window_ms > 0 {
        words += &format!(" dedup:{}", time(settings.window_ms));
    }
    if settings.max_attempts > 0 {
        words += &format!(" tries:{}", settings.max_attempts);
    }
    if settings.backoff.is_some() {
        words += &format!(" {}", backoff_word(settings.backoff));
    }
    if let Some(dead) = &settings.dead {
        words += &format!(" dead:{dead}");
    }
    words
}

/// Limits, as a script changes them.
fn limit_words(settings: &Settings) -> String {
    let Settings { messages_max, bytes_max, drop_oldest, .. } = settings;
    let overflow = if *drop_oldest { "drop-oldest" } else { "reject" };
    format!("max:{messages_max} bytes:{bytes_max} {overflow}")
}

fn backoff_word(backoff: Option<(u64, u64, u64)>) -> String {
    let terms =
        backoff.map(|(initial, growth, max)| format!("{}:{}:{}", time(initial), growth * 1000, time(max)));
    format!("backoff:{}", terms.unwrap_or_default())
}

fn time(ms: u64) -> String {
    show(bbq::types::Duration(ms))
}
