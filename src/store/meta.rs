//! Values of the trees `meta`, `queues` and `sweeps`.
//!
//! `meta` has one row, `state`: version: u8 = 1, applied term: u64, applied index: u64, next queue: u32, epoch: u32, now: u64.
//! A row of `queues` is: version: u8 = 2, name as text, settings (see `settings.rs`), then in varints: created at, next sequence,
//! remembered from, passed; then for each lane that was ever used, lowest priority first: priority u8, frontier,
//! messages, bytes; then, if a message was published with a time to live of its own, u8 255 and the sequence behind the last. A row of `sweeps` is the first sequence that stays: u64.

use crate::types::{
    EngineRecord, Epoch, LaneRecord, Lanes, LogId, Priority, QueueId, QueueRecord, Sequence, Timestamp,
};

use super::codec::{Input, Malformed, put_bytes, put_varint};
use super::{entry, settings};

const VERSION: u8 = 1;
const QUEUE_VERSION: u8 = 2;
/// What stands in a priority's place before what is known of times to live.
const EXPIRING: u8 = 255;

/// Key of the only row of `meta`.
pub(super) const STATE: &[u8] = b"state";

pub(super) fn encode_state(applied: LogId, engine: EngineRecord) -> Vec<u8> {
    let EngineRecord { next_queue, epoch, now } = engine;
    let mut out = vec![VERSION];
    out.extend_from_slice(&applied.term.to_be_bytes());
    out.extend_from_slice(&applied.index.to_be_bytes());
    out.extend_from_slice(&next_queue.0.to_be_bytes());
    out.extend_from_slice(&epoch.0.to_be_bytes());
    out.extend_from_slice(&now.0.to_be_bytes());
    out
}

pub(super) fn decode_state(value: &[u8]) -> Result<(LogId, EngineRecord), Malformed> {
    let mut input = Input::new(value);
    input.version(VERSION)?;
    let applied = LogId { term: input.u64()?, index: input.u64()? };
    let next_queue = QueueId(input.u32()?);
    let engine = EngineRecord { next_queue, epoch: Epoch(input.u32()?), now: Timestamp(input.u64()?) };
    input.finish()?;
    Ok((applied, engine))
}

pub(super) fn encode_queue(record: &QueueRecord) -> Vec<u8> {
    let QueueRecord { id: _, name, settings: how, created_at, next_sequence, lanes, .. } = record;
    let mut out = vec![QUEUE_VERSION];
    put_bytes(&mut out, name.as_str().as_bytes());
    settings::put_settings(&mut out, how);
    for number in [created_at.0, next_sequence.0, record.remembered_from.0, lanes.passed.0] {
        put_varint(&mut out, number);
    }
    let used = lanes.descending().rev().filter(|(_, lane)| *lane != LaneRecord::default());
    for (priority, LaneRecord { frontier, messages, bytes }) in used {
        out.push(priority.number());
        for number in [frontier.0, messages, bytes] {
            put_varint(&mut out, number);
        }
    }
    if record.expiring_before > Sequence(0) {
        out.push(EXPIRING);
        put_varint(&mut out, record.expiring_before.0);
    }
    out
}

/// The lanes, and the message behind the last with a time to live of its own.
fn lanes(input: &mut Input<'_>, passed: Sequence) -> Result<(Lanes, Sequence), Malformed> {
    let mut lanes = Lanes::new(passed);
    while !input.is_empty() {
        let number = input.u8()?;
        if number == EXPIRING {
            let before = Sequence(input.varint()?);
            let rest = Malformed("a queue's row has something behind its end");
            return if input.is_empty() { Ok((lanes, before)) } else { Err(rest) };
        }
        let priority = Priority::new(u32::from(number)).ok_or(Malformed("a priority is more than 9"))?;
        let frontier = Sequence(input.varint()?);
        *lanes.of_mut(priority) = LaneRecord { frontier, messages: input.varint()?, bytes: input.varint()? };
    }
    Ok((lanes, Sequence(0)))
}

