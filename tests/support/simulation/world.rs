//! A world: one data directory, some lives of a broker on it, and what must hold at the end.
//!
//! Everything that happens follows from the seed: settings, load, the order of steps, what is cancelled, what the disk refuses, when
//! the wall clock jumps, when and how each life ends, and what is left of its files.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bbq::broker::Settings;
use bbq::store::{self, StoreOptions};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::clients::Crowd;
use super::clocks::{Clocks, Jump, Time};
use super::life::{Life, Part, host};
use super::platter::{After, End, Fault, Image, Kind, Platter};
use super::queues;
use super::schedule::Schedule;
use super::trouble::Trouble;
use crate::history::{Event, Found, Violation};
use crate::state_hashes::StateHashes;

/// The last life has so many steps to deliver what is left.
const DRAIN_STEPS: u64 = 400_000;

/// A life of which a rare operation is the end has so many steps to come to it.
const STEPS_MAX: u64 = 10_000;
/// What a checkpoint, a new segment and a purge consist of.
const RARE: [Kind; 6] =
    [Kind::Create, Kind::Remove, Kind::SyncDirectory, Kind::SyncAll, Kind::Flush, Kind::Persist];

/// A life has that many steps at least to come to what is refused.
const REFUSED_STEPS: u64 = 3_000;

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
    /// Lives in which the disk refused something, and those of them in which that was at the start.
    pub refused: u64,
    pub starts: u64,
    /// Jumps of the wall clock, and leases of which was seen when they ended.
    pub jumps: u64,
    pub leases: u64,
    /// Backups that failed alone.
    pub spoiled: u64,
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
    trouble: Trouble,
    plants: Plants,
    crowd: Crowd,
    how: End,
    image: Image,
    time: Time,
    /// The latest time that the server told of something lasting.
    told_ms: u64,
    hashes: StateHashes,
    scratch: PathBuf,
    tally: Tally,
}

impl World {
    /// `scratch` is a directory for the hashes of the states, and for a backup.
    pub fn new(seed: u64, plants: Plants, scratch: &Path) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let how = if rng.random_bool(0.7) { End::PowerCut } else { End::Kill };
        let crowd = Crowd::new(queues::draw(&mut rng));
        Self {
            rng,
            trouble: Trouble::of(seed),
            plants,
            crowd,
            how,
            image: Image::default(),
            time: Time::new(),
            told_ms: 0,
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
        let schedule = Schedule::new(self.rng.random(), 0);
        let refusing = Platter::new(self.rng.random(), Image::default(), None);
        self.trouble.refuse(&refusing, None);
        let restored = store::restore_on(&host(&refusing, &schedule), &file, &options);
        if restored.is_ok() && refusing.refused().is_some() {
            return Err(format!("backup {copy} is restored, and the disk refused {:?}", refusing.refused()));
        }
        let platter = Platter::new(self.rng.random(), Image::default(), None);
        store::restore_on(&host(&platter, &schedule), &file, &options)
            .map_err(|error| format!("backup {copy} is not restored: {error}"))?;
        let platter = Platter::new(self.rng.random(), platter.end(End::PowerCut), None);
        let found: Arc<Mutex<Vec<Found>>> = Arc::default();
        let settings = Settings { state_hashes: None, ..settings };
        let part = Part::Look(Arc::clone(&found));
        let life = Life { schedule, platter, options, settings, steps: DRAIN_STEPS, part };
        self.spend(life, Vec::new())?;
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
            steps = DRAIN_STEPS;
        } else if self.trouble.refuse(&platter, self.plants.fault.and_then(Fault::hides)) {
            steps = steps.max(REFUSED_STEPS);
        }
        let part = match last {
            true => Part::Drain,
            false if self.trouble.rests() => Part::Rest,
            false => Part::Load,
        };
        let life = Life { schedule, platter: platter.clone(), options, settings, steps, part };
        if let Some(jump) = self.trouble.jump_before() {
            self.time.jump(jump);
            self.tally.jumps += 1;
        }
        let jumps = self.trouble.jumps_within();
        let lived = self.spend(life, jumps);
        self.tally.within += u64::from(platter.has_ended());
        self.tally.making += u64::from(platter.has_ended_making());
        self.end(&platter, last);
        let replayed = lived?;
        self.look_at(&platter, replayed.is_none())?;
        let before = self.hashes.compared;
        self.hashes.read_run(&self.scratch.join("hashes"), replayed)?;
        self.tally.replayed += self.hashes.compared - before;
        Ok(())
    }

    /// A life is over: what is left.
    fn end(&mut self, platter: &Platter, last: bool) {
        let refused = platter.refused().is_some();
        let cut = self.how == End::PowerCut;
        // What a sync did not store may be lost although only the process ended.
        let lossy = !last && (cut || refused);
        self.crowd.witness.record(if lossy { Event::PowerCut } else { Event::Down });
        let how = if refused && self.trouble.ends_alone() { End::Kill } else { self.how };
        self.image = platter.end(how);
    }

    /// Whether a life was as it must be.
    fn look_at(&mut self, platter: &Platter, unopened: bool) -> Result<(), String> {
        if let Some(what) = platter.tried_again() {
            return Err(format!("it was tried again: {what}"));
        }
        if let Some(why) = self.crowd.complaint() {
            return Err(why);
        }
        let spoiled = self.crowd.spoiled.swap(0, Ordering::Relaxed);
        if spoiled > platter.spoiled_copies() {
            return Err(format!("{spoiled} backups failed, and the disk refused less"));
        }
        self.tally.spoiled += spoiled;
        self.tally.leases += self.crowd.looked.swap(0, Ordering::Relaxed);
        self.tally.refused += u64::from(platter.refused().is_some());
        self.tally.starts += u64::from(unopened);
        Ok(())
    }

    /// Lives through a life; how many entries were replayed in it.
    fn spend(&mut self, life: Life, jumps: Vec<(u64, Jump)>) -> Result<Option<usize>, String> {
        let (schedule, platter) = (life.schedule.clone(), life.platter.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (lived, clocks) = runtime.block_on(tokio::task::coop::unconstrained(async {
            let clocks = Clocks::new(self.time, self.told_ms, jumps);
            let lived = life.run(&self.crowd, &clocks).await;
            (lived, clocks.end())
        }));
        drop(runtime);
        (self.time, self.told_ms) = (clocks.time, clocks.told_ms);
        self.tally.jumps += clocks.jumped;
        let ((steps, trace), (operations, changed)) = (schedule.taken(), platter.taken());
        self.tally.steps += steps;
        self.tally.operations += operations;
        self.tally.lives += 1;
        self.tally.trace = self.tally.trace.rotate_left(7) ^ trace ^ changed.rotate_left(32);
        lived
    }
}
