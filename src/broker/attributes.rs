//! Attributes and times of a message that stays as it was encoded.
//!
//! A message is opaque bytes below the service, but what the server itself notes on it are entries of its map `attributes`,
//! field 2, each a field of its own: `12 length (0a length key) (12 length value)`. So they are appended, and taken away
//! again, without looking at anything else. Where a key occurs twice, the last one counts.

use std::ops::Range;

use crate::types::{Content, Duration, OrderingKey};

/// The number and kind of `attributes`.
const ATTRIBUTES: u64 = 2 << 3 | 2;
/// The number and kind of `ordering_key`.
const ORDERING_KEY: u64 = 3 << 3 | 2;
const KEY: u64 = 1 << 3 | 2;
const VALUE: u64 = 2 << 3 | 2;
/// The same of `delay` and of `time_to_live`, and of what is in these: seconds and nanoseconds.
const DELAY: u64 = 5 << 3 | 2;
const TIME_TO_LIVE: u64 = 6 << 3 | 2;
const SECONDS: u64 = 1 << 3;
const NANOS: u64 = 2 << 3;

/// The message's own time to live, rounded up to milliseconds as the wire's times are. What is no time is none.
pub(crate) fn time_to_live(content: &Content) -> Option<Duration> {
    let bytes = &content.0[..];
    let mut found = None;
    for field in Fields::of(bytes).filter(|field| field.tag == TIME_TO_LIVE) {
        let (mut seconds, mut nanos) = found.unwrap_or((0, 0));
        let time = &bytes[field.inner?];
        for part in Fields::of(time) {
            match (part.tag, part.number) {
                (SECONDS, Some(number)) => seconds = number,
                (NANOS, Some(number)) => nanos = number,
                _ => {}
            }
        }
        found = Some((seconds, nanos));
    }
    let (seconds, nanos) = found?;
    Some(Duration(seconds.checked_mul(1000)?.checked_add(nanos.div_ceil(1_000_000))?))
}

/// The message without a delay and a time to live of its own: where it arrives anew, these have had their effect.
pub(crate) fn untimed(content: &Content) -> Content {
    let bytes = &content.0[..];
    let is_time = |field: &Field| matches!(field.tag, DELAY | TIME_TO_LIVE);
    if !Fields::of(bytes).any(|field| is_time(&field)) {
        return content.clone();
    }
    let rest = Fields::of(bytes).filter(|field| !is_time(field));
    Content(rest.flat_map(|field| bytes[field.whole].iter().copied()).collect())
}

/// The message without the attributes whose keys begin with `prefix`, and with these instead.
pub(crate) fn replace(content: &Content, prefix: &str, attributes: &[(String, String)]) -> Content {
    let bytes = &content.0[..];
    let mut out = Vec::with_capacity(bytes.len() + 128);
    for field in Fields::of(bytes) {
        let key = field.attribute(bytes).map(|(key, _)| key);
        if !key.is_some_and(|key| key.starts_with(prefix.as_bytes())) {
            out.extend_from_slice(&bytes[field.whole]);
        }
    }
    for (key, value) in attributes {
        let mut entry = Vec::new();
        put_text(&mut entry, KEY, key);
        put_text(&mut entry, VALUE, value);
        put_varint(&mut out, ATTRIBUTES);
        put_varint(&mut out, entry.len() as u64);
        out.extend_from_slice(&entry);
    }
    Content(out.into())
}

/// The value of an attribute.
pub(crate) fn value<'a>(content: &'a Content, key: &str) -> Option<&'a str> {
    let bytes = &content.0[..];
    let named = |field: Field| field.attribute(bytes).filter(|&(other, _)| other == key.as_bytes());
    let (_, value) = Fields::of(bytes).filter_map(named).last()?;
    std::str::from_utf8(value).ok()
}

/// A message's ordering key, if it has one. As with all fields, the last one counts.
pub(crate) fn ordering_key(content: &Content) -> Option<OrderingKey> {
    let bytes = &content.0[..];
    let keys = Fields::of(bytes).filter(|field| field.tag == ORDERING_KEY);
    let key = &bytes[keys.last()?.inner?];
    (!key.is_empty()).then(|| OrderingKey::from(xxhash_rust::xxh3::xxh3_128(key)))
}

/// A field: all of it, and what is in it if it has a length.
struct Field {
    tag: u64,
    whole: Range<usize>,
    inner: Option<Range<usize>>,
    /// What it is, if it is a number.
    number: Option<u64>,
}

impl Field {
    /// Its key and value, if it is an attribute.
    fn attribute<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let entry = &bytes[self.inner.clone().filter(|_| self.tag == ATTRIBUTES)?];
        let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
        for field in Fields::of(entry) {
            match (field.tag, field.inner) {
                (KEY, Some(inner)) => key = &entry[inner],
                (VALUE, Some(inner)) => value = &entry[inner],
                _ => {}
            }
        }
        Some((key, value))
    }
}

