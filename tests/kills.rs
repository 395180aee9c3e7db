//! The server is killed at random moments, under load, again and again; what was told must stay true.
//!
//! So are its producers and consumers: most of them are in processes of their own, one for each transport, that run this same program
//! and record in one file with it.
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

use std::path::{Path, PathBuf};
use std::time::Duration;

use bbq_client::{Profile, Transport};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use history::Event;
use load::Load;
use rig::{Rig, variable};
use support::Process;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::task::JoinSet;

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
    let mut rig = Rig::new(&directory.path().join("data"), directory.path());
    let mut server = rig.start(&mut rng).await;
    let client = server.client_over(Transport::Http2).await;
    rig.create_queues(&client).await.unwrap();
    let mut processes = 0;
    for round in 0..rounds {
        if round > 0 && rng.random_bool(0.3) {
            kill_while_starting(&mut rig, &mut rng).await;
        }
        if round > 0 {
            server = rig.start(&mut rng).await;
        }
        let mut tasks = JoinSet::new();
        rig.load.start_keepers(&server.profile(), &mut rng, &mut tasks);
        let mut clients = Clients::new(directory.path(), server.profile_path(), &mut processes);
        let until = tokio::time::Instant::now() + Duration::from_millis(rng.random_range(50..1500));
        while tokio::time::Instant::now() < until {
            let left = until - tokio::time::Instant::now();
            tokio::time::sleep(left.min(Duration::from_millis(rng.random_range(100..1500)))).await;
            clients.kill_one(&rig, &mut rng).await;
        }
        server.kill().await;
        clients.kill_all(&rig).await;
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
        "restored",
        "clients killed",
        "hashes compared",
    ]);
    directory.disable_cleanup(false);
}

/// Producers and consumers in processes of their own.
struct Clients<'a> {
    directory: &'a Path,
    profile: PathBuf,
    running: Vec<(u32, Transport, Process)>,
    /// How many there were.
    processes: &'a mut u32,
}

/// What a process of clients has to know: its number, the transport, the directory of the records, and the profile.
const CLIENT: &str = "BBQ_KILLS_CLIENT";

impl<'a> Clients<'a> {
    fn new(directory: &'a Path, profile: PathBuf, processes: &'a mut u32) -> Self {
        let mut clients = Self { directory, profile, running: Vec::new(), processes };
        for transport in [Transport::Http3, Transport::Http2] {
            clients.start(transport);
        }
        clients
    }

    fn start(&mut self, transport: Transport) {
        *self.processes += 1;
        let over = if transport == Transport::Http3 { "h3" } else { "h2" };
        let (directory, profile) = (self.directory.display(), self.profile.display());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "clients_that_may_be_killed", "--nocapture"]);
        command.env(CLIENT, format!("{}\n{over}\n{directory}\n{profile}", self.processes));
        self.running.push((*self.processes, transport, Process::spawn(command)));
    }

    /// Kills one of them at whatever it is doing, and starts another in its place.
    async fn kill_one(&mut self, rig: &Rig, rng: &mut StdRng) {
        let (number, transport, mut process) = self.running.remove(rng.random_range(0..self.running.len()));
        rig.load.witness.record(Event::Killing { process: number });
        process.kill().await;
        self.start(transport);
    }

    async fn kill_all(&mut self, rig: &Rig) {
        for (number, _, mut process) in self.running.drain(..) {
            rig.load.witness.record(Event::Killing { process: number });
            process.kill().await;
        }
    }
}

/// Not a test, but what those processes do, until they are killed or whoever started them is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_may_be_killed() {
    let Ok(told) = std::env::var(CLIENT) else { return };
    let told: Vec<_> = told.lines().collect();
    let number: u32 = told[0].parse().unwrap();
    let transport = if told[1] == "h3" { Transport::Http3 } else { Transport::Http2 };
    let load = Load::new(Path::new(told[2]), number);
    let profile = Profile::load(told[3]).unwrap();
    let mut tasks = load.start_clients(&profile, &[transport], &mut StdRng::seed_from_u64(u64::from(number)));
    let (mut nothing, mut stdin) = (Vec::new(), tokio::io::stdin());
    tokio::select! {
        ended = tasks.join_next() => panic!("clients never end: {ended:?}"),
        _ = stdin.read_to_end(&mut nothing) => {}
    }
}

/// Killed before anybody can have talked to it.
async fn kill_while_starting(rig: &mut Rig, rng: &mut StdRng) {
    let mut process = rig.setup(rng).spawn();
    tokio::time::sleep(Duration::from_millis(rng.random_range(0..150))).await;
    process.kill().await;
    rig.compare(&process.stderr.now());
}
