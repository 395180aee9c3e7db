//! The page: what was measured, on what, and how to repeat it.
//!
//! Never says anything of a system that was not measured in this run, except that it was not, and why.

use std::fmt::Write as _;

use crate::figures::Figures;
use crate::lineup::{Outcome, System};
use crate::machine::Machine;
use crate::settings::Settings;

/// The part of the machine that others may have before the page warns: what a quiet machine's kernel threads reach
/// while a server writes as fast as it can.
const OTHERS_MAX: f64 = 0.15;

/// The page as Markdown.
pub fn page(settings: &Settings, machine: &Machine, outcomes: &[Outcome]) -> String {
    let head = format!(
        "# Side by side\n\n\
         Written by `make bench-peers`; what it says was measured in one run, on {}.\n\n\
         ![The figures below as bars](benchmarks.svg)\n\n\
         {} producers with {} unconfirmed messages each and {} consumers with {} unacked ones each, on the same {} cores \
         as the server; bodies of {} bytes; every publish confirmed, every message acked, the queue empty at the end. \
         Latency is from the sending of a message to its arrival at a consumer. Every figure is the median of {} runs, \
         taken in turn: all systems once, then all again.\n\n",
        machine.date,
        settings.producers,
        settings.window,
        settings.consumers,
        settings.window,
        machine.cores,
        settings.size,
        settings.rounds,
    );
    [
        head,
        disturbed(outcomes),
        full_speed(outcomes),
        paced(settings, outcomes),
        missing(outcomes),
        settings_of(settings, outcomes),
        machine_of(machine),
        every_run(outcomes),
    ]
    .concat()
}

/// A warning, if others had more of the machine than a measurement bears.
fn disturbed(outcomes: &[Outcome]) -> String {
    let runs = outcomes.iter().flat_map(|outcome| outcome.full_speed.iter().chain(&outcome.paced));
    let (disturbed, all) =
        runs.fold((0, 0), |(disturbed, all), run| (disturbed + u32::from(run.others > OTHERS_MAX), all + 1));
    if disturbed == 0 {
        return String::new();
    }
    format!(
        "**The machine was not quiet**: in {disturbed} of {all} runs others had more than {:.0} % of it (last table). \
         Take the order of magnitude, not the ratios.\n\n",
        OTHERS_MAX * 100.0
    )
}

fn full_speed(outcomes: &[Outcome]) -> String {
    let redis = of_redis(outcomes, Outcome::throughput).map(|figures| figures.end_to_end_per_s);
    let mut text = "## At full speed\n\n\
        | | fsync before confirm | msg/s end to end | to Redis | p50 | p90 | p99 | p99.9 |\n\
        |---|---|---:|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for outcome in outcomes {
        let Some(figures) = outcome.throughput() else { continue };
        let ratio = ratio(Some(figures.end_to_end_per_s), redis);
        let durable = if outcome.system.is_durable() { "yes" } else { "**no**" };
        let speed = grouped(figures.end_to_end_per_s);
        row(&mut text, &[outcome.system.name(), durable, &speed, &ratio], &figures);
    }
    text + "\n"
}

fn paced(settings: &Settings, outcomes: &[Outcome]) -> String {
    let redis = of_redis(outcomes, Outcome::latency);
    let mut text = format!(
        "## At {} messages a second\n\n\
         | | fsync before confirm | p50 to Redis | p99 to Redis | p50 | p90 | p99 | p99.9 |\n\
         |---|---|---:|---:|---:|---:|---:|---:|\n",
        grouped(f64::from(settings.rate))
    );
    for outcome in outcomes {
        let durable = if outcome.system.is_durable() { "yes" } else { "**no**" };
        if let Some(figures) = outcome.latency() {
            let p50 = ratio(Some(figures.p50_us), redis.map(|redis| redis.p50_us));
            let p99 = ratio(Some(figures.p99_us), redis.map(|redis| redis.p99_us));
            row(&mut text, &[outcome.system.name(), durable, &p50, &p99], &figures);
        } else if outcome.throughput().is_some() {
            let name = outcome.system.name();
            _ = writeln!(text, "| {name} | {durable} | | | can't keep up | | | |");
        }
    }
    text + "\n"
}

fn row(text: &mut String, first: &[&str], figures: &Figures) {
    let times = [figures.p50_us, figures.p90_us, figures.p99_us, figures.p99_9_us].map(ms);
    _ = writeln!(text, "| {} | {} ms |", first.join(" | "), times.join(" ms | "));
}

fn missing(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        if let Some(trouble) = &outcome.trouble {
            let measured =
                if outcome.full_speed.is_empty() { "not measured" } else { "not measured to the end" };
            _ = writeln!(text, "- {}: {measured}: {trouble}", outcome.system.name());
        }
    }
    if text.is_empty() { text } else { format!("## What is missing\n\n{text}\n") }
}

