//! What comes over the wire, checked. What passes is valid for every layer below.

use std::time::Duration as StdDuration;

use bytes::Bytes;
use prost::Message as _;

use super::settings::Limits;
use super::status::Invalid;
use crate::types::{
    Content, DELAY_MAX, DeduplicationId, Duration, Facts, FactsByPlace, LEASE_MAX, LEASE_MIN, Priority,
    QueueName, Receipt, ReceiptFailure,
};

/// The most attributes of a message.
const ATTRIBUTES_MAX: usize = 64;
/// The most bytes of all attributes of a message, keys and values.
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;
/// The most bytes of a message besides its body and the text of its attributes.
const REST_BYTES_MAX: usize = 4 << 10;
/// Messages that lie in the same piece of memory are no more than this, or one.
const SHARED_BYTES: usize = 32 << 10;
/// The longest ordering key.
const ORDERING_KEY_MAX: usize = 256;
/// The longest deduplication id.
const DEDUPLICATION_ID_MAX: usize = 256;
/// The longest name that a consumer may give itself.
const CONSUMER_NAME_MAX: usize = 128;

/// The message as it is checked: the form that clients know, without copying the body.
#[derive(Clone, PartialEq, prost::Message)]
struct Checked {
    #[prost(bytes = "bytes", tag = "1")]
    body: Bytes,
    #[prost(btree_map = "string, string", tag = "2")]
    attributes: std::collections::BTreeMap<String, String>,
    #[prost(string, tag = "3")]
    ordering_key: String,
    #[prost(uint32, tag = "4")]
    priority: u32,
    #[prost(message, optional, tag = "5")]
    delay: Option<prost_types::Duration>,
    #[prost(message, optional, tag = "6")]
    time_to_live: Option<prost_types::Duration>,
    #[prost(string, tag = "7")]
    deduplication_id: String,
}

/// A queue's name.
pub(super) fn queue_name(field: &str, name: &str) -> Result<QueueName, Invalid> {
    name.parse().map_err(|error: crate::types::NameError| Invalid::new(field, error.to_string()))
}

/// Encoded messages, and what the engine is to know of some of them.
pub(super) fn messages(messages: &[Bytes], limits: &Limits) -> Result<(Vec<Content>, FactsByPlace), Invalid> {
    count("messages", messages.len(), limits.batch_items)?;
    let mut known = FactsByPlace::new();
    for (place, encoded) in (0_u32..).zip(messages) {
        let facts = message(place, encoded, limits)?;
        if !facts.is_none() {
            known.push((place, facts));
        }
    }
    Ok((settled(messages), known))
}

/// A message in the one form that says the same, whatever the order of its attributes was.
pub(super) fn canonical(encoded: &Bytes) -> Vec<u8> {
    let checked = Checked::decode(encoded.clone());
    checked.map_or_else(|_| encoded.to_vec(), |checked| checked.encode_length_delimited_to_vec())
}

/// Messages in memory of their own. What came in is a slice of the whole request, which one message of many would keep.
/// Neighbours share up to `SHARED_BYTES`.
fn settled(messages: &[Bytes]) -> Vec<Content> {
    let mut contents = Vec::with_capacity(messages.len());
    let mut rest = messages;
    while let [first, others @ ..] = rest {
        let mut bytes = first.len();
        let room = |next: &&Bytes| {
            bytes += next.len();
            bytes <= SHARED_BYTES
        };
        let (together, after) = rest.split_at(1 + others.iter().take_while(room).count());
        let mut shared = Bytes::from(together.concat());
        contents.extend(together.iter().map(|message| Content(shared.split_to(message.len()))));
        rest = after;
    }
    contents
}

fn message(place: u32, encoded: &Bytes, limits: &Limits) -> Result<Facts, Invalid> {
    let field = |name: &str| format!("messages[{place}].{name}");
    let checked = Checked::decode(encoded.clone())
        .map_err(|error| Invalid::new(format!("messages[{place}]"), format!("is not a Message: {error}")))?;
    let (size, limit) = (checked.body.len(), limits.message_bytes);
    if size > limit {
        let problem = format!("the body is {size} bytes, the limit is {limit} (limits.message_bytes)");
        return Err(Invalid::over_limit(field("body"), problem));
    }
    // What is stored is what came in, with fields that are repeated or unknown.
    let (size, limit) = (encoded.len(), limits.message_bytes + ATTRIBUTE_BYTES_MAX + REST_BYTES_MAX);
    if size > limit {
        let problem = format!("all of it is {size} bytes, the limit is {limit}; send each field once");
        return Err(Invalid::over_limit(format!("messages[{place}]"), problem));
    }
    attributes(&field("attributes"), &checked.attributes)?;
    let (size, limit) = (checked.ordering_key.len(), ORDERING_KEY_MAX);
    if size > limit {
        return Err(Invalid::new(field("ordering_key"), format!("it is {size} bytes, the limit is {limit}")));
    }
    let deduplication = deduplication(&field("deduplication_id"), &checked.deduplication_id)?;
    let priority = Priority::new(checked.priority).ok_or_else(|| {
        Invalid::new(field("priority"), format!("it is {}; it must be 0 to 9", checked.priority))
    })?;
    let delay = delay(&field("delay"), checked.delay)?;
    if let Some(time) = checked.time_to_live {
        let time = duration(&field("time_to_live"), time)?;
        if time == Duration::default() {
            return Err(Invalid::new(field("time_to_live"), "it is 0; leave it unset for no limit"));
        }
        if delay >= time {
            let problem = format!("its time is over after {time}, before its delay of {delay}");
            return Err(Invalid::new(field("delay"), problem));
        }
    }
    Ok(Facts { deduplication, priority, delay, expires: checked.time_to_live.is_some() })
}

