//! Publishing, one call at a time.
//!
//! It decides nothing but the shape of the calls: batching is the publisher's.

use crate::{
    Client, Error, Message,
    proto::{self, publish_request::Target},
    retry::Repeat,
};

/// What became of one published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The message's number in its queue.
    pub sequence: u64,
    /// A message with the same deduplication id was there before; `sequence` is its number.
    pub duplicate: bool,
}

impl Client {
    /// Publishes one message and returns its number in the queue once it is confirmed.
    ///
    /// Not cancel safe: a dropped call may or may not have published. Not safe to repeat, unless the message has a
    /// deduplication id and the queue a deduplication window.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a queue, [`Error::InvalidArgument`] for a message that breaks a limit,
    /// [`Error::ResourceExhausted`] for a full queue, and those of any call.
    pub async fn publish(&self, queue: &str, message: impl Into<Message>) -> Result<u64, Error> {
        let published = self.publish_all(queue, vec![message.into()]).await?;
        published.first().map(|one| one.sequence).ok_or_else(wrong_count)
    }

    /// Publishes messages, all or none, in order: at most 10,000, and what fits the server's `limits.request_bytes`.
    ///
    /// Not cancel safe and not safe to repeat, like [`Client::publish`].
    ///
    /// # Errors
    /// Those of [`Client::publish`].
    pub async fn publish_all(&self, queue: &str, messages: Vec<Message>) -> Result<Vec<Published>, Error> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        self.publish_wire(queue, messages.into_iter().map(Into::into).collect()).await
    }

    /// Publishes one message to a topic; returns the queues that took it, with its number in each.
    ///
    /// Not cancel safe and not safe to repeat, like [`Client::publish`].
    ///
    /// # Errors
    /// Those of [`Client::publish`].
    pub async fn publish_to_topic(
        &self,
        topic: &str,
        routing_key: &str,
        message: impl Into<Message>,
    ) -> Result<Vec<proto::RoutedMessage>, Error> {
        let routed = self.publish_all_to_topic(topic, routing_key, vec![message.into()]).await?;
        routed.into_iter().next().ok_or_else(wrong_count)
    }

    /// Publishes messages with one routing key to a topic, all or none: for each the queues that took it, with its number
    /// in each. None at all if no binding matches.
    ///
    /// Not cancel safe and not safe to repeat, like [`Client::publish`].
    ///
    /// # Errors
    /// Those of [`Client::publish`].
    pub async fn publish_all_to_topic(
        &self,
        topic: &str,
        routing_key: &str,
        messages: Vec<Message>,
    ) -> Result<Vec<Vec<proto::RoutedMessage>>, Error> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let count = messages.len();
        let request = proto::PublishRequest {
            target: Some(Target::Topic(topic.to_owned())),
            routing_key: routing_key.to_owned(),
            messages: messages.into_iter().map(Into::into).collect(),
        };
        let results = self.publish_request(request).await?;
        if results.len() != count {
            return Err(wrong_count());
        }
        Ok(results.into_iter().map(|result| result.routed).collect())
    }

    /// Settles and publishes over several queues of one namespace, both or neither.
    ///
    /// Not cancel safe: a dropped call may or may not have committed. Safe to repeat with the same `transaction_id`,
    /// and not without one.
    ///
    /// # Errors
    /// [`Error::Aborted`] if a receipt is stale, and those of [`Client::publish`].
    pub async fn transact(
        &self,
        request: proto::TransactRequest,
    ) -> Result<Vec<proto::PublishResponse>, Error> {
        let repeat = if request.transaction_id.is_empty() { Repeat::Unprocessed } else { Repeat::Anytime };
        let response = self
            .queue_call(repeat, request, |mut calls, request| async move { calls.transact(request).await })
            .await?;
        Ok(response.publishes)
    }

    /// Publishes messages that are in their wire form already.
    pub(crate) async fn publish_wire(
        &self,
        queue: &str,
        messages: Vec<proto::Message>,
    ) -> Result<Vec<Published>, Error> {
        let count = messages.len();
        let request = proto::PublishRequest {
            target: Some(Target::Queue(queue.to_owned())),
            routing_key: String::new(),
            messages,
        };
        let results = self.publish_request(request).await?;
        if results.len() != count {
            return Err(wrong_count());
        }
        let published = |result: proto::PublishResult| Published {
            sequence: result.sequence,
            duplicate: result.duplicate,
        };
        Ok(results.into_iter().map(published).collect())
    }

    async fn publish_request(
        &self,
        request: proto::PublishRequest,
    ) -> Result<Vec<proto::PublishResult>, Error> {
        let response = self
            .queue_call(Repeat::Unprocessed, request, |mut calls, request| async move {
                calls.publish(request).await
            })
            .await?;
        Ok(response.results)
    }
}

fn wrong_count() -> Error {
    Error::internal("the server's answer to a publish does not have one result for each message")
}
