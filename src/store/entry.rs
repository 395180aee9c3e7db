//! Journal entries: one batch of commands and the time at which they happen.
//!
//! | version: u8 = 2 | now: u64, big-endian | commands, until the end |
//!
//! A command is its tag, one byte, then its fields in the order of the type: numbers as varints, texts and contents with
//! their length before them, lists with their count before them.

use std::sync::Arc;

use bytes::Bytes;

use crate::types::{
    Arrival, Attempt, Claim, Command, Content, DeduplicationId, Dropped, Duration, Epoch, Facts,
    FactsByPlace, HolderId, Moved, Moving, Offer, Priority, QueueId, Retry, Sequence, Timestamp,
};

use super::codec::{Input, Malformed, length, put_bytes, put_varint};
use super::holder::{consumer, holder, put_consumer, put_holder};
use super::journal::RECORD_HEADER_BYTES;
use super::picks::{Picks, key, pick, put_key, put_pick};
use super::settings::{put_settings, settings};
use super::{publication, topic, transaction};

const VERSION: u8 = 2;
/// The most that the length before a content takes: contents are far below 4 GiB.
const LENGTH_BYTES_MAX: usize = 5;
const PROLOGUE_BYTES: usize = RECORD_HEADER_BYTES + 9;

/// An entry being filled. Its buffer begins with room for the journal's record header, so that nothing is copied later.
#[derive(Debug)]
pub struct EntryBuilder {
    buffer: Vec<u8>,
}

impl EntryBuilder {
    pub(super) fn new(now: Timestamp) -> Self {
        let mut buffer = vec![0; RECORD_HEADER_BYTES];
        buffer.push(VERSION);
        buffer.extend_from_slice(&now.0.to_be_bytes());
        Self { buffer }
    }

    /// Adds a command.
    pub fn push(&mut self, command: &Command) {
        put_command(&mut self.buffer, command);
    }

    /// How long it has become, in bytes of the journal.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether it holds no command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.len() == PROLOGUE_BYTES
    }

    pub(super) fn into_record(self) -> Vec<u8> {
        self.buffer
    }
}

/// Reads an entry. The contents are slices of `payload`.
pub(super) fn decode(payload: &Bytes) -> Result<(Timestamp, Vec<Command>), Malformed> {
    let mut input = Input::new(payload);
    if input.u8()? != VERSION {
        return Err(Malformed("an entry has a version that this program does not know"));
    }
    let now = Timestamp(input.u64()?);
    let mut commands = Vec::new();
    while !input.is_empty() {
        commands.push(command(&mut input, payload)?);
    }
    Ok((now, commands))
}

fn put_command(out: &mut Vec<u8>, command: &Command) {
    let mut start = |tag: u8, queue: Option<QueueId>| {
        out.push(tag);
        if let Some(queue) = queue {
            put_varint(out, u64::from(queue.0));
        }
    };
    match command {
        Command::StartEpoch => start(1, None),
        Command::CreateQueue { name, settings } => {
            start(2, None);
            put_bytes(out, name.as_str().as_bytes());
            put_settings(out, settings);
        }
        Command::DeleteQueue { queue } => start(3, Some(*queue)),
        Command::PurgeQueue { queue } => start(4, Some(*queue)),
        Command::Publish { queue, messages, facts } => {
            start(if facts.is_empty() { 5 } else { 20 }, Some(*queue));
            put_contents(out, messages);
            if !facts.is_empty() {
                put_facts(out, facts);
            }
        }
        Command::Drop { queue, picks } | Command::Lapse { queue, picks } => {
            start(if matches!(command, Command::Drop { .. }) { 21 } else { 24 }, Some(*queue));
            put_varint(out, length(picks.len()));
            for Dropped { sequence, size, priority } in picks {
                put_varint(out, sequence.0);
                put_varint(out, u64::from(*size));
                out.push(priority.number());
            }
        }
        Command::Forget { limit } => {
            start(22, None);
            put_varint(out, u64::from(*limit));
        }
        Command::Grant { queue, offers, picks } => {
            let kind = Picks::of(picks);
            start(kind.tag(), Some(*queue));
            put_varint(out, length(offers.len()));
            for Offer { holder, duration, consumer } in offers {
                put_holder(out, *holder);
                put_varint(out, duration.0);
                put_consumer(out, consumer);
            }
            put_varint(out, length(picks.len()));
            for pick in picks {
                put_pick(out, pick, kind);
            }
        }
        Command::Ack { queue, claims } => {
            start(7, Some(*queue));
            put_claims(out, claims);
        }
        Command::Nack { queue, claims, retry, reason } => {
            start(8, Some(*queue));
            put_claims(out, claims);
            put_retry(out, *retry);
            put_bytes(out, reason.as_bytes());
        }
        Command::Extend { queue, claims, duration } => {
            start(9, Some(*queue));
            put_claims(out, claims);
            put_varint(out, duration.0);
        }
        Command::Release { queue, holder, counted } => {
            start(10, Some(*queue));
            put_varint(out, holder.0);
            out.push(u8::from(*counted));
        }
        Command::Expire { limit } => {
            start(11, None);
            put_varint(out, u64::from(*limit));
        }
        Command::UpdateQueue { queue, settings } => {
            start(12, Some(*queue));
            put_settings(out, settings);
        }
        Command::Move { queue, which, messages } => {
            let keyed = messages.iter().any(|moved| moved.key.is_some());
            start(if keyed { 25 } else { 13 }, Some(*queue));
            put_moves(out, *which, messages, keyed);
        }
        Command::Topic(command) => topic::put_command(out, command),
        Command::PublishAll(publication) => {
            start(44, None);
            publication::put(out, publication);
        }
        Command::Transact(transact) => {
            start(45, None);
            transaction::put(out, transact);
        }
    }
}

