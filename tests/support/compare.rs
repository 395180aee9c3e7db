//! Is an engine as the model says?

use bbq::engine::Engine;
use bbq::types::{
    DeliveryMode, Durability, Duration, Holder, Lane, Limits, Ordering, Overflow, Priority, QueueSettings,
    RetryBackoff, Sequence, TouchState,
};

use super::model::{Kind, Lease, Model, Settings, State};

/// Everything that can be seen of the engine is as in the model.
pub fn compare(model: &Model, engine: &Engine, start: u64) {
    let record = engine.record();
    assert_eq!(u64::from(record.epoch.0), u64::from(model.epoch), "epochs");
    assert_eq!(record.next_queue.0 as usize, model.queues.len(), "queues that ever were");
    let alive = model.queues.iter().enumerate().filter(|(_, queue)| queue.alive);
    assert_eq!(engine.queues().count(), alive.clone().count(), "queues that are there");
    let first = model.deadlines().first().map(|&(at, ..)| at + start);
    assert_eq!(engine.next_deadline().map(|at| at.0), first, "the first deadline");
    super::topics::compare(model, engine);
    for (id, expected) in alive {
        let queue = engine.named(&expected.name.parse().expect("a name")).expect("the queue is there");
        assert_eq!(queue.record().id.0 as usize, id, "ids");
        assert_eq!(queue.record().settings, settings(&expected.settings), "settings");
        assert_eq!(
            queue.record().next_sequence.0,
            expected.messages.len() as u64 + 1,
            "messages that ever were"
        );
        let last = expected.messages.iter().rposition(|message| message.life.is_some());
        let before = last.map_or(0, |at| at as u64 + 2);
        assert_eq!(queue.record().expiring_before.0, before, "messages with a time to live of their own");
        for (at, message) in expected.messages.iter().enumerate() {
            let sequence = Sequence(at as u64 + 1);
            let label = &message.label;
            let touch = queue.touch(sequence);
            let priority = Priority::new(message.priority).expect("0 to 9");
            let touch_of = touch.map(|touch| touch.lane);
            let lane = if message.postponed { Lane::delayed(priority) } else { Lane::of(priority) };
            let untouched = touch.is_none() && queue.is_untouched(lane, sequence);
            assert!(touch_of.is_none_or(|touched| touched == lane), "the lane of {label}");
            assert_eq!(untouched, message.state == State::Untouched, "{label} is untouched");
            assert_eq!(queue.is_parked(sequence), message.state == State::Parked, "{label} is parked");
            let touched = !matches!(message.state, State::Untouched | State::Parked | State::Gone);
            assert_eq!(touch.is_some(), touched, "{label} is touched");
            let Some(touch) = touch else { continue };
            assert_eq!(touch.attempt.0 as usize, message.attempts.len(), "attempts of {label}");
            assert_eq!(touch.epoch.0, message.attempts.last().copied().unwrap_or(0), "the epoch of {label}");
            assert_eq!(touch.uncounted, message.uncounted, "attempts of {label} that do not count");
            assert_eq!(u64::from(touch.size), message.size, "the size of {label}");
            let other = match &touch.state {
                TouchState::Ready => State::Returned,
                TouchState::Delayed { until } => State::Delayed(until.0 - start),
                TouchState::Dead { reason } => {
                    let known =
                        ["nack", "max_attempts", "time_to_live"].into_iter().find(|it| *it == &**reason);
                    State::Dead(known.expect("a reason"))
                }
                TouchState::Leased(_) | TouchState::Parked => message.state.clone(),
            };
            assert_eq!(other, message.state, "the state of {label}");
            let lease = touch.lease().map(|lease| Lease {
                by: lease.consumer.name.clone(),
                kind: match lease.holder {
                    Holder::Stream(_) => Kind::Stream,
                    Holder::Receive(_) => Kind::Receive,
                },
                since: lease.since.0 - start,
                deadline: lease.deadline.0 - start,
                duration: lease.duration.0,
            });
            assert_eq!(lease.as_ref(), message.lease(), "the lease of {label}");
        }
    }
}

fn settings(settings: &Settings) -> QueueSettings {
    let backoff = |(initial, growth, max): (u64, u64, u64)| RetryBackoff {
        initial: Duration(initial),
        multiplier_thousandths: u32::try_from(growth * 1000).expect("it is small"),
        max: Duration(max),
    };
    QueueSettings {
        ordering: match (settings.fifo, settings.by_key) {
            (true, _) => Ordering::Fifo,
            (false, true) => Ordering::ByKey,
            (false, false) => Ordering::Unordered,
        },
        delivery: if settings.at_most_once { DeliveryMode::AtMostOnce } else { DeliveryMode::AtLeastOnce },
        durability: if settings.buffered { Durability::Buffered } else { Durability::Synced },
        lease_duration: Duration(settings.lease_ms),
        max_attempts: u32::try_from(settings.max_attempts).expect("it is small"),
        retry_backoff: settings.backoff.map(backoff),
        dead_letter_queue: settings.dead.as_ref().map(|name| name.parse().expect("a name")),
        time_to_live: Duration(settings.life_ms),
        single_active_consumer: settings.single,
        paused: settings.paused,
        limits: Limits {
            messages: settings.messages_max,
            bytes: settings.bytes_max,
            overflow: if settings.drop_oldest { Overflow::DropOldest } else { Overflow::Reject },
        },
        deduplication_window: Duration(settings.window_ms),
    }
}
