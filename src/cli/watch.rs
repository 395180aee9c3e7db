//! `bbq queue watch`: what queues hold and do, again and again.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use bbq_client::{Client, Error, proto};
use clap::Args;
use indicatif::HumanBytes;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Global;
use super::argument::{duration, whole, wire};
use super::connection::{stop_signal, with_client};
use super::output::Output;
use super::record::{length, object, wire_time};
use super::table::Column::{self, Number, Text};

/// The pause after a lost connection.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// How long it is known which queues are paused; a report does not say.
const PAUSED_FOR: Duration = Duration::from_secs(1);

const COLUMNS: usize = 13;
const TITLES: [Column; COLUMNS] = [
    Text("NAME"),
    Number("READY"),
    Number("DELAYED"),
    Number("PARKED"),
    Number("LEASED"),
    Number("DEAD"),
    Number("CONSUMERS"),
    Number("SIZE"),
    Number("OLDEST"),
    Number("IN/S"),
    Number("OUT/S"),
    Number("ACK/S"),
    Text("STATE"),
];

#[derive(Debug, Args)]
pub(super) struct Watch {
    /// The queue; all queues if there is none
    name: Option<String>,
    /// Only queues whose name begins so
    #[arg(long, default_value = "", hide_default_value = true, conflicts_with = "name")]
    prefix: String,
    /// How often to report, 100ms to 1h
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true, default_value = "1s")]
    interval: Duration,
    /// End after so many reports
    #[arg(long, value_name = "COUNT", value_parser = whole::<u64>(1..=u64::MAX), allow_negative_numbers = true)]
    count: Option<u64>,
}

/// Which queues are paused, as far as the caller may know.
#[derive(Default)]
struct Paused {
    names: HashSet<String>,
    known_at: Option<Instant>,
}

impl Watch {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        with_client(global, async |client| {
            let stop = stop_signal()?;
            self.watch(&client, &stop, &mut Output::new(global)).await
        })
        .await
    }

    /// Shows reports, over further connections if the first one is lost.
    async fn watch(&self, client: &Client, stop: &CancellationToken, output: &mut Output) -> Result<()> {
        let mut missing = self.count;
        while missing != Some(0) && !stop.is_cancelled() {
            match self.stream(client, stop, &mut missing, output).await {
                Ok(()) => return Ok(()),
                Err(error) => match error.downcast_ref::<Error>() {
                    Some(Error::Unavailable(_) | Error::Connect { .. }) => {
                        tracing::warn!(%error, "trying again");
                        tokio::select! {
                            () = stop.cancelled() => {}
                            () = tokio::time::sleep(RETRY_DELAY) => {}
                        }
                    }
                    Some(_) | None => return Err(error),
                },
            }
        }
        Ok(())
    }

    async fn stream(
        &self,
        client: &Client,
        stop: &CancellationToken,
        missing: &mut Option<u64>,
        output: &mut Output,
    ) -> Result<()> {
        let request = proto::WatchStatsRequest {
            queue: self.name.clone().unwrap_or_default(),
            interval: Some(wire(self.interval)),
            prefix: self.prefix.clone(),
        };
        let mut paused = Paused::default();
        let mut reports = client.watch_stats(request).await?;
        while *missing != Some(0) {
            let report = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                report = reports.next() => report?,
            };
            let Some(report) = report else { return Ok(()) };
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = paused.learn(client, self) => {}
            }
            show(&report, &paused.names, output)?;
            *missing = missing.map(|missing| missing - 1);
        }
        Ok(())
    }
}

impl Paused {
    /// Asks, if what is known is old. Cancel safe. Without an answer nothing changes: who may watch may not always ask, and of a lost
    /// connection the reports tell.
    async fn learn(&mut self, client: &Client, watch: &Watch) {
        if self.known_at.is_some_and(|at| at.elapsed() < PAUSED_FOR) {
            return;
        }
        let queues = match &watch.name {
            Some(name) => client.get_queue(name).await.map(|queue| vec![queue]),
            None => client.all_queues(&watch.prefix).await,
        };
        if let Ok(queues) = queues {
            let is_paused = |queue: &proto::Queue| queue.settings.as_ref().is_some_and(|set| set.paused);
            self.names = queues.into_iter().filter(is_paused).map(|queue| queue.name).collect();
        }
        self.known_at = Some(Instant::now());
    }
}

