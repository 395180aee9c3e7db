//! Messages, as a producer hands them over and a consumer gets them.
//!
//! It decides nothing: limits are the server's to check.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;

use crate::proto;

/// A message: a body and what goes with it.
///
/// ```
/// use bbq_client::Message;
/// let message = Message::new("hello").attribute("kind", "greeting").ordering_key("user-7").priority(5);
/// assert_eq!(message.body, "hello");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The payload, opaque to the server. At most 4 MiB unless the server says otherwise.
    pub body: Bytes,
    /// Small facts: at most 64 entries and 64 KiB in all. Keys that begin with `bbq-` are the server's.
    pub attributes: HashMap<String, String>,
    /// Messages of one key keep their order in a BY_KEY queue. At most 256 bytes; empty for none.
    pub ordering_key: String,
    /// 0 to 9; higher goes first.
    pub priority: u32,
    /// How long the message waits before it can be delivered.
    pub delay: Option<Duration>,
    /// How long the message may wait to be delivered.
    pub time_to_live: Option<Duration>,
    /// The same id within the queue's deduplication window is stored once. At most 256 bytes; empty for none.
    pub deduplication_id: String,
}

impl Message {
    /// A message with a body and nothing else.
    #[must_use]
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// Adds one attribute.
    #[must_use]
    pub fn attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(key.into(), value.into());
        self
    }

    /// Sets the ordering key.
    #[must_use]
    pub fn ordering_key(mut self, key: impl Into<String>) -> Self {
        self.ordering_key = key.into();
        self
    }

    /// Sets the priority, 0 to 9.
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// Holds the message back for so long.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Lets the message wait for so long at most.
    #[must_use]
    pub fn time_to_live(mut self, time_to_live: Duration) -> Self {
        self.time_to_live = Some(time_to_live);
        self
    }

    /// Makes publishing safe to repeat within the queue's deduplication window.
    #[must_use]
    pub fn deduplication_id(mut self, id: impl Into<String>) -> Self {
        self.deduplication_id = id.into();
        self
    }
}

impl From<Bytes> for Message {
    fn from(body: Bytes) -> Self {
        Self::new(body)
    }
}

impl From<Vec<u8>> for Message {
    fn from(body: Vec<u8>) -> Self {
        Self::new(body)
    }
}

impl From<String> for Message {
    fn from(body: String) -> Self {
        Self::new(body)
    }
}

impl From<&'static str> for Message {
    fn from(body: &'static str) -> Self {
        Self::new(body)
    }
}

impl From<Message> for proto::Message {
    fn from(message: Message) -> Self {
        Self {
            body: message.body,
            attributes: message.attributes,
            ordering_key: message.ordering_key,
            priority: message.priority,
            delay: message.delay.map(wire_duration),
            time_to_live: message.time_to_live.map(wire_duration),
            deduplication_id: message.deduplication_id,
        }
    }
}

impl From<proto::Message> for Message {
    fn from(message: proto::Message) -> Self {
        Self {
            body: message.body,
            attributes: message.attributes,
            ordering_key: message.ordering_key,
            priority: message.priority,
            delay: message.delay.and_then(|delay| delay.try_into().ok()),
            time_to_live: message.time_to_live.and_then(|time| time.try_into().ok()),
            deduplication_id: message.deduplication_id,
        }
    }
}

/// A duration for the wire; one that does not fit is as long as can be.
pub(crate) fn wire_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or(prost_types::Duration { seconds: i64::MAX, nanos: 0 })
}
