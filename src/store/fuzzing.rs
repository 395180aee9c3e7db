//! What is on disk: journal, entries, keys, values of every tree, and backup files.
//!
//! Where a checksum keeps strangers out, it is made right first: damage that has the right checksum must do no harm either.

use bytes::Bytes;

use crate::types::Sequence;

use super::backup::fuzzing::Right;
use super::keys::{self, ChunkKey};
use super::record::{self, Touches};
use super::{backup, chunk, entry, journal, meta, remembered, topic, transaction};

/// An entry of the journal: what decodes encodes to something that decodes to the same.
pub fn entries(bytes: &[u8]) {
    let Ok((now, commands)) = entry::decode(&Bytes::copy_from_slice(bytes)) else { return };
    let mut again = entry::EntryBuilder::new(now);
    commands.iter().for_each(|command| again.push(command));
    let record = Bytes::from(again.into_record()).slice(journal::RECORD_HEADER_BYTES..);
    assert_eq!(entry::decode(&record), Ok((now, commands)));
}

/// Keys of the trees.
pub fn keys(bytes: &[u8]) {
    if let Ok(key) = ChunkKey::decode(bytes) {
        assert_eq!(key.encode(), bytes[..13]);
    }
    if let Ok((lane, from)) = keys::decode_sweep(bytes) {
        assert_eq!(keys::sweep(lane, from), bytes);
    }
}

/// A value, of which the first byte says of which tree it is, with a key before it whose length the second byte says.
pub fn records(bytes: &[u8]) {
    let [kind, length, rest @ ..] = bytes else { return };
    let (key, value) = rest.split_at(usize::from(*length).min(rest.len()));
    match kind % 7 {
        0 => {
            if let Ok(key) = ChunkKey::decode(key) {
                let _ = record::decode(&chunk::checked(value, key.first), key, &mut Touches::new());
            }
        }
        1 => {
            if let Ok((applied, engine)) = meta::decode_state(value) {
                assert_eq!(meta::encode_state(applied, engine), value);
            }
        }
        2 => {
            if let Ok(record) = meta::decode_queue(key, value) {
                let again = meta::encode_queue(&record);
                assert_eq!(meta::decode_queue(key, &again), Ok(record));
            }
        }
        3 => _ = remembered::decode(key, value),
        4 => _ = topic::decode_topic(key, value),
        5 => {
            if let Ok((name, binding)) = topic::decode_binding(key, value) {
                let again = topic::encode_binding(&binding);
                assert_eq!(topic::decode_binding(&topic::binding_key(&name), &again), Ok((name, binding)));
            }
        }
        _ => {
            if let Ok((place, done)) = transaction::decode(key, value) {
                let again = transaction::encode(&done);
                assert_eq!(transaction::decode(&transaction::key(&place), &again), Ok((place, done)));
            }
        }
    }
}

/// A chunk, as it is, and with its checksum put right. Its messages lie within it.
pub fn chunks(bytes: &[u8]) {
    let first = Sequence(1);
    let _ = (chunk::extent(bytes), chunk::decode(bytes, first));
    let value = chunk::checked(bytes, first);
    if let Ok(decoded) = chunk::decode(&value, first) {
        let text = decoded.text(&value).len();
        for slot in &decoded.slots {
            match &slot.place {
                chunk::Place::Here(range) => assert!(range.start <= range.end && range.end <= text),
                chunk::Place::Parts { .. } => {}
            }
        }
        assert_eq!(
            decoded.slots.last().map(|slot| slot.sequence),
            chunk::extent(&value).ok().map(|extent| extent.last)
        );
    }
}

/// A segment of the journal: records with payloads of which a byte says the length, and then a change somewhere, or none.
pub fn journal(bytes: &[u8]) {
    let [place, flip, payloads @ ..] = bytes else { return };
    journal::fuzzing::segment(usize::from(*place), *flip, payloads);
}

/// A backup file, restored as it is, and with checksums put right: those of the file, and those of its rows as well.
pub fn backup(bytes: &[u8]) {
    backup::fuzzing::restore(bytes);
    for right in [Right::File, Right::Rows] {
        let file = backup::fuzzing::righted(bytes, right);
        backup::fuzzing::restore(&file);
    }
}
