//! Sums over the rows that a checkpoint writes: how a start knows that none of them is missing or older than it should be.
//!
//! sled notices a page that changed. But what follows a damaged place of its log it may take for a torn tail, or for what is
//! left of a segment that it was about to use again, and open with pages as they were before. So each checkpoint's
//! transaction keeps, in rows of the `meta` tree, numbers big-endian:
//!
//! | key                  | value                                                             |
//! |----------------------|-------------------------------------------------------------------|
//! | `sum`                | u64: all rows of `queues`, `topics`, `bindings`, `transactions`   |
//! | `sum`, queue: u32    | u64: all rows of `records` of that queue; 0 is left out           |
//! | `ids`                | nothing; without it, those of `ids` are not known                 |
//! | `ids`, queue: u32    | u64: all rows of `ids` that the queue remembers; 0 is left out    |
//!
//! A sum adds up, wrapping, the XXH3-64 of each row's tree, key and value, each but the last with its length before it. So it
//! changes with a row, whatever else there is.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_64;

use crate::types::{QueueId, QueueRecord};

use super::codec::put_bytes;
use super::rows::{TransactionalTree, Write};
use super::state::{State, chunk_key};
use super::{ReadError, keys};

const KEY: &[u8] = b"sum";
/// Behind all keys that begin with it.
const END: &[u8] = b"sun";
const IDS_KEY: &[u8] = b"ids";
const IDS_END: &[u8] = b"idt";
const RECORDS: &str = "records";
const IDS: &str = "ids";

/// Sums, or how they change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    rows: u64,
    records: BTreeMap<QueueId, u64>,
    ids: BTreeMap<QueueId, u64>,
    /// Queues that are deleted: what is left of their records does not count.
    gone: BTreeSet<QueueId>,
}

impl Sums {
    /// A row was one value, if it was there, and is another, if it is there.
    pub(super) fn change(&mut self, tree: &str, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        let hash = |value: Option<&[u8]>| value.map_or(0, |value| hash(tree, key, value));
        let change = hash(new).wrapping_sub(hash(old));
        let Some(queue) = key.first_chunk().map(|id| QueueId(u32::from_be_bytes(*id))) else {
            self.rows = self.rows.wrapping_add(change);
            return;
        };
        let of_a_queue = match tree {
            RECORDS => Some(&mut self.records),
            IDS => Some(&mut self.ids),
            _ => None,
        };
        if let Some(sums) = of_a_queue {
            let sum = sums.entry(queue).or_default();
            *sum = sum.wrapping_add(change);
            return;
        }
        self.rows = self.rows.wrapping_add(change);
        if tree == "queues" && new.is_none() {
            self.gone.insert(queue);
        }
    }

    /// Brings the rows of `meta` up to date, in the transaction that changes what they are about.
    pub(super) fn write(&self, meta: &TransactionalTree<'_>) -> Write {
        let add = |key: &[u8], change: u64| -> Write<u64> {
            let before = meta.get(key)?.map_or(0, |value| number(&value));
            Ok(before.wrapping_add(change))
        };
        meta.insert(KEY, add(KEY, self.rows)?.to_be_bytes().to_vec())?;
        for (prefix, sums) in [(KEY, &self.records), (IDS_KEY, &self.ids)] {
            for (&queue, &change) in sums {
                let key = key(prefix, queue);
                match add(&key, change)? {
                    0 => meta.remove(key)?,
                    sum => meta.insert(key, sum.to_be_bytes().to_vec())?,
                };
            }
            for &queue in &self.gone {
                meta.remove(key(prefix, queue))?;
            }
        }
        Ok(())
    }
}

/// Whether a row of `meta` holds a sum. A state without them gets them.
pub(super) fn is_one(key: &[u8]) -> bool {
    key.starts_with(KEY) || key.starts_with(IDS_KEY)
}

fn key(prefix: &[u8], queue: QueueId) -> Vec<u8> {
    [prefix, &keys::queue(queue)].concat()
}

/// A row that is no number is no sum that anything has.
fn number(value: &[u8]) -> u64 {
    value.try_into().map_or(0, u64::from_be_bytes)
}

