//! The reference model, continued: what becomes of a message that goes back, whose turn it is, and where the dead go.

use super::model::{Again, Message, Model, Queue, Settings, State, list};

/// How a lease ends.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    Nack(Again),
    Deadline,
    Release,
    Server,
}

impl Queue {
    /// What may be granted, in the order of delivery.
    pub fn candidates(&self) -> Vec<usize> {
        let delayed = self.messages.iter().position(|message| matches!(message.state, State::Delayed(_)));
        let end = if self.settings.fifo { delayed.unwrap_or(usize::MAX) } else { usize::MAX };
        self.ready().into_iter().filter(|&at| at < end).collect()
    }

    /// Whether the time of a message is over.
    pub fn is_over(&self, at: usize, now: u64) -> bool {
        let Message { born, life, .. } = self.messages[at];
        let all = Some(self.settings.life_ms).filter(|&ms| ms > 0);
        life.into_iter().chain(all).any(|ms| born + ms <= now)
    }

    /// Whether `by` may get a message: of a FIFO queue, only if it holds all that come before.
    pub fn may_go(&self, at: usize, by: &str, epoch: u32) -> bool {
        let holds = |message: &Message| {
            let same = |it: &super::model::Lease| it.by == by && message.attempts.last() == Some(&epoch);
            matches!(message.state, State::Gone | State::Dead(_)) || message.lease().is_some_and(same)
        };
        !self.settings.paused
            && (!self.settings.fifo || self.messages.iter().take(at).all(holds))
            && (!self.settings.by_key || self.holds_key(at, by, epoch))
    }
}

impl Model {
    /// Ends a lease; says how many ended.
    pub fn give_back(&mut self, queue: usize, at: usize, ending: Ending) -> u64 {
        let settings = self.queues[queue].settings.clone();
        let message = &mut self.queues[queue].messages[at];
        message.uncounted += u32::from(matches!(ending, Ending::Server));
        let counted = message.attempts.len() - message.uncounted as usize;
        let used_up = settings.max_attempts > 0 && counted >= settings.max_attempts;
        let delayed = |ms: u64| if ms > 0 { State::Delayed(self.now + ms) } else { State::Returned };
        let backoff = settings.backoff.map_or(State::Returned, |(initial, growth, max)| {
            let grown = (1..counted).fold(initial, |delay, _| (delay * growth).min(max));
            delayed(grown.min(max))
        });
        let state = match ending {
            Ending::Server => State::Returned,
            Ending::Nack(Again::Never) => State::Dead("nack"),
            Ending::Nack(_) | Ending::Deadline | Ending::Release if used_up => State::Dead("max_attempts"),
            Ending::Nack(Again::After(ms)) => delayed(ms),
            Ending::Nack(Again::Backoff) | Ending::Deadline => backoff,
            Ending::Release => State::Returned,
        };
        let dead = matches!(state, State::Dead(_));
        let state = if dead && settings.dead.is_none() { State::Gone } else { state };
        self.end(queue, at, state);
        let mut ended = 1;
        for later in at + 1..self.queues[queue].messages.len() {
            let key = |at: usize| &self.queues[queue].messages[at].key;
            let same = settings.by_key && key(at).is_some() && key(at) == key(later);
            if (settings.fifo || same) && !dead && self.queues[queue].messages[later].lease().is_some() {
                self.end(queue, later, State::Returned);
                let message = &mut self.queues[queue].messages[later];
                message.attempts.extend(message.attempts.last().copied());
                message.skipped.push(message.attempts.len());
                message.uncounted += 2;
                ended += 1;
            }
        }
        ended
    }

    /// A message's time has come.
    pub fn time_out(&mut self, queue: usize, at: usize) -> u64 {
        if self.queues[queue].messages[at].lease().is_some() {
            return self.give_back(queue, at, Ending::Deadline);
        }
        self.queues[queue].messages[at].state = State::Returned;
        1
    }

