//! A life: a broker starts on what the one before left, clients come, and it goes on until that is enough, or the disk refuses something.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bbq::broker::{self, Settings};
use bbq::store::host::Host;
use bbq::store::{self, StoreOptions};

use super::clients::{Client, Crowd};
use super::clocks::Clocks;
use super::platter::{JOURNAL, Platter};
use super::schedule::Schedule;
use crate::history::Found;

/// So much simulated time may a life take. What takes longer waits for something that does not come.
const LIFE_SECONDS: u64 = 600;
/// When something was refused, the broker ends within so many steps.
const END_STEPS: u64 = 20_000;
/// So many are left to the clients then, to hear of it.
const LAST_STEPS: u64 = 300;

/// What there is to do in a life.
#[derive(Clone)]
pub enum Part {
    /// All clients are there, and it ends at any moment.
    Load,
    /// Few are, so that in as many steps more time passes.
    Rest,
    /// All that is left is taken.
    Drain,
    /// All that is there is looked at.
    Look(Arc<Mutex<Vec<Found>>>),
}

/// What a life is made of.
pub struct Life {
    pub schedule: Schedule,
    pub platter: Platter,
    pub options: StoreOptions,
    pub settings: Settings,
    pub steps: u64,
    pub part: Part,
}

pub fn host(platter: &Platter, schedule: &Schedule) -> Host {
    Host {
        disk: Arc::new(platter.clone()),
        journal: PathBuf::from(JOURNAL),
        rows: Arc::new(platter.clone()),
        threads: Arc::new(schedule.clone()),
    }
}

impl Life {
    /// How many entries were replayed, if it came so far.
    pub async fn run(self, crowd: &Crowd, clocks: &Clocks) -> Result<Option<usize>, String> {
        let Self { schedule, platter, options, settings, steps, part } = self;
        let opened = match store::open_on(&host(&platter, &schedule), &options) {
            Ok(opened) => opened,
            Err(error) => {
                return ended_rightly(&platter, &format!("it does not open: {error}")).map(|()| None);
            }
        };
        let replayed = opened.store.last().index - opened.snapshot.applied.index;
        let wall = clocks.clone();
        let (handle, broker) = broker::start_by(Box::new(move || wall.wall_us()), opened, settings)
            .map_err(|error| format!("it does not start: {error}"))?;
        let stopped: Arc<Mutex<Option<String>>> = Arc::default();
        let (ended, noted) = (Arc::new(AtomicU64::new(0)), Arc::clone(&stopped));
        let running = Arc::clone(&ended);
        schedule.spawn(async move {
            if let Err(stopped) = broker.run().await {
                *noted.lock().unwrap() = Some(stopped.to_string());
            }
            running.fetch_add(1, Ordering::Relaxed);
        });
        let client = Client::new(crowd, &handle, &schedule, clocks);
        let last = matches!(part, Part::Drain | Part::Look(_));
        let done = Arc::clone(&ended);
        match part {
            Part::Load => schedule.spawn(client.begin(Client::start_all)),
            Part::Rest => schedule.spawn(client.begin(Client::start_few)),
            Part::Drain => schedule.spawn(client.drain(done)),
            Part::Look(found) => schedule.spawn(client.collect(found, done)),
        }
        drop(handle);
        let left = Cell::new(LAST_STEPS);
        let enough = || {
            if stopped.lock().unwrap().is_some() {
                left.set(left.get().saturating_sub(1));
            }
            platter.has_ended() || left.get() == 0 || ended.load(Ordering::Relaxed) == 2
        };
        let mut drive = schedule.drive(steps, &enough);
        let limit = Duration::from_secs(LIFE_SECONDS);
        let mut driven = tokio::time::timeout(limit, &mut drive).await;
        if driven == Ok(false) && platter.refused().is_some() {
            drive.go_on(END_STEPS);
            driven = tokio::time::timeout(limit, &mut drive).await;
        }
        let stopped = stopped.lock().unwrap().take();
        match (stopped, platter.refused()) {
            (Some(why), _) => ended_rightly(&platter, &format!("the broker stopped: {why}"))?,
            (None, Some(refused)) if !platter.has_ended() => {
                return Err(format!("the broker goes on, and this was refused: {refused:?}"));
            }
            (None, _) if last && driven != Ok(true) => {
                return Err(format!("the last life does not come to its end: {driven:?}"));
            }
            (None, _) => {}
        }
        Ok(usize::try_from(replayed).ok())
    }
}

/// It may end for an error if the disk refused something, and it says what that was.
fn ended_rightly(platter: &Platter, why: &str) -> Result<(), String> {
    match platter.refused() {
        Some(refused) if refused.is_told_by(why) => Ok(()),
        Some(refused) => Err(format!("{why}; and what was refused is {refused:?}")),
        None => Err(why.to_owned()),
    }
}
