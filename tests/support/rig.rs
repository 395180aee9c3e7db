//! One data directory, under load, through many starts of the server; then a drain, and the check.
//!
//! Checkpoints are frequent and segments small, so that checkpoints, sweeps and the journal's purges are often under way when
//! something happens.

use std::path::{Path, PathBuf};

use bbq_client::{Client, PageRequest, Transport, proto};
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::history::{Event, Found, Outcome, Queue, Verdict};
use crate::load::{Load, QUEUES, as_sent, create_topic, id_of, settings};
use crate::state_hashes::StateHashes;
use crate::support::ports::lasting_address;
use crate::support::server::GREETING;
use crate::support::{Cli, Process, Server, Setup};

/// How a panic begins that says that a server does not start on what it finds.
pub const REFUSED: &str = "the server does not start: ";
/// How one begins that says that a replay does not give the state that was there.
pub const DIFFERS: &str = "a replay differs";
/// How one begins that says that a queue came back whose deletion was confirmed.
pub const THERE_AGAIN: &str = "deleted, and there again";

/// A number from the environment.
pub fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, it must be a number")))
}

/// Waits until a server answers. If it ends instead, panics with the reason that it gave.
pub async fn until_it_answers(process: &mut Process) {
    if !process.stdout.comes(GREETING).await {
        process.ended().await;
        let log = process.stderr.now();
        panic!("{REFUSED}{}", log.lines().rfind(|line| line.starts_with("error: ")).unwrap_or(&log));
    }
}

/// Every message of a queue that is there.
async fn all_of(client: &Client, queue: Queue) -> Vec<Found> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = PageRequest { size: 1000, token };
        let page = match client.peek(queue, proto::MessageState::Unspecified, page).await {
            // The backup may be of before it was made.
            Err(bbq_client::Error::NotFound(_)) => return found,
            page => page.unwrap(),
        };
        found.extend(page.items.into_iter().map(|peeked| {
            let message = peeked.message.expect("a message is shown with its content");
            let content = as_sent(&message.body, &message.attributes);
            Found { queue, sequence: peeked.sequence, id: id_of(&message.attributes), content }
        }));
        token = page.next_page_token;
        if token.is_empty() {
            return found;
        }
    }
}

/// See above.
pub struct Rig {
    base: Setup,
    hashes: StateHashes,
    hashes_path: PathBuf,
    scratch: PathBuf,
    backups: u64,
    compactions: usize,
    pub load: Load,
}

impl Rig {
    /// Over a data directory; hashes, records and backups are in another one.
    pub fn new(data: &Path, scratch: &Path) -> Self {
        Self {
            base: Setup::at(data),
            hashes: StateHashes::default(),
            hashes_path: scratch.join("hashes"),
            scratch: scratch.to_owned(),
            backups: 0,
            compactions: 0,
            load: Load::new(scratch, 0),
        }
    }

    /// The same directory, with other bounds and on another port each time.
    pub fn setup(&self, rng: &mut StdRng) -> Setup {
        let interval = if rng.random_bool(0.7) { rng.random_range(10..100) } else { 5_000 };
        let journal = 65_536_u64 << rng.random_range(0..6);
        let touched = rng.random_range(50..2_000);
        let sets = [
            format!("broker.state_hashes={}", Path::display(&self.hashes_path)),
            format!("store.checkpoint_interval_ms={interval}"),
            format!("store.checkpoint_journal_bytes={journal}"),
            format!("store.overlay_touched_max={touched}"),
            "store.segment_bytes=65536".to_owned(),
            "store.compaction_bytes=1048576".to_owned(),
            format!("store.compaction_interval_ms={}", rng.random_range(10..500)),
            format!("broker.entries_in_flight={}", rng.random_range(1..4)),
            format!("broker.read_ahead_bytes={}", 1024 << rng.random_range(0..10)),
        ];
        // A publisher sends what it took after the task is gone that had it: elsewhere, or it would send it into a drain.
        let elsewhere = self.base.clone().listen(lasting_address());
        sets.iter().fold(elsewhere, |setup, set| setup.args(&["--set", set]))
    }

    /// Starts a server. One that refuses is a finding.
    pub async fn start(&self, rng: &mut StdRng) -> Server {
        let setup = self.setup(rng);
        let mut process = setup.spawn();
        until_it_answers(&mut process).await;
        setup.answering(process).await
    }

    /// Makes the queues that are not there.
    pub async fn create_queues(&self, client: &Client) -> Result<(), bbq_client::Error> {
        // A dead-letter queue goes before those that name it.
        for (queue, promise) in QUEUES.into_iter().rev() {
            match client.create_queue(queue, settings(queue, promise)).await {
                Ok(_) | Err(bbq_client::Error::AlreadyExists(_)) => {}
                Err(error) => return Err(error),
            }
        }
        create_topic(client).await
    }

