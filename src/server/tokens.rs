//! The token table of the middleware, as the service asks for it.

use std::sync::Arc;
use std::time::{Duration as StdDuration, SystemTime, UNIX_EPOCH};

use crate::broker::wall_clock;
use crate::middleware::identity::{self, Grant, QueuePattern};
use crate::middleware::tokens::{CreateError, RevokeError, Token, TokenTable};
use crate::service::{NewToken, Permission, TokenError, TokenGrant, TokenRecord, Tokens};
use crate::types::{Duration, Timestamp};

/// The table behind the service.
pub(super) struct Table(pub(super) Arc<TokenTable>);

/// The wall clock, as the table wants it.
pub(super) fn now() -> SystemTime {
    UNIX_EPOCH + StdDuration::from_millis(wall_clock().0)
}

impl Tokens for Table {
    fn create(
        &self,
        name: &str,
        grants: &[TokenGrant],
        lasts: Option<Duration>,
    ) -> Result<NewToken, TokenError> {
        let grants = grants.iter().enumerate().map(into_grant).collect::<Result<Vec<_>, _>>()?;
        let (token, secret) = self.0.create(name, grants, lasts.map(Into::into), now()).map_err(|error| {
            let text = error.to_string();
            match error {
                CreateError::Name { .. } => TokenError::Invalid { field: "name", problem: text },
                CreateError::Grants { .. } => TokenError::Invalid { field: "grants", problem: text },
                CreateError::TimeToLive { .. } => {
                    TokenError::Invalid { field: "time_to_live", problem: text }
                }
                CreateError::TooMany => TokenError::TooMany(text),
                CreateError::Write { .. } => TokenError::Store(text),
            }
        })?;
        Ok(NewToken { token: record(token), secret: secret.expose().to_owned() })
    }

    fn list(&self) -> Vec<TokenRecord> {
        self.0.list().into_iter().map(record).collect()
    }

    fn revoke(&self, id: &str) -> Result<(), TokenError> {
        self.0.revoke(id, now()).map_err(|error| match error {
            RevokeError::NotFound { id } => TokenError::NotFound(id),
            RevokeError::LastAdmin { id } => TokenError::LastAdmin(id),
            RevokeError::Write { .. } => TokenError::Store(error.to_string()),
        })
    }
}

fn into_grant((place, grant): (usize, &TokenGrant)) -> Result<Grant, TokenError> {
    let permission = match grant.permission {
        Permission::Publish => identity::Permission::Publish,
        Permission::Consume => identity::Permission::Consume,
        Permission::Manage => identity::Permission::Manage,
        Permission::Admin => identity::Permission::Admin,
    };
    let queues: QueuePattern = grant
        .queues
        .parse()
        .map_err(|error: identity::PatternError| TokenError::Pattern { place, problem: error.to_string() })?;
    Ok(Grant { permission, queues })
}

fn record(token: Token) -> TokenRecord {
    let grants = token
        .grants
        .into_iter()
        .map(|grant| TokenGrant {
            permission: match grant.permission {
                identity::Permission::Publish => Permission::Publish,
                identity::Permission::Consume => Permission::Consume,
                identity::Permission::Manage => Permission::Manage,
                identity::Permission::Admin => Permission::Admin,
            },
            queues: grant.queues.to_string(),
        })
        .collect();
    TokenRecord {
        id: token.id,
        name: token.name,
        grants,
        created_at: timestamp(token.created_at),
        expires_at: token.expires_at.map(timestamp),
    }
}

fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
