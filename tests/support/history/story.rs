//! What is told of violations: all that happened to the messages concerned.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::{Delivered, Event, Id, Lease, Queue, Rule, VIOLATIONS, Violation};

pub fn tell(found: &[Violation], events: &[Event]) {
    assert!(found.is_empty(), "{}", told(found, events));
}

pub fn told(found: &[Violation], events: &[Event]) -> String {
    let shown: String = found.iter().take(5).map(|violation| explain(violation, events)).collect();
    let mut rules: BTreeMap<Rule, usize> = BTreeMap::new();
    for violation in found {
        *rules.entry(violation.rule).or_default() += 1;
    }
    format!("{}{VIOLATIONS}\n{shown}all: {rules:?}", found.len())
}

fn explain(violation: &Violation, events: &[Event]) -> String {
    let concerned: HashSet<Id> =
        events.iter().filter_map(|event| named(event, violation.queue, violation.sequence)).collect();
    let mut text = format!("{violation}\n");
    for (at, event) in events.iter().enumerate() {
        if concerns(event, violation, &concerned) {
            text += &format!("  {at}: {event:?}\n");
        }
    }
    text
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, queue, sequence, at } = self;
        write!(f, "{rule:?} does not hold of message {sequence} of {queue}, see event {at}")
    }
}

/// The message that an event says a sequence is.
fn named(event: &Event, at: Queue, number: u64) -> Option<Id> {
    match event {
        Event::Confirmed { queue, id, sequence } => (*queue == at && *sequence == number).then_some(*id),
        Event::Delivered(delivered) => {
            let Lease { queue, sequence, .. } = delivered.lease;
            delivered.id.filter(|_| queue == at && sequence == number)
        }
        _ => None,
    }
}

fn concerns(event: &Event, violation: &Violation, ids: &HashSet<Id>) -> bool {
    match event {
        Event::Sending { id, .. } | Event::Confirmed { id, .. } | Event::Unsent { id } => ids.contains(id),
        Event::Delivered(Delivered { lease, .. })
        | Event::Settling { lease, .. }
        | Event::Settled { lease, .. }
        | Event::Extending { lease, .. }
        | Event::Extended { lease, .. } => {
            lease.queue == violation.queue && lease.sequence == violation.sequence
        }
        Event::PowerCut
        | Event::Down
        | Event::Copying { .. }
        | Event::Copied { .. }
        | Event::Killing { .. } => true,
        Event::Together { publishes, acks } => {
            publishes.iter().any(|publish| ids.contains(&publish.id))
                || acks
                    .iter()
                    .any(|lease| (lease.queue, lease.sequence) == (violation.queue, violation.sequence))
        }
        Event::Draining { queue, .. }
        | Event::Drained { queue, .. }
        | Event::Purging { queue }
        | Event::Purged { queue, .. }
        | Event::Paused { queue, .. }
        | Event::Resuming { queue, .. } => *queue == violation.queue,
        Event::Opened { .. } | Event::Ended { .. } | Event::Answered { .. } => false,
    }
}