fn settings_of(settings: &Settings, outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "## How each is run\n\n\
         Each server is started on an empty directory of the same file system for every run, {} messages at full speed \
         ({} where every message is fsynced by itself) and {} at {} a second. The peers speak plain TCP on loopback; \
         BBQ has no plaintext and pays for TLS 1.3. Client and server share the cores, so a client's cost counts.\n\n",
        grouped_u64(settings.messages),
        grouped_u64(settings.slow_messages),
        grouped_u64(settings.rate_messages),
        grouped(f64::from(settings.rate)),
    );
    for outcome in outcomes {
        if let Some(version) = &outcome.version {
            _ = writeln!(text, "- {} {version}: {}", outcome.system.name(), how(outcome.system));
        }
    }
    text + "\nAgain: `make bench-peers`, with other numbers by `make bench-peers PEERS='--rounds 4 --size 256'`; \
        `--help` lists them.\n\n"
}

fn how(system: System) -> &'static str {
    match system {
        System::BbqHttp3 => "`bbq bench --spawn`, gRPC over QUIC, default settings, `synced`",
        System::BbqHttp2 => "the same over HTTP/2 on TCP",
        System::Redis => {
            "`appendonly yes`, `appendfsync always`; XADD in pipelines of up to 64, XREADGROUP, XACK and XDEL pipelined"
        }
        System::Rabbitmq => {
            "one node, durable quorum queue, publisher confirms, prefetch, acks with `multiple`"
        }
        System::Postgres => {
            "`synchronous_commit on`, `shared_buffers 512MB`, `max_wal_size 4GB`; up to 256 rows a statement, \
             leased by DELETE ... FOR UPDATE SKIP LOCKED in a transaction, acked by its commit; polled every 2 ms"
        }
        System::NatsAlways => {
            "work-queue stream on disk, `sync_interval: always`; asynchronous acked publishes, pull consumer, explicit acks"
        }
        System::Beanstalkd => "`-f 0`; puts pipelined, reserves and deletes in pipelines of up to 16",
        System::NatsDefault => {
            "the same with the server's default, an fsync every two minutes: a confirmed message may be lost with the power"
        }
    }
}

fn machine_of(machine: &Machine) -> String {
    format!(
        "## The machine\n\n{}, {} cores, {:.0} GiB, Linux {}, {}; an append of 4 KiB with its fdatasync takes {} ms \
         (median of 200).\n\n",
        machine.processor,
        machine.cores,
        machine.memory_gib,
        machine.kernel,
        machine.file_system,
        ms(machine.fsync_us),
    )
}

fn every_run(outcomes: &[Outcome]) -> String {
    let mut text = "## Every run\n\n\
        The last column is the part of the processor time that neither the server nor its clients had: other \
        programs and the kernel's own threads, at full speed / at the rate.\n\n\
        | | msg/s confirmed | msg/s end to end | p50 / p99 at full speed | p50 / p99 at the rate | others |\n\
        |---|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for outcome in outcomes {
        for (round, figures) in outcome.full_speed.iter().enumerate() {
            let paced = outcome.paced.get(round).map_or_else(|| "-".to_owned(), pair);
            let (published, acked) = (grouped(figures.published_per_s), grouped(figures.end_to_end_per_s));
            let name = outcome.system.name();
            let others = outcome.paced.get(round).map_or_else(|| "-".to_owned(), percent);
            let others = format!("{} / {others}", percent(figures));
            _ = writeln!(text, "| {name} | {published} | {acked} | {} | {paced} | {others} |", pair(figures));
        }
    }
    text
}

fn percent(figures: &Figures) -> String {
    format!("{:.0} %", figures.others * 100.0)
}

fn pair(figures: &Figures) -> String {
    format!("{} / {} ms", ms(figures.p50_us), ms(figures.p99_us))
}

fn of_redis(outcomes: &[Outcome], of: fn(&Outcome) -> Option<Figures>) -> Option<Figures> {
    outcomes.iter().find(|outcome| outcome.system == System::Redis).and_then(of)
}

fn ratio(figure: Option<f64>, redis: Option<f64>) -> String {
    match (figure, redis) {
        (Some(figure), Some(redis)) => {
            let ratio = figure / redis;
            if ratio < 0.1 { format!("{ratio:.3}") } else { format!("{ratio:.2}") }
        }
        _ => "-".to_owned(),
    }
}

/// Microseconds as milliseconds, in three digits at the most.
pub fn ms(us: f64) -> String {
    let ms = us / 1000.0;
    if ms >= 100.0 {
        format!("{ms:.0}")
    } else if ms >= 10.0 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.2}")
    }
}

/// A number with its thousands apart.
pub fn grouped(number: f64) -> String {
    group(&format!("{number:.0}"))
}

fn grouped_u64(number: u64) -> String {
    group(&number.to_string())
}

fn group(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers are shown the way people read them.
    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(38_412.4), "38,412");
        assert_eq!(grouped(640.0), "640");
        assert_eq!(ms(1_234.0), "1.23");
        assert_eq!(ms(152_340.0), "152");
    }

    /// A system that is missing is named with its reason, and has no figures.
    #[test]
    fn missing_systems_are_named() {
        let trouble = Some("redis-server is not installed".to_owned());
        let outcome =
            Outcome { system: System::Redis, version: None, full_speed: vec![], paced: vec![], trouble };
        let outcomes = [outcome];
        assert_eq!(
            missing(&outcomes),
            "## What is missing\n\n- Redis Streams: not measured: redis-server is not installed\n\n"
        );
        assert!(!full_speed(&outcomes).contains("| Redis"));
    }
}
