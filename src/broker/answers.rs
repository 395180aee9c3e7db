//! What is asked, one method each.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::batch::Batch;
use super::consumers::{Consumer, Line};
use super::error::BrokerError;
use super::outbox::{Answer, Departure};
use super::peek;
use super::read_ahead::{Kind, Loaded};
use super::request::{
    Arrival, Feed, Notice, Page, QueueView, Refused, Reply, Request, Settlement, Terms, Window,
};
use super::task::{Broker, Stopped};
use crate::engine::{Created, Engine, Outcome, Queue};
use crate::store::Lookup;
use crate::types::{
    Claim, Command, Holder, HolderId, LaneId, QueueId, QueueName, QueueSettings, Receipt, ReceiptFailure,
    SettingsField,
};

impl Broker {
    pub(super) fn on_arrival(&mut self, batch: &mut Batch, arrival: Arrival) {
        match arrival {
            Arrival::Publish(publish) => self.on_publish(batch, publish),
            Arrival::Topic(publish) => self.on_topic_publish(batch, *publish),
            Arrival::Transact(transacting) => self.on_transact(batch, *transacting),
        }
    }

    pub(super) fn on_request(&mut self, batch: &mut Batch, request: Request) {
        let departure = match request {
            // Whoever asked has left, and its notice of that may have come first.
            Request::Subscribe { reply, .. } if reply.is_closed() => return,
            Request::Receive { reply, .. } if reply.is_closed() => return,
            Request::Subscribe { queue, holder, terms, reply } => {
                Departure::Opened(Answer::new(reply, self.open(&queue, holder, terms)))
            }
            Request::Receive { queue, holder, terms, reply } => {
                return self.receive(batch, &queue, holder, terms, reply);
            }
            Request::Topic(request) => self.on_topic_request(batch, request),
            Request::LastCall(holder) => return self.last_call(holder),
            Request::Settle { queue, receipts, what, reply } => {
                Departure::Settled(Answer::new(reply, self.settle(batch, &queue, &receipts, what)))
            }
            Request::Create { queue, settings, reply } => {
                Departure::Queue(Answer::new(reply, self.create(batch, queue, &settings)))
            }
            Request::Update { queue, patch, reply } => {
                Departure::Queue(Answer::new(reply, self.update(batch, queue, &patch)))
            }
            Request::Relocate { queue, messages, reply } => {
                Departure::Moved(Answer::new(reply, self.relocate(batch, &queue, messages)))
            }
            Request::Delete { queue, reply } => {
                Departure::Counted(Answer::new(reply, self.delete(batch, queue)))
            }
            Request::Purge { queue, reply } => {
                Departure::Counted(Answer::new(reply, self.purge(batch, queue)))
            }
            Request::Show { queue, reply } => {
                let view = self.named(&queue).map(|queue| self.view(queue));
                Departure::Queue(Answer::new(reply, view))
            }
            Request::List { window, prefix, reply } => {
                Departure::Queues(Answer::new(reply, Ok(self.list(&window, &prefix))))
            }
            Request::Leases { queue, window, reply } => {
                let page = self.named(&queue).map(|queue| peek::leases(queue, &window));
                Departure::Leases(Answer::new(reply, page))
            }
            Request::Backup(reply) => Departure::Ordered(Answer::new(reply, self.order_backup(batch.now))),
            Request::Watch(reply) => {
                let watch = self.board.watch(batch.now, Arc::clone(&self.stopped));
                Departure::Watching(Answer::new(reply, watch.ok_or(BrokerError::Draining)))
            }
            Request::Oldest { queue, reply } => match self.named(&queue) {
                Ok(queue) => Departure::Peek(self.oldest(queue, reply)),
                Err(error) => Departure::Peeked(Answer::new(reply, Err(error))),
            },
            Request::Peek { queue, window, state, bytes, reply } => match self.named(&queue) {
                Ok(queue) => Departure::Peek(self.peek(queue, &window, state, bytes, reply)),
                Err(error) => Departure::Peeked(Answer::new(reply, Err(error))),
            },
        };
        batch.departures.push(departure);
    }

    pub(super) fn on_notice(&mut self, batch: &mut Batch, notice: Notice) -> Result<(), Stopped> {
        match notice {
            Notice::Left(holder) => {
                if let Some(gone) = self.consumers.leave(holder) {
                    self.took_turns(gone.queue);
                }
                self.release(batch, holder, true);
            }
            Notice::Taken(holder, sizes) => {
                let queue = self.consumers.consumer(holder).map(|consumer| consumer.queue);
                if let Some((queue, counter)) =
                    queue.and_then(|queue| Some((queue, self.consumers.counter_mut(queue)?)))
                {
                    for size in sizes {
                        counter.dispatch.freed(holder, size);
                    }
                    self.restless.insert(queue);
                }
            }
            Notice::Loaded(loaded) => self.on_loaded(loaded)?,
            Notice::FrontRead(loaded) => self.on_front_read(batch, &loaded)?,
            Notice::DeadRead(loaded) => self.on_dead_read(batch, loaded)?,
            Notice::Sized(sized) => self.on_sized(batch, sized)?,
            Notice::Trimmed(queue) => self.try_waiting(batch, queue),
            Notice::Drain(done) => {
                self.draining = true;
                self.board.end();
                for holder in self.consumers.ids() {
                    self.end(batch, holder, BrokerError::Draining);
                    self.release(batch, holder, false);
                }
                batch.departures.push(Departure::Drained(done));
            }
            Notice::Stop => self.finish(),
        }
        Ok(())
    }

