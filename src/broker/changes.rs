//! What changes queues in use: other settings, and messages that go from one to another.

use std::collections::HashMap;

use super::answers::found;
use super::attributes;
use super::batch::Batch;
use super::error::BrokerError;
use super::request::QueueView;
use super::task::Broker;
use crate::engine::{Leaving, Outcome, Queue, Updated};
use crate::store::Pressure;
use crate::types::{
    self, Arrival, Command, Content, Full, Measure, Moving, OrderingKey, Overflow, Priority, QueueId,
    QueueName, QueueSettings, Sequence, SettingsField,
};

/// Some settings and their new values.
#[derive(Clone, Debug)]
pub struct Patch {
    /// Which.
    pub fields: Vec<SettingsField>,
    /// The new values; the others count for nothing.
    pub settings: QueueSettings,
}

/// A message that is to go to another queue.
#[derive(Clone, Debug)]
pub struct Relocation {
    /// The message.
    pub sequence: Sequence,
    /// Its size in bytes.
    pub size: u32,
    /// Its priority.
    pub priority: Priority,
    /// Its ordering key, if it has one.
    pub key: Option<OrderingKey>,
    /// Where to, and what is stored there; none if it stays while others behind it go.
    pub to: Option<(QueueName, Content)>,
}

/// What became of messages that were to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// How many did.
    pub messages: u64,
    /// Why the others didn't, if a queue had no room for the next one.
    pub full: Option<BrokerError>,
}

/// What comes to a queue with a move.
#[derive(Debug, Default)]
struct Coming {
    messages: u64,
    bytes: u64,
}

impl Coming {
    /// Adds a message, or says why it has no room.
    fn add(&mut self, queue: &Queue, size: u64) -> Option<Full> {
        let Self { messages, bytes } = *self;
        // One that drops its oldest makes room with the next publish.
        let rejects = queue.settings().limits.overflow == Overflow::Reject;
        let full = queue.full(&Leaving::default(), messages + 1, bytes + size).filter(|_| rejects);
        if full.is_none() {
            *self = Self { messages: messages + 1, bytes: bytes + size };
        }
        full.map(|full| match full.measure {
            Measure::Messages => Full { held: full.held + messages, more: 1, ..full },
            Measure::Bytes => Full { held: full.held + bytes, more: size, ..full },
        })
    }
}

impl Broker {
    pub(super) fn update(
        &mut self,
        batch: &mut Batch,
        name: QueueName,
        patch: &Patch,
    ) -> Result<QueueView, BrokerError> {
        let queue = self.named(&name)?;
        let id = queue.record().id;
        let settings = queue.settings().clone().with(&patch.settings, &patch.fields);
        settings.check().map_err(BrokerError::Settings)?;
        if let Some(waits_for) = &queue.settings().dead_letter_queue
            && settings.dead_letter_queue.is_none()
            && queue.dead().next().is_some()
        {
            let (dead, waits_for) = (queue.depth().dead, waits_for.clone());
            return Err(BrokerError::DeadWait { queue: name, dead, waits_for });
        }
        match self.act(batch, Command::UpdateQueue { queue: id, settings }) {
            Outcome::Updated(Updated::Done) => {}
            Outcome::Updated(Updated::NotEmpty(field)) => return Err(BrokerError::NotEmpty(name, field)),
            Outcome::Updated(Updated::Cycle(cycle)) => return Err(BrokerError::Cycle(cycle)),
            _ => return Err(BrokerError::NoQueue(name)),
        }
        self.restless.insert(id);
        self.dead_letters_may_go(&name);
        self.named(&name).map(|queue| self.view(queue))
    }

    /// Moves what is still ready, up to the first for which its new queue has no room, and says how many that were.
    pub(super) fn relocate(
        &mut self,
        batch: &mut Batch,
        name: &QueueName,
        messages: Vec<Relocation>,
    ) -> Result<Moved, BrokerError> {
        let queue = self.named(name)?.record().id;
        if !matches!(self.store.pressure(), Pressure::None) {
            return Err(BrokerError::Behind);
        }
        let mut moves = Vec::with_capacity(messages.len());
        let mut coming: HashMap<QueueId, Coming> = HashMap::new();
        // Where the last one is that moves.
        let (mut end, mut full) = (0, None);
        for Relocation { sequence, size, priority, key, to } in messages {
            let to = match to {
                Some((target, content)) => {
                    let queue = found(&self.engine, &target)?;
                    let (id, content) = (queue.record().id, attributes::untimed(&content));
                    if let Some(why) = coming.entry(id).or_default().add(queue, u64::from(content.size())) {
                        full = Some(BrokerError::Full(target, why));
                        moves.truncate(end);
                        break;
                    }
                    end = moves.len() + 1;
                    Some(Arrival { queue: id, content })
                }
                None => None,
            };
            moves.push(types::Moved { sequence, size, priority, key, to });
        }
        if moves.is_empty() {
            return Ok(Moved { messages: 0, full });
        }
        let outcome = self.act(batch, Command::Move { queue, which: Moving::Ready, messages: moves });
        // What was behind them may be in front now.
        self.restless.insert(queue);
        match outcome {
            Outcome::Moved { messages } => {
                metrics::counter!("bbq_messages_redriven_total").increment(messages);
                Ok(Moved { messages, full })
            }
            _ => Err(BrokerError::NoQueue(name.clone())),
        }
    }
}
