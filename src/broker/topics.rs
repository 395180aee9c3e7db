//! Topics: what is asked about them, and what is published to them.
//!
//! Routing is decided here, against the state as the batch has it; the command that follows names queues.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::batch::Batch;
use super::error::BrokerError;
use super::handle::Handle;
use super::outbox::{Answer, Departure};
use super::publication::Unready;
use super::request::{Arrival, Page, Reply, Request, Window};
use super::task::Broker;
use crate::engine::{NoRoute, Outcome, Topic, TopicOutcome};
use crate::types::{
    Attributes, BINDINGS_MAX, Binding, Command, Content, Copies, Durability, FactsByPlace, Publication,
    Published, QueueId, QueueName, RoutingKey, RoutingPattern, Sequence, Timestamp, TopicCommand, TopicName,
};

/// A topic as it stands.
#[derive(Clone, Debug)]
pub struct TopicView {
    /// Its name.
    pub name: TopicName,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its bindings, oldest first.
    pub bindings: Vec<NamedBinding>,
}

/// A binding with its queue's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedBinding {
    /// The queue.
    pub queue: QueueName,
    /// What the routing key must match.
    pub pattern: RoutingPattern,
    /// Attributes that must be equal.
    pub attributes: Attributes,
}

/// Messages that are to be routed.
#[derive(Clone, Debug)]
pub struct Routable {
    /// The messages.
    pub messages: Vec<Content>,
    /// What the engine is to know of some of them.
    pub facts: FactsByPlace,
    /// The attributes of each.
    pub attributes: Vec<Attributes>,
}

/// Where a message went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicResult {
    /// The queues that took it, or had it already.
    pub routed: Vec<Routed>,
    /// Whether there are some, and all of them had it.
    pub duplicate: bool,
}

/// A queue that took a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The queue.
    pub queue: QueueName,
    /// The message's number there.
    pub sequence: Sequence,
}

/// A publish to a topic, with its share of the inbox.
pub(super) struct TopicPublish {
    pub(super) topic: TopicName,
    pub(super) key: RoutingKey,
    pub(super) messages: Vec<Content>,
    pub(super) facts: FactsByPlace,
    pub(super) attributes: Vec<Attributes>,
    reply: Reply<Vec<TopicResult>>,
    _room: OwnedSemaphorePermit,
}

/// What else is asked.
pub(super) enum TopicRequest {
    Create { topic: TopicName, reply: Reply<TopicView> },
    Delete { topic: TopicName, reply: Reply<()> },
    Bind { topic: TopicName, binding: NamedBinding, reply: Reply<()> },
    Unbind { topic: TopicName, binding: NamedBinding, reply: Reply<()> },
    List { window: Window<String>, reply: Reply<Page<TopicView, TopicName>> },
}

impl Handle {
    /// Stores messages in every queue that takes them, all or none, and says where each went. Cancel safe as
    /// [`Handle::publish`] is.
    ///
    /// # Errors
    /// If there is no such topic, its queues would get too much at once, or the broker has stopped.
    pub async fn publish_to_topic(
        &self,
        topic: TopicName,
        key: RoutingKey,
        routable: Routable,
    ) -> Result<Vec<TopicResult>, BrokerError> {
        let Routable { messages, facts, attributes } = routable;
        let room = self.room_for(&messages).await?;
        let (reply, answer) = oneshot::channel();
        let publish = TopicPublish { topic, key, messages, facts, attributes, reply, _room: room };
        self.arrive(Arrival::Topic(Box::new(publish))).await?;
        self.wait(answer).await
    }

    /// Makes a topic, or shows the one that is there. Safe to repeat.
    ///
    /// # Errors
    /// If the broker has stopped.
    pub async fn create_topic(&self, topic: TopicName) -> Result<TopicView, BrokerError> {
        self.ask(|reply| Request::Topic(TopicRequest::Create { topic, reply })).await
    }

    /// Removes a topic and its bindings.
    ///
    /// # Errors
    /// If there is no such topic, or the broker has stopped.
    pub async fn delete_topic(&self, topic: TopicName) -> Result<(), BrokerError> {
        self.ask(|reply| Request::Topic(TopicRequest::Delete { topic, reply })).await
    }

    /// Lets a queue take what a topic gets. Safe to repeat.
    ///
    /// # Errors
    /// If there is no such topic or queue, the topic has too many bindings, or the broker has stopped.
    pub async fn bind(&self, topic: TopicName, binding: NamedBinding) -> Result<(), BrokerError> {
        self.ask(|reply| Request::Topic(TopicRequest::Bind { topic, binding, reply })).await
    }

