//! Random histories against the reference model.
//!
//! Each seed is a history: some queues, some dozens of commands of all kinds, restarts among them. After every command
//! its outcome and the whole state are what `support/model.rs` says, the engine's invariants hold, and an engine
//! restored from what was kept has the same digest. A failing seed prints its script, which becomes a test beside the
//! engine. `BBQ_HISTORIES=100000` runs more of them.

#[path = "../src/engine/tests/names.rs"]
mod names;
#[path = "../src/engine/tests/script.rs"]
mod script;
#[path = "../src/engine/tests/shadow.rs"]
mod shadow;
#[path = "../src/engine/tests/words.rs"]
mod words;
mod support {
    pub mod compare;
    pub mod disk;
    pub mod keys;
    pub mod model;
    pub mod order;
    pub mod random_history;
    pub mod topics;
    pub mod transactions;
}

use std::sync::atomic::Ordering;

use bbq::{engine, types};
use shadow::Shadow;
use support::disk::{Disk, TALLY, Tally};
use support::random_history::{History, Sizes};

/// How many histories run without a store: about 6 s on two cores in a debug build.
const HISTORIES: u64 = 9_500;
/// How many run over a real store in a temporary directory: about 10 s on a quiet disk.
const STORED_HISTORIES: u64 = 250;
/// Without a store, sizes only count.
const SIZES: Sizes = Sizes { bytes_max: 200, batch_max: 9 };
/// The store cuts messages of more than 32 KiB into parts, and puts at most 512 messages into a chunk.
const STORED_SIZES: Sizes = Sizes { bytes_max: 80_000, batch_max: 700 };
/// Two, because continuous integration has as many cores.
const THREADS: u8 = 2;
/// The shortest and the longest history. Short ones come first, so that what fails is easy to read.
const LINES_MIN: usize = 5;
const LINES_MAX: usize = 100;

fn histories(default: u64) -> u64 {
    std::env::var("BBQ_HISTORIES")
        .map_or(default, |number| number.parse().expect("BBQ_HISTORIES is a number"))
}

fn lines(seed: u64, seeds: u64) -> usize {
    let span = (LINES_MAX - LINES_MIN) as u64;
    LINES_MIN + usize::try_from(seed * span / seeds).expect("a few")
}

/// Runs a history for each seed, some at a time.
fn each_seed(seeds: u64, history: impl Fn(u64) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let history = &history;
            scope.spawn(move || (u64::from(thread)..seeds).step_by(usize::from(THREADS)).for_each(history));
        }
    });
}

#[test]
fn the_engine_does_what_the_model_says() {
    let seeds = histories(HISTORIES);
    each_seed(seeds, |seed| {
        History::new(seed, Shadow::default(), SIZES).run(lines(seed, seeds));
    });
}

#[test]
fn the_store_brings_back_what_the_model_says() {
    let seeds = histories(STORED_HISTORIES);
    each_seed(seeds, |seed| {
        History::new(seed, Disk::new(seed), STORED_SIZES).run(lines(seed, seeds));
    });
    let Tally { cold, hot, checkpoints, kills, closes, replayed } = &TALLY;
    for count in [cold, hot, checkpoints, kills, closes, replayed] {
        assert!(count.load(Ordering::Relaxed) >= seeds / 4, "too little happened: {TALLY:?}");
    }
}

/// What a failing seed prints is a whole script: it runs by itself, and comes to the same end.
#[test]
fn the_text_of_a_history_is_a_script() {
    for seed in 0..20 {
        let text = History::new(seed, Shadow::default(), SIZES).run(LINES_MAX);
        assert!(text.lines().count() > LINES_MAX / 2, "history {seed} is short");
        script::check(&text);
    }
}