/// The fields of a message, one after the other. What can't be understood is one field to the end.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn varint(&self, at: &mut usize) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(*at)?;
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn field(&self) -> Option<Field> {
        let mut at = self.at;
        let tag = self.varint(&mut at)?;
        let (mut inner, mut number) = (None, None);
        match tag & 7 {
            0 => number = Some(self.varint(&mut at)?),
            1 => at = at.checked_add(8)?,
            2 => {
                let length = usize::try_from(self.varint(&mut at)?).ok()?;
                inner = Some(at..at.checked_add(length)?);
                at += length;
            }
            5 => at = at.checked_add(4)?,
            _ => return None,
        }
        (at <= self.bytes.len()).then_some(Field { tag, whole: self.at..at, inner, number })
    }
}

impl Iterator for Fields<'_> {
    type Item = Field;

    fn next(&mut self) -> Option<Field> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let rest = Field { tag: 0, whole: self.at..self.bytes.len(), inner: None, number: None };
        let field = self.field().unwrap_or(rest);
        self.at = field.whole.end;
        Some(field)
    }
}

fn put_text(out: &mut Vec<u8>, tag: u64, text: &str) {
    put_varint(out, tag);
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message as _;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Plain {
        #[prost(bytes = "vec", tag = "1")]
        body: Vec<u8>,
        #[prost(btree_map = "string, string", tag = "2")]
        attributes: BTreeMap<String, String>,
        #[prost(fixed64, tag = "9")]
        number: u64,
        #[prost(fixed32, tag = "10")]
        half: u32,
        #[prost(uint64, tag = "300")]
        last: u64,
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn plain(attributes: &[(&str, &str)]) -> Plain {
        let attributes = pairs(attributes).into_iter().collect();
        Plain { body: vec![0x12; 300], attributes, number: 7, half: 8, last: 300 }
    }

    fn content(message: &Plain) -> Content {
        Content(message.encode_to_vec().into())
    }

    #[test]
    fn attributes_are_added_replaced_and_taken_away() {
        let long = "ä".repeat(512);
        let with = replace(&content(&plain(&[("kind", "a")])), "bbq-", &pairs(&[("bbq-x", &long)]));
        assert_eq!(Plain::decode(&with.0[..]).unwrap(), plain(&[("bbq-x", &long), ("kind", "a")]));
        assert_eq!(value(&with, "bbq-x"), Some(long.as_str()));
        assert_eq!((value(&with, "kind"), value(&with, "bbq-")), (Some("a"), None));
        let again = replace(&with, "bbq-", &pairs(&[("bbq-x", "2"), ("bbq-y", "")]));
        assert_eq!(
            Plain::decode(&again.0[..]).unwrap(),
            plain(&[("bbq-x", "2"), ("bbq-y", ""), ("kind", "a")])
        );
        let bare = replace(&again, "bbq-", &[]);
        assert_eq!(Plain::decode(&bare.0[..]).unwrap(), plain(&[("kind", "a")]));
    }

    #[test]
    fn a_time_to_live_is_read_and_taken_away() {
        let whole = |seconds, nanos| {
            let time = prost_types::Duration { seconds, nanos }.encode_to_vec();
            let mut bytes = plain(&[("kind", "a")]).encode_to_vec();
            put_varint(&mut bytes, DELAY);
            bytes.extend([2, 8, 1]);
            put_varint(&mut bytes, TIME_TO_LIVE);
            put_varint(&mut bytes, time.len() as u64);
            Content([bytes, time].concat().into())
        };
        for (seconds, nanos, ms) in [(0, 1, 1), (1, 0, 1000), (300, 500_000_001, 300_501), (0, 0, 0)] {
            let content = whole(seconds, nanos);
            assert_eq!(time_to_live(&content), Some(Duration(ms)), "{seconds} {nanos}");
            assert_eq!(untimed(&content), self::content(&plain(&[("kind", "a")])));
        }
        assert_eq!(time_to_live(&content(&plain(&[]))), None);
        // Of a field that is sent twice, both count, the later first.
        let twice = [&[0x32, 2, 8, 9][..], &[0x32, 5, 16, 0x80, 0x84, 0xaf, 0x5f]].concat();
        assert_eq!(time_to_live(&Content(twice.into())), Some(Duration(9200)));
    }

    #[test]
    fn the_last_of_two_counts_and_what_is_no_message_stays() {
        let twice =
            [&[0x12, 6, 0x0a, 1, b'k', 0x12, 1, b'1'][..], &[0x12, 6, 0x12, 1, b'2', 0x0a, 1, b'k']].concat();
        assert_eq!(value(&Content(twice.into()), "k"), Some("2"));
        for odd in [&[0x12, 0x7f][..], &[0x0b, 0x0c], &[0xff; 12], &[0x09, 1]] {
            let content = Content(odd.to_vec().into());
            assert_eq!(replace(&content, "bbq-", &[]), content);
            assert_eq!(value(&content, "k"), None);
        }
        assert_eq!(replace(&Content(Vec::new().into()), "", &[]).size(), 0);
    }
}
