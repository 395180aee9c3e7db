//! Topics in histories: what the model says of them, and lines about them.
//!
//! A pattern is matched as it is defined, word by word, with every choice tried; every binding is looked at.

use std::collections::{BTreeMap, BTreeSet};

use bbq::engine::Engine;
use rand::RngExt;

use super::model::{Coming, Model, list};
use super::random_history::{History, words};
use crate::shadow::Keep;

/// What a binding wants, or a message has.
type Pairs = BTreeMap<String, String>;

/// A topic that is there.
#[derive(Clone, Debug)]
pub struct Topic {
    name: String,
    /// Oldest first: the place of a queue, a pattern, attributes.
    bindings: Vec<(usize, String, Pairs)>,
}

/// Whether words match a pattern.
fn matches(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern, key) {
        ([], key) => key.is_empty(),
        (["#", rest @ ..], key) => (0..=key.len()).any(|at| matches(rest, &key[at..])),
        (["*", rest @ ..], [_, key @ ..]) => matches(rest, key),
        ([word, rest @ ..], [first, key @ ..]) => word == first && matches(rest, key),
        ([_, ..], []) => false,
    }
}

fn split(text: &str) -> Vec<&str> {
    if text == "-" { Vec::new() } else { text.split('.').collect() }
}

impl Model {
    /// The first topic by name that a queue is bound to.
    pub fn bound(&self, queue: usize) -> Option<&str> {
        let bound = |topic: &&Topic| topic.bindings.iter().any(|(to, ..)| *to == queue);
        self.topics.iter().filter(bound).map(|topic| topic.name.as_str()).min()
    }

    fn topic(&mut self, name: &str) -> Option<&mut Topic> {
        self.topics.iter_mut().find(|topic| topic.name == name)
    }

    fn create_topic(&mut self, name: &str) -> &'static str {
        if self.topic(name).is_some() {
            return "exists";
        }
        self.topics.push(Topic { name: name.to_owned(), bindings: Vec::new() });
        "ok"
    }

    fn drop_topic(&mut self, name: &str) -> &'static str {
        let before = self.topics.len();
        self.topics.retain(|topic| topic.name != name);
        if self.topics.len() < before { "ok" } else { "no-topic" }
    }

    fn bind(&mut self, name: &str, queue: &str, pattern: &str, pairs: &Pairs) -> &'static str {
        let Some(queue) = self.alive(queue) else { return "no-queue" };
        let Some(topic) = self.topic(name) else { return "no-topic" };
        let binding = (queue, pattern.to_owned(), pairs.clone());
        if topic.bindings.contains(&binding) {
            return "exists";
        }
        topic.bindings.push(binding);
        "ok"
    }

    fn unbind(&mut self, name: &str, queue: &str, pattern: &str, pairs: &Pairs) -> &'static str {
        let queue = self.last(queue).expect("it was made");
        let Some(topic) = self.topic(name) else { return "no-topic" };
        let before = topic.bindings.len();
        topic.bindings.retain(|(to, with, wanted)| (*to, with.as_str(), wanted) != (queue, pattern, pairs));
        if topic.bindings.len() < before { "ok" } else { "no-binding" }
    }

    fn send(&mut self, name: &str, key: &str, pairs: &Pairs, messages: &[Coming]) -> String {
        self.freed.clear();
        let Some(topic) = self.topic(name) else { return "no-topic".to_owned() };
        let wants = |(_, pattern, wanted): &&(usize, String, Pairs)| {
            let pattern = if pattern == "-" { vec!["#"] } else { split(pattern) };
            matches(&pattern, &split(key)) && wanted.iter().all(|(key, value)| pairs.get(key) == Some(value))
        };
        let queues: BTreeSet<_> = topic.bindings.iter().filter(wants).map(|(queue, ..)| *queue).collect();
        let suffixed = |queue: usize| {
            let name = &self.queues[queue].name;
            let one = |one: &Coming| Coming { label: format!("{}.{name}", one.label), ..one.clone() };
            messages.iter().map(one).collect::<Vec<_>>()
        };
        let coming: Vec<_> = queues.into_iter().map(|queue| (queue, suffixed(queue))).collect();
        let takes: Option<Vec<_>> = coming.iter().map(|(queue, own)| self.take(*queue, own)).collect();
        let Some(takes) = takes else { return "full".to_owned() };
        let mut stored = Vec::new();
        for ((queue, own), taken) in coming.into_iter().zip(takes) {
            let duplicates = self.store(queue, taken);
            let place = |one: Coming| {
                let duplicate = |text: &&String| text.starts_with(&format!("{}=", one.label));
                duplicates.iter().find(duplicate).cloned().unwrap_or(one.label)
            };
            stored.extend(own.into_iter().map(place).collect::<Vec<_>>());
        }
        list(&stored)
    }
}

