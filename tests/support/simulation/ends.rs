//! The end of a simulation: all that is left is taken, or looked at, and the broker ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bbq::broker::Window;
use bbq::types::Sequence;

use super::clients::{Client, HOLDERS};
use super::consumers::terms;
use super::messages;
use super::queues::{PAUSED, QUEUES, name};
use crate::history::{Event, Found, Kind, Queue, Verdict};

const DRAIN_LEASE_MS: u64 = 30_000;

impl Client {
    /// Takes all that is left of the queues that are accounted for, with nobody else about them, and ends the broker.
    pub async fn drain(self, done: Arc<AtomicU64>) {
        if let Err(why) = self.learn_the_time().await {
            self.complain(format!("the server does not show its time: {why}"));
        }
        for _ in 0..HOLDERS {
            self.schedule.spawn(self.clone().hold());
        }
        if self.crowd.queues.contains(PAUSED) {
            // Nobody may have come so far as to make it.
            let _ = self.resume().await;
        }
        for queue in self.taking_part() {
            let depth = self.depth(queue).await.unwrap_or_default();
            self.record(Event::Draining { queue, depth });
            while self.depth(queue).await.is_some_and(|depth| depth > 0) {
                self.take(queue).await;
            }
            self.record(Event::Drained { queue, at: self.now() });
        }
        self.finish(&done).await;
    }

    async fn take(&self, queue: Queue) {
        let call = self.crowd.witness.open(queue, Kind::Receive, DRAIN_LEASE_MS);
        let second = tokio::time::sleep(Duration::from_secs(1));
        let receiving = self.handle.receive(name(queue), terms(100, DRAIN_LEASE_MS), second);
        let Ok((taken, handout)) = receiving.await else { return };
        self.record(Event::Answered { call });
        handout.keep();
        for delivery in &taken {
            let lease = self.delivered(queue, call, delivery);
            if delivery.lease_expires_at.is_some() {
                self.settle_to_the_end(queue, lease, delivery, Verdict::Ack).await;
            }
        }
    }

    /// Looks at all that is there, and ends the broker.
    pub async fn collect(self, found: Arc<Mutex<Vec<Found>>>, done: Arc<AtomicU64>) {
        for queue in self.taking_part() {
            let mut next = Some(Sequence(0));
            while let Some(from) = next {
                let window = Window { from, count: 50 };
                // The backup may be of before the queue was made.
                let Ok(page) = self.handle.peek(name(queue), window, None, 100_000).await else { break };
                found.lock().unwrap().extend(page.items.iter().map(|peeked| {
                    let (id, content) = messages::read(&peeked.message.content);
                    Found { queue, sequence: peeked.message.sequence.0, id, content }
                }));
                next = page.next;
            }
        }
        self.finish(&done).await;
    }

    /// In the order of [`QUEUES`].
    fn taking_part(&self) -> Vec<Queue> {
        QUEUES.iter().map(|(queue, _)| *queue).filter(|queue| self.crowd.queues.contains(queue)).collect()
    }

    async fn finish(&self, done: &AtomicU64) {
        self.handle.drain().await;
        self.handle.stop();
        done.fetch_add(1, Ordering::Relaxed);
    }
}
