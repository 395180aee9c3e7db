//! Backup files by the byte, and what is made of them: a state in memory, read as a start and a check read it.
//!
//! A fuzzer makes no checksums, so they are made right here, from the innermost to the file's own: it is the restore and
//! what comes after it that has to hold.

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::current::Current;
use crate::store::host::{Host, Machine, Row, RowChange, Rows as HostedRows, Spool};
use crate::store::keys::ChunkKey;
use crate::store::reader::Reader;
use crate::store::recovery::{self, Snapshot};
use crate::store::state::State;
use crate::store::{ReadError, check, chunk, sums};
use crate::types::{Lane, LaneId, LogId, Sequence, Timestamp};

use super::file::{BLOCK_BYTES, Block, Decoder, Encoder, HEADER_BYTES, Header, Rows};
use super::restore::{adopt, insert};

/// What is made right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Right {
    /// The file: header, blocks, trailer.
    File,
    /// The file, the checksums in its rows, and the sums over them.
    Rows,
}

/// Rows in memory.
#[derive(Debug, Default)]
struct Memory(Mutex<Trees>);

/// By name, and then by key.
type Trees = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

/// Restores a file into memory, as far as it can be read, and reads what came of it; how many messages that were. What a start
/// or a delivery refuses, a check must name.
pub(in crate::store) fn restore(file: &[u8]) -> Option<usize> {
    let mut decoder = Decoder::new(file).ok()?;
    let rows = Arc::new(Memory::default());
    let machine = Arc::new(Machine);
    let host = Host { disk: machine.clone(), journal: PathBuf::new(), rows, threads: machine };
    let state = State::on(&host).ok()?;
    while let Some(block) = decoder.next().ok()? {
        insert(&state, block).ok()?;
    }
    adopt(&state).ok()?;
    let checked = check::rows(&state);
    let read = read(Arc::new(state));
    if let Err(error) = &read {
        assert!(!error.to_string().contains("reading them failed"), "{error}");
        let named = checked.map_or(true, |report| report.damage.count > 0);
        assert!(named, "a check finds nothing, but: {error}");
    }
    read.ok()
}

/// What a start reads, and then all messages; how many.
fn read(state: Arc<State>) -> Result<usize, ReadError> {
    let Snapshot { queues, touched, .. } = recovery::snapshot(&state)?;
    recovery::remove_unnamed(&state, &queues)?;
    recovery::cold_ends(&state, &queues)?;
    let reader = Reader::new(Arc::new(Current::new(state)));
    let mut messages = 0;
    for queue in &queues {
        for lane in Lane::all() {
            let (lane, all) = (LaneId::new(queue.id, lane), (Sequence(0), queue.next_sequence));
            messages += reader.untouched(lane, all, 1000, 1 << 20)?.len();
            reader.sizes(lane, all, 1000)?;
        }
    }
    for (queue, sequence, touch) in touched {
        reader.messages(LaneId::new(queue, touch.lane), &[sequence])?;
    }
    Ok(messages)
}

/// The rows of a file, whatever its checksums say, in a file whose checksums are right.
pub(in crate::store) fn righted(bytes: &[u8], right: Right) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut file = encoder.header(Header { made_at: Timestamp(0), applied: LogId::default() });
    let mut rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
    while let Some(length) = rest.first_chunk().map(|length| u32::from_be_bytes(*length)) {
        let end = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(8);
        let Some(payload) = rest.get(BLOCK_BYTES..end.min(rest.len())) else { break };
        rest = &rest[end.min(rest.len())..];
        // The trailer is no such block.
        let Ok(Block { tree, rows }) = Block::decode(payload) else { continue };
        let mut righted = Rows::of(&tree);
        for (key, value) in rows {
            match right {
                Right::File => righted.push(&key, &value),
                Right::Rows if tree == "meta" && sums::is_one(&key) => {}
                Right::Rows => righted.push(&key, &checked(&tree, &key, value)),
            }
        }
        file.extend(encoder.block(&righted));
    }
    file.extend(encoder.trailer());
    file
}

/// A row's value with the checksum that it should begin with, if its tree has checksums.
fn checked(tree: &str, key: &[u8], value: Vec<u8>) -> Vec<u8> {
    match (tree, ChunkKey::decode(key), value.get(8..)) {
        ("chunks" | "parts" | "records", Ok(key), Some(content)) => chunk::checked(content, key.first),
        _ => value,
    }
}

impl Memory {
    fn rows(&self) -> MutexGuard<'_, Trees> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first or the last row within bounds, which may leave nothing between them.
    fn within(&self, tree: &str, (from, to): (Bound<&[u8]>, Bound<&[u8]>), last: bool) -> Option<Row> {
        let rows = self.rows();
        let rows = rows.get(tree)?;
        let fits = |key: &Vec<u8>| match to {
            Bound::Included(to) => key.as_slice() <= to,
            Bound::Excluded(to) => key.as_slice() < to,
            Bound::Unbounded => true,
        };
        let mut fitting = rows.range::<[u8], _>((from, Bound::Unbounded)).take_while(|(key, _)| fits(key));
        let row = if last { fitting.last() } else { fitting.next() };
        row.map(|(key, value)| (key.clone(), value.clone()))
    }
}

impl HostedRows for Memory {
    fn get(&self, tree: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.rows().get(tree)?.get(key).cloned()
    }

    fn first(&self, tree: &str, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Option<Row> {
        self.within(tree, bounds, false)
    }

    fn last(&self, tree: &str, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Option<Row> {
        self.within(tree, bounds, true)
    }

    fn change(&self, changes: Vec<RowChange>) -> io::Result<()> {
        let mut rows = self.rows();
        for RowChange { tree, key, value } in changes {
            let tree = rows.entry(tree.to_owned()).or_default();
            match value {
                Some(value) => _ = tree.insert(key, value),
                None => _ = tree.remove(&key),
            }
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn persist(&self) -> io::Result<()> {
        Ok(())
    }

    fn spool(&self) -> io::Result<Box<dyn Spool>> {
        Ok(Box::new(Cursor::new(Vec::new())))
    }
}
