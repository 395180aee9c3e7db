//! Clients of a simulated broker: what they share, and who there is.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bbq::broker::{BrokerError, Handle};
use rand::RngExt as _;
use rand::rngs::SmallRng;

use super::clocks::Clocks;
use super::messages::Made;
use super::queues::{BOTH, DEAD, OTHERS, PAUSED, PURGED, is_fed, name, other_settings, settings};
use super::schedule::Schedule;
use crate::history::{Event, Id, Queue, Witness};

/// Producers pause while a queue has more.
const BACKLOG_MAX: u64 = 150;

/// How many hold leases to see when they end.
pub(super) const HOLDERS: u32 = 3;

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
    /// Backups that were said to have failed.
    pub spoiled: Arc<AtomicU64>,
    /// Leases of which was seen when they ended.
    pub looked: Arc<AtomicU64>,
    /// What a client saw that must not be.
    complaints: Arc<Mutex<Vec<String>>>,
}

/// A client, in one life.
#[derive(Clone)]
pub struct Client {
    pub(super) crowd: Crowd,
    pub(super) handle: Handle,
    pub(super) schedule: Schedule,
    pub(super) clocks: Clocks,
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
            spoiled: Arc::default(),
            looked: Arc::default(),
            complaints: Arc::default(),
        }
    }

    /// What a client saw first that must not be.
    pub fn complaint(&self) -> Option<String> {
        self.complaints.lock().unwrap().first().cloned()
    }
}

impl Client {
    pub fn new(crowd: &Crowd, handle: &Handle, schedule: &Schedule, clocks: &Clocks) -> Self {
        Self {
            crowd: crowd.clone(),
            handle: handle.clone(),
            schedule: schedule.clone(),
            clocks: clocks.clone(),
        }
    }

    /// Has the server show its time, and then the others come.
    pub async fn begin(self, start: impl Fn(&Self)) {
        // If it has stopped, they hear of that.
        let _ = self.learn_the_time().await;
        start(&self);
    }

    pub(super) async fn learn_the_time(&self) -> Result<(), BrokerError> {
        let shown = self.handle.watch().await?.board(None).await?.at;
        if let Err(why) = self.clocks.server_began(shown.0) {
            self.complain(why);
        }
        Ok(())
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
        self.start_few();
    }

    /// Those who take their time.
    pub fn start_few(&self) {
        for _ in 0..HOLDERS {
            self.schedule.spawn(self.clone().hold());
        }
        self.schedule.spawn(self.clone().watch());
        self.schedule.spawn(self.clone().back_up());
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

    /// The time that the server should have, in milliseconds.
    pub(super) fn now(&self) -> u64 {
        self.clocks.server_ms()
    }

    /// Something is as it must not be.
    pub(super) fn complain(&self, why: String) {
        self.crowd.complaints.lock().unwrap().push(why);
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
