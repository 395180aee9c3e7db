//! The way to the broker: a cheap clone for every call.
//!
//! Every method waits until what it did is durable. Dropping a method's future never undoes what was done.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::board::Watch;
use super::changes::{Moved, Patch, Relocation};
use super::error::BrokerError;
use super::gauges::Depths;
use super::request::{
    Arrival, Delivery, Feed, LeaseView, MessageState, Notice, Page, Peeked, Publish, QueueView, Refused,
    Reply, Request, Settlement, Terms, Window,
};
use crate::store::Backup;
use crate::types::{
    Content, FactsByPlace, HolderId, Published, QueueName, QueueSettings, Receipt, ReceiptFailure, Sequence,
};

/// The way to the broker.
#[derive(Clone)]
pub struct Handle {
    pub(super) depths: Depths,
    pub(super) publishes: mpsc::Sender<Arrival>,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) notices: mpsc::UnboundedSender<Notice>,
    pub(super) room: Arc<Semaphore>,
    pub(super) room_bytes: u32,
    pub(super) holders: Arc<AtomicU64>,
    pub(super) stopped: Arc<OnceLock<BrokerError>>,
}

impl Handle {
    /// Stores messages, all or none, and says how they were numbered. Cancel safe in that a publish once taken is
    /// carried out whole; whether it was taken is then unknown.
    ///
    /// # Errors
    /// If there is no such queue, it is full, or the broker has stopped.
    pub async fn publish(
        &self,
        queue: QueueName,
        messages: Vec<Content>,
        facts: FactsByPlace,
    ) -> Result<Published, BrokerError> {
        let room = self.room_for(&messages).await?;
        let (reply, answer) = oneshot::channel();
        self.arrive(Arrival::Publish(Publish { queue, messages, facts, reply, _room: room })).await?;
        self.wait(answer).await
    }

    /// A share of the inbox, once there is room for it.
    pub(super) async fn room_for(&self, messages: &[Content]) -> Result<OwnedSemaphorePermit, BrokerError> {
        let bytes = messages.iter().fold(0_u32, |sum, content| sum.saturating_add(content.size()));
        let wanted = bytes.clamp(1, self.room_bytes);
        Arc::clone(&self.room).acquire_many_owned(wanted).await.map_err(|_| self.stopped())
    }

    pub(super) async fn arrive(&self, arrival: Arrival) -> Result<(), BrokerError> {
        self.publishes.send(arrival).await.map_err(|_| self.stopped())
    }

    /// Starts a stream of deliveries. Dropping it gives back at once what it holds.
    ///
    /// # Errors
    /// If there is no such queue, or the broker has stopped.
    pub async fn subscribe(&self, queue: QueueName, terms: Terms) -> Result<Subscription, BrokerError> {
        let handout = self.handout();
        let holder = handout.holder;
        let feed = self.ask(|reply| Request::Subscribe { queue, holder, terms, reply }).await?;
        Ok(Subscription { feed, taken: Vec::new(), handout })
    }

    /// Waits until there are messages, or `enough` is done, and takes what is there. Cancel safe: what was taken for
    /// a call that is gone goes back.
    ///
    /// # Errors
    /// If there is no such queue, or the broker has stopped.
    pub async fn receive(
        &self,
        queue: QueueName,
        terms: Terms,
        enough: impl Future<Output = ()> + Send,
    ) -> Result<(Vec<Delivery>, Handout), BrokerError> {
        let handout = self.handout();
        let holder = handout.holder;
        let (reply, mut answer) = oneshot::channel();
        let request = Request::Receive { queue, holder, terms, reply };
        self.requests.send(request).await.map_err(|_| self.stopped())?;
        let early = tokio::select! {
            biased;
            early = &mut answer => Some(early),
            () = enough => None,
        };
        let deliveries = if let Some(early) = early {
            early.unwrap_or_else(|_| Err(self.stopped()))?
        } else {
            self.requests.send(Request::LastCall(holder)).await.map_err(|_| self.stopped())?;
            self.wait(answer).await?
        };
        Ok((deliveries, handout))
    }

