//! A queue's settings as they are typed, as a file has them, and as they are shown.

use std::time::Duration;

use bbq_client::proto;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;

use super::argument::{bytes, duration, factor, whole, wire};
use super::field;
use super::record::{object, wire_length, word};

/// The settings of a queue, as flags or as keys of a file.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Settings {
    /// Which order the queue promises
    #[arg(long, value_enum)]
    #[serde(deserialize_with = "field::choice")]
    ordering: Option<Ordering>,
    /// How often a message may be delivered
    #[arg(long, value_enum)]
    #[serde(deserialize_with = "field::choice")]
    delivery: Option<Delivery>,
    /// What a confirmed publish has survived: a power cut, or a kill of the server
    #[arg(long, value_enum)]
    #[serde(deserialize_with = "field::choice")]
    durability: Option<Durability>,
    /// How long a lease lasts, 1s to 12h [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    #[serde(deserialize_with = "field::duration")]
    lease_duration: Option<Duration>,
    /// Dead-letter or drop a message after so many attempts; 0 for no limit
    #[arg(long, value_name = "COUNT", value_parser = whole::<u32>(0..=u32::MAX.into()), allow_negative_numbers = true)]
    #[serde(deserialize_with = "field::count")]
    max_attempts: Option<u32>,
    /// The delay before the second attempt; 0s for none [default: none]
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    #[serde(deserialize_with = "field::duration")]
    retry_initial: Option<Duration>,
    /// By how much each further delay grows
    #[arg(long, value_name = "FACTOR", value_parser = factor, allow_negative_numbers = true)]
    #[serde(deserialize_with = "field::factor")]
    retry_multiplier: Option<f64>,
    /// No delay is longer than this
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    #[serde(deserialize_with = "field::duration")]
    retry_max: Option<Duration>,
    /// The queue that takes what could not be handled; '' for none
    #[arg(long, value_name = "QUEUE")]
    dead_letter_queue: Option<String>,
    /// How long a message may wait to be delivered; 0s for no limit [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    #[serde(deserialize_with = "field::duration")]
    time_to_live: Option<Duration>,
    /// The most messages the queue may hold; 0 for no limit
    #[arg(long, value_name = "COUNT", value_parser = whole::<u64>(0..=u64::MAX), allow_negative_numbers = true)]
    #[serde(deserialize_with = "field::count")]
    max_messages: Option<u64>,
    /// The most bytes the queue may hold, such as 64MiB; 0 for no limit
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_hyphen_values = true)]
    #[serde(deserialize_with = "field::bytes")]
    max_bytes: Option<u64>,
    /// What happens to a publish beyond a limit
    #[arg(long, value_enum)]
    #[serde(deserialize_with = "field::choice")]
    overflow: Option<Overflow>,
    /// For how long deduplication ids are remembered, at most 24h
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    #[serde(deserialize_with = "field::duration")]
    deduplication_window: Option<Duration>,
    /// One consumer at a time; the others wait for their turn
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[serde(deserialize_with = "field::flag")]
    single_active_consumer: Option<bool>,
    /// Publishes go in, nothing goes out
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[serde(deserialize_with = "field::flag")]
    paused: Option<bool>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ordering {
    Unordered,
    Fifo,
    ByKey,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Delivery {
    AtLeastOnce,
    AtMostOnce,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Durability {
    Synced,
    Buffered,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Overflow {
    Reject,
    DropOldest,
}

impl Settings {
    /// Whether it says how the delay grows, and not where it begins.
    pub(super) fn is_headless(&self) -> bool {
        self.retry_initial.is_none() && (self.retry_multiplier.is_some() || self.retry_max.is_some())
    }

    /// The names of those that were given.
    pub(super) fn named(&self) -> Vec<String> {
        let given = [
            ("ordering", self.ordering.is_some()),
            ("delivery", self.delivery.is_some()),
            ("durability", self.durability.is_some()),
            ("lease_duration", self.lease_duration.is_some()),
            ("max_attempts", self.max_attempts.is_some()),
            ("retry_backoff", self.retry_initial.is_some() || self.is_headless()),
            ("dead_letter_queue", self.dead_letter_queue.is_some()),
            ("time_to_live", self.time_to_live.is_some()),
            ("max_messages", self.max_messages.is_some()),
            ("max_bytes", self.max_bytes.is_some()),
            ("overflow", self.overflow.is_some()),
            ("deduplication_window", self.deduplication_window.is_some()),
            ("single_active_consumer", self.single_active_consumer.is_some()),
            ("paused", self.paused.is_some()),
        ];
        given.into_iter().filter(|&(_, given)| given).map(|(name, _)| name.to_owned()).collect()
    }
}

impl From<Settings> for proto::QueueSettings {
    fn from(settings: Settings) -> Self {
        let ordering = match settings.ordering {
            None => proto::Ordering::Unspecified,
            Some(Ordering::Unordered) => proto::Ordering::Unordered,
            Some(Ordering::Fifo) => proto::Ordering::Fifo,
            Some(Ordering::ByKey) => proto::Ordering::ByKey,
        };
        let delivery = match settings.delivery {
            None => proto::DeliveryMode::Unspecified,
            Some(Delivery::AtLeastOnce) => proto::DeliveryMode::AtLeastOnce,
            Some(Delivery::AtMostOnce) => proto::DeliveryMode::AtMostOnce,
        };
        let durability = match settings.durability {
            None => proto::Durability::Unspecified,
            Some(Durability::Synced) => proto::Durability::Synced,
            Some(Durability::Buffered) => proto::Durability::Buffered,
        };
        let overflow = match settings.overflow {
            None => proto::Overflow::Unspecified,
            Some(Overflow::Reject) => proto::Overflow::Reject,
            Some(Overflow::DropOldest) => proto::Overflow::DropOldest,
        };
        let has_backoff = match settings.retry_initial {
            Some(initial) => !initial.is_zero(),
            None => settings.is_headless(),
        };
        // What is not named stays unset, which to the server is the default.
        let retry_backoff = has_backoff.then(|| proto::RetryBackoff {
            initial: settings.retry_initial.map(wire),
            multiplier: settings.retry_multiplier.unwrap_or_default(),
            max: settings.retry_max.map(wire),
        });
        Self {
            ordering: ordering.into(),
            delivery: delivery.into(),
            durability: durability.into(),
            lease_duration: settings.lease_duration.map(wire),
            max_attempts: settings.max_attempts.unwrap_or_default(),
            retry_backoff,
            dead_letter_queue: settings.dead_letter_queue.unwrap_or_default(),
            time_to_live: settings.time_to_live.map(wire),
            max_messages: settings.max_messages.unwrap_or_default(),
            max_bytes: settings.max_bytes.unwrap_or_default(),
            overflow: overflow.into(),
            deduplication_window: settings.deduplication_window.map(wire),
            single_active_consumer: settings.single_active_consumer.unwrap_or_default(),
            paused: settings.paused.unwrap_or_default(),
        }
    }
}

/// Lets what is not named of a backoff stay as the queue has it: to the server a backoff is one setting, changed as a whole.
pub(super) fn keep_backoff(wanted: &mut proto::QueueSettings, there: &proto::QueueSettings) {
    if let (Some(wanted), Some(there)) = (&mut wanted.retry_backoff, &there.retry_backoff) {
        wanted.initial = wanted.initial.or(there.initial);
        wanted.max = wanted.max.or(there.max);
        if wanted.multiplier == 0.0 {
            wanted.multiplier = there.multiplier;
        }
    }
}

/// The settings that are set, by their names.
pub(super) fn settings(settings: &proto::QueueSettings) -> serde_json::Map<String, Value> {
    let count = |count: u64| if count == 0 { Value::Null } else { count.into() };
    let choice = |name: &str, prefix| match word(name, prefix).as_str() {
        "unspecified" => Value::Null,
        word => word.into(),
    };
    let flag = |flag: bool| if flag { Value::Bool(true) } else { Value::Null };
    let queue = settings.dead_letter_queue.as_str();
    let backoff = settings.retry_backoff.as_ref().map(|backoff| {
        let RetryTexts { initial, max } = RetryTexts::of(backoff);
        let multiplier = if backoff.multiplier == 0.0 { Value::Null } else { backoff.multiplier.into() };
        object([("initial", initial.into()), ("multiplier", multiplier), ("max", max.into())])
    });
    object([
        ("ordering", choice(settings.ordering().as_str_name(), "ORDERING_")),
        ("delivery", choice(settings.delivery().as_str_name(), "DELIVERY_MODE_")),
        ("durability", choice(settings.durability().as_str_name(), "DURABILITY_")),
        ("lease_duration", wire_length(settings.lease_duration).into()),
        ("max_attempts", count(settings.max_attempts.into())),
        ("retry_backoff", backoff.into()),
        ("dead_letter_queue", if queue.is_empty() { Value::Null } else { queue.into() }),
        ("time_to_live", wire_length(settings.time_to_live).into()),
        ("max_messages", count(settings.max_messages)),
        ("max_bytes", count(settings.max_bytes)),
        ("overflow", choice(settings.overflow().as_str_name(), "OVERFLOW_")),
        ("deduplication_window", wire_length(settings.deduplication_window).into()),
        ("single_active_consumer", flag(settings.single_active_consumer)),
        ("paused", flag(settings.paused)),
    ])
}

/// A setting under the names of the flags that set it: a backoff has three.
pub(super) fn as_flags((name, value): (String, Value)) -> Vec<(String, Value)> {
    match value {
        Value::Object(parts) if name == "retry_backoff" => {
            parts.into_iter().map(|(part, value)| (format!("retry_{part}"), value)).collect()
        }
        value => vec![(name, value)],
    }
}

struct RetryTexts {
    initial: Option<String>,
    max: Option<String>,
}

impl RetryTexts {
    fn of(backoff: &proto::RetryBackoff) -> Self {
        Self { initial: wire_length(backoff.initial), max: wire_length(backoff.max) }
    }
}
