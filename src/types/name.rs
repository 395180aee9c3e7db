//! Names of queues and topics: parsed once, at the edge.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A queue's name: 1 to 128 of `[A-Za-z0-9._-]`, optionally `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(Arc<str>);

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is nothing.
    #[error("a name must not be empty")]
    Empty,
    /// Nothing is on one side of the `/`.
    #[error(
        "the name {name:?}: nothing stands before or after the '/'; leave the '/' out, or give NAMESPACE/NAME"
    )]
    Half {
        /// The name, cut to 128 characters.
        name: String,
    },
    /// It is too long.
    #[error("the name is {length} bytes, the limit is {} for each part", QueueName::PART_BYTES_MAX)]
    Long {
        /// Its length in bytes.
        length: usize,
    },
    /// A character is not allowed.
    #[error(
        "the name {name:?}: {character:?} is not allowed; use letters, digits, '.', '_', '-', \
         and one '/' between namespace and name"
    )]
    Character {
        /// The name, cut to 128 characters.
        name: String,
        /// The first character that is wrong.
        character: char,
    },
}

impl QueueName {
    /// The most bytes of a namespace, and of the name after it.
    pub const PART_BYTES_MAX: usize = 128;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `/`, or nothing: the default namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }
}

impl FromStr for QueueName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        for part in namespace.into_iter().chain([name]) {
            if part.is_empty() {
                return Err(match namespace {
                    Some(_) => NameError::Half { name: text.chars().take(128).collect() },
                    None => NameError::Empty,
                });
            }
            if part.len() > Self::PART_BYTES_MAX {
                return Err(NameError::Long { length: part.len() });
            }
            let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if let Some(character) = part.chars().find(|&c| !allowed(c)) {
                return Err(NameError::Character { name: text.chars().take(128).collect(), character });
            }
        }
        Ok(Self(text.into()))
    }
}

impl Borrow<str> for QueueName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_and_a_few_marks() {
        for good in ["a", "jobs.v2_x-1", "team/jobs", &"x".repeat(128)] {
            assert_eq!(good.parse::<QueueName>().expect(good).as_str(), good);
        }
        for bad in ["", "/", "a/", "/a", "a/b/c", "a b", "ä", "a\0", &"x".repeat(129)] {
            assert!(bad.parse::<QueueName>().is_err(), "{bad:?} was taken");
        }
        for half in ["/a", "a/", "/"] {
            let why = half.parse::<QueueName>().expect_err(half).to_string();
            assert!(why.contains(&format!("{half:?}")), "{why}");
        }
    }
}
