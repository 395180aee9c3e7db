//! Trees of rows: sled's, or those of another host, behind the few calls that the store makes.

use std::cell::RefCell;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use sled::IVec;
use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional as _};

use super::host::{RowChange, Rows};

/// A tree.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    Sled(sled::Tree),
    Hosted(&'static str, Arc<dyn Rows>),
}

type Entry = sled::Result<(IVec, IVec)>;

/// Where the bounds of a range are kept while it is walked through.
type Span = (Bound<Vec<u8>>, Bound<Vec<u8>>);

impl Tree {
    pub(super) fn get(&self, key: impl AsRef<[u8]>) -> sled::Result<Option<IVec>> {
        match self {
            Self::Sled(tree) => tree.get(key),
            Self::Hosted(name, rows) => Ok(rows.get(name, key.as_ref()).map(IVec::from)),
        }
    }

    pub(super) fn contains_key(&self, key: impl AsRef<[u8]>) -> sled::Result<bool> {
        match self {
            Self::Sled(tree) => tree.contains_key(key),
            Self::Hosted(name, rows) => Ok(rows.get(name, key.as_ref()).is_some()),
        }
    }

    pub(super) fn insert(&self, key: impl AsRef<[u8]>, value: impl Into<IVec>) -> sled::Result<()> {
        match self {
            Self::Sled(tree) => tree.insert(key, value).map(drop),
            Self::Hosted(name, rows) => {
                let (tree, value): (_, IVec) = (*name, value.into());
                let (key, value) = (key.as_ref().to_vec(), Some(value.to_vec()));
                Ok(rows.change(vec![RowChange { tree, key, value }])?)
            }
        }
    }

    pub(super) fn remove(&self, key: impl AsRef<[u8]>) -> sled::Result<()> {
        match self {
            Self::Sled(tree) => tree.remove(key).map(drop),
            Self::Hosted(name, rows) => {
                Ok(rows.change(vec![RowChange { tree: name, key: key.as_ref().to_vec(), value: None }])?)
            }
        }
    }

    pub(super) fn iter(&self) -> Range {
        self.range::<&[u8], _>(..)
    }

    pub(super) fn range<K: AsRef<[u8]>, R: RangeBounds<K>>(&self, range: R) -> Range {
        match self {
            Self::Sled(tree) => Range::Sled(Box::new(tree.range(range))),
            Self::Hosted(name, rows) => {
                let owned = |bound: Bound<&K>| bound.map(|key| key.as_ref().to_vec());
                let span = (owned(range.start_bound()), owned(range.end_bound()));
                Range::Hosted { name, rows: Arc::clone(rows), span }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// How many rows; looks at all of them.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Sled(tree) => tree.len(),
            Self::Hosted(..) => self.iter().count(),
        }
    }
}

impl IntoIterator for &Tree {
    type Item = Entry;
    type IntoIter = Range;

    fn into_iter(self) -> Range {
        self.iter()
    }
}

/// The rows of a range, from both ends.
pub(super) enum Range {
    Sled(Box<sled::Iter>),
    Hosted { name: &'static str, rows: Arc<dyn Rows>, span: Span },
}

impl Range {
    pub(super) fn keys(self) -> impl DoubleEndedIterator<Item = sled::Result<IVec>> {
        self.map(|row| row.map(|(key, _)| key))
    }
}

fn borrowed(span: &Span) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (span.0.as_ref().map(Vec::as_slice), span.1.as_ref().map(Vec::as_slice))
}

impl Iterator for Range {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        match self {
            Self::Sled(range) => range.next(),
            Self::Hosted { name, rows, span } => {
                let (key, value) = rows.first(name, borrowed(span))?;
                span.0 = Bound::Excluded(key.clone());
                Some(Ok((key.into(), value.into())))
            }
        }
    }
}