fn delay(field: &str, delay: Option<prost_types::Duration>) -> Result<Duration, Invalid> {
    let delay = duration(field, delay.unwrap_or_default())?;
    if delay > DELAY_MAX {
        return Err(Invalid::new(field, format!("it is {delay}; it must be at most 30 days")));
    }
    Ok(delay)
}

fn deduplication(field: &str, id: &str) -> Result<Option<DeduplicationId>, Invalid> {
    if id.len() > DEDUPLICATION_ID_MAX {
        let problem = format!("it is {} bytes, the limit is {DEDUPLICATION_ID_MAX}", id.len());
        return Err(Invalid::new(field, problem));
    }
    let hash = || DeduplicationId::from(xxhash_rust::xxh3::xxh3_128(id.as_bytes()));
    Ok((!id.is_empty()).then(hash))
}

pub(super) fn attributes(
    field: &str,
    attributes: &std::collections::BTreeMap<String, String>,
) -> Result<(), Invalid> {
    if attributes.len() > ATTRIBUTES_MAX {
        let problem = format!("there are {}, the limit is {ATTRIBUTES_MAX}", attributes.len());
        return Err(Invalid::new(field, problem));
    }
    let bytes: usize = attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > ATTRIBUTE_BYTES_MAX {
        let problem =
            format!("they are {bytes} bytes, the limit is {ATTRIBUTE_BYTES_MAX}; put more into the body");
        return Err(Invalid::new(field, problem));
    }
    for key in attributes.keys() {
        if key.is_empty() {
            return Err(Invalid::new(field, "a key must not be empty"));
        }
        if key.starts_with("bbq-") {
            return Err(Invalid::new(field, format!("{key:?}: keys that begin with bbq- are the server's")));
        }
    }
    Ok(())
}

/// Receipts of a settlement. Those that are none fail one by one, not the call.
pub(super) fn receipts(
    receipts: &[String],
    limits: &Limits,
) -> Result<Vec<Result<Receipt, ReceiptFailure>>, Invalid> {
    count("receipts", receipts.len(), limits.batch_items)?;
    Ok(receipts.iter().map(|receipt| receipt.parse()).collect())
}

fn count(field: &str, count: usize, limit: usize) -> Result<(), Invalid> {
    match count {
        0 => Err(Invalid::new(field, "there must be at least one")),
        count if count > limit => {
            let problem =
                format!("there are {count}, the limit is {limit} (limits.batch_items); send more calls");
            Err(Invalid::over_limit(field, problem))
        }
        _ => Ok(()),
    }
}

/// A number that means a default when it is 0 and has a maximum, which may be set below the default.
pub(super) fn bounded<T: Copy + PartialOrd + Default + std::fmt::Display>(
    field: &str,
    value: T,
    standard: T,
    max: T,
) -> Result<T, Invalid> {
    if value == T::default() {
        Ok(if standard > max { max } else { standard })
    } else if value > max {
        Err(Invalid::new(field, format!("{value} is more than {max}")))
    } else {
        Ok(value)
    }
}

/// A length of time that is zero or more.
pub(super) fn duration(field: &str, duration: prost_types::Duration) -> Result<Duration, Invalid> {
    let duration =
        StdDuration::try_from(duration).map_err(|_| Invalid::new(field, "a duration must be 0 or more"))?;
    let ms = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(ms).map(Duration).map_err(|_| Invalid::new(field, "the duration is too long"))
}

/// How long a lease lasts.
pub(super) fn lease_duration(
    field: &str,
    lease: Option<prost_types::Duration>,
) -> Result<Option<Duration>, Invalid> {
    let Some(lease) = lease else { return Ok(None) };
    let lease = duration(field, lease)?;
    if lease < LEASE_MIN || lease > LEASE_MAX {
        return Err(Invalid::new(field, format!("a lease of {lease}; it must be 1s to 12h")));
    }
    Ok(Some(lease))
}