    /// Compares the hashes that a server left behind with those of the ones before it.
    pub fn compare(&mut self, log: &str) {
        self.compactions += log.matches("the state files were compacted").count();
        let recovered = log.lines().find(|line| line.contains("\"state recovered\""));
        let replayed = recovered.map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
            usize::try_from(event["replayed"].as_u64().expect("a number")).expect("not that many")
        });
        self.hashes.read_run(&self.hashes_path, replayed).expect(DIFFERS);
    }

    /// Takes all that is left, and looks whether everything is as it was told.
    pub async fn check(&mut self, rng: &mut StdRng) {
        let mut server = self.start(rng).await;
        let client = server.client().await;
        // If it never came so far.
        self.create_queues(&client).await.unwrap();
        self.load.resume(&client).await.unwrap();
        self.compare_backup().await;
        for (queue, _) in QUEUES {
            self.load.drain(&client, queue).await;
        }
        let left = client.all_queues("scratch-").await.unwrap();
        let deleted = self.load.deleted.lock().unwrap().clone();
        let back: Vec<_> = left.iter().filter(|queue| deleted.contains(&queue.name)).collect();
        assert!(back.is_empty(), "{THERE_AGAIN}: {back:?}");
        // Once more, for the entries of the drain.
        server.kill().await;
        self.compare(&server.log());
        let mut server = self.start(rng).await;
        server.kill().await;
        self.compare(&server.log());
        self.load.witness.assert_holds();
    }

    /// Makes a directory of the latest backup, starts a server on it, and looks what it has.
    async fn compare_backup(&mut self) {
        let Some((copy, file)) = self.load.copy.lock().unwrap().clone() else { return };
        let data = self.scratch.join(format!("restored-{copy}"));
        let (file, to) = (file.display().to_string(), data.display().to_string());
        Cli::new(&["restore", &file, "--data-dir", &to]).run().await.ok();
        let mut server = Setup::at(&data).start().await;
        let client = server.client_over(Transport::Http2).await;
        let mut found = Vec::new();
        for (queue, _) in QUEUES {
            found.extend(all_of(&client, queue).await);
        }
        self.load.witness.assert_copied(copy, &found);
        self.backups += 1;
        server.kill().await;
        std::fs::remove_dir_all(&data).unwrap();
    }

    /// What was done so far.
    pub fn summary(&self) -> Vec<(&'static str, usize)> {
        let events = self.load.witness.events();
        let count = |which: fn(&Event) -> bool| events.iter().filter(|event| which(event)).count();
        let settled = |as_verdict: Verdict| {
            let done = |event: &&Event| matches!(event, Event::Settled { verdict, outcome: Outcome::Done, .. } if *verdict == as_verdict);
            events.iter().filter(done).count()
        };
        vec![
            ("sent", count(|event| matches!(event, Event::Sending { .. }))),
            ("confirmed", count(|event| matches!(event, Event::Confirmed { .. }))),
            ("delivered", count(|event| matches!(event, Event::Delivered(_)))),
            ("redelivered", count(|event| matches!(event, Event::Delivered(it) if it.lease.attempt > 1))),
            ("acked", settled(Verdict::Ack)),
            ("nacked", settled(Verdict::Nack)),
            ("extended", count(|event| matches!(event, Event::Extended { .. }))),
            (
                "dead-lettered",
                count(|event| matches!(event, Event::Delivered(it) if it.lease.queue == "dead")),
            ),
            ("transacted or announced", count(|event| matches!(event, Event::Together { .. }))),
            ("redriven", count(|event| matches!(event, Event::Delivered(it) if it.lease.queue == "revived"))),
            ("purges", count(|event| matches!(event, Event::Purged { .. }))),
            ("pauses", count(|event| matches!(event, Event::Paused { .. }))),
            ("backups", count(|event| matches!(event, Event::Copied { .. }))),
            ("restored", usize::try_from(self.backups).expect("few")),
            ("clients killed", count(|event| matches!(event, Event::Killing { .. }))),
            ("queues deleted", self.load.deleted.lock().unwrap().len()),
            ("compactions", self.compactions),
            ("hashes compared", usize::try_from(self.hashes.compared).expect("not that many")),
        ]
    }

    /// Prints it. Where some of it must have happened, a run in which nothing happened shows nothing.
    pub fn show(&self, must: &[&str]) {
        let summary = self.summary();
        let text: Vec<_> = summary.iter().map(|(what, count)| format!("{what} {count}")).collect();
        eprintln!("{}", text.join(", "));
        let missing = summary.iter().find(|(what, count)| *count == 0 && must.contains(what));
        assert!(missing.is_none(), "{missing:?}");
    }
}
