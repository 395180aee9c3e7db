//! Publications: what goes to several queues, in one entry, once there is room in all of them.

use std::collections::BTreeMap;

use super::batch::Batch;
use super::error::BrokerError;
use super::publishing::{Room, may_wait};
use super::task::Broker;
use crate::engine::{Leaving, Outcome, Unpublished};
use crate::types::{Command, Content, Copies, Durability, Overflow, Publication, Published, QueueId};

/// Why a publication did not go in.
pub(super) enum Unready {
    /// There may be room in this queue, later: it is being made, or looked for.
    Later(QueueId),
    /// It can't.
    Refused(BrokerError),
}

impl Broker {
    /// What a confirm of all of these has survived: as much as the most careful queue promises.
    pub(super) fn durability(&self, copies: &[Copies]) -> Durability {
        let buffered = |copies: &Copies| {
            let queue = self.engine.queue(copies.queue);
            queue.is_some_and(|queue| queue.record().settings.durability == Durability::Buffered)
        };
        if copies.iter().all(buffered) { Durability::Buffered } else { Durability::Synced }
    }

    /// Makes room where queues say so and stores a publication; what became of each of its copies. It takes the messages
    /// only if it stores them.
    pub(super) fn publish_all(
        &mut self,
        batch: &mut Batch,
        publication: &mut Publication,
    ) -> Result<Vec<Published>, Unready> {
        if publication.copies.is_empty() {
            return Ok(Vec::new());
        }
        self.make_room(batch, publication, &BTreeMap::new())?;
        let copies = publication.copies.clone();
        let outcome = self.act(batch, Command::PublishAll(std::mem::take(publication)));
        match outcome {
            Outcome::PublishedAll(published) => {
                count(&copies, &published);
                Ok(published)
            }
            Outcome::Unpublished(why) => Err(Unready::Refused(self.unpublished(why))),
            other => unreachable!("a publication has an outcome of its own: {other:?}"),
        }
    }

    /// Looks whether every queue can take its share, once what is freed has gone from it; only if all can, makes the oldest go
    /// where that is what it takes. Where a queue holds more than it may, they go in any case.
    pub(super) fn make_room(
        &mut self,
        batch: &mut Batch,
        publication: &Publication,
        freed: &BTreeMap<QueueId, Leaving>,
    ) -> Result<(), Unready> {
        let refused = Unready::Refused;
        let bytes = self.bytes_of(publication);
        let limit = self.settings.routed_bytes;
        if bytes > limit {
            return Err(refused(BrokerError::RoutedBytes { bytes, limit }));
        }
        let shares = self.engine.sift_all(publication, batch.now);
        let shares = shares.map_err(|why| refused(self.unpublished(why)))?;
        self.may_all_wait(publication).map_err(refused)?;
        self.has_memory(shares.iter().map(|(_, sifted)| sifted)).map_err(refused)?;
        let (mut drops, none) = (Vec::new(), Leaving::default());
        for (queue, sifted) in shares {
            if sifted.messages == 0 {
                continue;
            }
            let record = queue.record();
            let gone = freed.get(&record.id).unwrap_or(&none);
            let mut room = Room::Settled;
            if record.settings.limits.overflow == Overflow::DropOldest {
                room = self.room(queue, gone, sifted.messages, sifted.bytes);
            }
            match room {
                Room::Settled => {
                    if let Some(full) = queue.full(gone, sifted.messages, sifted.bytes) {
                        return Err(refused(BrokerError::Full(record.name.clone(), full)));
                    }
                }
                Room::After(picks) => drops.push((record.id, picks)),
                later @ (Room::Trim(_) | Room::Unknown(..)) => {
                    let id = record.id;
                    self.make_later(batch, id, later);
                    return Err(Unready::Later(id));
                }
            }
        }
        for (queue, picks) in drops {
            self.drop_oldest(batch, queue, picks);
        }
        Ok(())
    }

    fn may_all_wait(&self, Publication { facts, copies, .. }: &Publication) -> Result<(), BrokerError> {
        if facts.is_empty() {
            return Ok(());
        }
        let queues = copies.iter().filter_map(|copies| Some((self.engine.queue(copies.queue)?, copies)));
        queues.into_iter().try_for_each(|(queue, copies)| may_wait(queue, &copies.facts_of(facts)))
    }

    fn bytes_of(&self, Publication { messages, copies, .. }: &Publication) -> u64 {
        let size = |content: &Content| u64::from(content.size());
        let own = |copies: &Copies| copies.of(messages).into_iter().flatten();
        copies.iter().flat_map(own).map(size).sum()
    }

    pub(super) fn unpublished(&self, why: Unpublished) -> BrokerError {
        let name = |id| self.engine.queue(id).map(|queue| queue.record().name.clone());
        match why {
            Unpublished::Full(id, full) => match name(id) {
                Some(name) => BrokerError::Full(name, full),
                None => unreachable!("a queue that is full is there"),
            },
            Unpublished::NoQueue => unreachable!("queues were just chosen among those that are there"),
        }
    }
}

/// Counts what was stored.
pub(super) fn count(copies: &[Copies], published: &[Published]) {
    let stored = copies.iter().zip(published);
    let stored = stored.map(|(copies, one)| u64::from(copies.count) - one.duplicates.len() as u64).sum();
    metrics::counter!("bbq_messages_published_total").increment(stored);
}
