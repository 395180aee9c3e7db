//! What the store does on this machine's disk: `cargo bench --bench store -- [directory] [messages]`.
//!
//! Figures depend on the disk far more than on the program; they are here for their ratios.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bbq::store::{Awaited, Opened, Store, StoreEvent, StoreOptions, open};
use bbq::types::{
    Attempt, Change, Command, Content, EngineRecord, Epoch, Lane, Lanes, LogId, Priority, QueueId,
    QueueRecord, QueueSettings, Sequence, Timestamp, Touch, TouchState,
};
use bytes::Bytes;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

const QUEUE: QueueId = QueueId(0);

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let root = arguments.first().map_or_else(|| PathBuf::from("target/bench-store"), PathBuf::from);
    let messages = arguments.get(1).map_or(1_000_000, |count| count.parse().expect("messages is a number"));
    _ = std::fs::remove_dir_all(&root);
    for (size, in_flight) in [(4 << 10, 1), (4 << 10, 3), (64 << 10, 1), (64 << 10, 3), (256 << 10, 3)] {
        commits(&root.join(format!("journal-{size}-{in_flight}")), size, in_flight);
    }
    for _ in 0..3 {
        backlog(&root.join("backlog"), messages, 256);
    }
    _ = std::fs::remove_dir_all(&root);
}

fn publish(size: usize) -> Command {
    Command::Publish { queue: QUEUE, messages: vec![Content(Bytes::from(vec![7; size]))], facts: Vec::new() }
}

/// Entries of one size, so many in flight.
fn commits(path: &Path, size: usize, in_flight: u64) {
    let Opened { mut store, mut events, .. } =
        open(path, &StoreOptions::default()).expect("an empty directory opens");
    let command = publish(size);
    let count = ((256 << 20) / size).min(6000);
    let started = Instant::now();
    let mut waits = Vec::new();
    for _ in 0..count {
        while store.last().index - store.durable_index() >= in_flight {
            let event = events.blocking_recv().expect("the store reports");
            if let StoreEvent::Durable { took, .. } = event {
                waits.push(took);
            }
            store.handle(&event);
        }
        let mut entry = store.begin(Timestamp(1));
        entry.push(&command);
        store.append(entry, Awaited::Durable);
    }
    drop(store);
    waits.sort_unstable();
    let took = started.elapsed();
    let rate = per_second(count, took);
    println!(
        "journal, {} KiB, {in_flight} in flight: {rate:.0} entries/s, {:.1} MiB/s, sync p50 {:?}, p99 {:?}",
        size >> 10,
        per_second(count * size, took) / 1_048_576.0,
        waits[waits.len() / 2],
        waits[waits.len() * 99 / 100],
    );
}

fn per_second(count: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(count >> 8).expect("a small number")) * 256.0 / took.as_secs_f64()
}

struct Run {
    store: Store,
    events: UnboundedReceiver<StoreEvent>,
    frontier: Sequence,
    next: Sequence,
    last: LogId,
    checkpoints: Vec<Duration>,
}

impl Run {
    fn checkpoint_if(&mut self, wanted: bool) {
        if wanted && !self.store.checkpoint_running() {
            let mut lanes = Lanes::default();
            lanes.of_mut(Priority::default()).frontier = self.frontier;
            let record = QueueRecord {
                id: QUEUE,
                name: "q".parse().expect("a name"),
                settings: QueueSettings::default(),
                created_at: Timestamp(1),
                lanes,
                next_sequence: self.next,
                remembered_from: Sequence(1),
                expiring_before: Sequence(0),
            };
            self.store.begin_checkpoint(self.last, EngineRecord::default(), [record].into_iter().collect());
        }
    }

    fn handle(&mut self) {
        let event = self.events.blocking_recv().expect("the store reports");
        match &event {
            StoreEvent::Checkpointed { took, .. } => self.checkpoints.push(*took),
            StoreEvent::Failed { what } => panic!("{what}"),
            StoreEvent::Written { .. } | StoreEvent::Durable { .. } | StoreEvent::Compacted(_) => {}
        }
        self.store.handle(&event);
    }

