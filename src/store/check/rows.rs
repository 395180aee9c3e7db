//! Verifying the state files: every row decodes, checksums match, and rows agree with one another.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use sled::IVec;

use crate::store::checkpoint::{Sweep, sweeps};
use crate::store::chunk::{self, Place, Slot};
use crate::store::codec::{Malformed, length};
use crate::store::keys::ChunkKey;
use crate::store::record::{self, Touches};
use crate::store::rows::Tree;
use crate::store::state::State;
use crate::store::{ReadError, meta, remembered, sums, topic, transaction};
use crate::types::{Lane, LaneId, LaneRecord, QueueId, QueueRecord, Sequence, TopicName};

use super::{NOTHING, Progress, Report};

/// Goes through all trees. What sled can't read ends it: what comes after can't be reached.
pub(super) fn check(
    state: &State,
    file: &Path,
    report: &mut Report,
    progress: &mut Progress<'_>,
) -> Result<(), ReadError> {
    let queues = BTreeMap::new();
    let mut rows = Rows { state, file, report, progress, queues, sweeps: Vec::new() };
    rows.small()?;
    rows.messages()?;
    rows.records()?;
    rows.parts()?;
    rows.blobs();
    Ok(())
}

struct Rows<'a, 'b> {
    state: &'a State,
    file: &'a Path,
    report: &'a mut Report,
    progress: &'a mut Progress<'b>,
    queues: BTreeMap<QueueId, QueueRecord>,
    sweeps: Vec<Sweep>,
}

/// What the chunks of a lane add up to.
struct Tally {
    lane: LaneId,
    /// Where the last chunk ended.
    end: Sequence,
    messages: u64,
    bytes: u64,
}

impl Rows<'_, '_> {
    fn damaged(&mut self, place: String, what: impl Into<String>) {
        self.report.damaged(self.file, place, what);
    }

    /// A row that can't be decoded is damage.
    fn sound<T>(&mut self, place: impl FnOnce() -> String, decoded: Result<T, Malformed>) -> Option<T> {
        decoded.map_err(|malformed| self.damaged(place(), malformed.0)).ok()
    }

    fn next(&mut self, row: sled::Result<(IVec, IVec)>) -> Result<(IVec, IVec), ReadError> {
        let (key, value) = row?;
        self.progress.add(length(key.len() + value.len()));
        Ok((key, value))
    }

    /// All rows that do not hold messages.
    fn small(&mut self) -> Result<(), ReadError> {
        (self.report.applied, _) = self.state.applied()?;
        let records = self.decoded(&self.state.queues, "queues", meta::decode_queue)?;
        self.report.queues = length(records.len());
        let next_queue = self.state.applied()?.1.next_queue;
        for record in records {
            if record.id >= next_queue {
                self.damaged(format!("queue {}", record.name), "its id was never given to a queue");
            }
            if self.queues.values().any(|other| other.name == record.name) {
                self.damaged(format!("queue {}", record.name), "there are two of that name");
            }
            self.queues.insert(record.id, record);
        }
        self.sweeps = sweeps(self.state)?;
        let queues: Vec<_> = self.queues.values().cloned().collect();
        let verified = remembered::load(self.state, &queues)
            .and_then(|remembered| sums::verify(self.state, &queues, &remembered.sums));
        if let Err(error) = verified {
            self.damaged("the checkpoint".to_owned(), error.to_string());
        }
        let topics = self.decoded(&self.state.topics, "topics", topic::decode_topic)?;
        let topics: Vec<TopicName> = topics.into_iter().map(|(name, _)| name).collect();
        for ((name, number), binding) in
            self.decoded(&self.state.bindings, "bindings", topic::decode_binding)?
        {
            let place = format!("binding {number} of topic {name}");
            if topics.binary_search(&name).is_err() {
                self.damaged(place, "there is no such topic");
            } else if !self.queues.contains_key(&binding.queue) {
                self.damaged(place, format!("there is no queue {}", binding.queue.0));
            }
        }
        self.decoded(&self.state.transactions, "transactions", transaction::decode)?;
        self.decoded(&self.state.ids, "ids", remembered::decode)?;
        Ok(())
    }

