//! A world: one data directory, some lives of a broker on it, and what must hold at the end.
//!
//! Everything that happens follows from the seed: settings, load, the order of steps, what is cancelled, when and how each life
//! ends, and what is left of its files.

use std::path::{Path, PathBuf};
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
use super::queues;
use super::schedule::Schedule;
use crate::history::{Event, Found, Violation};
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
    /// Of these, those that ended while a segment was made.
    pub making: u64,
    pub replayed: u64,
    /// Deliveries of dead letters, and transactions that happened.
    pub letters: u64,
    pub transactions: u64,
    /// Backups that were restored and looked at.
    pub restored: u64,
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
    scratch: PathBuf,
    tally: Tally,
}

/// What there is to do in a life.
#[derive(Clone)]
enum Part {
    /// All clients are there, and it ends at any moment.
    Load,
    /// All that is left is taken.
    Drain,
    /// All that is there is looked at.
    Look(Arc<Mutex<Vec<Found>>>),
}

/// One life: what it is made of.
struct Life {
    schedule: Schedule,
    platter: Platter,
    options: StoreOptions,
    settings: Settings,
    steps: u64,
    part: Part,
}

impl World {
    /// `scratch` is a directory for the hashes of the states, and for a backup.
    pub fn new(seed: u64, plants: Plants, scratch: &Path) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let how = if rng.random_bool(0.7) { End::PowerCut } else { End::Kill };
        let crowd = Crowd::new(queues::draw(&mut rng));
        Self {
            rng,
            plants,
            crowd,
            how,
            image: Image::default(),
            wall_us: 1_700_000_000_000_000,
            hashes: StateHashes::default(),
            scratch: scratch.to_owned(),
            tally: Tally::default(),
        }
    }

    /// Lives through all of it; what does not hold.
    pub fn run(mut self) -> Result<Tally, String> {
        let lives = self.rng.random_range(1..7);
        for life in 0..=lives {
            self.live(life == lives)?;
        }
        self.none(&self.crowd.witness.check())?;
        self.restore()?;
        self.count();
        Ok(self.tally)
    }

    /// Makes a new disk from the latest backup. What is on it after a power cut must be what the backup is of.
    fn restore(&mut self) -> Result<(), String> {
        let Some((copy, bytes)) = self.crowd.copy.lock().unwrap().take() else { return Ok(()) };
        let file = self.scratch.join("backup");
        std::fs::write(&file, bytes).map_err(|error| error.to_string())?;
        let (options, settings) = self.options();
        let platter = Platter::new(self.rng.random(), Image::default(), None);
        let schedule = Schedule::new(self.rng.random(), 0);
        store::restore_on(&host(&platter, &schedule), &file, &options)
            .map_err(|error| format!("backup {copy} is not restored: {error}"))?;
        let platter = Platter::new(self.rng.random(), platter.end(End::PowerCut), None);
        let found: Arc<Mutex<Vec<Found>>> = Arc::default();
        let settings = Settings { state_hashes: None, ..settings };
        let part = Part::Look(Arc::clone(&found));
        let life = Life { schedule, platter, options, settings, steps: DRAIN_STEPS, part };
        self.spend(life)?;
        self.tally.restored += 1;
        let found = found.lock().unwrap();
        self.none(&self.crowd.witness.check_copied(copy, &found))
            .map_err(|why| format!("backup {copy}: {why}"))
    }

    /// Whether nothing was found that does not hold.
    fn none(&self, found: &[Violation]) -> Result<(), String> {
        if found.is_empty() { Ok(()) } else { Err(self.crowd.witness.explain(found)) }
    }

    /// What happened that is rare.
    fn count(&mut self) {
        let witness = &self.crowd.witness;
        let count = |which: &dyn Fn(&Event) -> bool| u64::try_from(witness.count(which)).unwrap_or(u64::MAX);
        let is_dead = |queue| queues::promise(queue).dead_letters_of.is_some();
        self.tally.letters =
            count(&|event| matches!(event, Event::Delivered(one) if is_dead(one.lease.queue)));
        self.tally.transactions =
            count(&|event| matches!(event, Event::Together { acks, .. } if !acks.is_empty()));
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
        let few = rng.random_ratio(1, 4);
        let settings = Settings {
            inbox_calls: rng.random_range(4..64),
            entry_bytes: 1024 << rng.random_range(0..8),
            entries_in_flight: rng.random_range(1..4),
            read_ahead_bytes: 1024 << rng.random_range(0..6),
            parked_messages_max: if few { rng.random_range(1..20) } else { 10_000 },
            touched_messages_max: if few { rng.random_range(20..200) } else { 100_000 },
            state_hashes: Some(self.scratch.join("hashes")),
            ..Settings::default()
        };
        (options, settings)
    }

    fn live(&mut self, last: bool) -> Result<(), String> {
        let (options, mut settings) = self.options();
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
                let (count, more) = (self.rng.random_range(1..6), self.rng.random_range(0..6));
                platter.end_after(After::Some(kind, count, more), self.how);
                steps = STEPS_MAX;
            }
            _ => {}
        }
        if last {
            platter.end_after(After::Any(u64::MAX), self.how);
            // Nobody takes what is left in the other queues, and makes room.
            settings.touched_messages_max = Settings::default().touched_messages_max;
        }
        let (schedule, part) = (schedule.clone(), if last { Part::Drain } else { Part::Load });
        let steps = if last { DRAIN_STEPS } else { steps };
        let life = Life { schedule, platter: platter.clone(), options, settings, steps, part };
        let lived = self.spend(life);
        let cut = !last && self.how == End::PowerCut;
        self.crowd.witness.record(if cut { Event::PowerCut } else { Event::Down });
        let replayed = lived?;
        self.tally.within += u64::from(platter.has_ended());
        self.tally.making += u64::from(platter.has_ended_making());
        self.image = platter.end(self.how);
        let before = self.hashes.compared;
        self.hashes.read_run(&self.scratch.join("hashes"), replayed)?;
        self.tally.replayed += self.hashes.compared - before;
        Ok(())
    }

    /// Lives through a life; how many entries were replayed in it.
    fn spend(&mut self, life: Life) -> Result<Option<usize>, String> {
        let (schedule, platter) = (life.schedule.clone(), life.platter.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (lived, elapsed) = runtime.block_on(tokio::task::coop::unconstrained(async {
            let begun = Instant::now();
            let lived = life.run(&self.crowd, self.wall_us, begun).await;
            (lived, begun.elapsed())
        }));
        drop(runtime);
        self.wall_us += u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let ((steps, trace), (operations, changed)) = (schedule.taken(), platter.taken());
        self.tally.steps += steps;
        self.tally.operations += operations;
        self.tally.lives += 1;
        self.tally.trace = self.tally.trace.rotate_left(7) ^ trace ^ changed.rotate_left(32);
        lived
    }
}

fn host(platter: &Platter, schedule: &Schedule) -> Host {
    Host {
        disk: Arc::new(platter.clone()),
        journal: PathBuf::from("/journal"),
        rows: Arc::new(platter.clone()),
        threads: Arc::new(schedule.clone()),
    }
}

impl Life {
    /// How many entries were replayed, if it came so far.
    async fn run(self, crowd: &Crowd, wall_us: u64, begun: Instant) -> Result<Option<usize>, String> {
        let Self { schedule, platter, options, settings, steps, part } = self;
        let host = host(&platter, &schedule);
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
        let last = !matches!(part, Part::Load);
        let done = Arc::clone(&ended);
        match part {
            Part::Load => client.start_all(),
            Part::Drain => schedule.spawn(client.drain(done)),
            Part::Look(found) => schedule.spawn(client.collect(found, done)),
        }
        drop(handle);
        let enough =
            || platter.has_ended() || failed.lock().unwrap().is_some() || ended.load(Ordering::Relaxed) == 2;
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
