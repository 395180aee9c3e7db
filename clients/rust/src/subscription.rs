//! Subscriptions: messages as they come.
//!
//! It decides when a stream is opened again. It never settles anything.
//!
//! Always true:
//! - one task reads the stream and ends with the subscription, which cancels the call on the wire at once;
//! - what was delivered on a stream that has ended is not handed out any more: the server has given it back.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use futures_util::Stream;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Client, Delivery, Error,
    delivery::Origin,
    extend::{Leases, guess},
    message::wire_duration,
    proto,
    retry::Backoff,
};

/// What the server takes for 0.
const IN_FLIGHT_DEFAULT: u32 = 100;
/// The most the server takes.
const IN_FLIGHT_MAX: u32 = 10_000;
/// A stream that lasted so long was a success: the next one is opened without a long wait.
const STEADY: Duration = Duration::from_secs(10);

/// How to subscribe; made by [`Client::subscribe`].
#[derive(Clone)]
#[must_use = "nothing is subscribed before `start`"]
pub struct SubscribeBuilder {
    client: Client,
    queue: String,
    max_in_flight: u32,
    max_in_flight_bytes: u64,
    lease_duration: Option<Duration>,
    consumer_name: String,
    auto_extend: bool,
}

/// Messages as they come, each leased to this subscription.
///
/// A [`Stream`] that goes on until it is dropped or an error ends it. It opens its call again, with backoff and jitter,
/// when the connection is lost or the server is unavailable, also if it is so at the start; any other error is its last
/// item, [`Error::Closed`] when the client is closed, [`Error::Certificate`] when it meets a server that it does not trust.
///
/// Dropping it cancels the call at once, and the server gives back all that is still held. [`Subscription::close`] sends
/// what is on its way to be settled first.
pub struct Subscription {
    deliveries: mpsc::Receiver<Item>,
    generation: Arc<AtomicU64>,
    origin: Arc<Origin>,
    reader: AbortOnDropHandle<()>,
    _keeper: Option<AbortOnDropHandle<()>>,
}

/// A delivery and the stream it came on, or the end.
enum Item {
    Delivery(u64, Delivery),
    End(Error),
}

impl Client {
    /// Subscribes to a queue: set what is to differ from the defaults, then `start`.
    pub fn subscribe(&self, queue: impl Into<String>) -> SubscribeBuilder {
        SubscribeBuilder {
            client: self.clone(),
            queue: queue.into(),
            max_in_flight: 0,
            max_in_flight_bytes: 0,
            lease_duration: None,
            consumer_name: self.consumer_name().to_owned(),
            auto_extend: true,
        }
    }
}

impl SubscribeBuilder {
    /// The most messages held unsettled: 1 to 10,000, 100 by default.
    pub fn max_in_flight(mut self, messages: u32) -> Self {
        self.max_in_flight = messages;
        self
    }

    /// The most bytes held unsettled; 16 MiB by default. One message always fits.
    pub fn max_in_flight_bytes(mut self, bytes: u64) -> Self {
        self.max_in_flight_bytes = bytes;
        self
    }

    /// How long each lease lasts: 1 s to 12 h; what the queue says by default.
    ///
    /// Set it where the queue's leases are shorter than 30 s and the clocks of server and client may differ by more than
    /// half of that: extending in time needs the length, and otherwise it is read from both clocks.
    pub fn lease_duration(mut self, lease: Duration) -> Self {
        self.lease_duration = Some(lease);
        self
    }

    /// What `bbq leases` shows; at most 128 bytes.
    pub fn consumer_name(mut self, name: impl Into<String>) -> Self {
        self.consumer_name = name.into();
        self
    }

    /// Whether leases are extended at half their time while their delivery is alive; true by default.
    pub fn auto_extend(mut self, extend: bool) -> Self {
        self.auto_extend = extend;
        self
    }

    /// Opens the stream.
    ///
    /// Cancel safe. Safe to repeat.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a queue, [`Error::Connect`] if no connection can be made, and those of any call. Over
    /// HTTP/3 a refusal comes after the headers, so it is the first item of the subscription instead. A server that is there
    /// and unavailable is no error: the subscription waits until it is not.
    pub async fn start(self) -> Result<Subscription, Error> {
        let request = proto::SubscribeRequest {
            queue: self.queue.clone(),
            max_in_flight: self.max_in_flight,
            max_in_flight_bytes: self.max_in_flight_bytes,
            lease_duration: self.lease_duration.map(wire_duration),
            consumer_name: self.consumer_name,
        };
        let credit =
            if self.max_in_flight == 0 { IN_FLIGHT_DEFAULT } else { self.max_in_flight.min(IN_FLIGHT_MAX) };
        let (items, deliveries) = mpsc::channel(usize::try_from(credit).unwrap_or(1));
        let leases = self.auto_extend.then(Leases::new);
        let origin = Arc::new(Origin::new(self.client.clone(), &self.queue));
        let generation = Arc::new(AtomicU64::new(0));
        let reader = Reader {
            client: self.client.clone(),
            request,
            lease: self.lease_duration,
            origin: Arc::clone(&origin),
            leases: leases.clone(),
            generation: Arc::clone(&generation),
            items,
        };
        let stream = match reader.open().await {
            Err(error @ Error::Connect { .. }) => return Err(error),
            Err(error) if !reopens(&error) => return Err(error),
            opened => opened,
        };
        let keeper = leases.map(|leases| {
            AbortOnDropHandle::new(tokio::spawn(leases.keep(self.client, self.queue, self.lease_duration)))
        });
        let reader = AbortOnDropHandle::new(tokio::spawn(reader.run(stream)));
        Ok(Subscription { deliveries, generation, origin, reader, _keeper: keeper })
    }
}