    /// What is in front of each priority and over goes, and what is then in front.
    pub fn lapse(&mut self, queue: &str) -> String {
        self.freed.clear();
        let Some(at) = self.alive(queue) else { return "no-queue".to_owned() };
        let mut lapsed = Vec::new();
        let dead = self.queues[at].settings.dead.is_some();
        for (priority, state) in
            (0..10).rev().flat_map(|priority| [(priority, State::Returned), (priority, State::Untouched)])
        {
            let by_key = self.queues[at].settings.by_key;
            let here = |it: &usize| {
                let message = &self.queues[at].messages[*it];
                let head = by_key && state == State::Returned;
                let there = if head { self.queues[at].is_head(*it) } else { message.state == state };
                message.priority == priority && there
            };
            let over = |it: &usize| self.queues[at].is_over(*it, self.now);
            let gone: Vec<_> = (0..self.queues[at].messages.len()).filter(here).take_while(over).collect();
            for it in gone {
                let message = &mut self.queues[at].messages[it];
                message.state = if dead { State::Dead("time_to_live") } else { State::Gone };
                lapsed.push(message.label.clone());
            }
        }
        list(&lapsed)
    }

    /// Whether whoever follows the names of dead-letter queues from `name` comes back to it.
    pub fn is_cycle(&self, name: &str, settings: &Settings) -> bool {
        let mut next = settings.dead.clone();
        while let Some(dead) = next {
            if dead == name {
                return true;
            }
            next = self.alive(&dead).and_then(|at| self.queues[at].settings.dead.clone());
        }
        false
    }

    pub fn update(&mut self, queue: &str, settings: Settings) -> String {
        self.freed.clear();
        let Some(at) = self.alive(queue) else { return "no-queue".to_owned() };
        let Queue { settings: old, messages, .. } = &self.queues[at];
        let promise = (old.fifo, old.by_key, old.at_most_once)
            != (settings.fifo, settings.by_key, settings.at_most_once);
        if promise && messages.iter().any(Message::is_there) {
            return "not-empty".to_owned();
        }
        if self.is_cycle(queue, &settings) {
            return "cycle".to_owned();
        }
        self.queues[at].settings = settings;
        "ok".to_owned()
    }

    /// Moves what is dead to where it belongs.
    pub fn bury(&mut self, queue: &str) -> String {
        let at = self.alive(queue);
        let target = at.and_then(|at| self.alive(self.queues[at].settings.dead.as_ref()?));
        let (Some(at), Some(target)) = (at, target) else { return "no-target".to_owned() };
        self.freed.clear();
        let is_dead = |&it: &usize| matches!(self.queues[at].messages[it].state, State::Dead(_));
        let mut dead: Vec<_> = (0..self.queues[at].messages.len()).filter(is_dead).collect();
        dead.sort_by_key(|&it| (std::cmp::Reverse(self.queues[at].messages[it].priority), it));
        list(&dead.into_iter().map(|it| self.relocate(at, it, target)).collect::<Vec<_>>())
    }

    /// Moves the first `count` that came from somewhere, or from `of`, back there. Those before them that stay are known
    /// one by one from then on.
    pub fn redrive(&mut self, queue: &str, count: usize, of: Option<&str>) -> String {
        let Some(at) = self.alive(queue) else { return "no-queue".to_owned() };
        self.freed.clear();
        let mut moved = Vec::new();
        for it in self.queues[at].ready() {
            if moved.len() == count {
                break;
            }
            let source = self.queues[at].messages[it].source.clone();
            let source = source.filter(|source| of.is_none_or(|of| source == of));
            let target = source.and_then(|source| self.alive(&source)).filter(|&target| target != at);
            match target {
                Some(target) => moved.push(self.relocate(at, it, target)),
                None if self.queues[at].messages[it].state == State::Parked => {}
                None => self.queues[at].messages[it].state = State::Returned,
            }
        }
        list(&moved)
    }

    fn relocate(&mut self, from: usize, at: usize, to: usize) -> String {
        let source = self.queues[from].name.clone();
        let message = &mut self.queues[from].messages[at];
        message.state = State::Gone;
        let (label, size, priority) = (format!("{}'", message.label), message.size, message.priority);
        let key = message.key.clone();
        let priority = if self.queues[to].is_ordered() { 0 } else { priority };
        let arrived = Message { priority, key, ..Message::new(label.clone(), size, self.now, Some(source)) };
        self.queues[to].messages.push(arrived);
        label
    }
}
