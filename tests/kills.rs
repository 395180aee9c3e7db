//! The server is killed at random moments, under load, again and again; what was told must stay true.
//!
//! `BBQ_SOAK_ROUNDS` is how often; `BBQ_SOAK_SEED` repeats a run as far as chance allows. Checkpoints are frequent and
//! segments small, so that checkpoints, sweeps and the journal's purges are often under way when the kill comes.

#![expect(clippy::unwrap_used, reason = "test code")]

#[path = "support/load.rs"]
mod load;
#[path = "support/state_hashes.rs"]
mod state_hashes;
mod support;
#[path = "support/witness.rs"]
mod witness;

use std::path::Path;
use std::time::Duration;

use bbq_client::Transport;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tempfile::TempDir;

use load::{Load, QUEUES, settings};
use state_hashes::StateHashes;
use support::{Server, Setup};
use witness::{Event, Outcome, Verdict};

/// Kills between one drain with its check and the next: the history of a run is kept in memory.
const ROUNDS_A_RUN: u64 = 10;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, it must be a number")))
}

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
    let mut killing = Killing::new();
    let mut server = killing.setup(&mut rng).start().await;
    let client = server.client_over(Transport::Http2).await;
    for (queue, _) in QUEUES {
        client.create_queue(queue, settings(queue)).await.unwrap();
    }
    for round in 0..rounds {
        if round > 0 && rng.random_bool(0.3) {
            killing.kill_while_starting(&mut rng).await;
        }
        if round > 0 {
            server = killing.setup(&mut rng).start().await;
        }
        let mut tasks = killing.load.start(&server.profile(), &mut rng);
        tokio::time::sleep(Duration::from_millis(rng.random_range(50..1500))).await;
        server.kill().await;
        // What consumers have in their buffers may still be recorded; nobody waits for a server that is not coming back.
        tasks.shutdown().await;
        killing.compare(&server.log());
    }
    killing.check(&mut rng).await;
}

struct Killing {
    base: Setup,
    /// Holds the data directory. It stays if something is wrong, to be looked at.
    directory: TempDir,
    hashes: StateHashes,
    load: Load,
}

impl Killing {
    fn new() -> Self {
        let directory =
            tempfile::Builder::new().prefix("bbq-kills-").disable_cleanup(true).tempdir().unwrap();
        eprintln!("in {}", directory.path().display());
        let base = Setup::at(&directory.path().join("data"));
        Self { base, directory, hashes: StateHashes::default(), load: Load::new() }
    }

    fn hashes_path(&self) -> std::path::PathBuf {
        self.base.data().with_extension("hashes")
    }

    /// The same directory, with other bounds each time.
    fn setup(&self, rng: &mut StdRng) -> Setup {
        let hashes = self.hashes_path();
        let interval = if rng.random_bool(0.7) { rng.random_range(10..100) } else { 5_000 };
        let journal = 65_536_u64 << rng.random_range(0..6);
        let touched = rng.random_range(50..2_000);
        let sets = [
            format!("broker.state_hashes={}", Path::display(&hashes)),
            format!("store.checkpoint_interval_ms={interval}"),
            format!("store.checkpoint_journal_bytes={journal}"),
            format!("store.overlay_touched_max={touched}"),
            "store.segment_bytes=65536".to_owned(),
            format!("broker.entries_in_flight={}", rng.random_range(1..4)),
            format!("broker.read_ahead_bytes={}", 1024 << rng.random_range(0..10)),
        ];
        sets.iter().fold(self.base.clone(), |setup, set| setup.args(&["--set", set]))
    }

    /// Killed before anybody can have talked to it.
    async fn kill_while_starting(&mut self, rng: &mut StdRng) {
        let mut process = self.setup(rng).spawn();
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..150))).await;
        process.kill().await;
        self.compare(&process.stderr.now());
    }

    /// Compares the hashes that a server left behind with those of the ones before it.
    fn compare(&mut self, log: &str) {
        let recovered = log.lines().find(|line| line.contains("\"state recovered\""));
        let replayed = recovered.map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
            usize::try_from(event["replayed"].as_u64().expect("a number")).expect("not that many")
        });
        self.hashes.read_run(&self.hashes_path(), replayed).unwrap();
    }

    async fn check(mut self, rng: &mut StdRng) {
        let mut server = self.setup(rng).start().await;
        let client = server.client().await;
        for (queue, _) in QUEUES {
            self.load.drain(&client, queue).await;
        }
        let left = client.all_queues("scratch-").await.unwrap();
        let deleted = self.load.deleted.lock().unwrap().clone();
        let back: Vec<_> = left.iter().filter(|queue| deleted.contains(&queue.name)).collect();
        assert!(back.is_empty(), "deleted, and there again: {back:?}");
        // Once more, for the entries of the drain.
        server.kill().await;
        self.compare(&server.log());
        let mut server = self.setup(rng).start().await;
        server.kill().await;
        self.compare(&server.log());
        self.show(&server, deleted.len());
        self.load.witness.assert_holds();
        drop(server);
        self.directory.disable_cleanup(false);
    }

    /// A run in which nothing happened shows nothing.
    fn show(&self, server: &Server, deleted: usize) {
        let count = |what: &str, which: fn(&Event) -> bool| {
            let count = self.load.witness.count(which);
            eprint!("{what} {count}, ");
            assert!(count > 0, "nothing was {what}: {}", server.log());
        };
        count("sent", |event| matches!(event, Event::Sending { .. }));
        count("confirmed", |event| matches!(event, Event::Confirmed { .. }));
        count("delivered", |event| matches!(event, Event::Delivered(_)));
        count("redelivered", |event| matches!(event, Event::Delivered(it) if it.lease.attempt > 1));
        count("acked", |event| {
            matches!(event, Event::Settled { verdict: Verdict::Ack, outcome: Outcome::Done, .. })
        });
        count("nacked", |event| {
            matches!(event, Event::Settled { verdict: Verdict::Nack, outcome: Outcome::Done, .. })
        });
        count("extended", |event| matches!(event, Event::Extended { .. }));
        eprintln!("queues deleted {deleted}, hashes compared {}", self.hashes.compared);
        assert!(self.hashes.compared > 0, "no replay had anything to do");
    }
}
