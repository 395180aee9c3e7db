//! Who calls, and what they may do. The server fills this in from what its middleware learned.

use std::sync::Arc;

use tonic::{Request, Status};

use super::status;
use crate::types::QueueName;

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// To publish.
    Publish,
    /// To receive and settle.
    Consume,
    /// To make, change, remove and look into queues.
    Manage,
    /// Everything, tokens among it.
    Admin,
}

/// What a caller may do.
pub trait Authority: Send + Sync {
    /// Whether the caller may do this to this queue; `None` for what concerns no single queue.
    fn allows(&self, permission: Permission, queue: Option<&str>) -> bool;
    /// How the caller is called, for error messages.
    fn name(&self) -> &str;
}

/// Who calls. Found in the extensions of every request.
#[derive(Clone)]
pub struct Caller {
    /// What it may do.
    pub authority: Arc<dyn Authority>,
    /// Its address.
    pub peer: String,
    /// `h3`, `h2` or `h2c`.
    pub transport: &'static str,
}

/// Any of these lets its bearer see that a queue is there.
pub(super) const SEE: [Permission; 3] = [Permission::Consume, Permission::Publish, Permission::Manage];

impl Permission {
    /// Its name on the wire, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Consume => "consume",
            Self::Manage => "manage",
            Self::Admin => "admin",
        }
    }
}

impl Caller {
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        request.extensions().get::<Self>().cloned().ok_or_else(status::no_caller)
    }

    /// Refuses a caller that has none of these permissions on the queue.
    pub(super) fn may(&self, any_of: &[Permission], queue: &QueueName) -> Result<(), Status> {
        self.may_at(any_of, "queue", queue.as_str())
    }

    /// The same for what is called `name`: a `queue` or a `topic`.
    pub(super) fn may_at(&self, any_of: &[Permission], what: &str, name: &str) -> Result<(), Status> {
        if any_of.iter().any(|&permission| self.authority.allows(permission, Some(name))) {
            return Ok(());
        }
        let wanted: Vec<_> = any_of.iter().map(|permission| permission.as_str()).collect();
        Err(status::denied(self.authority.name(), &wanted, Some((what, name))))
    }

    /// Whether it may know that a queue is there.
    pub(super) fn sees(&self, queue: &QueueName) -> bool {
        SEE.iter().any(|&permission| self.authority.allows(permission, Some(queue.as_str())))
    }

    /// Refuses a caller that may not do everything.
    pub(super) fn administers(&self) -> Result<(), Status> {
        let allowed = self.authority.allows(Permission::Admin, None);
        if allowed { Ok(()) } else { Err(status::denied(self.authority.name(), &["admin"], None)) }
    }
}
