//! Transactions: acks and publishes over several queues, all of them or none; and what is remembered of them, so that
//! whoever got no answer may ask again.
//!
//! Only what was done is remembered. What was refused left no trace, and is tried anew.
//!
//! Always true:
//! - a namespace remembers no more than it may, and forgets the oldest first;
//! - no two transactions of a namespace that are remembered have one id.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};

use super::outcome::{Effects, Outcome};
use super::publication::Unpublished;
use super::publishing::Leaving;
use super::{Engine, Queue};
use crate::types::{
    Claim, Dirty, Published, QueueId, ReceiptFailure, TRANSACTIONS_ENTRIES_MAX, TRANSACTIONS_MAX, Timestamp,
    Transact, Transaction, TransactionId, TransactionKey,
};

/// Transactions that one more forgets for their time, at most.
const FORGET: usize = 16;

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transacted {
    /// All of it happened: what became of each of the publication's copies.
    Done(Vec<Published>),
    /// It happened before. Nothing changed.
    Before(Transaction),
    /// Another one of that id happened before. Nothing changed.
    OtherRequest,
    /// A receipt settles nothing. Nothing changed.
    Stale(Stale),
    /// A queue does not take what it is to get. Nothing changed.
    Unpublished(Unpublished),
}

/// A receipt that settles nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The place of its queue among the acks.
    pub ack: usize,
    /// Its place there.
    pub claim: usize,
    /// Why.
    pub why: ReceiptFailure,
}

/// All transactions that are remembered.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    namespaces: BTreeMap<String, Remembered>,
    dirty: BTreeSet<TransactionKey>,
}

/// Those of one namespace, oldest first.
#[derive(Debug, Default)]
struct Remembered {
    order: BTreeMap<u64, Transaction>,
    ids: HashMap<String, u64>,
    entries: usize,
}

impl Remembered {
    fn find(&self, id: &str) -> Option<(u64, &Transaction)> {
        let number = *self.ids.get(id)?;
        Some((number, self.order.get(&number)?))
    }

    fn put(&mut self, number: u64, transaction: Transaction) {
        self.entries += transaction.entries();
        self.ids.insert(transaction.id.clone(), number);
        self.order.insert(number, transaction);
    }

    fn forget(&mut self, number: u64) {
        if let Some(transaction) = self.order.remove(&number) {
            self.entries -= transaction.entries();
            self.ids.remove(&transaction.id);
        }
    }

    fn is_too_much(&self) -> bool {
        self.order.len() > TRANSACTIONS_MAX || self.entries > TRANSACTIONS_ENTRIES_MAX
    }

    /// Whether the first has been remembered for long enough.
    fn is_over(&self, now: Timestamp) -> bool {
        self.order.first_key_value().is_some_and(|(_, first)| !first.counts(now))
    }
}

impl Transactions {
    fn remember(&mut self, namespace: &str, transaction: Transaction, now: Timestamp) {
        let remembered = self.namespaces.entry(namespace.to_owned()).or_default();
        let mut touched = Vec::new();
        if let Some((old, _)) = remembered.find(&transaction.id) {
            remembered.forget(old);
            touched.push(old);
        }
        let number = remembered.order.last_key_value().map_or(0, |(last, _)| last + 1);
        remembered.put(number, transaction);
        touched.push(number);
        let mut old = 0;
        while let Some((&first, _)) = remembered.order.first_key_value() {
            if remembered.is_too_much() {
                remembered.forget(first);
            } else if old < FORGET && remembered.is_over(now) {
                remembered.forget(first);
                old += 1;
            } else {
                break;
            }
            touched.push(first);
        }
        self.dirty.extend(touched.into_iter().map(|number| (namespace.to_owned(), number)));
    }

    fn get(&self, (namespace, number): &TransactionKey) -> Option<&Transaction> {
        self.namespaces.get(namespace)?.order.get(number)
    }

    /// Adds what changed since the last call.
    pub(super) fn take_dirty(&mut self, into: &mut Dirty) {
        for key in std::mem::take(&mut self.dirty) {
            let transaction = self.get(&key).cloned();
            into.transactions.insert(key, transaction);
        }
    }

