//! What a backup must have: all that was confirmed before it was begun and not settled before it was there; and nothing else.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Durability, Event, Id, Lease, Mode, Outcome, Promise, Queue, Rule, Verdict, Violation, gives_up, sources,
};

/// A message of a server that was made from a backup.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub queue: Queue,
    pub sequence: u64,
    pub id: Option<Id>,
    /// See [`super::content`].
    pub content: u64,
}

/// What the history says, up to the backup.
#[derive(Default)]
struct Known {
    sent: HashMap<(Queue, Id), u64>,
    /// It was there when the backup began, for good.
    due: BTreeMap<(Queue, u64), Id>,
    /// It was gone by then.
    gone: HashSet<(Queue, u64)>,
    /// It may have been gone when the backup was of.
    perhaps_gone: HashSet<(Queue, u64)>,
    given_up: HashSet<(Queue, Id)>,
}

pub fn compare(
    promises: &BTreeMap<Queue, Promise>,
    events: &[Event],
    copy: u64,
    found: &[Found],
) -> Vec<Violation> {
    let place = |which: fn(&Event) -> Option<u64>| {
        events.iter().position(|event| which(event) == Some(copy)).expect("the backup was recorded")
    };
    let begun = place(|event| match event {
        Event::Copying { copy } => Some(*copy),
        _ => None,
    });
    let end = place(|event| match event {
        Event::Copied { copy } => Some(*copy),
        _ => None,
    });
    let known = Known::of(promises, events, begun, end);
    let mut broken = Vec::new();
    let mut there = HashSet::new();
    for one in found {
        let sent_to = sources(promises, one.queue).last().copied().unwrap_or(one.queue);
        let sent = one.id.and_then(|id| Some((id, known.sent.get(&(sent_to, id))?)));
        let rule = match sent {
            None => Some(Rule::NothingIsInvented),
            Some((_, content)) if *content != one.content => Some(Rule::NothingIsAltered),
            Some(_) if known.gone.contains(&(one.queue, one.sequence)) => Some(Rule::AckedIsGone),
            Some(_) if !there.insert((one.queue, one.sequence)) => Some(Rule::OneNameEach),
            Some(_) => None,
        };
        broken.extend(rule.map(|rule| (rule, one.queue, one.sequence)));
    }
    let letters: HashSet<_> = found
        .iter()
        .flat_map(|one| sources(promises, one.queue).into_iter().zip(one.id.into_iter().cycle()))
        .chain(known.given_up.iter().copied())
        .collect();
    for (&(queue, sequence), &id) in &known.due {
        let gone = known.perhaps_gone.contains(&(queue, sequence)) || letters.contains(&(queue, id));
        if !gone && !there.contains(&(queue, sequence)) {
            broken.push((Rule::NothingIsLost, queue, sequence));
        }
    }
    let violation = |(rule, queue, sequence)| Violation { rule, queue, sequence, at: end };
    broken.into_iter().map(violation).collect()
}

impl Known {
    fn of(promises: &BTreeMap<Queue, Promise>, events: &[Event], begun: usize, end: usize) -> Self {
        let mut known = Self::default();
        let mut mortal = HashSet::new();
        // Where something else than an ack ends messages, none has to be there.
        let keeps = |queue: Queue| {
            let promise = promises[queue];
            let purged = events[..end]
                .iter()
                .any(|event| matches!(event, Event::Purging { queue: purged, .. } if *purged == queue));
            promise.mode == Mode::AtLeastOnce && promise.drops_beyond.is_none() && !purged
        };
        let keeping: HashSet<Queue> = promises.keys().copied().filter(|queue| keeps(queue)).collect();
        for (at, event) in events[..end].iter().enumerate() {
            match event {
                Event::Sending { queue, id, content, limits } => {
                    known.sent.insert((queue, *id), *content);
                    // Where there is a dead-letter queue, what is over is there.
                    if limits.expires.is_some() && !gives_up(promises, queue) {
                        mortal.insert((*queue, *id));
                    }
                }
                Event::Confirmed { queue, id, sequence }
                    if at < begun && keeping.contains(queue) && !mortal.contains(&(*queue, *id)) =>
                {
                    known.due.insert((queue, *sequence), *id);
                }
                Event::Settling { lease, verdict: Verdict::Ack } => {
                    known.perhaps_gone.insert((lease.queue, lease.sequence));
                }
                Event::Settled { lease, verdict: Verdict::Ack, outcome: Outcome::Done, .. } if at < begun => {
                    known.gone.insert((lease.queue, lease.sequence));
                }
                Event::Delivered(delivered) => {
                    let Lease { queue, sequence, .. } = delivered.lease;
                    if at < begun && promises[queue].mode == Mode::AtMostOnce {
                        known.gone.insert((queue, sequence));
                    }
                    let id = delivered.id.into_iter().cycle();
                    known.given_up.extend(sources(promises, queue).into_iter().zip(id));
                }
                Event::PowerCut => {
                    let kept = |queue: Queue| promises[queue].durability == Durability::Synced;
                    known.due.retain(|(queue, _), _| kept(queue));
                }
                _ => {}
            }
        }
        known
    }
}