    /// Takes a binding back.
    ///
    /// # Errors
    /// If there is no such topic, queue or binding, or the broker has stopped.
    pub async fn unbind(&self, topic: TopicName, binding: NamedBinding) -> Result<(), BrokerError> {
        self.ask(|reply| Request::Topic(TopicRequest::Unbind { topic, binding, reply })).await
    }

    /// Lists topics by name.
    ///
    /// # Errors
    /// If the broker has stopped.
    pub async fn topics(&self, window: Window<String>) -> Result<Page<TopicView, TopicName>, BrokerError> {
        self.ask(|reply| Request::Topic(TopicRequest::List { window, reply })).await
    }
}

impl Broker {
    pub(super) fn on_topic_publish(&mut self, batch: &mut Batch, publish: TopicPublish) {
        let routed = self.route_publish(&publish);
        let waits = |copies: &Copies| self.parked.holds(copies.queue).then_some(copies.queue);
        // Behind those that came before it.
        if let Some(queue) = routed.ok().and_then(|copies| copies.iter().find_map(waits)) {
            return self.park(queue, Arrival::Topic(Box::new(publish)));
        }
        if let Some((queue, publish)) = self.try_topic_publish(batch, publish) {
            self.park(queue, Arrival::Topic(Box::new(publish)));
        }
    }

    /// Publishes, unless sizes of a queue's messages have to be read first: then it gives the publish back.
    pub(super) fn try_topic_publish(
        &mut self,
        batch: &mut Batch,
        publish: TopicPublish,
    ) -> Option<(QueueId, TopicPublish)> {
        let mut publish = publish;
        let count = publish.messages.len();
        let (result, durability) = match self.route_publish(&publish) {
            Ok(copies) => {
                let messages = std::mem::take(&mut publish.messages);
                let facts = std::mem::take(&mut publish.facts);
                let mut publication = Publication { messages, facts, copies: copies.clone() };
                let durability = self.durability(&copies);
                match self.publish_all(batch, &mut publication) {
                    Ok(published) => (Ok(self.topic_results(&copies, &published, count)), durability),
                    Err(Unready::Later(queue)) => {
                        let Publication { messages, facts, .. } = publication;
                        return Some((queue, TopicPublish { messages, facts, ..publish }));
                    }
                    Err(Unready::Refused(error)) => (Err(error), durability),
                }
            }
            Err(error) => (Err(error), Durability::Synced),
        };
        let TopicPublish { reply, .. } = publish;
        let departure = Departure::ToTopic(Answer::new(reply, result));
        match durability {
            Durability::Synced => batch.departures.push(departure),
            Durability::Buffered => batch.early.push(departure),
        }
        None
    }

    fn route_publish(&self, publish: &TopicPublish) -> Result<Vec<Copies>, BrokerError> {
        let TopicPublish { topic, key, attributes, .. } = publish;
        self.route(topic, key, attributes, self.settings.routed_messages)
    }

    /// Who gets which of some messages, if these are no more than `most`.
    pub(super) fn route(
        &self,
        topic: &TopicName,
        key: &RoutingKey,
        attributes: &[Attributes],
        most: u64,
    ) -> Result<Vec<Copies>, BrokerError> {
        self.engine.route(topic, key, attributes, most).map_err(|error| match error {
            NoRoute::NoTopic => BrokerError::NoTopic(topic.clone()),
            NoRoute::TooMany => {
                BrokerError::RoutedMessages { topic: topic.clone(), limit: self.settings.routed_messages }
            }
        })
    }

    /// For each of `count` messages the queues that took it, or had it already.
    pub(super) fn topic_results(
        &self,
        copies: &[Copies],
        published: &[Published],
        count: usize,
    ) -> Vec<TopicResult> {
        let mut results = vec![TopicResult { routed: Vec::new(), duplicate: true }; count];
        for (copies, published) in copies.iter().zip(published) {
            let Some(queue) = self.engine.queue(copies.queue) else { continue };
            let from = usize::try_from(copies.from).unwrap_or(usize::MAX);
            let count = usize::try_from(copies.count).unwrap_or(0);
            for (result, (sequence, duplicate)) in
                results.iter_mut().skip(from).zip(published.sequences(count))
            {
                result.routed.push(Routed { queue: queue.record().name.clone(), sequence });
                result.duplicate &= duplicate;
            }
        }
        results.iter_mut().filter(|result| result.routed.is_empty()).for_each(|none| none.duplicate = false);
        results
    }

