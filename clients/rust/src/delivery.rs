//! Deliveries: messages in this consumer's hands.
//!
//! It decides what settling or dropping one means. It never calls the server itself.
//!
//! Always true: a delivery is settled at most once, because settling consumes it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use crate::{
    Client, Error, Message,
    extend::Held,
    proto,
    settle::{Settlement, Settler, Verdict},
};

/// A message, leased to this consumer until it is settled or the lease ends.
///
/// While a delivery of a [`Subscription`](crate::Subscription) is alive its lease is extended, unless that was switched
/// off. Dropping one unsettled gives nothing back: its lease is no longer extended, and the message comes back when the
/// lease ends, or with the end of the subscription. To give it back at once, [`nack`](Delivery::nack) it.
///
/// A delivery of an at-most-once queue is settled already: acking it does nothing.
#[derive(Debug)]
pub struct Delivery {
    origin: Arc<Origin>,
    held: Option<Held>,
    receipt: String,
    sequence: u64,
    attempt: u32,
    published_at: Option<SystemTime>,
    lease_expires_at: Option<SystemTime>,
    message: Message,
}

/// How to give messages back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nack {
    /// How long they wait before their next attempt; the queue's backoff if none.
    pub delay: Option<Duration>,
    /// Dead-letter them now instead of another attempt.
    pub dead_letter: bool,
    /// Kept with dead-lettered messages; at most 1 KiB.
    pub reason: String,
}

/// Where deliveries come from and go back to.
pub(crate) struct Origin {
    client: Client,
    queue: String,
    settler: Settler,
}

impl Nack {
    /// Back into the queue, with its own backoff.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Back into the queue after so long.
    #[must_use]
    pub fn after(delay: Duration) -> Self {
        Self { delay: Some(delay), ..Self::default() }
    }

    /// To the dead-letter queue, with a reason.
    #[must_use]
    pub fn dead_letter(reason: impl Into<String>) -> Self {
        Self { delay: None, dead_letter: true, reason: reason.into() }
    }
}

impl Origin {
    pub(crate) fn new(client: Client, queue: &str) -> Self {
        let settler = client.settlers.of(&client, queue);
        Self { client, queue: queue.to_owned(), settler }
    }

    pub(crate) fn settler(&self) -> &Settler {
        &self.settler
    }
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl Delivery {
    pub(crate) fn new(origin: Arc<Origin>, delivery: proto::Delivery, held: Option<Held>) -> Self {
        let time = |time: prost_types::Timestamp| SystemTime::try_from(time).ok();
        Self {
            origin,
            held,
            receipt: delivery.receipt,
            sequence: delivery.sequence,
            attempt: delivery.attempt,
            published_at: delivery.published_at.and_then(time),
            lease_expires_at: delivery.lease_expires_at.and_then(time),
            message: delivery.message.unwrap_or_default().into(),
        }
    }

    /// The message as it was published.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The message's payload.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.message.body
    }

    /// The message's attributes.
    #[must_use]
    pub fn attributes(&self) -> &HashMap<String, String> {
        &self.message.attributes
    }

    /// The queue it came from.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.origin.queue
    }

    /// Names this attempt at this message; settles it from anywhere. Empty in an at-most-once queue.
    #[must_use]
    pub fn receipt(&self) -> &str {
        &self.receipt
    }

    /// The message's number in its queue.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// 1 for the first delivery, one more for each lease after it.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the message was published, by the server's clock.
    #[must_use]
    pub fn published_at(&self) -> Option<SystemTime> {
        self.published_at
    }

    /// When the lease ends unless it is extended, by the server's clock; as of the delivery. None in an at-most-once
    /// queue.
    #[must_use]
    pub fn lease_expires_at(&self) -> Option<SystemTime> {
        self.lease_expires_at
    }

    /// Settles the message for good. The ack is on its way when this returns; awaiting the settlement tells what became
    /// of it.
    pub fn ack(self) -> Settlement {
        self.settle(Verdict::Ack)
    }

    /// Settles the message for good and forgets about it. What becomes of the ack is not told; if it is lost, the
    /// message comes back.
    pub fn ack_later(self) {
        self.settle_later(Verdict::Ack);
    }

    /// Gives the message back for another attempt, after the queue's backoff.
    pub fn nack(self) -> Settlement {
        self.settle(Verdict::Nack(Nack::new()))
    }

    /// Gives the message back in a way of its own.
    pub fn nack_with(self, how: Nack) -> Settlement {
        self.settle(Verdict::Nack(how))
    }

    /// Gives the message back and forgets about it.
    pub fn nack_later(self, how: Nack) {
        self.settle_later(Verdict::Nack(how));
    }

    /// Moves the end of the lease to `lease` from now: 1 s to 12 h.
    ///
    /// Cancel safe and safe to repeat.
    ///
    /// # Errors
    /// [`Error::Receipt`] if the lease is not held any more, and those of any call.
    pub async fn extend(&self, lease: Duration) -> Result<(), Error> {
        if self.receipt.is_empty() {
            return Ok(());
        }
        let failed = self.origin.client.extend(&self.origin.queue, &[&self.receipt], Some(lease)).await?;
        match failed.into_iter().next() {
            None => Ok(()),
            Some(failed) => Err(Error::Receipt { receipt: failed.receipt, why: failed.why }),
        }
    }

    /// The message alone. Like dropping the delivery, this settles nothing.
    #[must_use]
    pub fn into_message(self) -> Message {
        self.message
    }

    fn settle(self, verdict: Verdict) -> Settlement {
        if self.receipt.is_empty() {
            return Settlement::done();
        }
        self.origin.settler.settle(verdict, self.receipt, self.held)
    }

    fn settle_later(self, verdict: Verdict) {
        if !self.receipt.is_empty() {
            self.origin.settler.settle_later(verdict, self.receipt, self.held);
        }
    }
}
