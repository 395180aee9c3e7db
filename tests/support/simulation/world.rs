//! A world: one data directory, some lives of a broker on it, and what must hold at the end.
//!
//! Everything that happens follows from the seed: settings, load, the order of steps, what is cancelled, when and how each life
//! ends, and what is left of its files.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bbq::broker::{self, Settings};
use bbq::store::host::Host;
use bbq::store::{self, StoreOptions};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

use super::clients::{Client, Crowd};
use super::platter::{After, End, Fault, Image, Kind, Platter};
use super::schedule::Schedule;
use crate::history::Event;
use crate::state_hashes::StateHashes;

/// The last life has so many steps to deliver what is left.
const DRAIN_STEPS: u64 = 400_000;
/// And so much simulated time. What takes longer waits for something that does not come.
const DRAIN_SECONDS: u64 = 600;

/// A life of which a rare operation is the end has so many steps to come to it.
const STEPS_MAX: u64 = 10_000;
/// What a checkpoint, a new segment and a purge consist of.
const RARE: [Kind; 6] =
    [Kind::Create, Kind::Remove, Kind::SyncDirectory, Kind::SyncAll, Kind::Flush, Kind::Persist];

/// What is planted in a world to see that it is found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plants {
    pub fault: Option<Fault>,
    /// So many in 10,000 wake-ups are lost.
    pub lost_wakes: u32,
}

/// What became of a world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub steps: u64,
    pub lives: u64,
    /// Lives that ended before an operation of the disk, and not between two steps.
    pub within: u64,
    pub operations: u64,
    pub replayed: u64,
    /// All that happened, as a number.
    pub trace: u64,
}

pub struct World {
    rng: SmallRng,
    plants: Plants,
    crowd: Crowd,
    how: End,
    image: Image,
    /// Microseconds of the simulated wall clock.
    wall_us: u64,
    hashes: StateHashes,
    hashes_path: PathBuf,
    tally: Tally,
}

/// One life: what it is made of.
struct Life {
    schedule: Schedule,
    platter: Platter,
    options: StoreOptions,
    settings: Settings,
    steps: u64,
    last: bool,
}

impl World {
    /// `scratch` is a directory for the hashes of the states.
    pub fn new(seed: u64, plants: Plants, scratch: &std::path::Path) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let how = if rng.random_bool(0.7) { End::PowerCut } else { End::Kill };
        let hashes_path = scratch.join("hashes");
        // Of another world, if there is one.
        let _ = std::fs::remove_file(&hashes_path);
        Self {
            rng,
            plants,
            crowd: Crowd::new(how == End::Kill),
            how,
            image: Image::default(),
            wall_us: 1_700_000_000_000_000,
            hashes: StateHashes::default(),
            hashes_path,
            tally: Tally::default(),
        }
    }

    /// Lives through all of it; what does not hold.
    pub fn run(mut self) -> Result<Tally, String> {
        let lives = self.rng.random_range(1..7);
        for life in 0..=lives {
            self.live(life == lives)?;
        }
        let found = self.crowd.witness.check();
        if !found.is_empty() {
            let shown: Vec<_> = found.iter().take(5).map(ToString::to_string).collect();
            return Err(format!("{} violations: {}", found.len(), shown.join("; ")));
        }
        Ok(self.tally)
    }

    fn options(&mut self) -> (StoreOptions, Settings) {
        let rng = &mut self.rng;
        let interval = if rng.random_bool(0.7) { rng.random_range(10..100) } else { 5_000 };
        let options = StoreOptions {
            segment_bytes: 64 << 10,
            checkpoint_journal_bytes: (64 << 10) << rng.random_range(0..4),
            checkpoint_interval_ms: interval,
            overlay_touched_max: rng.random_range(5..500),
            ..StoreOptions::default()
        };
        let settings = Settings {
            inbox_calls: rng.random_range(4..64),
            entry_bytes: 1024 << rng.random_range(0..8),
            entries_in_flight: rng.random_range(1..4),
            read_ahead_bytes: 1024 << rng.random_range(0..6),
            state_hashes: Some(self.hashes_path.clone()),
            ..Settings::default()
        };
        (options, settings)
    }

    fn live(&mut self, last: bool) -> Result<(), String> {
        let (options, settings) = self.options();
        let schedule = Schedule::new(self.rng.random(), if last { self.plants.lost_wakes } else { 0 });
        let image = std::mem::take(&mut self.image);
        let platter = Platter::new(self.rng.random(), image, self.plants.fault);
        // A third of the lives end between two steps, the others before an operation of the disk.
        let mut steps = 20 << self.rng.random_range(0..10);
        match self.rng.random_range(0..3) {
            0 => {
                let most = 2 << self.rng.random_range(0..10);
                platter.end_after(After::Any(self.rng.random_range(1..=most)), self.how);
            }
            1 => {
                let kind = RARE[self.rng.random_range(0..RARE.len())];
                platter.end_after(After::Some(kind, self.rng.random_range(1..6)), self.how);
                steps = STEPS_MAX;
            }
            _ => {}
        }
        if last {
            platter.end_after(After::Any(u64::MAX), self.how);
        }
        let life =
            Life { schedule: schedule.clone(), platter: platter.clone(), options, settings, steps, last };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (lived, elapsed) = runtime.block_on(tokio::task::coop::unconstrained(async {
            let begun = Instant::now();
            let lived = life.run(&self.crowd, self.wall_us, begun).await;
            (lived, begun.elapsed())
        }));
        drop(runtime);
        self.crowd.witness.record(Event::Down);
        let replayed = lived?;
        self.wall_us += u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.tally.within += u64::from(platter.has_ended());
        self.image = platter.end(self.how);
        let ((steps, trace), (operations, changed)) = (schedule.taken(), platter.taken());
        self.tally.steps += steps;
        self.tally.operations += operations;
        self.tally.lives += 1;
        self.tally.trace = self.tally.trace.rotate_left(7) ^ trace ^ changed.rotate_left(32);
        let before = self.hashes.compared;
        self.hashes.read_run(&self.hashes_path, replayed)?;
        self.tally.replayed += self.hashes.compared - before;
        Ok(())
    }
}

