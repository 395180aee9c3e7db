//! What a file declares: queues with their settings, topics with their bindings.
//!
//! ```toml
//! [queues.jobs]
//! lease_duration = "90s"
//!
//! [topics.orders]
//! bindings = [{ queue = "jobs", pattern = "eu.#" }]
//! ```
//!
//! The keys of a queue are the flags of `bbq queue create`, with `_` for `-`. An unknown key is an error that says what it may have
//! meant. What a file does not name it leaves alone.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Result, bail};
use bbq_client::proto;
use serde::Deserialize;

use super::settings::Settings;
use crate::config::read_toml;

/// What is declared, in an order in which it can be made.
#[derive(Debug)]
pub(super) struct Declaration {
    pub(super) queues: Vec<DeclaredQueue>,
    pub(super) topics: Vec<DeclaredTopic>,
}

/// A queue with the settings that are named.
#[derive(Debug)]
pub(super) struct DeclaredQueue {
    pub(super) name: String,
    pub(super) settings: proto::QueueSettings,
    /// Which of them are named, as fields of the API.
    pub(super) fields: Vec<String>,
}

/// A topic with the bindings that it should have, among others.
#[derive(Debug)]
pub(super) struct DeclaredTopic {
    pub(super) name: String,
    pub(super) bindings: Vec<proto::Binding>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    queues: BTreeMap<String, Settings>,
    #[serde(default)]
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Topic {
    bindings: Vec<Binding>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Binding {
    queue: String,
    #[serde(default)]
    pattern: String,
    #[serde(default)]
    attributes: HashMap<String, String>,
}

impl Declaration {
    /// Reads a file. Blocks.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let File { queues, topics } = read_toml(path)?;
        let mut declared = Vec::new();
        for (name, settings) in queues {
            if settings.is_headless() {
                let path = path.display();
                bail!("{path}: queues.{name} has retry_multiplier or retry_max; give retry_initial too");
            }
            let fields = settings.named();
            declared.push(DeclaredQueue { name, settings: settings.into(), fields });
        }
        let topics = topics.into_iter().map(|(name, topic)| DeclaredTopic {
            name,
            bindings: topic.bindings.into_iter().map(proto::Binding::from).collect(),
        });
        let declaration = Self { queues: in_order(declared), topics: topics.collect() };
        if declaration.queues.is_empty() && declaration.topics.is_empty() {
            bail!("{} declares nothing; give [queues.NAME] or [topics.NAME]", path.display());
        }
        Ok(declaration)
    }
}

impl From<Binding> for proto::Binding {
    fn from(binding: Binding) -> Self {
        let Binding { queue, pattern, attributes } = binding;
        Self { queue, pattern, attributes }
    }
}

/// Queues that others name as their dead-letter queue come before these.
fn in_order(mut rest: Vec<DeclaredQueue>) -> Vec<DeclaredQueue> {
    let mut ordered = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let free = |queue: &DeclaredQueue| {
            let target = &queue.settings.dead_letter_queue;
            *target == queue.name || rest.iter().all(|other| other.name != *target)
        };
        // Queues that name one another in a circle have no order; the server says so.
        let next = rest.iter().position(free).unwrap_or(0);
        ordered.push(rest.remove(next));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Declaration> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Declaration::read(file.path())
    }

    #[test]
    fn a_file_declares_queues_and_topics_in_an_order_that_works() {
        let declaration = read(
            r#"
            [queues.a]
            max_attempts = 5
            retry_initial = "1s"
            retry_multiplier = 2
            retry_max = "1m"
            max_bytes = "64KiB"
            paused = false
            dead_letter_queue = "z"
            [queues."team/b.c"]
            delivery = "at-most-once"
            [queues.z]
            [topics.t]
            bindings = [{ queue = "a", pattern = "x.#" }, { queue = "z", attributes = { k = "v" } }]
            "#,
        )
        .unwrap();
        let names: Vec<_> = declaration.queues.iter().map(|queue| queue.name.as_str()).collect();
        assert_eq!(names, ["team/b.c", "z", "a"]);
        let a = &declaration.queues[2];
        assert_eq!(a.fields, ["max_attempts", "retry_backoff", "dead_letter_queue", "max_bytes", "paused"]);
        assert_eq!(a.settings.max_bytes, 65_536);
        let backoff = a.settings.retry_backoff.as_ref().unwrap();
        assert_eq!((backoff.multiplier, backoff.max.unwrap().seconds), (2.0, 60));
        assert_eq!(declaration.queues[1].fields, [""; 0]);
        let bindings = &declaration.topics[0].bindings;
        assert_eq!((bindings[0].pattern.as_str(), bindings[1].attributes["k"].as_str()), ("x.#", "v"));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (text, expected) in [
            ("[queue.a]", "unknown key `queue`; did you mean `queues`?"),
            (
                "[queues.a]\nmax_atempts = 1",
                "unknown key `queues.a.max_atempts`; did you mean `queues.a.max_attempts`?",
            ),
            ("[queues.a]\nlease_duration = \"soon\"", "30s"),
            ("[queues.a]\nlease_duration = 90", "it is 90; give a unit too, in quotes, such as \"90s\""),
            ("[queues.a]\ntime_to_live = -1", "it is -1; it must not be negative"),
            ("[queues.a]\ndelivery = \"twice\"", "is \"twice\": give one of at-least-once, at-most-once"),
            ("[queues.a]\nordering = 3", "it is 3; give one of unordered, fifo, by-key"),
            ("[queues.a]\nmax_attempts = -1", "max_attempts: it is -1; give a whole number, 0 to 4294967295"),
            ("[queues.a]\nmax_attempts = \"3\"", "give a whole number, without quotes"),
            ("[queues.a]\nmax_messages = 1.5", "it is 1.5; give a whole number, 0 or more"),
            ("[queues.a]\nmax_bytes = \"1MB\"", "is \"1MB\": give bytes, or a number and a unit"),
            ("[queues.a]\nretry_initial = \"1s\"\nretry_multiplier = 0", "it is 0; give a number, 1 or more"),
            ("[queues.a]\npaused = \"yes\"", "is \"yes\": give true or false, without quotes"),
            ("[queues.a]\nretry_max = \"1m\"", "give retry_initial too"),
            ("[topics.t]\nbindings = [{ pattern = \"x\" }]", "queue"),
            ("[topics.t]\nbinding = []", "did you mean `topics.t.bindings`?"),
            ("", "declares nothing"),
            ("[queues", "TOML parse error at line 1"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
