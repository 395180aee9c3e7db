//! Topics: their names, routing keys, and what a binding matches.
//!
//! A routing key is words joined by dots. In a pattern `*` stands for one word and `#` for any number of them, none
//! among it. The empty key has no words, and the empty pattern matches every key.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{NameError, QueueId, QueueName};

/// A message's attributes, or those that a binding wants.
pub type Attributes = BTreeMap<String, String>;

/// The most bindings of one topic. They lie in memory and are listed together.
pub const BINDINGS_MAX: usize = 10_000;

/// A topic's name, formed like a queue's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(QueueName);

/// What a message that is published to a topic is routed by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RoutingKey(String);

/// What a binding matches routing keys with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoutingPattern(Arc<str>);

/// A word of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternWord<'a> {
    /// This word.
    Literal(&'a str),
    /// Any one word.
    One,
    /// Any number of words.
    Any,
}

/// Why a text is no routing key, or no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoutingError {
    /// It is too long.
    #[error("it is {length} bytes, the limit is {}", RoutingKey::BYTES_MAX)]
    Long {
        /// Its length in bytes.
        length: usize,
    },
    /// Two dots stand together, or one stands at an end.
    #[error("a word of it is empty; join words with single dots, as in orders.eu.created")]
    EmptyWord,
    /// A wildcard is only a part of a word.
    #[error("{word:?}: * and # stand for whole words, as in orders.*.created or orders.#")]
    PartOfWord {
        /// The word.
        word: String,
    },
}

/// Which of a topic's messages a queue takes: those whose key matches the pattern and that have all the attributes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The queue.
    pub queue: QueueId,
    /// What the routing key must match.
    pub pattern: RoutingPattern,
    /// Attributes that must be equal.
    pub attributes: Attributes,
}

/// Names a binding among all: its topic, and its number there.
pub type BindingKey = (TopicName, u64);

impl TopicName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// What stands before the `/`, or nothing: the default namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0.namespace()
    }
}

impl FromStr for TopicName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self)
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl RoutingKey {
    /// The most bytes of a key, and of a pattern.
    pub const BYTES_MAX: usize = 255;

    /// Its words.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        words(&self.0)
    }
}

impl FromStr for RoutingKey {
    type Err = RoutingError;

    fn from_str(text: &str) -> Result<Self, RoutingError> {
        well_formed(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl RoutingPattern {
    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its words. The empty pattern is `#`.
    pub fn words(&self) -> impl Iterator<Item = PatternWord<'_>> {
        let text = if self.0.is_empty() { "#" } else { &*self.0 };
        words(text).map(|word| match word {
            "*" => PatternWord::One,
            "#" => PatternWord::Any,
            word => PatternWord::Literal(word),
        })
    }
}

impl FromStr for RoutingPattern {
    type Err = RoutingError;

    fn from_str(text: &str) -> Result<Self, RoutingError> {
        well_formed(text)?;
        match words(text).find(|word| word.len() > 1 && word.contains(['*', '#'])) {
            Some(word) => Err(RoutingError::PartOfWord { word: word.to_owned() }),
            None => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for RoutingPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Binding {
    /// Whether a message has the attributes that it wants.
    #[must_use]
    pub fn wants(&self, attributes: &Attributes) -> bool {
        self.attributes.iter().all(|(key, value)| attributes.get(key) == Some(value))
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('.').filter(|word| !word.is_empty())
}

fn well_formed(text: &str) -> Result<(), RoutingError> {
    if text.len() > RoutingKey::BYTES_MAX {
        return Err(RoutingError::Long { length: text.len() });
    }
    if !text.is_empty() && text.split('.').any(str::is_empty) {
        return Err(RoutingError::EmptyWord);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_words_of_which_some_stand_for_others() {
        use PatternWord::{Any, Literal, One};
        let pattern: RoutingPattern = "orders.*.#.x-y".parse().unwrap();
        let words: Vec<_> = pattern.words().collect();
        assert_eq!(words, [Literal("orders"), One, Any, Literal("x-y")]);
        assert_eq!("".parse::<RoutingPattern>().unwrap().words().collect::<Vec<_>>(), [Any]);
        assert_eq!("".parse::<RoutingKey>().unwrap().words().count(), 0);
        assert_eq!("a.*".parse::<RoutingKey>().unwrap().words().collect::<Vec<_>>(), ["a", "*"]);
    }

    #[test]
    fn what_is_no_key_and_no_pattern_says_why() {
        for bad in [".", "a.", ".a", "a..b"] {
            assert_eq!(bad.parse::<RoutingKey>(), Err(RoutingError::EmptyWord), "{bad}");
            assert_eq!(bad.parse::<RoutingPattern>(), Err(RoutingError::EmptyWord), "{bad}");
        }
        for bad in ["ord*", "a.b#", "**"] {
            assert!(matches!(bad.parse::<RoutingPattern>(), Err(RoutingError::PartOfWord { .. })), "{bad}");
        }
        assert_eq!("x".repeat(256).parse::<RoutingKey>(), Err(RoutingError::Long { length: 256 }));
    }
}