    /// One entry, then what waits for it and for memory.
    fn entry(&mut self, command: &Command, changes: Vec<Change>) {
        let mut entry = self.store.begin(Timestamp(1));
        entry.push(command);
        self.last = self.store.append(entry, Awaited::Durable);
        self.store.apply(changes);
        self.checkpoint_if(self.store.checkpoint_due());
        while self.store.last().index - self.store.durable_index() >= 3
            || self.store.pressure() != bbq::store::Pressure::None
        {
            self.handle();
        }
    }

    fn settle(&mut self) {
        while self.store.checkpoint_running() {
            self.handle();
        }
        self.checkpoint_if(true);
        while self.store.checkpoint_running() {
            self.handle();
        }
    }
}

/// Fills a queue, opens it again, reads it, leases and settles all. Again and again, the directory should stop growing.
fn backlog(path: &Path, messages: u64, size: usize) {
    const BATCH: u64 = 1000;
    let options = StoreOptions::default();
    let Opened { store, events, snapshot, .. } = open(path, &options).expect("it opens");
    let next = snapshot.queues.first().map_or(Sequence(1), |queue| queue.next_sequence);
    let (begin, end) = (next, next.plus(messages));
    let mut run =
        Run { store, events, frontier: next, next, last: snapshot.applied, checkpoints: Vec::new() };
    let contents = vec![Content(Bytes::from(vec![7; size])); usize::try_from(BATCH).expect("a small number")];
    let started = Instant::now();
    while run.next < end {
        let first = run.next;
        run.next = first.plus(BATCH);
        let stored = Change::Stored {
            queue: QUEUE,
            first,
            published_at: Timestamp(1),
            messages: contents.clone(),
            lanes: Vec::new(),
        };
        run.entry(
            &Command::Publish { queue: QUEUE, messages: contents.clone(), facts: Vec::new() },
            vec![stored],
        );
    }
    run.settle();
    report("publish", messages, started.elapsed(), &run.checkpoints);
    drop(run);

    let started = Instant::now();
    let Opened { store, events, snapshot, replay, .. } = open(path, &options).expect("it opens again");
    println!("open with {messages} messages: {:?}, {} entries to replay", started.elapsed(), replay.count());
    let next = snapshot.queues[0].next_sequence;
    let mut run =
        Run { store, events, frontier: begin, next, last: snapshot.applied, checkpoints: Vec::new() };

    let started = Instant::now();
    let reader = run.store.reader();
    let mut at = begin;
    while at < next {
        let found = reader.untouched(QUEUE, (at, next), 1000, 1 << 20).expect("it reads");
        at = found.last().expect("every message is there").sequence.next();
    }
    report("read cold", messages, started.elapsed(), &[]);

    let started = Instant::now();
    while run.frontier < next {
        let from = run.frontier;
        run.frontier = from.plus(BATCH);
        let sequences = (from.0..run.frontier.0).map(Sequence);
        let touch = Touch {
            attempt: Attempt(1),
            uncounted: 0,
            epoch: Epoch(1),
            size: 256,
            lane: Lane::default(),
            key: None,
            state: TouchState::Ready,
        };
        let leased = |sequence| Change::Touched { queue: QUEUE, sequence, touch: touch.clone() };
        run.entry(&Command::StartEpoch, sequences.clone().map(leased).collect());
        let settled = |sequence| Change::Settled { queue: QUEUE, lane: Lane::default(), sequence };
        run.entry(&Command::StartEpoch, sequences.map(settled).collect());
    }
    run.settle();
    report("lease and settle", messages, started.elapsed(), &run.checkpoints);
    drop(run);
    let bytes: u64 = ["state", "journal"].iter().map(|name| directory_bytes(&path.join(name))).sum();
    println!("directory at the end: {} MiB", bytes >> 20);
}

fn report(what: &str, messages: u64, took: Duration, checkpoints: &[Duration]) {
    let rate = per_second(usize::try_from(messages).expect("a small number"), took);
    let longest = checkpoints.iter().max().copied().unwrap_or_default();
    println!("{what}: {rate:.0} messages/s, {} checkpoints, the longest {longest:?}", checkpoints.len());
}

fn directory_bytes(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).expect("it lists");
    entries.map(|entry| entry.and_then(|entry| entry.metadata()).map_or(0, |metadata| metadata.len())).sum()
}