pub(super) fn put_contents(out: &mut Vec<u8>, contents: &[Content]) {
    // At once: a buffer that grows content by content is copied again and again.
    out.reserve(contents.iter().map(|Content(content)| content.len() + LENGTH_BYTES_MAX).sum());
    put_varint(out, length(contents.len()));
    for Content(content) in contents {
        put_bytes(out, content);
    }
}

fn command(input: &mut Input<'_>, payload: &Bytes) -> Result<Command, Malformed> {
    Ok(match input.u8()? {
        1 => Command::StartEpoch,
        2 => Command::CreateQueue { name: name(input)?, settings: settings(input)? },
        3 => Command::DeleteQueue { queue: queue(input)? },
        4 => Command::PurgeQueue { queue: queue(input)? },
        5 => {
            Command::Publish { queue: queue(input)?, messages: contents(input, payload)?, facts: Vec::new() }
        }
        20 => Command::Publish {
            queue: queue(input)?,
            messages: contents(input, payload)?,
            facts: facts(input)?,
        },
        tag @ (21 | 24) => {
            let queue = queue(input)?;
            let picks = (0..input.count(3)?).map(|_| dropped(input)).collect::<Result<_, _>>()?;
            if tag == 21 { Command::Drop { queue, picks } } else { Command::Lapse { queue, picks } }
        }
        22 => Command::Forget { limit: input.varint_u32()? },
        tag @ (6 | 23 | 26) => {
            let queue = queue(input)?;
            let offers = (0..input.count(5)?).map(|_| offer(input)).collect::<Result<_, _>>()?;
            let picks = (0..input.count(3)?).map(|_| pick(input, tag)).collect::<Result<_, _>>()?;
            Command::Grant { queue, offers, picks }
        }
        7 => Command::Ack { queue: queue(input)?, claims: claims(input)? },
        8 => Command::Nack {
            queue: queue(input)?,
            claims: claims(input)?,
            retry: retry(input)?,
            reason: input.text()?.into(),
        },
        9 => Command::Extend {
            queue: queue(input)?,
            claims: claims(input)?,
            duration: Duration(input.varint()?),
        },
        10 => Command::Release {
            queue: queue(input)?,
            holder: HolderId(input.varint()?),
            counted: flag(input)?,
        },
        11 => Command::Expire { limit: input.varint_u32()? },
        12 => Command::UpdateQueue { queue: queue(input)?, settings: settings(input)? },
        tag @ (13 | 25) => {
            let queue = queue(input)?;
            let which = if flag(input)? { Moving::Ready } else { Moving::Dead };
            let messages =
                (0..input.count(4)?).map(|_| moved(input, payload, tag == 25)).collect::<Result<_, _>>()?;
            Command::Move { queue, which, messages }
        }
        tag @ 40..=43 => Command::Topic(topic::command(tag, input)?),
        44 => Command::PublishAll(publication::publication(input, payload)?),
        45 => Command::Transact(transaction::transact(input, payload)?),
        _ => return Err(Malformed("an entry holds a command that this program does not know")),
    })
}

fn queue(input: &mut Input<'_>) -> Result<QueueId, Malformed> {
    input.varint_u32().map(QueueId)
}

fn offer(input: &mut Input<'_>) -> Result<Offer, Malformed> {
    let (holder, duration) = (holder(input)?, Duration(input.varint()?));
    Ok(Offer { holder, duration, consumer: Arc::new(consumer(input)?) })
}

pub(super) fn contents(input: &mut Input<'_>, payload: &Bytes) -> Result<Vec<Content>, Malformed> {
    let count = input.count(1)?;
    (0..count).map(|_| Ok(Content(payload.slice(input.sized()?)))).collect()
}

