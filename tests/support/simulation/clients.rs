//! Clients of a simulated broker: what they share, and who there is.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bbq::broker::Handle;
use rand::RngExt as _;
use rand::rngs::SmallRng;

use super::messages::Made;
use super::queues::{BOTH, DEAD, OTHERS, PAUSED, PURGED, is_fed, name, other_settings, settings};
use super::schedule::Schedule;
use crate::history::{Event, Id, Queue, Witness};

/// Producers pause while a queue has more.
const BACKLOG_MAX: u64 = 150;

/// A queue, and what should be in it.
type Unanswered = (Queue, Vec<Made>);

/// A backup, by its number, and its bytes.
type Copied = (u64, Vec<u8>);

/// What the clients of all lives of a seed share.
#[derive(Clone)]
pub struct Crowd {
    pub witness: Arc<Witness>,
    /// The queues that take part.
    pub queues: Arc<BTreeSet<Queue>>,
    ids: Arc<AtomicU64>,
    /// What can be sent again, as nobody knows whether it is there.
    pub(super) again: Arc<Mutex<Vec<Unanswered>>>,
    /// Backups that were begun, and the latest that was read to its end.
    pub(super) copies: Arc<AtomicU64>,
    pub copy: Arc<Mutex<Option<Copied>>>,
}

/// A client, in one life.
#[derive(Clone)]
pub struct Client {
    pub(super) crowd: Crowd,
    pub(super) handle: Handle,
    pub(super) schedule: Schedule,
    /// The simulated wall clock, in milliseconds.
    now: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Crowd {
    pub fn new(queues: BTreeSet<Queue>) -> Self {
        Self {
            witness: Arc::new(Witness::new(super::queues::QUEUES)),
            queues: Arc::new(queues),
            ids: Arc::default(),
            again: Arc::default(),
            copies: Arc::default(),
            copy: Arc::default(),
        }
    }
}

impl Client {
    pub fn new(
        crowd: &Crowd,
        handle: &Handle,
        schedule: &Schedule,
        now: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Self {
        Self { crowd: crowd.clone(), handle: handle.clone(), schedule: schedule.clone(), now }
    }

    /// Everybody at once.
    pub fn start_all(&self) {
        let schedule = &self.schedule;
        schedule.spawn(self.clone().create());
        for &queue in self.crowd.queues.iter() {
            if is_fed(queue) {
                schedule.spawn(self.clone().produce(queue));
            }
            schedule.spawn(self.clone().subscribe(queue));
            schedule.spawn(self.clone().receive(queue));
        }
        for queue in OTHERS {
            schedule.spawn(self.clone().fill(queue));
            schedule.spawn(self.clone().empty(queue));
        }
        let takes_part = |queue: Queue| self.crowd.queues.contains(queue);
        if takes_part(BOTH[0]) {
            schedule.spawn(self.clone().announce());
            schedule.spawn(self.clone().transact());
        }
        if takes_part(DEAD) {
            schedule.spawn(self.clone().redrive());
        }
        if takes_part(PAUSED) {
            schedule.spawn(self.clone().stop_and_go());
        }
        if takes_part(PURGED) {
            schedule.spawn(self.clone().purge());
        }
        schedule.spawn(self.clone().administer());
        schedule.spawn(self.clone().watch());
        schedule.spawn(self.clone().back_up());
    }

    /// Makes the queues. If one is there, it is there.
    async fn create(self) {
        for &queue in self.crowd.queues.iter() {
            let _ = self.handle.create(name(queue), settings(queue)).await;
        }
        for queue in OTHERS {
            let _ = self.handle.create(name(queue), other_settings(queue)).await;
        }
    }

    pub(super) fn now(&self) -> u64 {
        (self.now)()
    }

    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut SmallRng) -> T) -> T {
        self.schedule.draw(draw)
    }

    pub(super) fn record(&self, event: Event) {
        self.crowd.witness.record(event);
    }

    pub(super) async fn pause(&self, most_ms: u64) {
        let pause = self.draw(|rng| rng.random_range(0..=most_ms));
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    /// Something that must be the same whenever the seed is run.
    pub(super) fn seen(&self, what: u64) {
        self.schedule.note(what);
    }

    /// A new message for a queue.
    pub(super) fn made(&self, queue: Queue) -> Made {
        let id = Id(self.crowd.ids.fetch_add(1, Ordering::Relaxed));
        self.draw(|rng| Made::new(rng, queue, id))
    }

    /// All that a queue has; none if it is not there.
    pub(super) async fn depth(&self, queue: &str) -> Option<u64> {
        self.handle.show(name(queue)).await.ok().map(|view| view.depth.messages())
    }

    /// Whether producers should go on.
    pub(super) async fn has_room(&self, queue: &str) -> bool {
        self.depth(queue).await.is_some_and(|depth| depth <= BACKLOG_MAX)
    }
}
