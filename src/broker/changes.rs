//! What changes queues in use: other settings, and messages that go from one to another.

use super::answers::found;
use super::attributes;
use super::batch::Batch;
use super::error::BrokerError;
use super::request::QueueView;
use super::task::Broker;
use crate::engine::{Outcome, Updated};
use crate::store::Pressure;
use crate::types::{
    Arrival, Command, Content, Moved, Moving, OrderingKey, Priority, QueueName, QueueSettings, Sequence,
    SettingsField,
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

    /// Moves what is still ready and says how many that were.
    pub(super) fn relocate(
        &mut self,
        batch: &mut Batch,
        name: &QueueName,
        messages: Vec<Relocation>,
    ) -> Result<u64, BrokerError> {
        let queue = self.named(name)?.record().id;
        if !matches!(self.store.pressure(), Pressure::None) {
            return Err(BrokerError::Behind);
        }
        let mut moves = Vec::with_capacity(messages.len());
        for Relocation { sequence, size, priority, key, to } in messages {
            let to = match to {
                Some((target, content)) => {
                    let target = found(&self.engine, &target)?;
                    Some(Arrival { queue: target.record().id, content: attributes::untimed(&content) })
                }
                None => None,
            };
            moves.push(Moved { sequence, size, priority, key, to });
        }
        let outcome = self.act(batch, Command::Move { queue, which: Moving::Ready, messages: moves });
        // What was behind them may be in front now.
        self.restless.insert(queue);
        match outcome {
            Outcome::Moved { messages } => {
                metrics::counter!("bbq_messages_redriven_total").increment(messages);
                Ok(messages)
            }
            _ => Err(BrokerError::NoQueue(name.clone())),
        }
    }
}
