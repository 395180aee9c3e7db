//! Ordering keys: what of each key is in flight in a BY_KEY queue, and what waits behind it.
//!
//! The messages of a key go one after the other, or together to one holder. One whose turn has not come when it is met in
//! its lane is parked: stepped over, so that other keys don't wait for it. Of what is parked only the number, the size and the
//! key are known here: about 100 bytes a message, and some 200 a key.
//!
//! Always true, of each key:
//! - what is leased comes before everything else of it, and one holder has all of it;
//! - its first message is a head if and only if it is ready: nothing else that waits is granted to whom does not hold what
//!   comes before;
//! - what is parked is in the order of its sequences.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};

use super::queue::Place;
use super::settle::holder_key;
use super::{Queue, Turn};
use crate::types::{OrderingKey, Priority, Sequence, Touch};

/// All keys of one queue of which something is in flight or parked.
#[derive(Debug, Default)]
pub(super) struct Keys {
    lines: BTreeMap<OrderingKey, Line>,
    /// What is parked: its key and its size.
    parked: BTreeMap<Sequence, (OrderingKey, u32)>,
    parked_bytes: u64,
    /// What is parked and a head.
    open: BTreeSet<Sequence>,
}

/// The messages of one key that are alive and not untouched.
#[derive(Debug, Default)]
struct Line {
    /// Those that are leased, ready or delayed, in order; seldom more than a few.
    touched: Vec<Sequence>,
    parked: VecDeque<Sequence>,
    head: Option<Sequence>,
}

impl Line {
    fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.parked.is_empty()
    }

    fn touched_before(&self, sequence: Sequence) -> &[Sequence] {
        &self.touched[..self.touched.partition_point(|&other| other < sequence)]
    }
}

impl Keys {
    pub(super) fn bytes(&self) -> u64 {
        self.parked_bytes
    }

    pub(super) fn count(&self) -> u64 {
        self.parked.len() as u64
    }

    /// How many of what is parked may go.
    pub(super) fn open_count(&self) -> u64 {
        self.open.len() as u64
    }
}

impl Hash for Keys {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The rest follows from it and from what is touched.
        self.parked.hash(state);
    }
}

impl Queue {
    /// What is parked, from `first` on: its size, and whether its turn has come.
    pub fn parked_from(&self, first: Sequence) -> impl Iterator<Item = (Sequence, u32, bool)> {
        let parked = self.keys.parked.range(first..);
        parked.map(|(&sequence, &(_, size))| (sequence, size, self.keys.open.contains(&sequence)))
    }

    /// What is parked and may go: its size.
    pub fn open(&self) -> impl Iterator<Item = (Sequence, u32)> {
        let size = |sequence| self.keys.parked.get(&sequence).map_or(0, |&(_, size)| size);
        self.keys.open.iter().map(move |&sequence| (sequence, size(sequence)))
    }

    /// How many messages are parked, those whose turn has come among them.
    #[must_use]
    pub fn parked(&self) -> u64 {
        self.keys.count()
    }

    /// Whether a message is parked.
    #[must_use]
    pub fn is_parked(&self, sequence: Sequence) -> bool {
        self.keys.parked.contains_key(&sequence)
    }

    /// What may go with the head of a key to the same holder, up to `max`, and whether anything of the key is left after that.
    #[must_use]
    pub fn run_behind(&self, head: Sequence, max: usize) -> (Vec<Sequence>, bool) {
        let line = self.key_of(head).and_then(|key| self.keys.lines.get(&key));
        let Some(line) = line else { return (Vec::new(), false) };
        if line.touched.iter().any(|&other| other != head) {
            return (Vec::new(), true);
        }
        let skipped = usize::from(line.parked.front() == Some(&head));
        let run = line.parked.iter().skip(skipped).take(max).copied().collect();
        (run, line.parked.len() > skipped + max)
    }

    /// In a BY_KEY queue, the first of each key whose turn has come, and what is ready without a key; by sequence.
    pub fn heads(&self) -> impl Iterator<Item = Sequence> {
        let mut returned = self.returned_of(Priority::default()).peekable();
        let mut open = self.keys.open.iter().copied().peekable();
        std::iter::from_fn(move || match (returned.peek(), open.peek()) {
            (Some(first), Some(other)) if other < first => open.next(),
            (Some(_), _) => returned.next(),
            (None, _) => open.next(),
        })
    }