/// A message has a bit for each fact that it has: 1 for a deduplication id, 2 for a priority, 4 for a delay, 8 for a time to live
/// of its own.
pub(super) fn put_facts(out: &mut Vec<u8>, facts: &FactsByPlace) {
    put_varint(out, length(facts.len()));
    for (place, Facts { deduplication, priority, delay, expires }) in facts {
        put_varint(out, u64::from(*place));
        let urgent = *priority != Priority::default();
        let waits = *delay != Duration::default();
        let flags = [deduplication.is_some(), urgent, waits, *expires];
        out.push(flags.iter().rev().fold(0, |bits, &flag| bits << 1 | u8::from(flag)));
        if let Some(DeduplicationId(id)) = deduplication {
            id.iter().for_each(|half| out.extend_from_slice(&half.to_be_bytes()));
        }
        if urgent {
            out.push(priority.number());
        }
        if waits {
            put_varint(out, delay.0);
        }
    }
}

pub(super) fn facts(input: &mut Input<'_>) -> Result<FactsByPlace, Malformed> {
    let count = input.count(2)?;
    let fact = |_| {
        let place = input.varint_u32()?;
        let bits = input.u8()?;
        if bits & !15 != 0 {
            return Err(Malformed("a message has a fact that this program does not know"));
        }
        let deduplication = match bits & 1 {
            0 => None,
            _ => Some(DeduplicationId([input.u64()?, input.u64()?])),
        };
        let priority = if bits & 2 == 0 { Priority::default() } else { priority(input)? };
        let delay = Duration(if bits & 4 == 0 { 0 } else { input.varint()? });
        Ok((place, Facts { deduplication, priority, delay, expires: bits & 8 != 0 }))
    };
    (0..count).map(fact).collect()
}

fn dropped(input: &mut Input<'_>) -> Result<Dropped, Malformed> {
    Ok(Dropped { sequence: Sequence(input.varint()?), size: input.varint_u32()?, priority: priority(input)? })
}

pub(super) fn priority(input: &mut Input<'_>) -> Result<Priority, Malformed> {
    Priority::new(u32::from(input.u8()?)).ok_or(Malformed("a priority is more than 9"))
}

pub(super) fn flag(input: &mut Input<'_>) -> Result<bool, Malformed> {
    match input.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed("a flag is neither 0 nor 1")),
    }
}

pub(super) fn name(input: &mut Input<'_>) -> Result<crate::types::QueueName, Malformed> {
    input.text()?.parse().map_err(|_| Malformed("a queue name is not one"))
}

/// A retry is 0 for the queue's backoff, 1 and a delay, or 2 for never.
fn put_retry(out: &mut Vec<u8>, retry: Retry) {
    match retry {
        Retry::Backoff => out.push(0),
        Retry::After(delay) => {
            out.push(1);
            put_varint(out, delay.0);
        }
        Retry::Never => out.push(2),
    }
}

fn retry(input: &mut Input<'_>) -> Result<Retry, Malformed> {
    Ok(match input.u8()? {
        0 => Retry::Backoff,
        1 => Retry::After(Duration(input.varint()?)),
        2 => Retry::Never,
        _ => return Err(Malformed("a nack asks for something that this program does not know")),
    })
}

/// A move is 0 for what is dead, 1 for what is ready; then messages, each with its key if any has one, and 0 if it stays, or 1, a queue and a content.
fn put_moves(out: &mut Vec<u8>, which: Moving, messages: &[Moved], keyed: bool) {
    out.push(match which {
        Moving::Dead => 0,
        Moving::Ready => 1,
    });
    put_varint(out, length(messages.len()));
    for Moved { sequence, size, priority, key, to } in messages {
        put_varint(out, sequence.0);
        put_varint(out, u64::from(*size));
        out.push(priority.number());
        if keyed {
            put_key(out, *key);
        }
        out.push(u8::from(to.is_some()));
        if let Some(Arrival { queue, content }) = to {
            put_varint(out, u64::from(queue.0));
            put_bytes(out, &content.0);
        }
    }
}

fn moved(input: &mut Input<'_>, payload: &Bytes, keyed: bool) -> Result<Moved, Malformed> {
    let (sequence, size) = (Sequence(input.varint()?), input.varint_u32()?);
    let priority = priority(input)?;
    let key = if keyed { key(input)? } else { None };
    let arrival = |input: &mut Input<'_>| {
        Ok(Arrival { queue: queue(input)?, content: Content(payload.slice(input.sized()?)) })
    };
    let to = if flag(input)? { Some(arrival(input)?) } else { None };
    Ok(Moved { sequence, size, priority, key, to })
}

pub(super) fn put_claims(out: &mut Vec<u8>, claims: &[Claim]) {
    put_varint(out, length(claims.len()));
    for Claim { sequence, attempt, epoch } in claims {
        put_varint(out, sequence.0);
        put_varint(out, u64::from(attempt.0));
        put_varint(out, u64::from(epoch.0));
    }
}

pub(super) fn claims(input: &mut Input<'_>) -> Result<Vec<Claim>, Malformed> {
    let count = input.count(3)?;
    let claim = |_| {
        Ok(Claim {
            sequence: Sequence(input.varint()?),
            attempt: Attempt(input.varint_u32()?),
            epoch: Epoch(input.varint_u32()?),
        })
    };
    (0..count).map(claim).collect()
}

#[cfg(test)]
mod tests;
