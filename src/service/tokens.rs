//! Tokens as the service sees them. The server says where they are kept.

use super::access::Permission;
use crate::types::{Duration, Timestamp};

/// One permission on some queues: a name, or a prefix followed by `*`; empty for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenGrant {
    /// What is allowed.
    pub permission: Permission,
    /// On which queues.
    pub queues: String,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Names the token; not secret.
    pub id: String,
    /// What its maker called it.
    pub name: String,
    /// What it allows.
    pub grants: Vec<TokenGrant>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
}

/// A token that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// The token.
    pub token: TokenRecord,
    /// What its bearer sends. Kept nowhere.
    pub secret: String,
}

/// Why a token could not be made or revoked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is no such token.
    #[error("there is no token {0}; ListTokens (`bbq token list`) shows the ids")]
    NotFound(String),
    /// It is the last one that may do everything.
    #[error("token {0} is the last with admin permission; create another before you revoke it")]
    LastAdmin(String),
    /// The queues of a grant are no pattern.
    #[error("grant {place}: {problem}")]
    Pattern {
        /// Which grant, from 0.
        place: usize,
        /// What is wrong with its pattern.
        problem: String,
    },
    /// Something else of it is wrong.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field's name on the wire.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// There are as many as there may be.
    #[error("{0}")]
    TooMany(String),
    /// It could not be written down.
    #[error("the token could not be stored: {0}")]
    Store(String),
}

/// Where tokens are kept. Calls may block on a small file.
pub trait Tokens: Send + Sync {
    /// Makes a token.
    ///
    /// # Errors
    /// If it can't be stored.
    fn create(
        &self,
        name: &str,
        grants: &[TokenGrant],
        lasts: Option<Duration>,
    ) -> Result<NewToken, TokenError>;
    /// All tokens, by id.
    fn list(&self) -> Vec<TokenRecord>;
    /// Ends a token: calls that begin from now on are refused.
    ///
    /// # Errors
    /// If there is no such token, it is the last admin's, or the change can't be stored.
    fn revoke(&self, id: &str) -> Result<(), TokenError>;
}
