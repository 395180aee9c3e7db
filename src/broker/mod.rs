//! The broker: one task owns the engine and the store, and turns calls into journal entries.
//!
//! It drains its inbox into a batch, lets the engine apply it, hands the entry to the journal, and keeps everything
//! that came of it until the journal says that the entry is durable. While one entry is being synced the next one
//! fills, so batches form by themselves.
//!
//! Never: a lock, a wait for the disk, a reply before its entry is durable (but the confirm of a BUFFERED queue, which
//! waits for write(2) only).

mod answers;
mod attributes;
mod backup;
mod batch;
mod board;
mod changes;
mod clock;
mod consumers;
mod dead_letters;
mod dispatching;
mod error;
pub(crate) mod fuzzing;
mod gauges;
mod handle;
mod hashes;
mod inbox;
mod keyed;
mod lapses;
mod outbox;
mod peek;
mod publication;
mod publishing;
mod read_ahead;
mod recovery;
mod request;
mod settings;
mod task;
mod topics;
mod transactions;
mod walk;
mod wanted;

pub use crate::engine::{Credit, Depth};
pub use crate::store::Backup;
pub(crate) use attributes::ordering_key;
pub use board::{Board, Row, Tally, Watch};
pub use changes::{Moved, Patch, Relocation};
pub use clock::{Wall, wall as wall_clock};
pub(crate) use dead_letters::revived;
pub use error::BrokerError;
pub use gauges::Depths;
pub use handle::{Handle, Handout, Subscription};
pub use recovery::{StartError, start, start_by};
pub use request::{
    Delivery, LeaseView, MessageState, Page, Peeked, QueueView, Refused, Settlement, Terms, Window,
};
pub use settings::Settings;
pub use task::{Broker, Stopped};
pub use topics::{NamedBinding, Routable, Routed, TopicResult, TopicView};
pub use transactions::{Target, TransactionResult, Transactional};

#[cfg(test)]
mod tests;