impl<K: Keep> History<K> {
    /// Topics that are there from the beginning.
    pub(super) fn topics(&mut self) {
        for topic in ["t1", "t2"] {
            let expected = self.model.create_topic(topic);
            self.say(&format!("topic {topic}"), expected);
        }
    }

    /// A topic comes, is bound, unbound, or goes.
    pub(super) fn topic(&mut self) {
        let topic = self.one(&["t1", "t2"]);
        let (queue, pattern) = (self.name(), self.pattern());
        let pairs = self.pairs(1);
        let of = format!("{topic} {queue} {pattern}{}", pair_words(&pairs));
        let (line, expected) = match self.rng.random_range(0..12) {
            0..3 => (format!("topic {topic}"), self.model.create_topic(topic)),
            3..9 => (format!("bind {of}"), self.model.bind(topic, &queue, &pattern, &pairs)),
            9..11 => (format!("unbind {of}"), self.model.unbind(topic, &queue, &pattern, &pairs)),
            _ => (format!("drop {topic}"), self.model.drop_topic(topic)),
        };
        self.model.freed.clear();
        self.say(&line, expected);
    }

    pub(super) fn send(&mut self) {
        let topic = self.one(&["t1", "t2"]);
        let count = self.rng.random_range(0..=3);
        let key: Vec<_> = (0..count).map(|_| self.one(&["a", "b"])).collect();
        let key = if key.is_empty() { "-".to_owned() } else { key.join(".") };
        let pairs = self.pairs(2);
        let messages = self.messages();
        let expected = self.model.send(topic, &key, &pairs, &messages);
        self.say(&format!("send {topic} {key}{}{}", pair_words(&pairs), words(&messages)), &expected);
    }

    fn pattern(&mut self) -> String {
        let count = self.rng.random_range(0..=3);
        let words: Vec<_> = (0..count).map(|_| self.one(&["a", "b", "*", "#"])).collect();
        if words.is_empty() { "-".to_owned() } else { words.join(".") }
    }

    fn pairs(&mut self, most: usize) -> Pairs {
        let count = if self.rng.random_bool(0.5) { 0 } else { most };
        (0..count).map(|_| (self.one(&["k", "l"]).to_owned(), self.one(&["x", "y"]).to_owned())).collect()
    }
}

fn pair_words(pairs: &Pairs) -> String {
    pairs.iter().map(|(key, value)| format!(" +{key}={value}")).collect()
}

/// The engine has the topics and bindings of the model.
pub fn compare(model: &Model, engine: &Engine) {
    assert_eq!(engine.topics_from("").count(), model.topics.len(), "topics that are there");
    for expected in &model.topics {
        let topic = engine.topic(&expected.name.parse().expect("a name")).expect("the topic is there");
        let bindings = topic.bindings().map(|binding| {
            let pattern = binding.pattern.as_str();
            let pattern = if pattern.is_empty() { "-" } else { pattern };
            (binding.queue.0 as usize, pattern.to_owned(), binding.attributes.clone())
        });
        assert!(bindings.eq(expected.bindings.iter().cloned()), "bindings of {}", expected.name);
    }
}