    /// What is ready of a priority and comes before what is untouched of it.
    pub fn first_of(&self, priority: Priority) -> impl Iterator<Item = Sequence> {
        let heads = self.heads().filter(move |_| self.by_key() && priority == Priority::default());
        heads.chain(self.returned_of(priority).filter(|_| !self.by_key()))
    }

    /// The ordering key of a message that is touched or parked.
    #[must_use]
    pub fn key_of(&self, sequence: Sequence) -> Option<OrderingKey> {
        let parked = || self.keys.parked.get(&sequence).map(|&(key, _)| key);
        self.touch(sequence).map_or_else(parked, |touch| touch.key)
    }

    /// Whether a message that is ready has to wait for others of its key.
    #[must_use]
    pub fn is_behind(&self, sequence: Sequence) -> bool {
        let line = self.key_of(sequence).and_then(|key| self.keys.lines.get(&key));
        line.is_some_and(|line| line.head != Some(sequence))
    }

    /// Who may get a message of a key. One that is untouched comes after all others.
    #[must_use]
    pub fn turn_of(&self, key: OrderingKey, sequence: Sequence) -> Turn {
        let Some(line) = self.keys.lines.get(&key) else { return Turn::Anyone };
        if line.parked.front().is_some_and(|&first| first < sequence) {
            return Turn::Nobody;
        }
        match line.touched_before(sequence).last() {
            None => Turn::Anyone,
            Some(&last) => match self.touch(last).and_then(|touch| touch.lease()).map(holder_key) {
                Some((epoch, holder)) => Turn::Only(epoch, holder),
                None => Turn::Nobody,
            },
        }
    }

    /// What of a message's key was leased after it.
    pub(super) fn leased_behind(&self, key: OrderingKey, sequence: Sequence) -> Vec<Sequence> {
        let Some(line) = self.keys.lines.get(&key) else { return Vec::new() };
        let behind = &line.touched[line.touched_before(sequence.next()).len()..];
        let leased = |sequence: &Sequence| self.touch(*sequence).is_some_and(|touch| touch.lease().is_some());
        behind.iter().copied().take_while(leased).collect()
    }

    /// Steps over a message of a key.
    pub(super) fn park(&mut self, sequence: Sequence, size: u32, key: OrderingKey) {
        self.keys.parked.insert(sequence, (key, size));
        self.keys.parked_bytes += u64::from(size);
        self.keys.lines.entry(key).or_default().parked.push_back(sequence);
        self.follow(key);
    }

    /// Takes a parked message, the first of its key; its key and its size.
    pub(super) fn unpark(&mut self, sequence: Sequence) -> Option<(OrderingKey, u32)> {
        let &(key, size) = self.keys.parked.get(&sequence)?;
        let line = self.keys.lines.get_mut(&key)?;
        if line.parked.front() != Some(&sequence) {
            return None;
        }
        line.parked.pop_front();
        if line.parked.capacity() > 64 && line.parked.len() < line.parked.capacity() / 4 {
            line.parked.shrink_to(line.parked.len() * 2);
        }
        self.keys.parked.remove(&sequence);
        self.keys.parked_bytes -= u64::from(size);
        self.follow(key);
        Some((key, size))
    }

    /// Takes all that is parked.
    pub(super) fn clear_parked(&mut self) -> Vec<Sequence> {
        let parked = std::mem::take(&mut self.keys.parked);
        self.keys.parked_bytes = 0;
        let keys: BTreeSet<_> = parked.values().map(|&(key, _)| key).collect();
        for key in keys {
            self.keys.lines.entry(key).and_modify(|line| line.parked = VecDeque::new());
            self.follow(key);
        }
        parked.into_keys().collect()
    }

    /// A message of a key is now in another place; nowhere, if it is settled.
    pub(super) fn moved_in_line(&mut self, key: OrderingKey, sequence: Sequence, place: Option<Place>) {
        let line = self.keys.lines.entry(key).or_default();
        let at = line.touched.binary_search(&sequence);
        match (at, place) {
            (Ok(at), None | Some(Place::Dead)) => _ = line.touched.remove(at),
            (Err(at), Some(Place::Returned | Place::Delayed | Place::Leased)) => {
                line.touched.insert(at, sequence);
            }
            (Ok(_), Some(_)) | (Err(_), None | Some(Place::Dead)) => {}
        }
        self.follow(key);
    }