    fn decoded<T>(
        &mut self,
        tree: &Tree,
        name: &str,
        decode: impl Fn(&[u8], &[u8]) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, ReadError> {
        let mut found = Vec::new();
        for row in tree {
            let (key, value) = self.next(row)?;
            let place = || format!("tree {name}, key {}", hex(&key));
            found.extend(self.sound(place, decode(&key, &value)));
        }
        Ok(found)
    }

    /// Chunks, one after the other, each with its record.
    fn messages(&mut self) -> Result<(), ReadError> {
        let mut tallies: BTreeMap<LaneId, (u64, u64)> = BTreeMap::new();
        let mut tally: Option<Tally> = None;
        let (mut unnamed, mut dead) = (0, 0);
        for row in &self.state.chunks {
            let (key, value) = self.next(row)?;
            let Some(key) = self.sound(|| format!("tree chunks, key {}", hex(&key)), ChunkKey::decode(&key))
            else {
                continue;
            };
            let Some(queue) = self.queues.get(&key.lane.queue).cloned() else {
                unnamed += u64::from(!self.sweeps.iter().any(|sweep| sweep.is_all_of(key.lane.queue)));
                continue;
            };
            if key.first >= queue.next_sequence {
                unnamed += 1;
                continue;
            }
            self.report.chunks += 1;
            let place = || place(&queue, key);
            let Some(decoded) = self.sound(place, chunk::decode(&value, key.first)) else { continue };
            if tally.as_ref().is_none_or(|tally| tally.lane != key.lane) {
                close(tally.take(), &mut tallies);
                tally = Some(Tally { lane: key.lane, end: Sequence(0), messages: 0, bytes: 0 });
            }
            let Some(tally) = &mut tally else { continue };
            if key.first < tally.end {
                self.damaged(place(), "it begins before the chunk before it ends");
            }
            tally.end = decoded.slots.last().map_or(key.first, |slot| slot.sequence).next();
            if !self.chunk(&queue, key, &decoded.slots, tally)? {
                dead += 1;
            }
        }
        close(tally, &mut tallies);
        self.lanes(&tallies);
        self.left(unnamed, "chunks were written for a checkpoint that was never finished");
        self.left(dead, "chunks hold no message that is alive, and will be removed");
        Ok(())
    }

    /// Compares a chunk with its record and its parts; whether a message in it is alive.
    fn chunk(
        &mut self,
        queue: &QueueRecord,
        key: ChunkKey,
        slots: &[Slot],
        tally: &mut Tally,
    ) -> Result<bool, ReadError> {
        // A record that can't be read is reported when the records are gone through.
        let touches = self.state.record(key).map_or_else(|_| Touches::new(), |(touches, _)| touches);
        let frontier = queue.lanes.of(key.lane.lane.priority()).frontier;
        for (sequence, touch) in &touches {
            match slots.binary_search_by_key(sequence, |slot| slot.sequence) {
                Err(_) => self.damaged(
                    place(queue, key),
                    format!("its record names message {sequence}, which is not in it"),
                ),
                Ok(at) if size(&slots[at]) != u64::from(touch.size) => {
                    let what = format!(
                        "message {sequence} has {} bytes, its record says {}",
                        size(&slots[at]),
                        touch.size
                    );
                    self.damaged(place(queue, key), what);
                }
                Ok(_) => {}
            }
        }
        let untouched = |slot: &&Slot| !key.lane.lane.is_delayed() && slot.sequence >= frontier;
        let mut alive = length(touches.len());
        for slot in slots.iter().filter(untouched) {
            alive += 1;
            tally.messages += 1;
            tally.bytes += size(slot);
        }
        self.report.messages += alive;
        for slot in slots {
            if let Place::Parts { length, checksum, count } = &slot.place {
                self.large(queue, key, (*length, *checksum, *count))?;
            }
        }
        Ok(alive > 0)
    }

    /// A message in parts must be whole.
    fn large(
        &mut self,
        queue: &QueueRecord,
        key: ChunkKey,
        (length, checksum, count): (u64, u64, u16),
    ) -> Result<(), ReadError> {
        let mut parts = Vec::new();
        for part in 0..count {
            match self.state.parts.get(key.part(part))? {
                Some(value) => parts.push(Bytes::copy_from_slice(&value)),
                None => {
                    self.damaged(place(queue, key), format!("part {part} of {count} is missing"));
                    return Ok(());
                }
            }
        }
        self.sound(|| place(queue, key), chunk::join(&parts, length, checksum, key.first));
        Ok(())
    }

    /// Each lane must hold what its queue's row says.
    fn lanes(&mut self, tallies: &BTreeMap<LaneId, (u64, u64)>) {
        for queue in self.queues.clone().into_values() {
            for (priority, LaneRecord { messages, bytes, .. }) in queue.lanes.descending() {
                let lane = LaneId::new(queue.id, Lane::of(priority));
                let found = tallies.get(&lane).copied().unwrap_or_default();
                if found != (messages, bytes) {
                    let place = format!("queue {}, priority {}", queue.name, priority.number());
                    let what = format!(
                        "it should hold {messages} messages that were never taken, of {bytes} bytes, and holds {}, of {}",
                        found.0, found.1
                    );
                    self.damaged(place, what);
                }
            }
        }
    }

    fn records(&mut self) -> Result<(), ReadError> {
        for row in &self.state.records {
            let (bytes, value) = self.next(row)?;
            let at = || format!("tree records, key {}", hex(&bytes));
            let Some(key) = self.sound(at, ChunkKey::decode(&bytes)) else { continue };
            let Some(queue) = self.queues.get(&key.lane.queue).cloned() else { continue };
            let at = || format!("record of the {}", place(&queue, key));
            let Some(pieces) = self.sound(at, record::decode(&value, key, &mut Touches::new())) else {
                continue;
            };
            if !self.state.chunks.contains_key(key.encode())? {
                self.damaged(at(), "there is no such chunk");
            }
            for piece in 1..pieces {
                if bytes.len() == 13 && !self.state.records.contains_key(key.part(piece))? {
                    self.damaged(at(), format!("piece {piece} of {pieces} is missing"));
                }
            }
        }
        Ok(())
    }

    fn parts(&mut self) -> Result<(), ReadError> {
        let mut unnamed = 0;
        for row in &self.state.parts {
            let (bytes, value) = self.next(row)?;
            let at = || format!("tree parts, key {}", hex(&bytes));
            let Some(key) = self.sound(at, ChunkKey::decode(&bytes)) else { continue };
            self.sound(at, chunk::verified(&value, key.first));
            let swept = self.sweeps.iter().any(|sweep| sweep.is_all_of(key.lane.queue));
            unnamed += u64::from(!swept && !self.state.chunks.contains_key(key.encode())?);
        }
        self.left(unnamed, "parts of messages were written for a checkpoint that was never finished");
        Ok(())
    }

    /// sled never syncs what is there, so nothing should be.
    fn blobs(&mut self) {
        let blobs = self.file.with_file_name("blobs");
        let count = std::fs::read_dir(&blobs).map_or(0, Iterator::count);
        if count > 0 {
            let what = format!("{count} files, which a power cut would have lost");
            self.report.left(
                &blobs,
                "the directory".to_owned(),
                what,
                "report it: it is a fault of the program",
            );
        }
    }

    fn left(&mut self, count: u64, what: &str) {
        if count > 0 {
            self.report.left(self.file, format!("{count} rows"), what, NOTHING);
        }
    }
}

fn close(tally: Option<Tally>, tallies: &mut BTreeMap<LaneId, (u64, u64)>) {
    tallies.extend(tally.map(|Tally { lane, messages, bytes, .. }| (lane, (messages, bytes))));
}

fn place(queue: &QueueRecord, key: ChunkKey) -> String {
    let (name, lane) = (&queue.name, key.lane.lane.number());
    format!("chunk of queue {name} (id {}, lane {lane}) at message {}", queue.id.0, key.first)
}

fn size(slot: &Slot) -> u64 {
    match &slot.place {
        Place::Here(range) => length(range.len()),
        Place::Parts { length, .. } => *length,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