    /// Settles or extends what receipts name, and says which of them did nothing. Safe to repeat.
    ///
    /// # Errors
    /// If there is no such queue, or the broker has stopped.
    pub async fn settle(
        &self,
        queue: QueueName,
        receipts: Vec<Result<Receipt, ReceiptFailure>>,
        what: Settlement,
    ) -> Result<Vec<Refused>, BrokerError> {
        self.ask(|reply| Request::Settle { queue, receipts, what, reply }).await
    }

    /// Makes a queue, or shows the one that is there with the same settings. Safe to repeat.
    ///
    /// # Errors
    /// If there is one with other settings, or the broker has stopped.
    pub async fn create(&self, queue: QueueName, settings: QueueSettings) -> Result<QueueView, BrokerError> {
        self.ask(|reply| Request::Create { queue, settings, reply }).await
    }

    /// Changes some settings of a queue. Safe to repeat.
    ///
    /// # Errors
    /// If there is no such queue, it can't have these settings, or the broker has stopped.
    pub async fn update(&self, queue: QueueName, patch: Patch) -> Result<QueueView, BrokerError> {
        self.ask(|reply| Request::Update { queue, patch, reply }).await
    }

    /// Moves messages of a queue that are still ready to other queues, in its order, up to the first for which there is no
    /// room, and says how many that were. Safe to repeat: what has moved is not there any more.
    ///
    /// # Errors
    /// If one of the queues is not there, or the broker has stopped.
    pub async fn relocate(&self, queue: QueueName, messages: Vec<Relocation>) -> Result<Moved, BrokerError> {
        self.ask(|reply| Request::Relocate { queue, messages, reply }).await
    }

    /// Removes a queue and says how many messages went with it.
    ///
    /// # Errors
    /// If there is no such queue, or the broker has stopped.
    pub async fn delete(&self, queue: QueueName) -> Result<u64, BrokerError> {
        self.ask(|reply| Request::Delete { queue, reply }).await
    }

    /// Removes all messages that nobody holds and says how many that were.
    ///
    /// # Errors
    /// If there is no such queue, or the broker has stopped.
    pub async fn purge(&self, queue: QueueName) -> Result<u64, BrokerError> {
        self.ask(|reply| Request::Purge { queue, reply }).await
    }

    /// Shows a queue.
    ///
    /// # Errors
    /// If there is no such queue, or the broker has stopped.
    pub async fn show(&self, queue: QueueName) -> Result<QueueView, BrokerError> {
        self.ask(|reply| Request::Show { queue, reply }).await
    }

    /// Lists queues by name.
    ///
    /// # Errors
    /// If the broker has stopped.
    pub async fn list(
        &self,
        window: Window<String>,
        prefix: String,
    ) -> Result<Page<QueueView, QueueName>, BrokerError> {
        self.ask(|reply| Request::List { window, prefix, reply }).await
    }

    /// Shows messages by sequence, of one state or of all: as many as have `bytes` together, but at least one if there is
    /// one in reach. A page may be shorter than asked for, even empty, and not be the last.
    ///
    /// # Errors
    /// If there is no such queue, a message can't be read, or the broker has stopped.
    pub async fn peek(
        &self,
        queue: QueueName,
        window: Window<Sequence>,
        state: Option<MessageState>,
        bytes: usize,
    ) -> Result<Page<Peeked, Sequence>, BrokerError> {
        self.ask(|reply| Request::Peek { queue, window, state, bytes, reply }).await
    }

    /// Shows the first message that was never leased, if there is one.
    ///
    /// # Errors
    /// If there is no such queue, the message can't be read, or the broker has stopped.
    pub async fn oldest(&self, queue: QueueName) -> Result<Option<Peeked>, BrokerError> {
        let page = self.ask(|reply| Request::Oldest { queue, reply }).await?;
        Ok(page.items.into_iter().next())
    }

