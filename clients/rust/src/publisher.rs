//! The publisher: many messages, few calls.
//!
//! It decides which messages share a call. It never waits for a call to fill: what is there goes as soon as a call may
//! be made, and while it is in flight the next one fills.
//!
//! Always true:
//! - messages go in the order of `publish`; with one call in flight they are stored in that order too;
//! - no more than `unconfirmed_max` messages are between `publish` and their confirmation;
//! - the error of a call reaches the messages that it is about: a call that is refused because of one message is split
//!   until that one is alone.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::{Client, Error, Message, Published, proto};

/// What a publisher may do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublisherOptions {
    /// The most messages of one call: 1 to 10,000. More saves calls and lets an error of the server hit more of them.
    pub call_messages_max: usize,
    /// The most bytes of one call; a larger message goes alone.
    pub call_bytes_max: usize,
    /// How many calls are in flight. More than one hides the round trip, and gives up the order between calls.
    pub calls_in_flight: usize,
    /// How many messages may be unconfirmed before `publish` waits. Bounds the memory.
    pub unconfirmed_max: u32,
}

/// Publishes many messages to one queue; made by [`Client::publisher`]. Clones publish in the same order and share the
/// bounds.
///
/// Dropping it drops nothing that `publish` took: that is still sent as long as the runtime lives. [`Publisher::flush`]
/// waits for it.
#[derive(Clone)]
pub struct Publisher {
    inbox: mpsc::UnboundedSender<Entry>,
    window: Arc<Semaphore>,
    unconfirmed_max: u32,
    failed: Arc<Mutex<Option<Error>>>,
    on_their_way: TaskTracker,
}

/// What becomes of one message; resolves once it is confirmed. The message is published whether or not this is awaited.
///
/// Awaiting is cancel safe.
#[derive(Debug)]
#[must_use = "a confirmation that nobody looks at hides errors; `flush` reports them too"]
pub struct Confirmation {
    answer: oneshot::Receiver<Result<Published, Error>>,
}

struct Entry {
    message: proto::Message,
    bytes: usize,
    done: oneshot::Sender<Result<Published, Error>>,
    /// Room in the window, given back with the confirmation.
    _permit: OwnedSemaphorePermit,
    /// What closing the client waits for.
    _on_its_way: TaskTrackerToken,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self {
            call_messages_max: 1_000,
            call_bytes_max: 1024 * 1024,
            calls_in_flight: 1,
            unconfirmed_max: 10_000,
        }
    }
}

impl Client {
    /// A publisher with the default options.
    #[must_use]
    pub fn publisher(&self, queue: impl Into<String>) -> Publisher {
        self.publisher_with(queue, PublisherOptions::default())
    }

    /// A publisher with options of its own; zeros count as one.
    #[must_use]
    pub fn publisher_with(&self, queue: impl Into<String>, options: PublisherOptions) -> Publisher {
        let unconfirmed_max = options.unconfirmed_max.max(1);
        let (inbox, entries) = mpsc::unbounded_channel();
        let failed = Arc::new(Mutex::new(None));
        let sender =
            Sender { client: self.clone(), queue: queue.into().into(), options, failed: Arc::clone(&failed) };
        // Ends when the last clone of the publisher is gone and all it took is answered.
        tokio::spawn(sender.run(entries));
        let window = Arc::new(Semaphore::new(usize::try_from(unconfirmed_max).unwrap_or(usize::MAX)));
        let on_their_way = self.messages.clone();
        Publisher { inbox, window, unconfirmed_max, failed, on_their_way }
    }
}

impl Publisher {
    /// Waits for room, then takes the message. It is published whether or not the confirmation is awaited.
    ///
    /// Cancel safe: the message was taken if and only if this returned. The message is not safe to repeat, like
    /// [`Client::publish`].
    pub async fn publish(&self, message: impl Into<Message>) -> Confirmation {
        let message = proto::Message::from(message.into());
        let (done, answer) = oneshot::channel();
        // The window is never closed.
        if let Ok(permit) = Arc::clone(&self.window).acquire_owned().await {
            let bytes = framed(message.encoded_len());
            // The channel has no bound of its own: the window is one. Its task is gone only if the runtime is.
            let _ = self.inbox.send(Entry {
                message,
                bytes,
                done,
                _permit: permit,
                _on_its_way: self.on_their_way.token(),
            });
        }
        Confirmation { answer }
    }

    /// Waits until all that was taken is answered.
    ///
    /// Cancel safe. Other clones wait for room meanwhile.
    ///
    /// # Errors
    /// The first error since the last flush.
    pub async fn flush(&self) -> Result<(), Error> {
        let _all = self.window.acquire_many(self.unconfirmed_max).await;
        let first = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.map_or(Ok(()), Err)
    }
}

impl Future for Confirmation {
    type Output = Result<Published, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(
            answer.unwrap_or_else(|_| {
                Err(Error::unavailable("the runtime stopped before the message was sent"))
            }),
        )
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("room", &self.window.available_permits()).finish_non_exhaustive()
    }
}

/// What a message of so many bytes takes in its request: its tag and its length besides.
fn framed(bytes: usize) -> usize {
    1 + prost::length_delimiter_len(bytes) + bytes
}

/// The publisher's task.
struct Sender {
    client: Client,
    queue: Arc<str>,
    options: PublisherOptions,
    failed: Arc<Mutex<Option<Error>>>,
}

impl Sender {
    async fn run(self, mut inbox: mpsc::UnboundedReceiver<Entry>) {
        let mut waiting = VecDeque::new();
        let mut calls = FuturesUnordered::new();
        let mut open = true;
        while open || !waiting.is_empty() || !calls.is_empty() {
            while let Ok(entry) = inbox.try_recv() {
                waiting.push_back(entry);
            }
            while calls.len() < self.options.calls_in_flight.max(1) && !waiting.is_empty() {
                calls.push(self.call(self.batch(&mut waiting)));
            }
            tokio::select! {
                entry = inbox.recv(), if open => match entry {
                    Some(entry) => waiting.push_back(entry),
                    None => open = false,
                },
                Some(()) = calls.next() => {}
            }
        }
    }

    /// The next call's messages: at least one.
    fn batch(&self, waiting: &mut VecDeque<Entry>) -> Vec<Entry> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(entry) = waiting.front()
            && (batch.is_empty()
                || (batch.len() < self.options.call_messages_max
                    && bytes + entry.bytes <= self.options.call_bytes_max))
        {
            bytes += entry.bytes;
            batch.extend(waiting.pop_front());
        }
        batch
    }

    /// One call, or several if one message of many is refused.
    async fn call(&self, batch: Vec<Entry>) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            let messages = part.iter().map(|entry| entry.message.clone()).collect();
            match self.client.publish_wire(&self.queue, messages).await {
                Ok(published) => {
                    for (entry, published) in part.into_iter().zip(published) {
                        let _ = entry.done.send(Ok(published));
                    }
                }
                // All or none: nothing of it was stored, so the halves may be sent, the first one first.
                Err(error) if error.is_of_one_message() && part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.push(second);
                    parts.push(part);
                }
                Err(error) => {
                    self.failed
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert_with(|| error.clone());
                    for entry in part {
                        let _ = entry.done.send(Err(error.clone()));
                    }
                }
            }
        }
    }
}