    /// Takes what was read. What is ready and in no overlay is on disk; if it is not, something confirmed is lost, and to
    /// go on would hide it.
    fn on_loaded(&mut self, loaded: Loaded) -> Result<(), Stopped> {
        self.check_found(&loaded)?;
        let Loaded { queue: id, lane, first, kind, messages } = loaded;
        let messages = messages.map_err(|error| Stopped(error.into()))?;
        if let Some(counter) = self.consumers.counter_mut(id) {
            counter.ahead.finished(lane, first, kind, messages);
            self.restless.insert(id);
        }
        Ok(())
    }

    /// Stops if what was to be read is not there, or could not be read.
    pub(super) fn check_found(&self, loaded: &Loaded) -> Result<(), Stopped> {
        let Loaded { queue: id, lane, first, kind, messages } = loaded;
        let messages = messages.as_ref().map_err(|error| Stopped(error.clone().into()))?;
        let found = match kind {
            Kind::Returned => messages.first().is_some_and(|message| message.sequence == *first),
            Kind::Untouched => !messages.is_empty(),
        };
        let ready = self.engine.queue(*id).is_some_and(|queue| match kind {
            Kind::Returned => queue.is_ready(*lane, *first),
            Kind::Untouched => queue.is_untouched(*lane, *first),
        });
        if !found && ready && matches!(self.store.lookup(LaneId::new(*id, *lane), *first), Lookup::Cold) {
            return Err(Stopped(format!("message {first} of queue {} is in no state file", id.0).into()));
        }
        Ok(())
    }

    pub(super) fn named(&self, name: &QueueName) -> Result<&Queue, BrokerError> {
        found(&self.engine, name)
    }

    fn id(&self, name: &QueueName) -> Result<QueueId, BrokerError> {
        self.named(name).map(|queue| queue.record().id)
    }

    pub(super) fn view(&self, queue: &Queue) -> QueueView {
        let id = queue.record().id;
        let consumers = self.consumers.counter(id).map_or(0, |counter| counter.dispatch.len() as u64);
        QueueView { record: queue.record().clone(), depth: queue.depth(), consumers }
    }

    fn open(
        &mut self,
        name: &QueueName,
        holder: HolderId,
        terms: Terms,
    ) -> Result<mpsc::UnboundedReceiver<Feed>, BrokerError> {
        let (line, feed) = mpsc::unbounded_channel();
        self.join(name, holder, terms, Line::Stream(line)).map_err(|(error, _)| error)?;
        Ok(feed)
    }

    fn receive(
        &mut self,
        batch: &mut Batch,
        name: &QueueName,
        holder: HolderId,
        terms: Terms,
        reply: Reply<Vec<super::Delivery>>,
    ) {
        if let Err((error, Line::Receive { reply })) = self.join(name, holder, terms, Line::Receive { reply })
        {
            batch.departures.push(Departure::Received(Answer::new(reply, Err(error))));
        }
    }

    fn join(
        &mut self,
        name: &QueueName,
        holder: HolderId,
        terms: Terms,
        line: Line,
    ) -> Result<(), (BrokerError, Line)> {
        if self.draining {
            return Err((BrokerError::Draining, line));
        }
        let queue = match self.id(name) {
            Ok(queue) => queue,
            Err(error) => return Err((error, line)),
        };
        let Terms { credit, lease_duration, consumer: who } = terms;
        self.consumers.join(holder, credit, Consumer { queue, lease_duration, who, line });
        self.restless.insert(queue);
        Ok(())
    }

    fn last_call(&mut self, holder: HolderId) {
        let Some(queue) = self.consumers.consumer(holder).map(|consumer| consumer.queue) else { return };
        if let Some(counter) = self.consumers.counter_mut(queue) {
            counter.last_calls.push((holder, counter.ahead.reads()));
            self.restless.insert(queue);
        }
    }

    /// Gives back what a holder that is gone holds. Attempts of streams count, unless the server ended them; those of
    /// Receive never do, because only calls whose answer was not handed over give anything back.
    fn release(&mut self, batch: &mut Batch, holder: HolderId, counted: bool) {
        let Some((queue, kind)) = self.engine.holding(holder) else { return };
        let counted = match kind {
            Holder::Stream(_) => counted,
            Holder::Receive(_) => false,
        };
        self.act(batch, Command::Release { queue, holder, counted });
    }

    fn end(&mut self, batch: &mut Batch, holder: HolderId, why: BrokerError) {
        match self.consumers.leave(holder).map(|consumer| consumer.line) {
            Some(Line::Stream(line)) => batch.departures.push(Departure::Fed(line, Feed::End(why))),
            Some(Line::Receive { reply }) => {
                batch.departures.push(Departure::Received(Answer::new(reply, Err(why))));
            }
            None => {}
        }
    }

