//! Bearer tokens: which exist, and who bears them.
//!
//! A secret reads `bbq_<id>_<43 characters>`: the id finds the token, the rest is 256 random bits. Only the SHA-256 of the
//! whole text is kept; a slow password hash would add nothing to so much randomness and cost every call. Hashes are
//! compared in constant time.
//!
//! Always true: what [`TokenTable::create`] and [`TokenTable::revoke`] returned is in the file, synced, before it counts.
//! It never reads a clock; time is an argument. A token whose time is over is as good as gone.

mod file;
mod secret;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use super::auth::Authenticator;
use super::identity::{Grant, Identity};
use secret::SecretHash;

/// How many tokens there may be; each costs a few hundred bytes of memory and of every change to the file.
pub const TOKENS_MAX: usize = 10_000;
/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// How many grants a token may have; each is looked at on every call.
pub const GRANTS_MAX: usize = 100;

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Names the token; not secret.
    pub id: String,
    /// What its maker called it.
    pub name: String,
    /// What it allows.
    pub grants: Vec<Grant>,
    /// When it was made, in whole milliseconds.
    pub created_at: SystemTime,
    /// When it ends; nothing if never.
    pub expires_at: Option<SystemTime>,
}

/// What the bearer sends. It is shown once and never printed by `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text to send as `authorization: Bearer <text>`.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why the tokens can't be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file can't be read.
    #[error("tokens can't be read from {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// The file holds something else.
    #[error("{} is not as it was written: {reason}; {}", path.display(), Self::ADVICE)]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl OpenError {
    /// What to do about it.
    pub const ADVICE: &str = "only `bbq token` may change that file: put a copy of it back, or move it and client.toml away, \
        which ends every token, then the next start makes both, with a new admin token";
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The name is empty or too long.
    #[error("name is {length} bytes, it must be 1 to {NAME_BYTES_MAX}")]
    Name {
        /// Its length in bytes.
        length: usize,
    },
    /// A token without grants allows nothing; one with too many slows every call.
    #[error("{count} grants, there must be 1 to {GRANTS_MAX}")]
    Grants {
        /// How many were given.
        count: usize,
    },
    /// It would have ended before it began, or after the end of time.
    #[error("time_to_live is {time_to_live:?}, it must be above 0 and end before the year 10000")]
    TimeToLive {
        /// What was asked for.
        time_to_live: Duration,
    },
    /// There are as many as may be.
    #[error("there are {TOKENS_MAX} tokens, which is the limit; revoke some with `bbq token revoke`")]
    TooMany,
    /// The file can't be written; nothing has changed.
    #[error("tokens can't be written to {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
}

/// Why a token was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// There is no such token.
    #[error("no token {id:?}; `bbq token list` shows them")]
    NotFound {
        /// What was asked for.
        id: String,
    },
    /// Without it nobody could make a token any more.
    #[error(
        "token {id} is the last one that grants ADMIN; create another admin token first, then revoke this one"
    )]
    LastAdmin {
        /// The token.
        id: String,
    },
    /// The file can't be written; nothing has changed.
    #[error("tokens can't be written to {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
}

/// All tokens of a server, in memory and in their file.
#[derive(Debug)]
pub struct TokenTable {
    path: PathBuf,
    /// Held while the file is written, so that changes happen one after the other and lookups never wait for a disk.
    writing: Mutex<()>,
    tokens: RwLock<Tokens>,
}

type Tokens = BTreeMap<String, Arc<Entry>>;

#[derive(Clone, Debug)]
struct Entry {
    token: Token,
    hash: SecretHash,
    identity: Arc<Identity>,
}

impl Entry {
    fn new(token: Token, hash: SecretHash) -> Self {
        let identity =
            Identity { token_id: token.id.clone(), name: token.name.clone(), grants: token.grants.clone() };
        Self { token, hash, identity: Arc::new(identity) }
    }

    fn is_valid(&self, now: SystemTime) -> bool {
        self.token.expires_at.is_none_or(|end| now < end)
    }
}

