//! What a checkpoint's transaction writes.

use sled::transaction::TransactionError;

use super::{Stop, Sweep, sweep};
use crate::store::rows::{TransactionalTree, Write};
use crate::store::state::{DRAIN_ROWS, Located, State};
use crate::store::sums::Sums;
use crate::store::{keys, meta, rows, topic, transaction};
use crate::types::{Dirty, EngineRecord, LogId, QueueRecord, Sequence};

/// Keys and values of a tree; `None` removes.
pub(super) type Rows = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// What the transaction writes.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) queues: Rows,
    pub(super) records: Rows,
    pub(super) topics: Rows,
    pub(super) bindings: Rows,
    pub(super) transactions: Rows,
    /// Chunks without a record before the frontier.
    pub(super) dead: Vec<Located>,
    pub(super) sweeps: Vec<Sweep>,
    /// How the sums of rows change that are written ahead.
    pub(super) sums: Sums,
}

impl Plan {
    /// What is written as it is.
    pub(super) fn of(dirty: &Dirty) -> Self {
        let Dirty { queues, topics, bindings, transactions } = dirty;
        let queue =
            |record: &QueueRecord| (keys::queue(record.id).to_vec(), Some(meta::encode_queue(record)));
        Self {
            queues: queues.values().map(queue).collect(),
            topics: topics
                .iter()
                .map(|(name, at)| (topic::topic_key(name), at.map(topic::encode_topic)))
                .collect(),
            bindings: bindings
                .iter()
                .map(|(key, binding)| (topic::binding_key(key), binding.as_ref().map(topic::encode_binding)))
                .collect(),
            transactions: transactions
                .iter()
                .map(|(key, one)| (transaction::key(key), one.as_ref().map(transaction::encode)))
                .collect(),
            ..Self::default()
        }
    }

    /// Keeps the transaction small: what is more is dead anyway, and is swept. While a backup is read, all of it is, later.
    pub(super) fn bound(&mut self, held: bool) {
        let rows: usize = self.dead.iter().map(|chunk| 1 + usize::from(chunk.parts)).sum();
        if held {
            // One sweep a queue, however many checkpoints there are until then.
            for chunk in std::mem::take(&mut self.dead) {
                sweep::add(&mut self.sweeps, Sweep::new(chunk.key.lane, Sequence(0), chunk.last.next()));
            }
        } else if rows > DRAIN_ROWS {
            self.dead.sort_unstable_by_key(|chunk| chunk.key);
            sweep::add_over(&mut self.sweeps, &std::mem::take(&mut self.dead));
        }
    }
}

/// Writes a plan in one transaction.
pub(super) fn commit(state: &State, applied: LogId, engine: EngineRecord, plan: &Plan) -> Result<(), Stop> {
    let meta = meta::encode_state(applied, engine);
    let State { queues, chunks, records, parts, sweeps, topics, bindings, transactions, .. } = state;
    let trees = [&state.meta, queues, chunks, records, parts, sweeps, topics, bindings, transactions];
    let done = rows::transaction(
        trees,
        |[metas, queues, chunks, records, parts, sweeps, topics, bindings, transactions]| {
            metas.insert(meta::STATE, meta.clone())?;
            let mut sums = plan.sums.clone();
            write_all(&queues, ("queues", &plan.queues), &mut sums)?;
            write_all(&topics, ("topics", &plan.topics), &mut sums)?;
            write_all(&bindings, ("bindings", &plan.bindings), &mut sums)?;
            write_all(&transactions, ("transactions", &plan.transactions), &mut sums)?;
            write_all(&records, ("records", &plan.records), &mut sums)?;
            sums.write(&metas)?;
            for chunk in &plan.dead {
                chunks.remove(&chunk.key.encode())?;
                for part in 0..chunk.parts {
                    parts.remove(&chunk.key.part(part))?;
                }
            }
            for sweep in &plan.sweeps {
                let (key, until) = sweep.row();
                sweeps.insert(key, until)?;
            }
            Ok(())
        },
    );
    match done {
        Ok(()) => Ok(()),
        Err(TransactionError::Abort(())) => Err(Stop::Failed("the transaction was given up".to_owned())),
        Err(TransactionError::Storage(error)) => Err(error.into()),
    }
}

fn write_all(tree: &TransactionalTree<'_>, (name, rows): (&str, &Rows), sums: &mut Sums) -> Write {
    for (key, value) in rows {
        let old = match value {
            Some(value) => tree.insert(key.clone(), value.clone())?,
            None => tree.remove(key.clone())?,
        };
        sums.change(name, key, old.as_deref(), value.as_deref());
    }
    Ok(())
}