impl DoubleEndedIterator for Range {
    fn next_back(&mut self) -> Option<Entry> {
        match self {
            Self::Sled(range) => range.next_back(),
            Self::Hosted { name, rows, span } => {
                let (key, value) = rows.last(name, borrowed(span))?;
                span.1 = Bound::Excluded(key.clone());
                Some(Ok((key.into(), value.into())))
            }
        }
    }
}

/// A tree within a transaction.
pub(super) enum TransactionalTree<'a> {
    Sled(&'a sled::transaction::TransactionalTree),
    Hosted(&'static str, &'a Staged),
}

/// What a transaction on another host has changed so far.
pub(super) struct Staged {
    rows: Arc<dyn Rows>,
    changes: RefCell<Vec<RowChange>>,
}

impl TransactionalTree<'_> {
    /// A value, as the transaction has it so far.
    pub(super) fn get(&self, key: impl AsRef<[u8]>) -> Write<Option<IVec>> {
        match self {
            Self::Sled(tree) => Ok(tree.get(key)?),
            Self::Hosted(name, staged) => Ok(staged.get(name, key.as_ref()).map(IVec::from)),
        }
    }

    /// Writes a value; the one before, if there was one.
    pub(super) fn insert(&self, key: impl Into<IVec>, value: impl Into<IVec>) -> Write<Option<IVec>> {
        let (key, value) = (key.into(), value.into());
        match self {
            Self::Sled(tree) => Ok(tree.insert(key, value)?),
            Self::Hosted(name, staged) => Ok(staged.change(name, &key, Some(value.to_vec()))),
        }
    }

    /// Removes a value; that value, if there was one.
    pub(super) fn remove(&self, key: impl Into<IVec>) -> Write<Option<IVec>> {
        let key = key.into();
        match self {
            Self::Sled(tree) => Ok(tree.remove(key)?),
            Self::Hosted(name, staged) => Ok(staged.change(name, &key, None)),
        }
    }
}

impl Staged {
    fn get(&self, tree: &str, key: &[u8]) -> Option<Vec<u8>> {
        let changes = self.changes.borrow();
        let newest = changes.iter().rev().find(|change| change.tree == tree && change.key == key);
        newest.map_or_else(|| self.rows.get(tree, key), |change| change.value.clone())
    }

    fn change(&self, tree: &'static str, key: &[u8], value: Option<Vec<u8>>) -> Option<IVec> {
        let old = self.get(tree, key);
        self.changes.borrow_mut().push(RowChange { tree, key: key.to_vec(), value });
        old.map(IVec::from)
    }
}

/// What a write within a transaction returns.
pub(super) type Write<T = ()> = Result<T, ConflictableTransactionError<()>>;

/// Writes to several trees at once: all of it or nothing. The trees are those of one host.
pub(super) fn transaction<const N: usize>(
    trees: [&Tree; N],
    write: impl Fn([TransactionalTree<'_>; N]) -> Write,
) -> Result<(), TransactionError<()>> {
    let mut sleds = Vec::with_capacity(N);
    for tree in trees {
        match tree {
            Tree::Sled(tree) => sleds.push(tree.clone()),
            Tree::Hosted(_, rows) => return hosted(rows, trees, write),
        }
    }
    sleds.as_slice().transaction(|views| write(std::array::from_fn(|at| TransactionalTree::Sled(&views[at]))))
}

fn hosted<const N: usize>(
    rows: &Arc<dyn Rows>,
    trees: [&Tree; N],
    write: impl Fn([TransactionalTree<'_>; N]) -> Write,
) -> Result<(), TransactionError<()>> {
    let staged = Staged { rows: Arc::clone(rows), changes: RefCell::default() };
    let views = trees.map(|tree| match tree {
        Tree::Hosted(name, _) => TransactionalTree::Hosted(name, &staged),
        Tree::Sled(_) => unreachable!("the trees are those of one host"),
    });
    if write(views).is_err() {
        return Err(TransactionError::Abort(()));
    }
    rows.change(staged.changes.into_inner()).map_err(|error| TransactionError::Storage(error.into()))
}