pub(super) fn decode_queue(key: &[u8], value: &[u8]) -> Result<QueueRecord, Malformed> {
    let id = QueueId(Input::new(key).u32()?);
    let mut input = Input::new(value);
    input.version(QUEUE_VERSION)?;
    let name = entry::name(&mut input)?;
    let settings = settings::settings(&mut input)?;
    let created_at = Timestamp(input.varint()?);
    let next_sequence = Sequence(input.varint()?);
    let remembered_from = Sequence(input.varint()?);
    let passed = Sequence(input.varint()?);
    let (lanes, expiring_before) = lanes(&mut input, passed)?;
    Ok(QueueRecord { id, name, settings, created_at, lanes, next_sequence, remembered_from, expiring_before })
}

pub(super) fn encode_until(until: Sequence) -> [u8; 8] {
    until.0.to_be_bytes()
}

pub(super) fn decode_until(value: &[u8]) -> Result<Sequence, Malformed> {
    let mut input = Input::new(value);
    let until = Sequence(input.u64()?);
    input.finish()?;
    Ok(until)
}

#[cfg(test)]
mod tests {
    use crate::types::{Duration, QueueSettings};

    use super::*;

    #[test]
    fn the_state_row_has_known_bytes_and_reads_back() {
        let applied = LogId { term: 1, index: 0x0203 };
        let engine = EngineRecord { next_queue: QueueId(4), epoch: Epoch(5), now: Timestamp(6) };
        let bytes = encode_state(applied, engine);
        let golden = [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 3];
        assert_eq!(bytes[..17], golden);
        assert_eq!(bytes[17..], [0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6]);
        assert_eq!(decode_state(&bytes), Ok((applied, engine)));
        (0..bytes.len()).for_each(|cut| assert!(decode_state(&bytes[..cut]).is_err()));
    }

    #[test]
    fn a_queue_row_has_known_bytes_and_reads_back() {
        let mut lanes = Lanes::new(Sequence(6));
        *lanes.of_mut(Priority::default()) = LaneRecord { frontier: Sequence(2), messages: 1, bytes: 4 };
        *lanes.of_mut(Priority::MAX) = LaneRecord { frontier: Sequence(8), messages: 0, bytes: 0 };
        let record = QueueRecord {
            id: QueueId(7),
            name: "a/b".parse().unwrap(),
            settings: QueueSettings { lease_duration: Duration(300), ..QueueSettings::default() },
            created_at: Timestamp(1),
            lanes,
            next_sequence: Sequence(3),
            remembered_from: Sequence(5),
            expiring_before: Sequence(300),
        };
        let bytes = encode_queue(&record);
        assert_eq!(bytes[..13], [2, 3, b'a', b'/', b'b', 3, 4, 0xac, 2, 1, 3, 5, 6]);
        assert_eq!(bytes[13..], [0, 2, 1, 4, 9, 8, 0, 0, 255, 0xac, 2]);
        let never = QueueRecord { expiring_before: Sequence(0), ..record.clone() };
        assert_eq!(encode_queue(&never), bytes[..21], "where no message has one, nothing stands there");
        assert_eq!(decode_queue(&[0, 0, 0, 7], &bytes[..21]), Ok(never));
        assert_eq!(decode_queue(&[0, 0, 0, 7], &bytes), Ok(record.clone()));
        (0..bytes.len())
            .for_each(|cut| assert!(decode_queue(&[0, 0, 0, 7], &bytes[..cut]) != Ok(record.clone())));
    }

    #[test]
    fn a_sweep_row_reads_back() {
        assert_eq!(encode_until(Sequence(258)), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(decode_until(&encode_until(Sequence(258))), Ok(Sequence(258)));
        assert!(decode_until(&[0; 7]).is_err());
    }
}
