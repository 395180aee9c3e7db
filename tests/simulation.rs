//! Broker, engine and store in one thread over a simulated clock and disk: whatever the order of steps, whatever is cancelled, and
//! wherever the power fails or the disk refuses something, what was told stays true.
//!
//! `make sim SEED=.. ROUNDS=..` runs seeds, from the first on. A failing seed prints its number and replays exactly.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/history.rs"]
mod history;
#[path = "support/simulation/mod.rs"]
mod simulation;
#[path = "support/state_hashes.rs"]
mod state_hashes;

use std::time::Duration;

use simulation::platter::Fault;
use simulation::world::{Plants, Tally, World};
use tokio::time::Instant;

/// How many seeds `make test` runs: about 10 s in a debug build on two cores.
const ROUNDS: u64 = 40;
/// A planted fault must be found within so many seeds.
const FAULT_ROUNDS: u64 = 100;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, it must be a number")))
}

fn world(seed: u64, plants: Plants) -> Result<Tally, String> {
    let scratch = tempfile::tempdir().unwrap();
    World::new(seed, plants, scratch.path()).run()
}

/// Says which seed it was that panicked.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("make sim SEED={} ROUNDS=1", self.0);
        }
    }
}

fn add(sum: &mut Tally, tally: &Tally) {
    sum.steps += tally.steps;
    sum.lives += tally.lives;
    sum.within += tally.within;
    sum.operations += tally.operations;
    sum.making += tally.making;
    sum.refused += tally.refused;
    sum.starts += tally.starts;
    sum.jumps += tally.jumps;
    sum.leases += tally.leases;
    sum.spoiled += tally.spoiled;
    sum.replayed += tally.replayed;
    sum.letters += tally.letters;
    sum.transactions += tally.transactions;
    sum.restored += tally.restored;
}

#[test]
fn what_was_told_stays_true_in_every_schedule() {
    let first = variable("BBQ_SIM_SEED").unwrap_or(1);
    let rounds = variable("BBQ_SIM_ROUNDS").unwrap_or(ROUNDS);
    let (mut sum, begun) = (Tally::default(), Instant::now());
    for seed in first..first + rounds {
        let _named = Named(seed);
        match world(seed, Plants::default()) {
            Ok(tally) => add(&mut sum, &tally),
            Err(why) => panic!("seed {seed}: {why}"),
        }
    }
    let Tally { steps, lives, within, making, operations, replayed, letters, transactions, restored, .. } =
        sum;
    let Tally { refused, starts, jumps, leases, spoiled, .. } = sum;
    let seconds = begun.elapsed().max(Duration::from_millis(1)).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = steps as f64 / seconds;
    println!(
        "{rounds} seeds from {first}: {steps} steps in {seconds:.1} s, {rate:.0} a second; {lives} lives, {within} of them ended \
         before one of {operations} operations of the disk, {making} of these while a segment was made; the disk refused \
         something in {refused}, {starts} of these at the start, and spoiled {spoiled} backups; the wall clock jumped {jumps} times, and {leases} leases \
         ended in time; \
         {replayed} replayed states were the same; {letters} dead letters, {transactions} transactions, {restored} backups restored"
    );
    let rare =
        [within, making, refused, starts, jumps, leases, spoiled, replayed, letters, transactions, restored];
    let few = rounds < 20 || first > 1 && rounds < 200;
    assert!(few || !rare.contains(&0), "too little happened: {rare:?}");
}

#[test]
fn a_seed_takes_the_same_steps_again() {
    for seed in 1..=10 {
        let _named = Named(seed);
        assert_eq!(world(seed, Plants::default()), world(seed, Plants::default()), "seed {seed}");
    }
}

/// Some seed finds it.
fn is_found(plants: Plants) {
    let found = (1..=FAULT_ROUNDS).find_map(|seed| Some((seed, world(seed, plants).err()?)));
    let (seed, why) = found.unwrap_or_else(|| panic!("{plants:?} was not found by {FAULT_ROUNDS} seeds"));
    println!("{plants:?}: found by seed {seed}: {}", why.lines().take(2).collect::<Vec<_>>().join(" "));
}

/// The same for what the disk does wrong.
fn fault_is_found(fault: Fault) {
    is_found(Plants { fault: Some(fault), ..Plants::default() });
}

#[test]
fn a_journal_that_is_not_synced_is_found() {
    fault_is_found(Fault::NoJournalSync);
}

#[test]
fn a_reply_before_its_entry_is_durable_is_found() {
    fault_is_found(Fault::LateJournalSync);
}

#[test]
fn a_journal_that_is_purged_too_early_is_found() {
    fault_is_found(Fault::NoPersist);
}

#[test]
fn a_checkpoint_in_pieces_is_found() {
    fault_is_found(Fault::TornTransaction);
}

#[test]
fn a_directory_that_is_not_synced_is_found() {
    fault_is_found(Fault::NoDirectorySync);
}

#[test]
fn a_lost_wake_up_is_found() {
    is_found(Plants { lost_wakes: 200, ..Plants::default() });
}

#[test]
fn a_failed_sync_that_is_taken_for_a_good_one_is_found() {
    fault_is_found(Fault::HiddenSync);
}

#[test]
fn a_failed_write_that_is_taken_for_a_good_one_is_found() {
    fault_is_found(Fault::HiddenWrite);
}
