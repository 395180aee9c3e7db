//! How things of the API read as JSON and in cells: messages, times, queues' settings.
//!
//! Keys are the names of the protobuf fields. A body is `body` if it is UTF-8, else `body_base64`. What is not set is left
//! out.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bbq_client::{Delivery, Message, proto};
use serde_json::{Map, Value, json};

/// A JSON object that leaves out what is null.
pub(super) fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.into(), value)).collect()
}

/// A message's fields.
pub(super) fn message(message: &Message) -> Map<String, Value> {
    let Message { body, attributes, ordering_key, priority, delay, time_to_live, deduplication_id } = message;
    let (key, body) = match std::str::from_utf8(body) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("body_base64", STANDARD.encode(body)),
    };
    let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    object([
        (key, body.into()),
        ("attributes", if attributes.is_empty() { Value::Null } else { json!(attributes) }),
        ("ordering_key", text(ordering_key)),
        ("priority", if *priority == 0 { Value::Null } else { (*priority).into() }),
        ("delay", delay.map(length).into()),
        ("time_to_live", time_to_live.map(length).into()),
        ("deduplication_id", text(deduplication_id)),
    ])
}

/// A delivery with its message.
pub(super) fn delivery(delivery: &Delivery) -> Value {
    let receipt = delivery.receipt();
    let mut fields = object([
        ("queue", delivery.queue().into()),
        ("sequence", delivery.sequence().into()),
        ("attempt", delivery.attempt().into()),
        ("receipt", if receipt.is_empty() { Value::Null } else { receipt.into() }),
        ("published_at", delivery.published_at().map(time).into()),
        ("lease_expires_at", delivery.lease_expires_at().map(time).into()),
    ]);
    fields.append(&mut message(delivery.message()));
    fields.into()
}

/// A time on the wire as `2026-11-23T17:00:00.000Z`.
pub(super) fn wire_time(at: Option<prost_types::Timestamp>) -> Option<String> {
    at.and_then(|at| SystemTime::try_from(at).ok()).map(time)
}

/// A time as `2026-11-23T17:00:00.000Z`.
pub(super) fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

/// A duration as `1h 30m`.
pub(super) fn length(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A duration on the wire as `1h 30m`.
pub(super) fn wire_length(duration: Option<prost_types::Duration>) -> Option<String> {
    duration.and_then(|duration| Duration::try_from(duration).ok()).map(length)
}

/// A value for people: a text without quotes.
pub(super) fn word_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// So many of something: `1 message`, `2 messages`.
pub(super) fn counted(count: impl TryInto<u64>, one: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    if count == 1 { format!("1 {one}") } else { format!("{count} {}", plural(one)) }
}

/// The same as the subject of what became of it: `1 message was`, `2 messages were`.
pub(super) fn were(count: u64, one: &str) -> String {
    format!("{} {}", counted(count, one), if count == 1 { "was" } else { "were" })
}

/// What to say where a list is empty.
pub(super) fn none_of(prefix: &str, one: &str) -> String {
    match prefix {
        "" => format!("no {}; `bbq {one} create NAME` makes one", plural(one)),
        prefix => format!("no {one} has a name that begins with {prefix}"),
    }
}

fn plural(one: &str) -> String {
    match one.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{one}s"),
    }
}

/// An enum's name without its type: `DELIVERY_MODE_AT_LEAST_ONCE` is `at-least-once`.
pub(super) fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase().replace('_', "-")
}

/// The state of a peeked message.
pub(super) fn state(message: &proto::PeekedMessage) -> String {
    word(message.state().as_str_name(), "MESSAGE_STATE_")
}

/// What a grant allows, as it is typed.
pub(super) fn grant(grant: &proto::Grant) -> String {
    let permission = word(grant.permission().as_str_name(), "PERMISSION_");
    if grant.queues.is_empty() { permission } else { format!("{permission}:{}", grant.queues) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_no_text_is_base64() {
        let text = message(&Message::new("grün").attribute("kind", "a"));
        assert_eq!(Value::from(text), json!({"body": "grün", "attributes": {"kind": "a"}}));
        let bytes = message(&Message::new(vec![0xff, 0]).priority(3).delay(Duration::from_secs(90)));
        assert_eq!(Value::from(bytes), json!({"body_base64": "/wA=", "priority": 3, "delay": "1m 30s"}));
    }

    #[test]
    fn times_and_lengths_read_well() {
        let at = prost_types::Timestamp { seconds: 1_795_453_200, nanos: 1_000_000 };
        assert_eq!(wire_time(Some(at)).unwrap(), "2026-11-23T17:00:00.001Z");
        assert_eq!(wire_time(None), None);
        assert_eq!(length(Duration::from_millis(1500)), "1s 500ms");
    }

    #[test]
    fn a_grant_reads_as_it_is_typed() {
        for text in ["publish:orders*", "admin", "consume:team/jobs", "manage"] {
            assert_eq!(grant(&super::super::argument::grant(text).unwrap()), text);
        }
    }

    #[test]
    fn one_is_one() {
        assert_eq!([0_u64, 1, 2].map(|n| counted(n, "message")), ["0 messages", "1 message", "2 messages"]);
        assert_eq!([1_u64, 2].map(|n| counted(n, "entry")), ["1 entry", "2 entries"]);
        assert_eq!([1, 2].map(|n| were(n, "message")), ["1 message was", "2 messages were"]);
    }
}
