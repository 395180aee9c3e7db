//! The words that every layer shares: ids, names, times, settings, commands, changes.
//!
//! Nothing here does I/O or reads a clock. A value that exists is valid: what comes from outside is parsed once.

mod change;
mod command;
mod dirty;
mod facts;
pub(crate) mod fuzzing;
mod id;
mod lane;
mod lanes;
mod lease;
mod limit;
mod message;
mod name;
mod queue;
mod receipt;
mod retry;
mod settings;
mod time;
mod topic;
mod transaction;

pub use change::{Change, EngineRecord};
pub use command::{
    Arrival, Claim, Command, Copies, Dropped, Moved, Moving, Offer, Pick, Publication, TopicCommand,
};
pub use dirty::Dirty;
pub use facts::{DELAY_MAX, DeduplicationId, Facts, FactsByPlace, OrderingKey, Published};
pub use id::{Attempt, Epoch, HolderId, LogId, QueueId, Sequence};
pub use lane::{Lane, LaneId, Priority};
pub use lanes::{LaneRecord, Lanes};
pub use lease::{Consumer, Holder, Lease, Touch, TouchState};
pub use limit::{Excess, Full, Limits, Measure, Overflow};
pub use message::{Content, StoredMessage};
pub use name::{NameError, QueueName};
pub use queue::{
    DEDUPLICATION_MAX, DeliveryMode, Durability, LEASE_MAX, LEASE_MIN, QueueRecord, QueueSettings,
};
pub use receipt::{Receipt, ReceiptFailure};
pub use retry::{ATTEMPTS_USED_UP, LAPSED, NACKED, RETRY_DELAY_MAX, Retry, RetryBackoff};
pub use settings::{Ordering, SettingsError, SettingsField};
pub use time::{Duration, Timestamp};
pub use topic::{
    Attributes, BINDINGS_MAX, Binding, BindingKey, PatternWord, RoutingError, RoutingKey, RoutingPattern,
    TopicName,
};
pub use transaction::{
    TRANSACTION_ENTRIES_MAX, TRANSACTION_REMEMBERED, TRANSACTIONS_ENTRIES_MAX, TRANSACTIONS_MAX, Transact,
    Transaction, TransactionId, TransactionKey,
};
