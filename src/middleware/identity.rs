//! Who calls, and what they may do.
//!
//! Pure: it decides from grants alone. A grant with MANAGE covers PUBLISH and CONSUME on its queues; a grant with ADMIN
//! covers everything everywhere, whatever its pattern.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a token lets its bearer do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Publish.
    Publish,
    /// Subscribe, Receive, Ack, Nack, Extend.
    Consume,
    /// The two above, and queues, topics, peeks and leases.
    Manage,
    /// Everything, and tokens and backups.
    Admin,
}

/// Which queues a grant is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum QueuePattern {
    /// Every queue; written as nothing.
    All,
    /// The queue of this name.
    Exact(String),
    /// Queues whose name begins so; written with `*` after it.
    Prefix(String),
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is too long.
    #[error("queue pattern is {length} bytes, the limit is {}", QueuePattern::BYTES_MAX)]
    Long {
        /// Its length in bytes.
        length: usize,
    },
    /// A character can't be part of it.
    #[error(
        "queue pattern {pattern:?}: {character:?} is not allowed here; give a queue's name, or its beginning \
         and a `*` at the end"
    )]
    Character {
        /// The pattern.
        pattern: String,
        /// The first character that is wrong.
        character: char,
    },
}

/// One permission on some queues.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// What is allowed.
    pub permission: Permission,
    /// On which queues.
    pub queues: QueuePattern,
}

/// The bearer of a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The token's id; not secret.
    pub token_id: String,
    /// What its maker called it.
    pub name: String,
    /// What it allows.
    pub grants: Vec<Grant>,
}

impl QueuePattern {
    /// Two parts of a queue name, the `/` between them, and a `*`.
    pub const BYTES_MAX: usize = 258;

    /// Whether the queue of this name is meant.
    #[must_use]
    pub fn matches(&self, queue: &str) -> bool {
        match self {
            Self::All => true,
            Self::Exact(name) => name == queue,
            Self::Prefix(prefix) => queue.starts_with(prefix),
        }
    }
}

impl FromStr for QueuePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > Self::BYTES_MAX {
            return Err(PatternError::Long { length: text.len() });
        }
        let (name, is_prefix) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        if let Some(character) = name.chars().find(|&c| !allowed(c)) {
            return Err(PatternError::Character { pattern: text.to_owned(), character });
        }
        Ok(match (name, is_prefix) {
            ("", _) => Self::All,
            (prefix, true) => Self::Prefix(prefix.to_owned()),
            (name, false) => Self::Exact(name.to_owned()),
        })
    }
}

impl fmt::Display for QueuePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::Exact(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl TryFrom<String> for QueuePattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<QueuePattern> for String {
    fn from(pattern: QueuePattern) -> Self {
        pattern.to_string()
    }
}

impl Permission {
    /// Whether having this permission on a queue means having `other` there.
    fn covers(self, other: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::Manage => matches!(other, Self::Manage | Self::Publish | Self::Consume),
            Self::Publish | Self::Consume => self == other,
        }
    }
}

impl Identity {
    /// Whether the bearer may do this on the queue of this name.
    #[must_use]
    pub fn allows(&self, permission: Permission, queue: &str) -> bool {
        self.is_admin()
            || self
                .grants
                .iter()
                .any(|grant| grant.permission.covers(permission) && grant.queues.matches(queue))
    }

    /// Whether the bearer may do everything.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.grants.iter().any(|grant| grant.permission == Permission::Admin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(grants: &[(Permission, &str)]) -> Identity {
        let grants = grants
            .iter()
            .map(|&(permission, queues)| Grant { permission, queues: queues.parse().unwrap() })
            .collect();
        Identity { token_id: "1".into(), name: "test".into(), grants }
    }

    #[test]
    fn a_permission_covers_itself_and_what_is_below_it() {
        use Permission::{Admin, Consume, Manage, Publish};
        let all = [Publish, Consume, Manage, Admin];
        for (held, allowed) in [
            (Publish, vec![Publish]),
            (Consume, vec![Consume]),
            (Manage, vec![Publish, Consume, Manage]),
            (Admin, all.to_vec()),
        ] {
            let identity = bearer(&[(held, "")]);
            let found = all.into_iter().filter(|&p| identity.allows(p, "q")).collect::<Vec<_>>();
            assert_eq!(found, allowed, "{held:?}");
        }
    }

    #[test]
    fn a_grant_is_for_its_queues_alone() {
        let identity = bearer(&[(Permission::Publish, "orders*"), (Permission::Consume, "team/jobs")]);
        assert!(identity.allows(Permission::Publish, "orders"));
        assert!(identity.allows(Permission::Publish, "orders.eu"));
        assert!(!identity.allows(Permission::Publish, "order"));
        assert!(!identity.allows(Permission::Publish, "my-orders"));
        assert!(!identity.allows(Permission::Consume, "orders"));
        assert!(identity.allows(Permission::Consume, "team/jobs"));
        assert!(!identity.allows(Permission::Consume, "team/jobs2"));
    }

    #[test]
    fn an_admin_is_one_everywhere() {
        assert!(bearer(&[(Permission::Admin, "a")]).allows(Permission::Publish, "b"));
    }

    #[test]
    fn a_pattern_prints_as_it_was_read() {
        for text in ["", "a", "a*", "team/*"] {
            assert_eq!(text.parse::<QueuePattern>().unwrap().to_string(), text);
        }
        assert_eq!("*".parse(), Ok(QueuePattern::All));
        for bad in ["a*b", "**", "a b", "ä", &"x".repeat(300)] {
            assert!(bad.parse::<QueuePattern>().is_err(), "{bad:?} was taken");
        }
    }
}