fn hash(tree: &str, key: &[u8], value: &[u8]) -> u64 {
    let mut row = Vec::with_capacity(tree.len() + key.len() + value.len() + 4);
    put_bytes(&mut row, tree.as_bytes());
    put_bytes(&mut row, key);
    row.extend_from_slice(value);
    xxh3_64(&row)
}

/// Compares all rows with their sums; those of `ids` were added up when they were read. A state without sums, of a program that
/// did not know them, gets them.
pub(super) fn verify(state: &State, queues: &[QueueRecord], ids: &Sums) -> Result<(), ReadError> {
    let mut found = ids.clone();
    let State { topics, bindings, transactions, .. } = state;
    let trees = [
        ("queues", &state.queues),
        ("topics", topics),
        ("bindings", bindings),
        ("transactions", transactions),
    ];
    for (name, tree) in trees {
        for row in tree {
            let (key, value) = row?;
            found.change(name, &key, None, Some(&value));
        }
    }
    for row in &state.records {
        let (key, value) = row?;
        let queue = chunk_key(&key)?.lane.queue;
        // Those of a deleted queue go in the background.
        if queues.binary_search_by_key(&queue, |record| record.id).is_ok() {
            found.change(RECORDS, &key, None, Some(&value));
        }
    }
    found.records.retain(|_, sum| *sum != 0);
    found.ids.retain(|_, sum| *sum != 0);
    let Some(known) = state.meta.get(KEY)? else { return give(state, &found) };
    if number(&known) != found.rows {
        return Err(differ("queues, topics, bindings and transactions"));
    }
    compare(RECORDS, &stored(state, KEY, END)?, &found.records)?;
    if state.meta.get(IDS_KEY)?.is_none() {
        return give_ids(state, &found);
    }
    compare(IDS, &stored(state, IDS_KEY, IDS_END)?, &found.ids)
}

fn compare(
    rows: &str,
    stored: &BTreeMap<QueueId, u64>,
    found: &BTreeMap<QueueId, u64>,
) -> Result<(), ReadError> {
    let mut queues = stored.keys().chain(found.keys());
    match queues.find(|queue| stored.get(queue) != found.get(queue)) {
        Some(queue) => Err(differ(&format!("{rows} of queue {}", queue.0))),
        None => Ok(()),
    }
}

fn differ(rows: &str) -> ReadError {
    ReadError::State(format!(
        "{rows}: the rows are not those of the last checkpoint; some are missing, changed, or older than it"
    ))
}

fn stored(state: &State, prefix: &[u8], end: &[u8]) -> Result<BTreeMap<QueueId, u64>, ReadError> {
    let mut sums = BTreeMap::new();
    for row in state.meta.range(prefix..end) {
        let (key, value) = row?;
        if let Ok(queue) = <[u8; 4]>::try_from(&key[prefix.len()..]) {
            sums.insert(QueueId(u32::from_be_bytes(queue)), number(&value));
        }
    }
    Ok(sums)
}

/// The first row last: without it, the others do not count.
fn give(state: &State, sums: &Sums) -> Result<(), ReadError> {
    give_ids(state, sums)?;
    replace(state, (KEY, END), &sums.records)?;
    state.meta.insert(KEY, &sums.rows.to_be_bytes())?;
    Ok(())
}

/// As `give`.
fn give_ids(state: &State, sums: &Sums) -> Result<(), ReadError> {
    replace(state, (IDS_KEY, IDS_END), &sums.ids)?;
    state.meta.insert(IDS_KEY, &[])?;
    Ok(())
}

/// Writes sums of queues, and removes those that did not count: from now on they would.
fn replace(
    state: &State,
    (prefix, end): (&[u8], &[u8]),
    sums: &BTreeMap<QueueId, u64>,
) -> Result<(), ReadError> {
    for queue in stored(state, prefix, end)?.into_keys().filter(|queue| !sums.contains_key(queue)) {
        state.meta.remove(key(prefix, queue))?;
    }
    for (&queue, sum) in sums {
        state.meta.insert(key(prefix, queue), &sum.to_be_bytes())?;
    }
    Ok(())
}
