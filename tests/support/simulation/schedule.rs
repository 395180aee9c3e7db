//! The schedule: one thread, many tasks, and a seed that says who goes next.
//!
//! A task runs from one await to the next; that is a step. Which of the tasks that are ready takes the next step is drawn from the
//! seed, not from the order in which they were woken. The same seed takes the same steps.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;

use bbq::store::host::{Ran, Task, Threads};
use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

/// Names a task.
type Id = u32;

/// Shared by the schedule, its tasks, and what wakes them.
#[derive(Clone)]
pub struct Schedule(Arc<Mutex<State>>);

struct State {
    rng: SmallRng,
    ready: BTreeSet<Id>,
    arrived: Vec<(Id, Task)>,
    next: Id,
    steps: u64,
    /// What the steps were, so far.
    trace: u64,
    /// Wakes whoever drives the schedule.
    driver: Option<Waker>,
    /// A planted fault: so many in 10,000 wake-ups are lost.
    lost_wakes: u32,
}

/// Runs the tasks of a schedule until `enough` or `steps` are taken; true if it was enough.
pub struct Drive<'a> {
    schedule: Schedule,
    tasks: BTreeMap<Id, Task>,
    steps: u64,
    enough: &'a dyn Fn() -> bool,
}

struct Waking {
    id: Id,
    schedule: Schedule,
}

impl Schedule {
    pub fn new(seed: u64, lost_wakes: u32) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: SmallRng::seed_from_u64(seed),
            ready: BTreeSet::new(),
            arrived: Vec::new(),
            next: 0,
            steps: 0,
            trace: 0,
            driver: None,
            lost_wakes,
        })))
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    /// Adds a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.with(|state| {
            let id = state.next;
            state.next += 1;
            state.arrived.push((id, Box::pin(task)));
            state.ready.insert(id);
            if let Some(driver) = state.driver.take() {
                driver.wake();
            }
        });
    }

    /// A task draws from the seed.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut SmallRng) -> T) -> T {
        self.with(|state| draw(&mut state.rng))
    }

    /// Steps taken, and what they were.
    pub fn taken(&self) -> (u64, u64) {
        self.with(|state| (state.steps, state.trace))
    }

    /// Notes something that must be the same in every run of a seed.
    pub fn note(&self, what: u64) {
        self.with(|state| state.note(what));
    }

    /// Goes on with a future, unless the seed says at one of its awaits that it is dropped there.
    pub async fn unless_cancelled<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.draw(|rng| rng.random_ratio(1, 40)) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    pub fn drive<'a>(&self, steps: u64, enough: &'a dyn Fn() -> bool) -> Drive<'a> {
        Drive { schedule: self.clone(), tasks: BTreeMap::new(), steps, enough }
    }
}

impl Drive<'_> {
    /// For so many steps more.
    pub fn go_on(&mut self, steps: u64) {
        self.steps = steps;
    }
}

impl State {
    fn note(&mut self, what: u64) {
        self.trace = (self.trace.rotate_left(5) ^ what).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// The next task to take a step.
    fn pick(&mut self) -> Option<Id> {
        if self.ready.is_empty() {
            return None;
        }
        let at = self.rng.random_range(0..self.ready.len());
        let id = self.ready.iter().nth(at).copied()?;
        self.ready.remove(&id);
        self.steps += 1;
        self.note(u64::from(id));
        Some(id)
    }
}

impl Future for Drive<'_> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let this = &mut *self;
        // After some steps tokio's timers and tasks have their turn.
        let turns = this.schedule.draw(|rng| rng.random_range(1..30));
        for _ in 0..turns {
            if (this.enough)() {
                return Poll::Ready(true);
            }
            let (arrived, picked) = this.schedule.with(|state| {
                let arrived = std::mem::take(&mut state.arrived);
                let picked = state.pick();
                if picked.is_none() {
                    state.driver = Some(cx.waker().clone());
                }
                (arrived, picked)
            });
            this.tasks.extend(arrived);
            let Some(id) = picked else { return Poll::Pending };
            if this.steps == 0 {
                return Poll::Ready(false);
            }
            this.steps -= 1;
            let Some(task) = this.tasks.get_mut(&id) else { continue };
            let waker = Waker::from(Arc::new(Waking { id, schedule: this.schedule.clone() }));
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                this.tasks.remove(&id);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        self.schedule.with(|state| {
            if state.lost_wakes > 0 && state.rng.random_ratio(state.lost_wakes, 10_000) {
                return;
            }
            state.ready.insert(self.id);
            if let Some(driver) = state.driver.take() {
                driver.wake();
            }
        });
    }
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (steps, trace) = self.taken();
        write!(f, "Schedule({steps} steps, {trace:016x})")
    }
}

impl Threads for Schedule {
    fn run(&self, _: &'static str, task: Task) -> io::Result<Option<JoinHandle<()>>> {
        self.spawn(task);
        Ok(None)
    }

    fn block(&self, job: Box<dyn FnOnce() + Send>) -> Ran {
        let (done, ran) = tokio::sync::oneshot::channel();
        let schedule = self.clone();
        self.spawn(async move {
            std::future::poll_fn(|cx| schedule.poll_turn(cx)).await;
            job();
            let _ = done.send(());
        });
        Box::pin(async move { ran.await.map_err(|_| "the reader failed".to_owned()) })
    }

    fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.draw(|rng| rng.next_u32().is_multiple_of(2)) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}