/// The name that a consumer gives itself.
pub(super) fn consumer_name(name: String) -> Result<String, Invalid> {
    if name.len() > CONSUMER_NAME_MAX {
        let problem = format!("it is {} bytes, the limit is {CONSUMER_NAME_MAX}", name.len());
        return Err(Invalid::new("consumer_name", problem));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::super::proto;
    use super::*;

    fn encoded(message: &Checked) -> Vec<Bytes> {
        vec![message.encode_to_vec().into()]
    }

    fn check(message: &Checked) -> Result<(Vec<Content>, FactsByPlace), Invalid> {
        messages(&encoded(message), &Limits { message_bytes: 8, ..Limits::default() })
    }

    #[test]
    fn a_message_passes_unchanged_with_fields_that_are_unknown() {
        let mut bytes = Checked { body: "12345678".into(), ..Checked::default() }.encode_to_vec();
        bytes.extend([0xfa, 0x7f, 0x01, b'x']);
        let (passed, facts) = messages(&[bytes.clone().into()], &Limits::default()).unwrap();
        assert_eq!((passed, facts), (vec![Content(bytes.into())], Vec::new()));
    }

    #[test]
    fn a_default_is_never_beyond_what_may_be_asked_for() {
        assert_eq!(bounded("max_in_flight", 0, 100, 10), Ok(10));
        assert_eq!(bounded("max_in_flight", 0, 100, 1000), Ok(100));
        assert_eq!(bounded("max_in_flight", 10, 100, 10), Ok(10));
        assert_eq!(bounded("max_in_flight", 11, 100, 10).unwrap_err().field, "max_in_flight");
    }

    #[test]
    fn a_bad_message_is_refused_by_place_field_and_bound() {
        let error = check(&Checked { body: "123456789".into(), ..Checked::default() }).unwrap_err();
        assert_eq!(error.field, "messages[0].body");
        assert!(error.over_limit && error.problem.contains("limits.message_bytes"), "{error:?}");
        let reserved = [("bbq-x".to_owned(), String::new())].into();
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        for (bad, field) in [
            (Checked { attributes: reserved, ..Checked::default() }, "attributes"),
            (Checked { ordering_key: "k".repeat(257), ..Checked::default() }, "ordering_key"),
            (Checked { priority: 10, ..Checked::default() }, "priority"),
            (Checked { delay: seconds(-1), ..Checked::default() }, "delay"),
            (Checked { delay: seconds(30 * 86_400 + 1), ..Checked::default() }, "delay"),
            (Checked { time_to_live: seconds(0), ..Checked::default() }, "time_to_live"),
            (Checked { time_to_live: seconds(-1), ..Checked::default() }, "time_to_live"),
            (Checked { time_to_live: seconds(9), delay: seconds(9), ..Checked::default() }, "delay"),
            (Checked { deduplication_id: "d".repeat(257), ..Checked::default() }, "deduplication_id"),
        ] {
            assert_eq!(check(&bad).unwrap_err().field, format!("messages[0].{field}"));
        }
        assert!(messages(&[Bytes::from_static(b"\xff")], &Limits::default()).is_err());
        assert!(messages(&[], &Limits::default()).is_err());
    }

    #[test]
    fn a_delay_is_up_to_a_month_in_milliseconds_and_none_is_no_fact() {
        let delayed = |seconds, nanos| {
            let delay = Some(prost_types::Duration { seconds, nanos });
            check(&Checked { delay, ..Checked::default() }).unwrap().1
        };
        let facts = |delay| vec![(0, Facts { delay: Duration(delay), ..Facts::default() })];
        assert_eq!(delayed(30 * 86_400, 0), facts(DELAY_MAX.0));
        assert_eq!(delayed(0, 1), facts(1));
        assert_eq!(delayed(0, 0), Vec::new());
    }

    #[test]
    fn leases_last_a_second_to_half_a_day() {
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        for bad in [0, -1, 43_201, i64::MAX] {
            assert!(lease_duration("lease_duration", seconds(bad)).is_err(), "{bad}");
        }
        assert_eq!(lease_duration("lease_duration", seconds(43_200)), Ok(Some(LEASE_MAX)));
    }

    /// tonic decodes into buffers of 8 KiB and more; what is kept of a request must not keep all of it.
    #[test]
    fn a_small_content_does_not_hold_its_request_in_memory() {
        let message: Bytes = Checked { body: "12345678".into(), ..Checked::default() }.encode_to_vec().into();
        let request = proto::PublishRequest { messages: vec![message], ..Default::default() };
        let mut wire = bytes::BytesMut::with_capacity(8192);
        request.encode(&mut wire).unwrap();
        let buffer = wire.as_ptr_range().start..wire.as_ptr_range().start.wrapping_add(8192);
        let decoded = proto::PublishRequest::decode(&mut wire).unwrap();
        let (passed, _) = messages(&decoded.messages, &Limits::default()).unwrap();
        assert!(!buffer.contains(&passed[0].0.as_ptr()), "10 bytes hold 8 KiB, and count as 74");
    }

    /// The limit of a message is a bound on what is stored and delivered, whatever field it hides in.
    #[test]
    fn what_is_stored_is_bounded_by_the_limit_of_a_message() {
        let mut twice = Checked { body: vec![1; 4 << 20].into(), ..Checked::default() }.encode_to_vec();
        twice.extend(twice.clone());
        let passed = messages(&[twice.into()], &Limits::default());
        assert!(passed.is_err(), "8 MiB passed a limit of 4 MiB");
    }
}
