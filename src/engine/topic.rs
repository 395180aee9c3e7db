//! Topics: who gets what is published to them.
//!
//! Routing is a question to the state, asked before a command is made; the command names the queues, so that applying it
//! needs neither keys nor attributes.
//!
//! Always true:
//! - a binding names a queue that is there, of its topic's namespace;
//! - no two bindings of a topic are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use super::Engine;
use super::outcome::Outcome;
use super::routing::{Reached, Routing};
use crate::types::{
    Attributes, BINDINGS_MAX, Binding, BindingKey, Copies, Dirty, QueueId, RoutingKey, Timestamp,
    TopicCommand, TopicName,
};

/// What became of a command about a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicOutcome {
    /// It is as it was to be: made, deleted, bound or unbound.
    Done,
    /// It was so before. Nothing changed.
    Already,
    /// There is no such topic. Nothing changed.
    NoTopic,
    /// There is no such queue in the topic's namespace. Nothing changed.
    NoQueue,
    /// There is no such binding. Nothing changed.
    NoBinding,
    /// The topic has as many bindings as it may have. Nothing changed.
    Full,
}

/// Why messages have no way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// There is no such topic.
    NoTopic,
    /// All queues together would get more messages than are allowed at once.
    TooMany,
}

/// One topic.
#[derive(Debug)]
pub struct Topic {
    created_at: Timestamp,
    bindings: BTreeMap<u64, Binding>,
    routing: Routing,
}

/// All topics.
#[derive(Debug, Default)]
pub(super) struct Topics {
    all: BTreeMap<TopicName, Topic>,
    /// The bindings that name a queue.
    bound: BTreeMap<QueueId, BTreeSet<BindingKey>>,
    dirty: BTreeSet<TopicName>,
    dirty_bindings: BTreeSet<BindingKey>,
}

impl Topic {
    fn new(created_at: Timestamp) -> Self {
        Self { created_at, bindings: BTreeMap::new(), routing: Routing::default() }
    }

    /// When it was created.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// Its bindings, oldest first.
    pub fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.bindings.values()
    }

    fn find(&self, binding: &Binding) -> Option<u64> {
        let Binding { pattern, attributes, .. } = binding;
        self.routing
            .with_pattern(pattern, attributes)
            .find(|number| self.bindings.get(number) == Some(binding))
    }

    fn put(&mut self, number: u64, binding: Binding) {
        self.routing.insert(&binding.pattern, &binding.attributes, number);
        self.bindings.insert(number, binding);
    }

    fn take(&mut self, number: u64) {
        if let Some(Binding { pattern, attributes, .. }) = self.bindings.remove(&number) {
            self.routing.remove(&pattern, &attributes, number);
        }
    }

    /// The queues that take a message, each once.
    fn queues(&self, reached: &Reached<'_>, attributes: &Attributes) -> BTreeSet<QueueId> {
        let candidates = reached.candidates(attributes).filter_map(|number| self.bindings.get(&number));
        candidates.filter(|binding| binding.wants(attributes)).map(|binding| binding.queue).collect()
    }

    /// Which queues get which messages, in runs as long as can be, if these are no more than `most` altogether.
    fn route(&self, key: &RoutingKey, messages: &[Attributes], most: u64) -> Option<Vec<Copies>> {
        let reached = self.routing.reach(key);
        let mut left = most;
        let mut spend = |count: u64| left.checked_sub(count).map(|rest| left = rest);
        if !reached.wants_attributes() {
            let count = u32::try_from(messages.len()).ok()?;
            let queues = self.queues(&reached, &Attributes::new());
            spend(u64::from(count).checked_mul(queues.len() as u64)?)?;
            return Some(queues.into_iter().map(|queue| Copies { queue, from: 0, count }).collect());
        }
        let mut runs: BTreeMap<QueueId, Vec<Copies>> = BTreeMap::new();
        for (place, attributes) in (0_u32..).zip(messages) {
            let queues = self.queues(&reached, attributes);
            spend(queues.len() as u64)?;
            for queue in queues {
                let of_queue = runs.entry(queue).or_default();
                match of_queue.last_mut() {
                    Some(last) if last.from + last.count == place => last.count += 1,
                    Some(_) | None => of_queue.push(Copies { queue, from: place, count: 1 }),
                }
            }
        }
        Some(runs.into_values().flatten().collect())
    }
}

impl Hash for Topic {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.created_at.hash(state);
        self.bindings.hash(state);
    }
}

impl Topics {
    /// The first of the bindings that name a queue, if any does.
    pub(super) fn binding_of(&self, queue: QueueId) -> Option<(TopicName, Binding)> {
        let (topic, number) = self.bound.get(&queue)?.first()?;
        Some((topic.clone(), self.all.get(topic)?.bindings.get(number)?.clone()))
    }

    fn put(&mut self, (topic, number): BindingKey, binding: Binding) {
        let Some(of) = self.all.get_mut(&topic) else { return };
        let queue = binding.queue;
        of.put(number, binding);
        self.bound.entry(queue).or_default().insert((topic, number));
    }

    fn forget(&mut self, key: &BindingKey) {
        let Some(topic) = self.all.get_mut(&key.0) else { return };
        let Some(queue) = topic.bindings.get(&key.1).map(|binding| binding.queue) else { return };
        topic.take(key.1);
        if let Some(bound) = self.bound.get_mut(&queue) {
            bound.remove(key);
            if bound.is_empty() {
                self.bound.remove(&queue);
            }
        }
        self.dirty_bindings.insert(key.clone());
    }

