//! The server is killed at random moments, under load, again and again; what was told must stay true.
//!
//! `BBQ_SOAK_ROUNDS` is how often; `BBQ_SOAK_SEED` repeats a run as far as chance allows. Checkpoints are frequent and
//! segments small, so that checkpoints, sweeps and the journal's purges are often under way when the kill comes.

#![expect(clippy::unwrap_used, reason = "test code")]

#[path = "support/history.rs"]
mod history;
#[path = "support/load.rs"]
mod load;
#[path = "support/rig.rs"]
mod rig;
#[path = "support/state_hashes.rs"]
mod state_hashes;
mod support;

use std::time::Duration;

use bbq_client::Transport;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use history::Event;
use rig::{Rig, variable};

/// Kills between one drain with its check and the next: the history of a run is kept in memory.
const ROUNDS_A_RUN: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_stays_true_however_often_the_server_is_killed() {
    let mut rounds = variable("BBQ_SOAK_ROUNDS").unwrap_or(ROUNDS_A_RUN);
    let mut seed = variable("BBQ_SOAK_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    while rounds > 0 {
        let these = rounds.min(ROUNDS_A_RUN);
        eprintln!("BBQ_SOAK_SEED={seed} BBQ_SOAK_ROUNDS={these}");
        run(seed, these).await;
        rounds -= these;
        seed += 1;
    }
}

/// One data directory, some kills, one check.
async fn run(seed: u64, rounds: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    // It stays if something is wrong, to be looked at.
    let mut directory =
        tempfile::Builder::new().prefix("bbq-kills-").disable_cleanup(true).tempdir().unwrap();
    eprintln!("in {}", directory.path().display());
    let mut rig = Rig::new(&directory.path().join("data"), &directory.path().join("hashes"));
    let mut server = rig.start(&mut rng).await;
    let client = server.client_over(Transport::Http2).await;
    rig.create_queues(&client).await.unwrap();
    for round in 0..rounds {
        if round > 0 && rng.random_bool(0.3) {
            kill_while_starting(&mut rig, &mut rng).await;
        }
        if round > 0 {
            server = rig.start(&mut rng).await;
        }
        let mut tasks = rig.load.start(&server.profile(), &mut rng);
        tokio::time::sleep(Duration::from_millis(rng.random_range(50..1500))).await;
        server.kill().await;
        // What consumers have in their buffers may still be recorded; nobody waits for a server that is not coming back.
        tasks.shutdown().await;
        rig.load.witness.record(Event::Down);
        rig.compare(&server.log());
    }
    rig.check(&mut rng).await;
    rig.show(&[
        "sent",
        "confirmed",
        "delivered",
        "redelivered",
        "acked",
        "nacked",
        "extended",
        "hashes compared",
    ]);
    directory.disable_cleanup(false);
}

/// Killed before anybody can have talked to it.
async fn kill_while_starting(rig: &mut Rig, rng: &mut StdRng) {
    let mut process = rig.setup(rng).spawn();
    tokio::time::sleep(Duration::from_millis(rng.random_range(0..150))).await;
    process.kill().await;
    rig.compare(&process.stderr.now());
}
