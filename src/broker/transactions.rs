//! Transactions: acks and publishes that happen together, in one command.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::batch::Batch;
use super::error::BrokerError;
use super::handle::Handle;
use super::outbox::{Answer, Departure};
use super::publication::Unready;
use super::publishing::suits;
use super::request::{Arrival, Reply};
use super::task::Broker;
use super::topics::{Routable, TopicResult};
use crate::engine::{Outcome, Stale, Transacted};
use crate::types::{
    Attributes, Claim, Command, Content, Copies, FactsByPlace, Publication, Published, QueueId, QueueName,
    Receipt, ReceiptFailure, RoutingKey, Sequence, TRANSACTION_ENTRIES_MAX, TopicName, Transact, Transaction,
    TransactionId,
};

/// What is to be done, all or nothing.
#[derive(Clone, Debug)]
pub struct Transactional {
    /// What to remember it by.
    pub id: Option<TransactionId>,
    /// What is settled: a queue, and what receipts name there.
    pub acks: Vec<(QueueName, Vec<Result<Receipt, ReceiptFailure>>)>,
    /// What is published, and where.
    pub publishes: Vec<(Target, Routable)>,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a queue.
    Queue(QueueName),
    /// To those that a topic chooses.
    Topic(TopicName, RoutingKey),
}

/// What became of one publish of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionResult {
    /// The number of each message in its queue, and whether it is a duplicate's.
    Queue(Vec<(Sequence, bool)>),
    /// Where each message went.
    Topic(Vec<TopicResult>),
}

/// A transaction on its way, with its share of the inbox.
pub(super) struct Transacting {
    pub(super) id: Option<TransactionId>,
    pub(super) acks: Vec<(QueueName, Vec<Result<Receipt, ReceiptFailure>>)>,
    pub(super) targets: Vec<TargetOf>,
    pub(super) messages: Vec<Content>,
    pub(super) facts: FactsByPlace,
    reply: Reply<Vec<TransactionResult>>,
    _room: OwnedSemaphorePermit,
}

/// Where some of its messages go, with their attributes.
pub(super) struct TargetOf {
    pub(super) target: Target,
    /// The first and how many.
    from: u32,
    count: u32,
    pub(super) attributes: Vec<Attributes>,
}

impl Handle {
    /// Settles and publishes, all of it or nothing. Cancel safe as [`Handle::publish`] is; safe to repeat with an id.
    ///
    /// # Errors
    /// If a receipt is stale, a queue or topic is missing or full, or the broker has stopped.
    pub async fn transact(
        &self,
        transactional: Transactional,
    ) -> Result<Vec<TransactionResult>, BrokerError> {
        let Transactional { id, acks, publishes } = transactional;
        let (mut targets, mut messages, mut facts) = (Vec::new(), Vec::new(), FactsByPlace::new());
        for (target, routable) in publishes {
            let place = |count: usize| u32::try_from(count).expect("requests have far fewer messages");
            let (from, count) = (place(messages.len()), place(routable.messages.len()));
            facts.extend(routable.facts.into_iter().map(|(at, facts)| (from + at, facts)));
            messages.extend(routable.messages);
            targets.push(TargetOf { target, from, count, attributes: routable.attributes });
        }
        let room = self.room_for(&messages).await?;
        let (reply, answer) = oneshot::channel();
        let transacting = Transacting { id, acks, targets, messages, facts, reply, _room: room };
        self.arrive(Arrival::Transact(Box::new(transacting))).await?;
        self.wait(answer).await
    }
}

impl Broker {
    pub(super) fn on_transact(&mut self, batch: &mut Batch, transacting: Transacting) {
        let waits = |copies: &Copies| self.parked.holds(copies.queue).then_some(copies.queue);
        // Behind those that came before it.
        if let Some(queue) = self.copies(&transacting).ok().and_then(|copies| copies.iter().find_map(waits)) {
            return self.park(queue, Arrival::Transact(Box::new(transacting)));
        }
        if let Some((queue, transacting)) = self.try_transact(batch, transacting) {
            self.park(queue, Arrival::Transact(Box::new(transacting)));
        }
    }