    /// Lists leases by sequence. A page may be shorter than asked for, even empty, and not be the last.
    ///
    /// # Errors
    /// If there is no such queue, or the broker has stopped.
    pub async fn leases(
        &self,
        queue: QueueName,
        window: Window<Sequence>,
    ) -> Result<Page<LeaseView, Sequence>, BrokerError> {
        self.ask(|reply| Request::Leases { queue, window, reply }).await
    }

    /// Watches what the queues hold and do.
    ///
    /// # Errors
    /// If the broker is draining or has stopped.
    pub async fn watch(&self) -> Result<Watch, BrokerError> {
        self.ask(Request::Watch).await
    }

    /// Takes a backup of all that is there now. Dropping it lets go of what it holds on disk.
    ///
    /// # Errors
    /// If another one is under way, the state can't be copied, or the broker is draining or has stopped.
    pub async fn backup(&self) -> Result<Backup, BrokerError> {
        let begun = self.ask(Request::Backup).await?;
        begun.await.map_err(|_| self.stopped())?.map_err(|error| {
            tracing::error!(%error, "the backup was not begun");
            BrokerError::Backup
        })
    }

    /// What is in the queues, as of a few seconds ago.
    #[must_use]
    pub fn depths(&self) -> Depths {
        self.depths.clone()
    }

    /// Ends all streams, whose messages go back, and refuses new consumers. Returns when that is durable.
    pub async fn drain(&self) {
        let (done, wait) = oneshot::channel();
        // If the broker is gone there is nothing to drain.
        if self.notices.send(Notice::Drain(done)).is_ok() {
            let _ = wait.await;
        }
    }

    /// Lets the broker finish: a last checkpoint, and its task ends.
    pub fn stop(&self) {
        // If the broker is gone it has finished.
        let _ = self.notices.send(Notice::Stop);
    }

    pub(super) async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, BrokerError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| self.stopped())?;
        self.wait(answer).await
    }

    pub(super) async fn wait<T>(
        &self,
        answer: oneshot::Receiver<Result<T, BrokerError>>,
    ) -> Result<T, BrokerError> {
        answer.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    fn stopped(&self) -> BrokerError {
        self.stopped.get().cloned().unwrap_or(BrokerError::Draining)
    }

    fn handout(&self) -> Handout {
        let holder = HolderId(self.holders.fetch_add(1, Ordering::Relaxed));
        Handout { holder, notices: self.notices.clone(), kept: false }
    }
}

/// What a consumer holds. Dropped, it gives all of it back, unless it is kept.
pub struct Handout {
    holder: HolderId,
    notices: mpsc::UnboundedSender<Notice>,
    kept: bool,
}

impl Handout {
    /// The messages are with the consumer: their leases end by their deadlines alone.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Handout {
    fn drop(&mut self) {
        if !self.kept {
            // If the broker is gone, the next start gives everything back.
            let _ = self.notices.send(Notice::Left(self.holder));
        }
    }
}

/// A stream of deliveries. What it holds when it is dropped is ready again at once.
pub struct Subscription {
    feed: mpsc::UnboundedReceiver<Feed>,
    /// Sizes of what was handed out for good and is with the transport once the stream is polled again.
    taken: Vec<u32>,
    handout: Handout,
}

impl Stream for Subscription {
    type Item = Result<Vec<Delivery>, BrokerError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.taken.is_empty() {
            let taken = std::mem::take(&mut self.taken);
            let _ = self.handout.notices.send(Notice::Taken(self.handout.holder, taken));
        }
        let batch = match self.feed.poll_recv(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Feed::End(why))) => return Poll::Ready(Some(Err(why))),
            Poll::Ready(Some(Feed::Deliveries(deliveries))) => deliveries,
        };
        for delivery in &batch {
            if delivery.lease_expires_at.is_none() {
                let size = delivery.message.content.size();
                self.taken.push(size);
            }
        }
        Poll::Ready(Some(Ok(batch)))
    }
}
