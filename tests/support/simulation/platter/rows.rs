//! The rows of the platter.

use std::collections::btree_map::Range;
use std::ops::Bound;

use bbq::store::host::{Row, RowChange, Rows};

use super::{Fault, Kind, Platter, State, carry_out};

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

    fn change(&self, changes: Vec<RowChange>) {
        self.with(|state| {
            if state.fault == Some(Fault::TornTransaction) && changes.len() > 1 {
                for change in changes {
                    state.begin(Kind::Change, 0);
                    carry_out(&mut state.rows, &change);
                    state.log.push(vec![change]);
                }
                return;
            }
            state.begin(Kind::Change, 0);
            changes.iter().for_each(|change| carry_out(&mut state.rows, change));
            state.log.push(changes);
        });
    }

    fn flush(&self) {
        self.with(|state| {
            state.begin(Kind::Flush, 0);
            state.flushed = state.log.len();
        });
    }

    fn persist(&self) {
        self.with(|state| {
            state.begin(Kind::Persist, 0);
            if state.fault != Some(Fault::NoPersist) {
                for change in std::mem::take(&mut state.log).iter().flatten() {
                    carry_out(&mut state.persisted, change);
                }
                state.flushed = 0;
            }
        });
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