    /// The first of a key may be another one, or be ready or not.
    fn follow(&mut self, key: OrderingKey) {
        let Some(line) = self.keys.lines.get(&key) else { return };
        let head = self.head(line);
        let is_empty = line.is_empty();
        let was = self.keys.lines.get_mut(&key).and_then(|line| std::mem::replace(&mut line.head, head));
        if is_empty {
            self.keys.lines.remove(&key);
        }
        if let Some(was) = was.filter(|&was| head != Some(was)) {
            self.returned.remove(&(Reverse(Priority::default()), was));
            self.keys.open.remove(&was);
        }
        if let Some(head) = head {
            if self.keys.parked.contains_key(&head) {
                self.keys.open.insert(head);
            } else {
                self.returned.insert((Reverse(Priority::default()), head));
            }
        }
    }

    /// The first message of a key, if it is ready.
    fn head(&self, line: &Line) -> Option<Sequence> {
        let (first, parked) = (line.touched.first().copied(), line.parked.front().copied());
        match (first, parked) {
            (Some(first), Some(parked)) if parked < first => Some(parked),
            (Some(first), _) => self.touch(first).is_some_and(Touch::is_ready).then_some(first),
            (None, parked) => parked,
        }
    }

    /// Checks what must always be true of ordering keys.
    pub(super) fn verify_keys(&self) {
        let Keys { lines, parked, parked_bytes, open } = &self.keys;
        let mut waiting = 0;
        for (key, line) in lines {
            assert!(!line.is_empty(), "a key is known, but nothing of it");
            assert!(line.touched.is_sorted_by(|a, b| a < b), "what is touched of a key is in order");
            assert!(line.parked.iter().is_sorted_by(|a, b| a < b), "what is parked of a key is in order");
            assert_eq!(line.head, self.head(line), "the head of a key is the first of it, if that is ready");
            let holder = |sequence: &Sequence| self.touch(*sequence)?.lease().map(holder_key);
            let first = line.touched.first().and_then(holder);
            let mut rest = line.touched.iter().skip_while(|sequence| holder(sequence).is_some());
            assert!(rest.all(|sequence| holder(sequence).is_none()), "a message is leased before its turn");
            let mut holders = line.touched.iter().filter_map(holder);
            assert!(holders.all(|other| Some(other) == first), "two hold messages of one key");
            let known = |sequence: &Sequence| parked.get(sequence).is_some_and(|(other, _)| other == key);
            assert!(line.parked.iter().all(known), "what is parked is known by its key");
            waiting += line.parked.len();
        }
        assert_eq!(waiting, parked.len(), "what is parked is in the line of its key");
        let bytes = parked.values().map(|&(_, size)| u64::from(size)).sum::<u64>();
        assert_eq!(*parked_bytes, bytes, "bytes of what is parked are the sum of sizes");
        let heads: BTreeSet<_> = lines.values().filter_map(|line| line.head).collect();
        assert!(open.iter().all(|head| heads.contains(head) && parked.contains_key(head)), "{open:?}");
        assert_eq!(heads.iter().filter(|head| parked.contains_key(head)).count(), open.len());
        for (sequence, touch) in self.touched() {
            let alive = touch.key.filter(|_| !touch.is_dead()).and_then(|key| lines.get(&key));
            let within = alive.is_some_and(|line| line.touched.binary_search(sequence).is_ok());
            assert_eq!(within, touch.key.is_some() && !touch.is_dead(), "{sequence} is in its key's line");
            assert!(!parked.contains_key(sequence), "{sequence} is touched and parked");
        }
    }

    /// Whether a touched message that is ready is the next of its key, or has none.
    pub(super) fn is_head(&self, sequence: Sequence, key: Option<OrderingKey>) -> bool {
        key.is_none_or(|key| self.keys.lines.get(&key).is_some_and(|line| line.head == Some(sequence)))
    }
}