impl Subscription {
    /// The next message; none after the error that ended the subscription.
    ///
    /// Cancel safe: a message that was not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<Result<Delivery, Error>> {
        std::future::poll_fn(|cx| self.poll_delivery(cx)).await
    }

    /// Waits until all settlements on their way are answered, then ends the subscription; the server gives back what is
    /// still held.
    ///
    /// Not cancel safe: dropped early, it is like dropping the subscription.
    pub async fn close(self) {
        let Self { deliveries, origin, reader, .. } = self;
        origin.settler().flush().await;
        drop(deliveries);
        reader.abort();
        // Ends with "cancelled": by then the stream is dropped.
        let _ = reader.await;
    }

    fn poll_delivery(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Delivery, Error>>> {
        loop {
            return Poll::Ready(match ready!(self.deliveries.poll_recv(cx)) {
                None => None,
                Some(Item::End(error)) => Some(Err(error)),
                // Without a receipt it was settled when it was sent, and nobody else gets it.
                Some(Item::Delivery(generation, delivery))
                    if generation < self.generation.load(Ordering::Acquire)
                        && !delivery.receipt().is_empty() =>
                {
                    continue;
                }
                Some(Item::Delivery(_, delivery)) => Some(Ok(delivery)),
            });
        }
    }
}

impl Stream for Subscription {
    type Item = Result<Delivery, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_delivery(cx)
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Reads the stream, and opens it again.
struct Reader {
    client: Client,
    request: proto::SubscribeRequest,
    lease: Option<Duration>,
    origin: Arc<Origin>,
    leases: Option<Leases>,
    generation: Arc<AtomicU64>,
    items: mpsc::Sender<Item>,
}

type Responses = tonic::Streaming<proto::SubscribeResponse>;

impl Reader {
    async fn open(&self) -> Result<Responses, Error> {
        let mut calls = self.client.queue_service();
        self.client.open(calls.subscribe(self.request.clone())).await
    }

    async fn run(self, mut stream: Result<Responses, Error>) {
        let mut backoff = Backoff::new();
        loop {
            let opened = Instant::now();
            let error = match stream {
                Ok(stream) => match self.read(stream).await {
                    Some(error) => error,
                    None => return,
                },
                Err(error) => error,
            };
            self.generation.fetch_add(1, Ordering::AcqRel);
            if let Some(leases) = &self.leases {
                leases.clear();
            }
            if opened.elapsed() >= STEADY {
                backoff.reset();
            }
            if !reopens(&error) {
                let _ = self.items.send(Item::End(error)).await;
                return;
            }
            let delay = backoff.delay(&error);
            tracing::warn!(queue = self.request.queue, %error, ?delay, "no subscription, opening it again");
            self.client.pause(delay).await;
            stream = self.open().await;
        }
    }

    /// Hands out what comes until the stream ends, and returns why; none if nobody listens any more.
    async fn read(&self, mut stream: Responses) -> Option<Error> {
        let generation = self.generation.load(Ordering::Acquire);
        loop {
            let response = match stream.message().await {
                Ok(Some(response)) => response,
                Ok(None) => return Some(Error::unavailable("the server ended the subscription")),
                Err(status) => return Some(status.into()),
            };
            // All are leased by now, so all are held before the first is handed out.
            let deliveries: Vec<Delivery> =
                response.deliveries.into_iter().map(|delivery| self.delivery(delivery)).collect();
            for delivery in deliveries {
                self.items.send(Item::Delivery(generation, delivery)).await.ok()?;
            }
        }
    }

    fn delivery(&self, delivery: proto::Delivery) -> Delivery {
        let held = match &self.leases {
            Some(leases) if !delivery.receipt.is_empty() => {
                let ends = delivery.lease_expires_at.and_then(|end| SystemTime::try_from(end).ok());
                Some(leases.hold(&delivery.receipt, self.lease.unwrap_or_else(|| guess(ends))))
            }
            Some(_) | None => None,
        };
        Delivery::new(Arc::clone(&self.origin), delivery, held)
    }
}

/// Whether opening the stream again may help.
fn reopens(error: &Error) -> bool {
    match error {
        Error::Unavailable(_) | Error::Connect { .. } | Error::DeadlineExceeded(_) => true,
        Error::ResourceExhausted(refusal) => refusal.retry_after.is_some(),
        _ => false,
    }
}
