//! The rows of the platter.

use std::collections::btree_map::Range;
use std::io;
use std::ops::Bound;

use bbq::store::host::{Row, RowChange, Rows, Spool};
use rand::RngExt as _;

use super::spool::Copy;
use super::{Fault, Kind, Platter, State, Target, carry_out};

impl Rows for Platter {
    fn get(&self, tree: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.with(|state| state.rows.get(tree)?.get(key).cloned())
    }

    fn first(&self, tree: &str, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Option<Row> {
        self.with(|state| {
            within(state, tree, bounds)?.next().map(|(key, value)| (key.clone(), value.clone()))
        })
    }

    fn last(&self, tree: &str, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Option<Row> {
        self.with(|state| {
            within(state, tree, bounds)?.next_back().map(|(key, value)| (key.clone(), value.clone()))
        })
    }

    fn change(&self, changes: Vec<RowChange>) -> io::Result<()> {
        self.with(|state| {
            if state.fault == Some(Fault::TornTransaction) && changes.len() > 1 {
                for change in changes {
                    state.begin(Kind::Change, 0, Target::Rows)?;
                    carry_out(&mut state.rows, &change);
                    state.log.push(vec![change]);
                }
                return Ok(());
            }
            let refused = state.begin(Kind::Change, 0, Target::Rows);
            if refused.is_ok() {
                changes.iter().for_each(|change| carry_out(&mut state.rows, change));
            }
            // What was refused may be there later.
            if refused.is_ok() || state.rng.random_bool(0.5) {
                state.log.push(changes);
            }
            refused
        })
    }

    fn flush(&self) -> io::Result<()> {
        self.with(|state| {
            state.begin(Kind::Flush, 0, Target::Rows)?;
            state.flushed = state.log.len();
            Ok(())
        })
    }

    fn persist(&self) -> io::Result<()> {
        self.with(|state| {
            let refused = state.begin(Kind::Persist, 0, Target::Rows);
            if refused.is_err() {
                // What passes for written may be on the disk or not.
                state.flushed = 0;
            } else if state.fault != Some(Fault::NoPersist) {
                for change in std::mem::take(&mut state.log).iter().flatten() {
                    carry_out(&mut state.persisted, change);
                }
                state.flushed = 0;
            }
            refused
        })
    }

    fn spool(&self) -> io::Result<Box<dyn Spool>> {
        Copy::made_on(self).map(|copy| -> Box<dyn Spool> { Box::new(copy) })
    }
}

/// The rows of a tree within bounds, which may be empty or crossed.
fn within<'a>(
    state: &'a State,
    tree: &str,
    (from, to): (Bound<&[u8]>, Bound<&[u8]>),
) -> Option<Range<'a, Vec<u8>, Vec<u8>>> {
    let crossed = match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
            from >= to
        }
    };
    if crossed {
        return None;
    }
    Some(state.rows.get(tree)?.range::<[u8], _>((from, to)))
}