    pub(super) fn on_topic_request(&mut self, batch: &mut Batch, request: TopicRequest) -> Departure {
        match request {
            TopicRequest::Create { topic, reply } => {
                self.act(batch, Command::Topic(TopicCommand::Create(topic.clone())));
                let view = self.engine.topic(&topic).map(|found| self.topic_view(&topic, found));
                Departure::Topic(Answer::new(reply, view.ok_or(BrokerError::NoTopic(topic))))
            }
            TopicRequest::Delete { topic, reply } => {
                let done = self.change_topic(batch, TopicCommand::Delete(topic.clone()), &topic, None);
                Departure::Done(Answer::new(reply, done))
            }
            TopicRequest::Bind { topic, binding, reply } => {
                let done = self.binding(&topic, &binding).and_then(|named| {
                    self.change_topic(batch, TopicCommand::Bind(topic.clone(), named), &topic, Some(binding))
                });
                Departure::Done(Answer::new(reply, done))
            }
            TopicRequest::Unbind { topic, binding, reply } => {
                let done = self.binding(&topic, &binding).and_then(|named| {
                    self.change_topic(
                        batch,
                        TopicCommand::Unbind(topic.clone(), named),
                        &topic,
                        Some(binding),
                    )
                });
                Departure::Done(Answer::new(reply, done))
            }
            TopicRequest::List { window, reply } => {
                Departure::Topics(Answer::new(reply, Ok(self.list_topics(&window))))
            }
        }
    }

    /// The binding by its queue's id. A topic that is missing is named before a queue that is.
    fn binding(&self, topic: &TopicName, binding: &NamedBinding) -> Result<Binding, BrokerError> {
        let NamedBinding { queue, pattern, attributes } = binding;
        if self.engine.topic(topic).is_none() {
            return Err(BrokerError::NoTopic(topic.clone()));
        }
        let found = self.engine.named(queue).ok_or_else(|| BrokerError::NoQueue(queue.clone()))?;
        let queue = found.record().id;
        Ok(Binding { queue, pattern: pattern.clone(), attributes: attributes.clone() })
    }

    fn change_topic(
        &mut self,
        batch: &mut Batch,
        command: TopicCommand,
        topic: &TopicName,
        binding: Option<NamedBinding>,
    ) -> Result<(), BrokerError> {
        let Outcome::Topic(outcome) = self.act(batch, Command::Topic(command)) else {
            unreachable!("a command about a topic has an outcome about it")
        };
        let topic = topic.clone();
        match (outcome, binding) {
            (TopicOutcome::Done | TopicOutcome::Already, _) => Ok(()),
            (TopicOutcome::NoQueue, Some(binding)) => Err(BrokerError::NoQueue(binding.queue)),
            (TopicOutcome::NoBinding, Some(binding)) => {
                let NamedBinding { queue, pattern, attributes } = binding;
                Err(BrokerError::NoBinding { topic, queue, pattern, attributes })
            }
            (TopicOutcome::Full, _) => Err(BrokerError::TooManyBindings { topic, limit: BINDINGS_MAX }),
            (TopicOutcome::NoTopic | TopicOutcome::NoQueue | TopicOutcome::NoBinding, _) => {
                Err(BrokerError::NoTopic(topic))
            }
        }
    }

    fn list_topics(&self, window: &Window<String>) -> Page<TopicView, TopicName> {
        let mut topics = self.engine.topics_from(&window.from);
        let items =
            topics.by_ref().take(window.count).map(|(name, topic)| self.topic_view(name, topic)).collect();
        Page { items, next: topics.next().map(|(name, _)| name.clone()) }
    }

    fn topic_view(&self, name: &TopicName, topic: &Topic) -> TopicView {
        let bindings = topic.bindings().filter_map(|binding| self.named_binding(binding)).collect();
        TopicView { name: name.clone(), created_at: topic.created_at(), bindings }
    }

    pub(super) fn named_binding(&self, binding: &Binding) -> Option<NamedBinding> {
        let Binding { queue, pattern, attributes } = binding;
        let queue = self.engine.queue(*queue)?.record().name.clone();
        Some(NamedBinding { queue, pattern: pattern.clone(), attributes: attributes.clone() })
    }
}