impl TokenTable {
    /// Reads the tokens in this file; there are none if it does not exist. Blocks.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let tokens = file::read(path)?;
        Ok(Self { path: path.to_owned(), writing: Mutex::new(()), tokens: RwLock::new(tokens) })
    }

    /// Who bears this secret at this time.
    #[must_use]
    pub fn authenticate(&self, secret: &str, now: SystemTime) -> Option<Arc<Identity>> {
        let id = secret::id_of(secret)?;
        let entry = {
            let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tokens.get(id)?)
        };
        let valid = entry.hash.is_of(secret) && entry.is_valid(now);
        valid.then(|| Arc::clone(&entry.identity))
    }

    /// Makes a token that lasts for `time_to_live`, or for ever. Blocks until it is on disk.
    pub fn create(
        &self,
        name: &str,
        grants: Vec<Grant>,
        time_to_live: Option<Duration>,
        now: SystemTime,
    ) -> Result<(Token, Secret), CreateError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(CreateError::Name { length: name.len() });
        }
        if grants.is_empty() || grants.len() > GRANTS_MAX {
            return Err(CreateError::Grants { count: grants.len() });
        }
        let created_at = file::whole_milliseconds(now);
        let expires_at = time_to_live.map(|time_to_live| {
            file::end(created_at, time_to_live).ok_or(CreateError::TimeToLive { time_to_live })
        });
        let expires_at = expires_at.transpose()?;

        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tokens = self.snapshot();
        if tokens.len() >= TOKENS_MAX {
            tokens.retain(|_, entry| entry.is_valid(now));
        }
        if tokens.len() >= TOKENS_MAX {
            return Err(CreateError::TooMany);
        }
        let (id, secret) = secret::draw(|id| tokens.contains_key(id));
        let token = Token { id: id.clone(), name: name.to_owned(), grants, created_at, expires_at };
        tokens.insert(id, Arc::new(Entry::new(token.clone(), SecretHash::of(&secret))));
        self.commit(tokens).map_err(|error| CreateError::Write { path: self.path.clone(), error })?;
        Ok((token, Secret(secret)))
    }

    /// Ends a token for every call that begins from now on. Blocks until that is on disk.
    pub fn revoke(&self, id: &str, now: SystemTime) -> Result<(), RevokeError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tokens = self.snapshot();
        let Some(entry) = tokens.remove(id) else { return Err(RevokeError::NotFound { id: id.to_owned() }) };
        let is_admin = |entry: &Arc<Entry>| entry.identity.is_admin() && entry.is_valid(now);
        if is_admin(&entry) && !tokens.values().any(is_admin) {
            return Err(RevokeError::LastAdmin { id: id.to_owned() });
        }
        self.commit(tokens).map_err(|error| RevokeError::Write { path: self.path.clone(), error })
    }

    /// All tokens by id, those whose time is over too.
    #[must_use]
    pub fn list(&self) -> Vec<Token> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        tokens.values().map(|entry| entry.token.clone()).collect()
    }

    /// Whether anyone could make a token at this time.
    #[must_use]
    pub fn has_admin(&self, now: SystemTime) -> bool {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        tokens.values().any(|entry| entry.identity.is_admin() && entry.is_valid(now))
    }

    fn snapshot(&self) -> Tokens {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn commit(&self, tokens: Tokens) -> io::Result<()> {
        file::write(&self.path, &tokens)?;
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens;
        Ok(())
    }
}

/// A table and the clock that says which of its tokens are over.
pub struct Authority<C> {
    table: Arc<TokenTable>,
    clock: C,
}

impl<C: Fn() -> SystemTime> Authority<C> {
    /// Asks `table` about tokens, and `clock` for the time.
    pub fn new(table: Arc<TokenTable>, clock: C) -> Self {
        Self { table, clock }
    }
}

impl<C: Fn() -> SystemTime + Send + Sync> Authenticator for Authority<C> {
    fn authenticate(&self, token: &str) -> Option<Arc<Identity>> {
        self.table.authenticate(token, (self.clock)())
    }
}

#[cfg(test)]
mod tests;