    pub(super) fn verify(&self) {
        for remembered in self.namespaces.values() {
            let Remembered { order, ids, entries } = remembered;
            assert_eq!(order.len(), ids.len(), "no two transactions have one id");
            assert!(
                order.iter().all(|(number, one)| ids.get(&one.id) == Some(number)),
                "each is found by its id"
            );
            assert_eq!(
                *entries,
                order.values().map(Transaction::entries).sum::<usize>(),
                "entries are counted"
            );
            assert!(!remembered.is_too_much(), "too much is remembered");
        }
    }
}

impl Hash for Transactions {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (namespace, remembered) in &self.namespaces {
            namespace.hash(state);
            remembered.order.hash(state);
        }
    }
}

impl Engine {
    /// Takes transactions back that were taken from an engine.
    #[must_use]
    pub fn with_transactions(
        mut self,
        transactions: impl IntoIterator<Item = (TransactionKey, Transaction)>,
    ) -> Self {
        for ((namespace, number), transaction) in transactions {
            self.transactions.namespaces.entry(namespace).or_default().put(number, transaction);
        }
        self
    }

    /// What an earlier transaction of that id comes to now, if one is remembered.
    #[must_use]
    pub fn transacted(&self, id: &TransactionId, now: Timestamp) -> Option<Transacted> {
        let (_, known) = self.transactions.namespaces.get(&id.namespace)?.find(&id.id)?;
        let known = known.counts(now).then_some(known)?;
        let same = known.request == id.request;
        Some(if same { Transacted::Before(known.clone()) } else { Transacted::OtherRequest })
    }

    /// The first of some claims that settles nothing. One whose message is gone is among them: who else settled it may have
    /// published what this transaction would.
    #[must_use]
    pub fn stale(&self, acks: &[(QueueId, Vec<Claim>)]) -> Option<Stale> {
        for (ack, (queue, claims)) in acks.iter().enumerate() {
            for (claim, &claimed) in claims.iter().enumerate() {
                if let Err(why) = self.stand(*queue, claimed) {
                    return Some(Stale { ack, claim, why });
                }
            }
        }
        None
    }

    /// What acks take out of each queue.
    #[must_use]
    pub fn freed(&self, acks: &[(QueueId, Vec<Claim>)]) -> BTreeMap<QueueId, Leaving> {
        let mut freed: BTreeMap<QueueId, Leaving> = BTreeMap::new();
        for (id, claims) in acks {
            let touch =
                |claim: &Claim| self.queues.get(id).and_then(|queue: &Queue| queue.touch(claim.sequence));
            for claim in claims {
                let leaving = freed.entry(*id).or_default();
                if let Some(touch) = touch(claim)
                    && leaving.sequences.insert(claim.sequence)
                {
                    leaving.messages += 1;
                    leaving.bytes += u64::from(touch.size);
                }
            }
        }
        freed
    }

    pub(super) fn transact(&mut self, transact: Transact, effects: &mut Effects) -> Outcome {
        let now = self.record.now;
        let Transact { id, acks, publication } = transact;
        if let Some(known) = id.as_ref().and_then(|id| self.transacted(id, now)) {
            return Outcome::Transacted(known);
        }
        if let Some(stale) = self.stale(&acks) {
            return Outcome::Transacted(Transacted::Stale(stale));
        }
        if let Err(why) = self.takes(&publication, &self.freed(&acks)) {
            return Outcome::Transacted(Transacted::Unpublished(why));
        }
        for (queue, claims) in acks {
            for Claim { sequence, .. } in claims {
                self.settle(queue, sequence, effects);
            }
        }
        let published = self.spread(&publication, effects);
        if let Some(TransactionId { namespace, id, request }) = id {
            let (copies, published) = (publication.copies, published.clone());
            let transaction = Transaction { id, request, at: now, copies, published };
            self.transactions.remember(&namespace, transaction, now);
        }
        Outcome::Transacted(Transacted::Done(published))
    }
}
