//! What of a declaration can't be, before anything of it is made.
//!
//! It looks at what the file says as a whole: names, patterns, namespaces, and which queue names which. The server alone knows what
//! a setting may be, and what a queue with messages may become.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};
use bbq_client::proto;

use super::declaration::{Declaration, DeclaredTopic};
use crate::types::{QueueName, RoutingPattern, TopicName};

/// Refuses what contradicts itself, or names what will not be there; `there` are the queues that the server has.
pub(super) fn feasible(declaration: &Declaration, there: &[proto::Queue]) -> Result<()> {
    let mut names = BTreeSet::new();
    // Where the dead letters of each queue will go.
    let mut dead = BTreeMap::new();
    for queue in there {
        names.insert(queue.name.clone());
        let target = queue.settings.as_ref().map(|settings| settings.dead_letter_queue.clone());
        dead.insert(queue.name.clone(), target.unwrap_or_default());
    }
    for queue in &declaration.queues {
        let name = named::<QueueName>("queue", &queue.name)?;
        let target = &queue.settings.dead_letter_queue;
        if !target.is_empty() {
            let target = named::<QueueName>("dead_letter_queue", target)?;
            let other = "must be of the namespace of its queue";
            ensure!(
                target.namespace() == name.namespace(),
                "queue {name}: dead_letter_queue {target} {other}"
            );
        }
        names.insert(queue.name.clone());
        if queue.fields.iter().any(|field| field == "dead_letter_queue") {
            dead.insert(queue.name.clone(), target.clone());
        }
    }
    for queue in &declaration.queues {
        no_circle(&queue.name, &dead)?;
    }
    declaration.topics.iter().try_for_each(|topic| bindable(topic, &names))
}

fn named<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(what: &str, name: &str) -> Result<T> {
    name.parse().with_context(|| format!("{what} {name:?}"))
}

fn no_circle(first: &str, dead: &BTreeMap<String, String>) -> Result<()> {
    let mut path = vec![first];
    while let Some(next) = path.last().and_then(|name| dead.get(*name)).filter(|next| !next.is_empty()) {
        path.push(next);
        if next == first {
            bail!("queue {first}: dead letters would go round and round: {}", path.join(" -> "));
        }
        if path.len() > dead.len() {
            break;
        }
    }
    Ok(())
}

fn bindable(topic: &DeclaredTopic, queues: &BTreeSet<String>) -> Result<()> {
    let name = named::<TopicName>("topic", &topic.name)?;
    for binding in &topic.bindings {
        let place = || format!("topic {name}, binding of queue {}", binding.queue);
        let queue: QueueName = binding.queue.parse().with_context(place)?;
        let _: RoutingPattern = binding.pattern.parse().with_context(place)?;
        let there = queues.contains(&binding.queue);
        ensure!(
            there,
            "{}: there is no such queue, and the file declares none; add [queues.\"{queue}\"]",
            place()
        );
        let alike = queue.namespace() == name.namespace();
        ensure!(alike, "{}: a topic and its queues must be of one namespace", place());
    }
    Ok(())
}