impl Life {
    /// How many entries were replayed, if it came so far.
    async fn run(self, crowd: &Crowd, wall_us: u64, begun: Instant) -> Result<Option<usize>, String> {
        let Self { schedule, platter, options, settings, steps, last } = self;
        let host = Host {
            disk: Arc::new(platter.clone()),
            journal: PathBuf::from("/journal"),
            rows: Arc::new(platter.clone()),
            threads: Arc::new(schedule.clone()),
        };
        let now_us = move || wall_us + u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let opened = store::open_on(&host, &options).map_err(|error| format!("it does not open: {error}"))?;
        let replayed = opened.store.last().index - opened.snapshot.applied.index;
        let replayed = usize::try_from(replayed).ok();
        let (handle, broker) = broker::start_by(Box::new(now_us), opened, settings)
            .map_err(|error| format!("it does not start: {error}"))?;
        let failed: Arc<Mutex<Option<String>>> = Arc::default();
        let (ended, noted) = (Arc::new(AtomicU64::new(0)), Arc::clone(&failed));
        let running = Arc::clone(&ended);
        schedule.spawn(async move {
            if let Err(stopped) = broker.run().await {
                *noted.lock().unwrap() = Some(stopped.to_string());
            }
            running.fetch_add(1, Ordering::Relaxed);
        });
        let client = Client::new(crowd, &handle, &schedule, Arc::new(move || now_us() / 1000));
        if last {
            let (schedule, drained) = (schedule.clone(), Arc::clone(&ended));
            schedule.clone().spawn(client.drain(drained));
        } else {
            client.start_all();
        }
        drop(handle);
        let enough =
            || platter.has_ended() || failed.lock().unwrap().is_some() || ended.load(Ordering::Relaxed) == 2;
        let steps = if last { DRAIN_STEPS } else { steps };
        let limit = Duration::from_secs(DRAIN_SECONDS);
        let driven = tokio::time::timeout(limit, schedule.drive(steps, &enough)).await;
        if let Some(why) = failed.lock().unwrap().take() {
            return Err(format!("the broker stopped: {why}"));
        }
        if last && driven != Ok(true) {
            return Err(format!("the last life does not come to its end: {driven:?}"));
        }
        Ok(replayed)
    }
}
