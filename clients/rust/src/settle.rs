//! Settlements: acks and nacks on their way, many to a call.
//!
//! It decides how settlements are batched: one task a queue, one round of calls in flight while the next batch fills.
//! It never repeats a round by itself; a call does that as far as it is safe.
//!
//! Always true:
//! - settlements given before a flush are answered before the flush is;
//! - a lease is kept until its settlement is answered.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::{Client, Error, FailedReceipt, Nack, extend::Held, receive::RECEIPTS_MAX};

/// A queue, and how long the calls that settle there may take.
type Calls = (String, Duration);

/// The settling tasks of a client and its clones, by the calls that they make.
#[derive(Clone, Default)]
pub(crate) struct Settlers {
    tasks: Arc<Mutex<HashMap<Calls, mpsc::WeakUnboundedSender<Order>>>>,
    /// What was ordered and is not answered.
    pub(crate) on_their_way: TaskTracker,
}

/// The way to one queue's settling task, which lives as long as any of these.
///
/// The channel has no bound of its own: each delivery goes through it at most once, and deliveries are bounded by the
/// subscriptions' credit.
#[derive(Clone)]
pub(crate) struct Settler {
    orders: mpsc::UnboundedSender<Order>,
    on_their_way: TaskTracker,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ack,
    Nack(Nack),
}

enum Order {
    Settle { verdict: Verdict, entry: Entry },
    Flush(oneshot::Sender<()>),
}

struct Entry {
    receipt: String,
    /// Keeps the lease until the answer is there.
    _held: Option<Held>,
    /// What closing the client waits for.
    _on_its_way: TaskTrackerToken,
    done: Option<oneshot::Sender<Result<(), Error>>>,
}

/// A settlement on its way. It arrives whether or not this is awaited.
///
/// Awaiting is cancel safe. It ends with [`Error::Receipt`] if the receipt settled nothing, and with those of any call.
/// A failed settlement cannot be repeated, but its message comes back, as its lease ends.
#[must_use = "awaiting it tells whether the message was settled; `ack_later` and `nack_later` don't tell"]
#[derive(Debug)]
pub struct Settlement {
    answer: Option<oneshot::Receiver<Result<(), Error>>>,
}

impl Settlers {
    /// The way to the queue's task; starts one if there is none.
    pub(crate) fn of(&self, client: &Client, queue: &str) -> Settler {
        let settler = |orders| Settler { orders, on_their_way: self.on_their_way.clone() };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (queue.to_owned(), client.deadline());
        if let Some(orders) = tasks.get(&key).and_then(mpsc::WeakUnboundedSender::upgrade) {
            return settler(orders);
        }
        tasks.retain(|_, orders| orders.strong_count() > 0);
        let (orders, inbox) = mpsc::unbounded_channel();
        tasks.insert(key, orders.downgrade());
        // Ends when the last delivery and subscription of the queue are gone and all they ordered is answered.
        tokio::spawn(run(client.clone(), queue.to_owned(), inbox));
        settler(orders)
    }
}

impl Settler {
    pub(crate) fn settle(&self, verdict: Verdict, receipt: String, held: Option<Held>) -> Settlement {
        let (done, answer) = oneshot::channel();
        self.order(verdict, receipt, held, Some(done));
        Settlement { answer: Some(answer) }
    }

    pub(crate) fn settle_later(&self, verdict: Verdict, receipt: String, held: Option<Held>) {
        self.order(verdict, receipt, held, None);
    }

    /// Waits until all that was ordered before is answered.
    pub(crate) async fn flush(&self) {
        let (done, answer) = oneshot::channel();
        let _ = self.orders.send(Order::Flush(done));
        let _ = answer.await;
    }

    fn order(
        &self,
        verdict: Verdict,
        receipt: String,
        held: Option<Held>,
        done: Option<oneshot::Sender<Result<(), Error>>>,
    ) {
        let entry = Entry { receipt, _held: held, _on_its_way: self.on_their_way.token(), done };
        // The task is gone only if the runtime is; then the settlement says so.
        let _ = self.orders.send(Order::Settle { verdict, entry });
    }
}

impl Settlement {
    /// Nothing had to be settled.
    pub(crate) fn done() -> Self {
        Self { answer: None }
    }
}

impl Future for Settlement {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(Ok(())) };
        let answer = ready!(Pin::new(answer).poll(cx));
        self.answer = None;
        Poll::Ready(answer.unwrap_or_else(|_| {
            Err(Error::unavailable("the runtime stopped before the settlement was sent"))
        }))
    }
}

/// The settling task of one queue.
async fn run(client: Client, queue: String, mut inbox: mpsc::UnboundedReceiver<Order>) {
    let mut orders = Vec::new();
    while inbox.recv_many(&mut orders, RECEIPTS_MAX).await > 0 {
        let mut groups: Vec<(Verdict, Vec<Entry>)> = Vec::new();
        let mut flushes = Vec::new();
        for order in orders.drain(..) {
            match order {
                Order::Flush(done) => flushes.push(done),
                Order::Settle { verdict, entry } => match groups.iter_mut().find(|(of, _)| *of == verdict) {
                    Some((_, entries)) => entries.push(entry),
                    None => groups.push((verdict, vec![entry])),
                },
            }
        }
        join_all(groups.into_iter().map(|(verdict, entries)| settle(&client, &queue, verdict, entries)))
            .await;
        for done in flushes {
            let _ = done.send(());
        }
    }
}

/// One call, and an answer to all who wait for it.
async fn settle(client: &Client, queue: &str, verdict: Verdict, mut entries: Vec<Entry>) {
    let receipts: Vec<String> = entries.iter_mut().map(|entry| std::mem::take(&mut entry.receipt)).collect();
    let result = match verdict {
        Verdict::Ack => client.ack(queue, &receipts).await,
        Verdict::Nack(how) => client.nack(queue, &receipts, &how).await,
    };
    if let Err(error) = &result {
        tracing::warn!(queue, %error, count = receipts.len(), "settlements failed");
    }
    let failed: HashMap<String, _> = result
        .as_ref()
        .map(|failed| failed.iter().map(|FailedReceipt { receipt, why }| (receipt.clone(), *why)).collect())
        .unwrap_or_default();
    for (entry, receipt) in entries.into_iter().zip(receipts) {
        let Some(done) = entry.done else { continue };
        let answer = match &result {
            Err(error) => Err(error.clone()),
            Ok(_) => match failed.get(&receipt) {
                None => Ok(()),
                Some(why) => Err(Error::Receipt { receipt, why: *why }),
            },
        };
        let _ = done.send(answer);
    }
}