    fn create(&mut self, name: TopicName, now: Timestamp) -> TopicOutcome {
        if self.all.contains_key(&name) {
            return TopicOutcome::Already;
        }
        self.dirty.insert(name.clone());
        self.all.insert(name, Topic::new(now));
        TopicOutcome::Done
    }

    fn delete(&mut self, name: TopicName) -> TopicOutcome {
        let Some(topic) = self.all.get(&name) else { return TopicOutcome::NoTopic };
        for number in topic.bindings.keys().copied().collect::<Vec<_>>() {
            self.forget(&(name.clone(), number));
        }
        self.all.remove(&name);
        self.dirty.insert(name);
        TopicOutcome::Done
    }

    fn bind(&mut self, name: TopicName, binding: Binding) -> TopicOutcome {
        let Some(topic) = self.all.get(&name) else { return TopicOutcome::NoTopic };
        if topic.find(&binding).is_some() {
            return TopicOutcome::Already;
        }
        if topic.bindings.len() >= BINDINGS_MAX {
            return TopicOutcome::Full;
        }
        let number = topic.bindings.last_key_value().map_or(0, |(last, _)| last + 1);
        self.dirty_bindings.insert((name.clone(), number));
        self.put((name, number), binding);
        TopicOutcome::Done
    }

    fn unbind(&mut self, name: TopicName, binding: &Binding) -> TopicOutcome {
        let Some(topic) = self.all.get(&name) else { return TopicOutcome::NoTopic };
        let Some(number) = topic.find(binding) else { return TopicOutcome::NoBinding };
        self.forget(&(name, number));
        TopicOutcome::Done
    }

    /// Adds what changed since the last call.
    pub(super) fn take_dirty(&mut self, into: &mut Dirty) {
        for name in std::mem::take(&mut self.dirty) {
            let created_at = self.all.get(&name).map(Topic::created_at);
            into.topics.insert(name, created_at);
        }
        for (name, number) in std::mem::take(&mut self.dirty_bindings) {
            let binding = self.all.get(&name).and_then(|topic| topic.bindings.get(&number)).cloned();
            into.bindings.insert((name, number), binding);
        }
    }

    pub(super) fn verify(&self, queues: &BTreeMap<QueueId, super::Queue>) {
        let mut bound: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (name, topic) in &self.all {
            topic.routing.verify(topic.bindings.iter().map(|(&n, b)| (n, &b.pattern, &b.attributes)));
            for (&number, binding) in &topic.bindings {
                let queue = queues.get(&binding.queue).map(|queue| queue.record().name.namespace());
                assert_eq!(
                    queue,
                    Some(name.namespace()),
                    "a binding of {name} names a queue of its namespace"
                );
                assert_eq!(topic.find(binding), Some(number), "{name} has the same binding twice");
                bound.entry(binding.queue).or_default().insert((name.clone(), number));
            }
        }
        assert_eq!(self.bound, bound, "a queue is bound if and only if a binding names it");
    }
}

impl Hash for Topics {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.all.hash(state);
    }
}

impl Engine {
    /// Takes topics back that were taken from an engine with these queues.
    #[must_use]
    pub fn with_topics(
        mut self,
        topics: impl IntoIterator<Item = (TopicName, Timestamp)>,
        bindings: impl IntoIterator<Item = (BindingKey, Binding)>,
    ) -> Self {
        self.topics.all = topics.into_iter().map(|(name, at)| (name, Topic::new(at))).collect();
        bindings.into_iter().for_each(|(key, binding)| self.topics.put(key, binding));
        self
    }

    /// A topic by its name.
    #[must_use]
    pub fn topic(&self, name: &TopicName) -> Option<&Topic> {
        self.topics.all.get(name)
    }

    /// Topics by name, from `first` on, which need not be a name.
    pub fn topics_from(&self, first: &str) -> impl Iterator<Item = (&TopicName, &Topic)> {
        self.topics.all.range::<str, _>((std::ops::Bound::Included(first), std::ops::Bound::Unbounded))
    }

    /// Who gets which of some messages, given the attributes of each, if these are no more than `most` altogether.
    ///
    /// # Errors
    /// If there is no such topic, or there would be more.
    pub fn route(
        &self,
        topic: &TopicName,
        key: &RoutingKey,
        messages: &[Attributes],
        most: u64,
    ) -> Result<Vec<Copies>, NoRoute> {
        let topic = self.topic(topic).ok_or(NoRoute::NoTopic)?;
        topic.route(key, messages, most).ok_or(NoRoute::TooMany)
    }

    pub(super) fn change_topic(&mut self, command: TopicCommand, now: Timestamp) -> Outcome {
        let outcome = match command {
            TopicCommand::Create(name) => self.topics.create(name, now),
            TopicCommand::Delete(name) => self.topics.delete(name),
            TopicCommand::Bind(name, binding) => {
                let queue = self.queues.get(&binding.queue);
                if queue.is_some_and(|queue| queue.record().name.namespace() == name.namespace()) {
                    self.topics.bind(name, binding)
                } else {
                    TopicOutcome::NoQueue
                }
            }
            TopicCommand::Unbind(name, binding) => self.topics.unbind(name, &binding),
        };
        Outcome::Topic(outcome)
    }
}