    fn settle(
        &mut self,
        batch: &mut Batch,
        name: &QueueName,
        receipts: &[Result<Receipt, ReceiptFailure>],
        what: Settlement,
    ) -> Result<Vec<Refused>, BrokerError> {
        let queue = self.named(name)?;
        let (id, standard) = (queue.record().id, queue.record().settings.lease_duration);
        let (mut claims, mut places, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for (place, receipt) in receipts.iter().enumerate() {
            match receipt {
                Ok(receipt) if receipt.queue == id => {
                    claims.push(Claim::from(*receipt));
                    places.push(place);
                }
                Ok(_) => refused.push((place, ReceiptFailure::Unknown)),
                Err(failure) => refused.push((place, *failure)),
            }
        }
        let acked = what == Settlement::Ack;
        let asked = claims.len();
        let (name, command) = match what {
            Settlement::Ack => ("ack", Command::Ack { queue: id, claims }),
            Settlement::Nack { retry, reason } => {
                ("nack", Command::Nack { queue: id, claims, retry, reason })
            }
            Settlement::Extend(duration) => {
                ("extend", Command::Extend { queue: id, claims, duration: duration.unwrap_or(standard) })
            }
        };
        if asked > 0
            && let Outcome::Claimed(failures) = self.act(batch, command)
        {
            let settled = (asked - failures.len()) as u64;
            metrics::counter!("bbq_messages_settled_total", "how" => name).increment(settled);
            if acked {
                self.tallies.of(id).acked += settled;
            }
            refused.extend(
                failures.into_iter().filter_map(|(place, why)| places.get(place).map(|&place| (place, why))),
            );
            refused.sort_by_key(|&(place, _)| place);
        }
        Ok(refused)
    }

    fn create(
        &mut self,
        batch: &mut Batch,
        name: QueueName,
        wanted: &QueueSettings,
    ) -> Result<QueueView, BrokerError> {
        match self.act(batch, Command::CreateQueue { name: name.clone(), settings: wanted.clone() }) {
            Outcome::Created(Created::New(_)) => {
                self.dead_letters_may_go(&name);
                self.named(&name).map(|queue| self.view(queue))
            }
            Outcome::Created(Created::Existed(_)) => self.named(&name).map(|queue| self.view(queue)),
            Outcome::Created(Created::Cycle(cycle)) => Err(BrokerError::Cycle(cycle)),
            _ => Err(self.other_settings(name, wanted)),
        }
    }

    fn other_settings(&self, name: QueueName, wanted: &QueueSettings) -> BrokerError {
        let settings = match self.named(&name) {
            Ok(queue) => queue.settings(),
            Err(error) => return error,
        };
        let differs = |field: &SettingsField| settings.clone().with(wanted, &[*field]) != *settings;
        BrokerError::OtherSettings(name, SettingsField::ALL.into_iter().filter(differs).collect())
    }

    fn delete(&mut self, batch: &mut Batch, name: QueueName) -> Result<u64, BrokerError> {
        let queue = self.id(&name)?;
        let holders = self.consumers.at(queue);
        let outcome = self.act(batch, Command::DeleteQueue { queue });
        if let Outcome::Named(by) = outcome {
            return Err(BrokerError::InUse { queue: name, by });
        }
        if let Outcome::QueueBound { topic, binding } = outcome {
            let (pattern, attributes) = (binding.pattern, binding.attributes);
            return Err(BrokerError::QueueBound { queue: name, topic, pattern, attributes });
        }
        self.tallies.remove(queue);
        self.lapses.forget(queue);
        for holder in holders {
            self.end(batch, holder, BrokerError::NoQueue(name.clone()));
        }
        match outcome {
            Outcome::Deleted { messages } => Ok(messages),
            _ => Err(BrokerError::NoQueue(name)),
        }
    }

    fn purge(&mut self, batch: &mut Batch, name: QueueName) -> Result<u64, BrokerError> {
        let queue = self.id(&name)?;
        match self.act(batch, Command::PurgeQueue { queue }) {
            Outcome::Purged { messages } => Ok(messages),
            _ => Err(BrokerError::NoQueue(name)),
        }
    }

    fn list(&self, window: &Window<String>, prefix: &str) -> Page<QueueView, QueueName> {
        let from = if window.from.as_str() < prefix { prefix } else { &window.from };
        let mut queues = self
            .engine
            .queues_from(from)
            .take_while(|queue| queue.record().name.as_str().starts_with(prefix));
        let items = queues.by_ref().take(window.count).map(|queue| self.view(queue)).collect();
        Page { items, next: queues.next().map(|queue| queue.record().name.clone()) }
    }
}

/// A queue by its name.
pub(super) fn found<'a>(engine: &'a Engine, name: &QueueName) -> Result<&'a Queue, BrokerError> {
    engine.named(name).ok_or_else(|| BrokerError::NoQueue(name.clone()))
}