    /// Does it, unless sizes of a queue's messages have to be read first: then it gives the transaction back.
    pub(super) fn try_transact(
        &mut self,
        batch: &mut Batch,
        transacting: Transacting,
    ) -> Option<(QueueId, Transacting)> {
        let mut transacting = transacting;
        let result = match self.transact(batch, &mut transacting) {
            Ok(results) => Ok(results),
            Err(Unready::Later(queue)) => return Some((queue, transacting)),
            Err(Unready::Refused(error)) => Err(error),
        };
        batch.departures.push(Departure::Transacted(Answer::new(transacting.reply, result)));
        None
    }

    /// Everything is looked at before anything is done, so that a transaction that is refused leaves nothing in the journal.
    /// It takes the messages only if it stores them.
    fn transact(
        &mut self,
        batch: &mut Batch,
        transacting: &mut Transacting,
    ) -> Result<Vec<TransactionResult>, Unready> {
        let known = transacting.id.as_ref().and_then(|id| self.engine.transacted(id, batch.now));
        if let Some(known) = known {
            return self.outcome(known, &[], transacting).map_err(Unready::Refused);
        }
        let acks = self.claims(transacting).map_err(Unready::Refused)?;
        let copies = self.copies(transacting).map_err(Unready::Refused)?;
        if let Some(stale) = self.engine.stale(&acks) {
            return Err(Unready::Refused(stale_receipt(transacting, stale)));
        }
        let (messages, facts) =
            (std::mem::take(&mut transacting.messages), std::mem::take(&mut transacting.facts));
        let publication = Publication { messages, facts, copies };
        if let Err(unready) = self.fits(batch, transacting, &publication, &acks) {
            (transacting.messages, transacting.facts) = (publication.messages, publication.facts);
            return Err(unready);
        }
        let copies = publication.copies.clone();
        let settled: Vec<_> = acks.iter().map(|(queue, claims)| (*queue, claims.len() as u64)).collect();
        let id = transacting.id.clone();
        let Outcome::Transacted(outcome) =
            self.act(batch, Command::Transact(Transact { id, acks, publication }))
        else {
            unreachable!("a transaction has an outcome of its own")
        };
        if let Transacted::Done(published) = &outcome {
            for (queue, count) in settled {
                metrics::counter!("bbq_messages_settled_total", "how" => "ack").increment(count);
                self.tallies.of(queue).acked += count;
            }
            super::publication::count(&copies, published);
        }
        self.outcome(outcome, &copies, transacting).map_err(Unready::Refused)
    }

    /// Whether all queues have room for their share, once what is acked has gone, and all of it can be remembered.
    fn fits(
        &mut self,
        batch: &mut Batch,
        transacting: &Transacting,
        publication: &Publication,
        acks: &[(QueueId, Vec<Claim>)],
    ) -> Result<(), Unready> {
        if transacting.id.is_some() {
            let shares = self.engine.sift_all(publication, batch.now).unwrap_or_default();
            let duplicates: usize = shares.iter().map(|(_, sifted)| sifted.duplicates.len()).sum();
            let entries = publication.copies.len() + duplicates;
            if entries > TRANSACTION_ENTRIES_MAX {
                return Err(Unready::Refused(BrokerError::LargeTransaction {
                    entries,
                    limit: TRANSACTION_ENTRIES_MAX,
                }));
            }
        }
        let freed = self.engine.freed(acks);
        self.make_room(batch, publication, &freed)
    }

