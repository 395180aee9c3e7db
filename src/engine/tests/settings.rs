//! A queue's settings, as scripts write them.

use super::time;
use crate::types::{DeliveryMode, Durability, Ordering, QueueSettings, RetryBackoff};

/// Changes what the words say.
pub fn read(settings: &mut QueueSettings, words: &[&str]) {
    for word in words {
        match *word {
            "at-most-once" => settings.delivery = DeliveryMode::AtMostOnce,
            "at-least-once" => settings.delivery = DeliveryMode::AtLeastOnce,
            "buffered" => settings.durability = Durability::Buffered,
            "fifo" => settings.ordering = Ordering::Fifo,
            "unordered" => settings.ordering = Ordering::Unordered,
            "single" => settings.single_active_consumer = true,
            "paused" => settings.paused = true,
            "resumed" => settings.paused = false,
            other => match other.split_once(':') {
                Some(("max", attempts)) => settings.max_attempts = attempts.parse().expect("how many"),
                Some(("dead", name)) => settings.dead_letter_queue = name.parse().ok(),
                Some(("backoff", terms)) => settings.retry_backoff = backoff(terms),
                Some(_) | None => settings.lease_duration = time(other),
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
