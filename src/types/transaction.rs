//! Transactions: acks and publishes over several queues, all of them or none.

use super::{Claim, Copies, Duration, Publication, Published, QueueId, Timestamp};

/// How long a transaction with an id is remembered, unless too many follow it.
pub const TRANSACTION_REMEMBERED: Duration = Duration::seconds(60 * 60);
/// The most transactions that a namespace remembers: some 10 MiB of memory.
pub const TRANSACTIONS_MAX: usize = 50_000;
/// The most entries (runs of copies, and duplicates) of what one transaction did, if it is to be remembered: a row of the
/// store holds as many.
pub const TRANSACTION_ENTRIES_MAX: usize = 1_000;
/// The most entries of all transactions that a namespace remembers.
pub const TRANSACTIONS_ENTRIES_MAX: usize = 250_000;

/// What makes a transaction the same as an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId {
    /// Where it happens.
    pub namespace: String,
    /// What its maker called it.
    pub id: String,
    /// A hash of all that it asks for: another request under the same id is a mistake.
    pub request: [u64; 2],
}

/// Acks and publishes that happen together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transact {
    /// What to remember it by, if its maker may ask again.
    pub id: Option<TransactionId>,
    /// What is done, by queue.
    pub acks: Vec<(QueueId, Vec<Claim>)>,
    /// What is published.
    pub publication: Publication,
}

/// A transaction that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// What its maker called it.
    pub id: String,
    /// A hash of all that it asked for.
    pub request: [u64; 2],
    /// When it happened.
    pub at: Timestamp,
    /// Who got which of its messages.
    pub copies: Vec<Copies>,
    /// What became of each of the copies.
    pub published: Vec<Published>,
}

/// Names a remembered transaction among all: its namespace, and its number there.
pub type TransactionKey = (String, u64);

impl Transaction {
    /// How much it is to remember.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.copies.len() + self.published.iter().map(|one| one.duplicates.len()).sum::<usize>()
    }

    /// Whether it is still to be remembered.
    #[must_use]
    pub fn counts(&self, now: Timestamp) -> bool {
        self.at.after(TRANSACTION_REMEMBERED) > now
    }
}
