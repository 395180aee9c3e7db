//! Topics: what is asked about them, and what is published to them.
//!
//! Routing is decided here, against the state as the batch has it; the command that follows names queues.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::batch::Batch;
use super::handle::Handle;
use super::outbox::{Answer, Departure};
use super::request::{Arrival, BrokerError, Page, Reply, Request, Window};
use super::task::Broker;
use crate::engine::{NoRoute, Outcome, Topic, TopicOutcome};
use crate::types::{
    Attributes, BINDINGS_MAX, Binding, Command, Content, Copies, Durability, Publication, QueueName,
    RoutingKey, RoutingPattern, Sequence, Timestamp, TopicCommand, TopicName,
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

/// A message that is to be routed.
#[derive(Clone, Debug)]
pub struct Routable {
    /// All of it.
    pub content: Content,
    /// Its attributes.
    pub attributes: Attributes,
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
    topic: TopicName,
    key: RoutingKey,
    messages: Vec<Content>,
    attributes: Vec<Attributes>,
    reply: Reply<Vec<Vec<Routed>>>,
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
        messages: Vec<Routable>,
    ) -> Result<Vec<Vec<Routed>>, BrokerError> {
        let (messages, attributes): (Vec<_>, Vec<_>) =
            messages.into_iter().map(|Routable { content, attributes }| (content, attributes)).unzip();
        let room = self.room_for(&messages).await?;
        let (reply, answer) = oneshot::channel();
        let publish = TopicPublish { topic, key, messages, attributes, reply, _room: room };
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
        let TopicPublish { topic, key, messages, attributes, reply, _room } = publish;
        let count = messages.len();
        let (result, durability) = match self.route(&topic, &key, &attributes) {
            Ok(copies) => {
                let durability = self.durability(&copies);
                let publication = Publication { messages, copies: copies.clone() };
                (
                    self.publish_all(batch, publication).map(|firsts| self.routed(&copies, &firsts, count)),
                    durability,
                )
            }
            Err(error) => (Err(error), Durability::Synced),
        };
        let departure = Departure::Routed(Answer::new(reply, result));
        match durability {
            Durability::Synced => batch.departures.push(departure),
            Durability::Buffered => batch.early.push(departure),
        }
    }

    fn route(
        &self,
        topic: &TopicName,
        key: &RoutingKey,
        attributes: &[Attributes],
    ) -> Result<Vec<Copies>, BrokerError> {
        let most = self.settings.routed_messages;
        self.engine.route(topic, key, attributes, most).map_err(|error| match error {
            NoRoute::NoTopic => BrokerError::NoTopic(topic.clone()),
            NoRoute::TooMany => BrokerError::RoutedMessages { topic: topic.clone(), limit: most },
        })
    }

    /// What a confirm of all of these has survived: as much as the most careful queue promises.
    fn durability(&self, copies: &[Copies]) -> Durability {
        let of =
            |copies: &Copies| self.engine.queue(copies.queue).map(|queue| queue.record().settings.durability);
        if copies.iter().all(|copies| of(copies) == Some(Durability::Buffered)) {
            Durability::Buffered
        } else {
            Durability::Synced
        }
    }

    /// Stores a publication; the first number of each of its copies.
    fn publish_all(
        &mut self,
        batch: &mut Batch,
        publication: Publication,
    ) -> Result<Vec<Sequence>, BrokerError> {
        let Publication { messages, copies } = &publication;
        let own = |copies: &Copies| copies.of(messages).into_iter().flatten();
        let bytes = copies.iter().flat_map(own).map(|content| u64::from(content.size())).sum::<u64>();
        let limit = self.settings.routed_bytes;
        if bytes > limit {
            return Err(BrokerError::RoutedBytes { bytes, limit });
        }
        if copies.is_empty() {
            return Ok(Vec::new());
        }
        let stored = copies.iter().map(|copies| u64::from(copies.count)).sum();
        match self.act(batch, Command::PublishAll(publication)) {
            Outcome::PublishedAll(firsts) => {
                metrics::counter!("bbq_messages_published_total").increment(stored);
                Ok(firsts)
            }
            other => unreachable!("queues that were just chosen are there: {other:?}"),
        }
    }

    /// For each of `count` messages the queues that took it.
    fn routed(&self, copies: &[Copies], firsts: &[Sequence], count: usize) -> Vec<Vec<Routed>> {
        let mut routed = vec![Vec::new(); count];
        for (copies, first) in copies.iter().zip(firsts) {
            let Some(queue) = self.engine.queue(copies.queue) else { continue };
            let from = usize::try_from(copies.from).unwrap_or(usize::MAX);
            let taken = routed.iter_mut().skip(from).take(usize::try_from(copies.count).unwrap_or(0));
            for (place, of_message) in (0..).zip(taken) {
                of_message.push(Routed { queue: queue.record().name.clone(), sequence: first.plus(place) });
            }
        }
        routed
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
                let NamedBinding { queue, pattern, .. } = binding;
                Err(BrokerError::NoBinding { topic, queue, pattern })
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