fn show(report: &proto::WatchStatsResponse, paused: &HashSet<String>, output: &mut Output) -> Result<()> {
    let at = report.at.and_then(|at| SystemTime::try_from(at).ok());
    let rows: Vec<_> =
        report.queues.iter().map(|queue| cells(queue, at, paused.contains(&queue.queue))).collect();
    let mut note = wire_time(report.at).unwrap_or_default();
    if report.more {
        note += &format!(", the first {} queues", rows.len());
    }
    output.screen(&note, TITLES, &rows, || {
        let queues: Vec<_> =
            report.queues.iter().map(|queue| queue_json(queue, paused.contains(&queue.queue))).collect();
        json!({"at": wire_time(report.at), "queues": queues, "more": report.more})
    })
}

fn cells(report: &proto::QueueReport, at: Option<SystemTime>, is_paused: bool) -> [String; COLUMNS] {
    let stats = report.stats.unwrap_or_default();
    let oldest = stats.oldest_published_at.and_then(|oldest| SystemTime::try_from(oldest).ok());
    let age = at.zip(oldest).map(|(at, oldest)| at.duration_since(oldest).unwrap_or_default());
    let [ready, delayed, leased, consumers] =
        [stats.ready, stats.delayed, stats.leased, stats.consumers].map(|count| count.to_string());
    // Their columns are there when there are some.
    let [parked, dead] =
        [stats.parked, stats.dead].map(|count| if count == 0 { String::new() } else { count.to_string() });
    let [published, delivered, acked] =
        [report.published_per_second, report.delivered_per_second, report.acked_per_second]
            .map(|rate| format!("{rate:.0}"));
    let size = HumanBytes(stats.bytes).to_string();
    // Whole seconds: the next report is as far away.
    let oldest = age.map(|age| length(Duration::from_secs(age.as_secs()))).unwrap_or_default();
    let name = report.queue.clone();
    let state = if is_paused { "paused".to_owned() } else { String::new() };
    [name, ready, delayed, parked, leased, dead, consumers, size, oldest, published, delivered, acked, state]
}

fn queue_json(report: &proto::QueueReport, is_paused: bool) -> Value {
    let stats = report.stats.unwrap_or_default();
    object([
        ("queue", report.queue.clone().into()),
        ("ready", stats.ready.into()),
        ("delayed", stats.delayed.into()),
        ("parked", stats.parked.into()),
        ("leased", stats.leased.into()),
        ("dead", stats.dead.into()),
        ("bytes", stats.bytes.into()),
        ("consumers", stats.consumers.into()),
        ("oldest_published_at", wire_time(stats.oldest_published_at).into()),
        ("published_per_second", report.published_per_second.into()),
        ("delivered_per_second", report.delivered_per_second.into()),
        ("redelivered_per_second", report.redelivered_per_second.into()),
        ("acked_per_second", report.acked_per_second.into()),
        ("paused", if is_paused { true.into() } else { Value::Null }),
    ])
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_the_same_in_both_shapes() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let stats = proto::QueueStats {
            ready: 3,
            leased: 1,
            bytes: 2048,
            oldest_published_at: at(1000),
            ..Default::default()
        };
        let report = proto::QueueReport {
            queue: "jobs".into(),
            stats: Some(stats),
            published_per_second: 12.4,
            ..Default::default()
        };
        let now = at(1090).and_then(|at| SystemTime::try_from(at).ok());
        assert_eq!(
            cells(&report, now, true),
            ["jobs", "3", "0", "", "1", "", "0", "2.00 KiB", "1m 30s", "12", "0", "0", "paused"]
        );
        let json = queue_json(&report, true);
        assert_eq!((&json["ready"], &json["published_per_second"]), (&json!(3), &json!(12.4)));
        assert_eq!(json["paused"], true);
        assert_eq!(json["oldest_published_at"], "1970-01-01T00:16:40.000Z");
    }
}
