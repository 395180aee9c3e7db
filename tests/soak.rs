//! A server under churn for a long time takes no more of its machine than after a short one.
//!
//! `BBQ_SOAK_MINUTES` is how long; without it, about 20 seconds. `BBQ_SOAK_CHART` names a file for a chart of what was measured.
//! After the churn the backlogs ebb away, and what was held for them must be given back.

#[path = "support/churn.rs"]
mod churn;
#[path = "support/lines.rs"]
mod lines;
#[path = "support/plateau.rs"]
mod plateau;
mod support;
#[path = "support/vitals.rs"]
mod vitals;

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bbq_client::{Client, Transport};
use tokio::time::Instant;

use churn::{Churn, Done, Pace};
use lines::Panel;
use plateau::{Allowance, Trend, trend};
use support::{LONG, Server, Setup, eventually};
use vitals::Vitals;

/// A run: how long, under what churn, and what counts as growth.
struct Soak {
    length: Duration,
    pace: Pace,
    args: &'static [&'static str],
    /// Slack for what is noise in a run of this length, in KiB: resident memory, journal, state files.
    slack_kib: [f64; 3],
}

/// A look, and when.
struct Sample {
    minutes: f64,
    vitals: Vitals,
    /// What clients have stored: messages and KiB.
    messages: u64,
    stored_kib: u64,
    streams: u64,
}

/// The most threads that the server has for what blocks, beside one worker for each processor.
const BLOCKING_THREADS_MAX: u64 = 16;

/// What is measured: a name, a unit, and where it is.
type Series = (&'static str, &'static str, fn(&Sample) -> u64);

const SERIES: [Series; 5] = [
    ("resident memory", "MiB", |sample| sample.vitals.resident_kib / 1024),
    ("descriptors", "", |sample| sample.vitals.descriptors),
    ("threads", "", |sample| sample.vitals.threads),
    ("journal on disk", "MiB", |sample| sample.vitals.journal_kib / 1024),
    ("state files on disk", "MiB", |sample| sample.vitals.state_kib / 1024),
];

impl Soak {
    fn short() -> Self {
        Self {
            length: Duration::from_secs(20),
            pace: Pace { wave: Duration::from_secs(3), crest: 40, pause: Duration::from_millis(400) },
            args: &[
                "--set",
                "store.checkpoint_interval_ms=250",
                "--set",
                "store.segment_bytes=1048576",
                "--set",
                "store.sled_segment_bytes=4194304",
                "--set",
                "store.compaction_bytes=4194304",
                "--set",
                "store.compaction_interval_ms=1000",
            ],
            slack_kib: [48.0, 8.0, 64.0].map(|mib| mib * 1024.0),
        }
    }

    fn long(minutes: u64) -> Self {
        Self {
            length: Duration::from_secs(60 * minutes),
            pace: Pace { wave: Duration::from_secs(60), crest: 1000, pause: Duration::from_millis(1500) },
            args: &[],
            slack_kib: [48.0, 128.0, 64.0].map(|mib| mib * 1024.0),
        }
    }

    fn allowed(&self, name: &str) -> Allowance {
        let [memory, journal, state] = self.slack_kib.map(|kib| kib / 1024.0);
        let (share, least) = match name {
            "resident memory" => (0.2, memory),
            "journal on disk" => (0.2, journal),
            "state files on disk" => (0.2, state),
            _ => (0.1, 8.0),
        };
        Allowance { share, least }
    }
}

fn minutes() -> Option<u64> {
    let text = std::env::var("BBQ_SOAK_MINUTES").ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("BBQ_SOAK_MINUTES is {text:?}, it must be a number")))
}