    /// The claims of all receipts, by their queues' ids.
    fn claims(&self, transacting: &Transacting) -> Result<Vec<(QueueId, Vec<Claim>)>, BrokerError> {
        let mut acks = Vec::with_capacity(transacting.acks.len());
        for (ack, (name, receipts)) in transacting.acks.iter().enumerate() {
            let queue = self.engine.named(name).ok_or_else(|| BrokerError::NoQueue(name.clone()))?;
            let id = queue.record().id;
            let claim = |(claim, receipt): (usize, &Result<Receipt, ReceiptFailure>)| match receipt {
                Ok(receipt) if receipt.queue == id => Ok(Claim::from(*receipt)),
                Ok(_) => Err(stale_receipt(transacting, Stale { ack, claim, why: ReceiptFailure::Unknown })),
                Err(why) => Err(stale_receipt(transacting, Stale { ack, claim, why: *why })),
            };
            acks.push((id, receipts.iter().enumerate().map(claim).collect::<Result<_, _>>()?));
        }
        Ok(acks)
    }

    /// Who gets which of its messages.
    fn copies(&self, transacting: &Transacting) -> Result<Vec<Copies>, BrokerError> {
        let mut all = Vec::new();
        let mut left = self.settings.routed_messages;
        for TargetOf { target, from, count, attributes } in &transacting.targets {
            let copies = match target {
                Target::Queue(name) => {
                    let queue = self.engine.named(name).ok_or_else(|| BrokerError::NoQueue(name.clone()))?;
                    let copies = Copies { queue: queue.record().id, from: 0, count: *count };
                    let all = Copies { from: *from, ..copies };
                    let own = all.of(&transacting.messages).unwrap_or_default();
                    let facts = all.facts_of(&transacting.facts);
                    suits(queue, own, facts.iter().map(|(_, facts)| facts))?;
                    vec![copies]
                }
                Target::Topic(topic, key) => self.route(topic, key, attributes, left)?,
            };
            let stored = copies.iter().map(|copies| u64::from(copies.count)).sum();
            left = left.saturating_sub(stored);
            all.extend(copies.into_iter().map(|copies| Copies { from: from + copies.from, ..copies }));
        }
        Ok(all)
    }

    fn outcome(
        &self,
        outcome: Transacted,
        copies: &[Copies],
        transacting: &Transacting,
    ) -> Result<Vec<TransactionResult>, BrokerError> {
        match outcome {
            Transacted::Done(published) => {
                Ok(self.transaction_results(copies, &published, &transacting.targets))
            }
            Transacted::Before(Transaction { copies, published, .. }) => {
                Ok(self.transaction_results(&copies, &published, &transacting.targets))
            }
            Transacted::OtherRequest => {
                let id = transacting.id.as_ref().map(|id| id.id.clone()).unwrap_or_default();
                Err(BrokerError::OtherTransaction(id))
            }
            Transacted::Stale(stale) => Err(stale_receipt(transacting, stale)),
            Transacted::Unpublished(why) => Err(self.unpublished(why)),
        }
    }

    /// What became of each publish, whose copies lie together.
    fn transaction_results(
        &self,
        copies: &[Copies],
        published: &[Published],
        targets: &[TargetOf],
    ) -> Vec<TransactionResult> {
        let results = |TargetOf { target, from, count, .. }: &TargetOf| {
            let own = |copies: &Copies| (*from..from + count).contains(&copies.from);
            let begin = copies.iter().position(own).unwrap_or(copies.len());
            let end = begin + copies[begin..].iter().take_while(|copies| own(copies)).count();
            let own = copies[begin..end].iter().map(|copies| Copies { from: copies.from - from, ..*copies });
            let (own, published) = (own.collect::<Vec<_>>(), &published[begin..end]);
            let count = usize::try_from(*count).unwrap_or(0);
            match target {
                Target::Queue(_) => TransactionResult::Queue(
                    published
                        .first()
                        .map(|published| published.sequences(count).collect())
                        .unwrap_or_default(),
                ),
                Target::Topic(..) => TransactionResult::Topic(self.topic_results(&own, published, count)),
            }
        };
        targets.iter().map(results).collect()
    }
}

fn stale_receipt(transacting: &Transacting, Stale { ack, claim, why }: Stale) -> BrokerError {
    match transacting.acks.get(ack) {
        Some((queue, _)) => BrokerError::Stale { queue: queue.clone(), ack, receipt: claim, why },
        None => unreachable!("a stale receipt is one of those that were sent"),
    }
}
