//! A queue's settings, as scripts write them.

use super::time;
use crate::types::{DeliveryMode, Durability, Ordering, Overflow, QueueSettings, RetryBackoff};

/// Changes what the words say.
pub fn read(settings: &mut QueueSettings, words: &[&str]) {
    for word in words {
        match *word {
            "at-most-once" => settings.delivery = DeliveryMode::AtMostOnce,
            "at-least-once" => settings.delivery = DeliveryMode::AtLeastOnce,
            "buffered" => settings.durability = Durability::Buffered,
            "drop-oldest" => settings.limits.overflow = Overflow::DropOldest,
            "reject" => settings.limits.overflow = Overflow::Reject,
            "fifo" => settings.ordering = Ordering::Fifo,
            "by-key" => settings.ordering = Ordering::ByKey,
            "unordered" => settings.ordering = Ordering::Unordered,
            "single" => settings.single_active_consumer = true,
            "shared" => settings.single_active_consumer = false,
            "paused" => settings.paused = true,
            "resumed" => settings.paused = false,
            other => match other.split_once(':') {
                Some(("max", messages)) => settings.limits.messages = messages.parse().expect("how many"),
                Some(("bytes", bytes)) => settings.limits.bytes = bytes.parse().expect("how many"),
                Some(("ttl", time_to_live)) => settings.time_to_live = time(time_to_live),
                Some(("dedup", window)) => settings.deduplication_window = time(window),
                Some(("tries", attempts)) => settings.max_attempts = attempts.parse().expect("how many"),
                Some(("dead", name)) => settings.dead_letter_queue = name.parse().ok(),
                Some(("backoff", terms)) => settings.retry_backoff = backoff(terms),
                Some(_) => panic!("not a setting: {other}"),
                None => settings.lease_duration = time(other),
            },
        }
    }
}

/// `1s:2000:10s`, or nothing.
fn backoff(terms: &str) -> Option<RetryBackoff> {
    match terms.split(':').collect::<Vec<_>>()[..] {
        [initial, multiplier, max] => Some(RetryBackoff {
            initial: time(initial),
            multiplier_thousandths: multiplier.parse().expect("a number"),
            max: time(max),
        }),
        _ => None,
    }
}