async fn look(server: &Server, client: &Client, started: Instant) -> Sample {
    let queues = client.all_queues("").await.expect("the server answers");
    let sum = |of: fn(&bbq_client::proto::QueueStats) -> u64| {
        queues.iter().filter_map(|queue| queue.stats.as_ref()).map(of).sum()
    };
    let vitals = Vitals::of(server.process.pid(), &server.data()).await;
    assert_eq!(vitals.blobs, 0, "nothing spills into blobs");
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let bound = u64::try_from(workers).expect("a few") + BLOCKING_THREADS_MAX;
    assert!(vitals.tokio_threads <= bound, "{} threads of tokio's, not {bound}", vitals.tokio_threads);
    Sample {
        minutes: started.elapsed().as_secs_f64() / 60.0,
        vitals,
        messages: sum(churn::backlog),
        stored_kib: sum(|stats| stats.bytes) / 1024,
        streams: sum(|stats| stats.consumers),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_under_churn_levels_off() {
    let soak = minutes().map_or_else(Soak::short, Soak::long);
    let mut server = Setup::new().args(soak.args).start().await;
    let client = server.client_over(Transport::Http2).await;
    let started = Instant::now();
    let mut samples = vec![look(&server, &client, started).await];
    let churn = Churn::start(&server.profile(), soak.pace, 1).await;
    let mut looks = tokio::time::interval(soak.pace.wave / 15);
    // On a busy machine, until everything has happened.
    while started.elapsed() < soak.length
        || started.elapsed() < soak.length + LONG && churn.done.counts().iter().any(|(_, count)| *count == 0)
    {
        looks.tick().await;
        samples.push(look(&server, &client, started).await);
    }
    draw(&samples);
    let broken = report(&soak, &samples, &churn.done);

    churn.ebb();
    eventually("nothing is left in the queues", async || {
        let sample = look(&server, &client, started).await;
        (sample.messages == 0).then_some(())
    })
    .await;
    churn.end().await;
    let before = samples[0].vitals.descriptors;
    eventually("connections, streams and consumers are gone", async || {
        let sample = look(&server, &client, started).await;
        (sample.streams == 0 && sample.vitals.descriptors <= before + 4).then_some(())
    })
    .await;
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(server.stop().await.success());
}

/// Prints what was measured; what of it still grows.
fn report(soak: &Soak, samples: &[Sample], done: &Done) -> Vec<String> {
    let (counts, errors) = (done.counts(), done.errors.load(Ordering::Relaxed));
    let list: Vec<_> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    println!("soak: {}; {errors} errors", list.join(", "));
    for (what, count) in counts {
        assert!(count > 0, "there were no {what}: that is no churn");
    }
    assert_eq!(errors, 0, "a call failed that should not");
    let mut broken = Vec::new();
    for (name, unit, of) in SERIES {
        let series: Vec<_> = samples.iter().map(|sample| (sample.minutes, float(of(sample)))).collect();
        let trend = trend(&series, soak.pace.wave.as_secs_f64() / 60.0);
        let Trend { level, growth, highest } = trend;
        let line =
            format!("{name}: peaks of {level:.0} {unit}, {growth:+.1} in the run, {highest:.0} at most");
        println!("soak: {line}");
        if !trend.is_plateau(soak.allowed(name)) {
            broken.push(format!("it keeps growing: {line}"));
        }
    }
    broken
}

fn draw(samples: &[Sample]) {
    let Some(path) = std::env::var_os("BBQ_SOAK_CHART") else { return };
    let stored: [Series; 2] =
        [("messages", "", |sample| sample.messages), ("stored", "MiB", |sample| sample.stored_kib / 1024)];
    let panel = |(name, unit, of): Series| Panel {
        title: format!("{name} {unit}"),
        samples: samples.iter().map(|sample| (sample.minutes, float(of(sample)))).collect(),
    };
    let panels: Vec<_> = stored.into_iter().chain(SERIES).map(panel).collect();
    std::fs::write(&path, lines::draw(&panels)).expect("BBQ_SOAK_CHART names a file that can be written");
}

fn float(value: u64) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}

/// What the soak test would say of a server that does this.
#[test]
fn growth_is_told_from_waves_and_noise() {
    let allowed = Allowance { share: 0.2, least: 10.0 };
    let series = |value: &dyn Fn(f64) -> f64| {
        (0..600).map(f64::from).map(|t| (t / 20.0, value(t / 20.0))).collect::<Vec<_>>()
    };
    let wave = |t: f64| 100.0 + 80.0 * (t * std::f64::consts::TAU / 1.5).sin() + (t * 977.0).sin() * 15.0;
    let verdict = |value: &dyn Fn(f64) -> f64| trend(&series(value), 1.5).is_plateau(allowed);
    assert!(verdict(&wave), "waves and noise");
    assert!(verdict(&|t| wave(t) * (1.0 - (-t).exp())), "a start from nothing");
    assert!(verdict(&|t| if (20.0..20.5).contains(&t) { 1000.0 } else { wave(t) }), "one odd moment");
    assert!(verdict(&|t| wave(t) - t), "what shrinks");
    assert!(!verdict(&|t| wave(t) + 4.0 * t), "a leak");
    assert!(!verdict(&|t| wave(t) + 15.0 * (t / 3.0).floor()), "a leak in steps");
    assert!(!verdict(&|t| wave(t) * 1.02_f64.powf(t)), "a leak that grows");
}
