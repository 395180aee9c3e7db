//! `bbq queue watch`: what queues hold and do, again and again.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use bbq_client::{Client, Error, proto};
use clap::Args;
use indicatif::HumanBytes;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Global;
use super::argument::{duration, wire};
use super::connection::{stop_signal, with_client};
use super::output::Output;
use super::record::{length, object, wire_time};

/// The pause after a lost connection.
const RETRY_DELAY: Duration = Duration::from_millis(500);

const COLUMNS: usize = 12;
const TITLES: [&str; COLUMNS] = [
    "NAME",
    "READY",
    "DELAYED",
    "PARKED",
    "LEASED",
    "DEAD",
    "CONSUMERS",
    "SIZE",
    "OLDEST",
    "IN/S",
    "OUT/S",
    "ACK/S",
];

#[derive(Debug, Args)]
pub(super) struct Watch {
    /// The queue; all queues if there is none
    name: Option<String>,
    /// Only queues whose name begins so
    #[arg(long, default_value = "", hide_default_value = true, conflicts_with = "name")]
    prefix: String,
    /// How often to report, 100ms to 1h
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1s")]
    interval: Duration,
    /// End after so many reports
    #[arg(long, value_name = "COUNT")]
    count: Option<u64>,
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
        let mut reports = client.watch_stats(request).await?;
        while *missing != Some(0) {
            let report = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                report = reports.next() => report?,
            };
            let Some(report) = report else { return Ok(()) };
            show(&report, output)?;
            *missing = missing.map(|missing| missing - 1);
        }
        Ok(())
    }
}

fn show(report: &proto::WatchStatsResponse, output: &mut Output) -> Result<()> {
    let at = report.at.and_then(|at| SystemTime::try_from(at).ok());
    let rows: Vec<_> = report.queues.iter().map(|queue| cells(queue, at)).collect();
    let mut note = wire_time(report.at).unwrap_or_default();
    if report.more {
        note += &format!(", the first {} queues", rows.len());
    }
    output.screen(&note, TITLES, &rows, || {
        let queues: Vec<_> = report.queues.iter().map(queue_json).collect();
        json!({"at": wire_time(report.at), "queues": queues, "more": report.more})
    })
}

fn cells(report: &proto::QueueReport, at: Option<SystemTime>) -> [String; COLUMNS] {
    let stats = report.stats.unwrap_or_default();
    let oldest = stats.oldest_published_at.and_then(|oldest| SystemTime::try_from(oldest).ok());
    let age = at.zip(oldest).map(|(at, oldest)| at.duration_since(oldest).unwrap_or_default());
    let [ready, delayed, parked, leased, dead, consumers] =
        [stats.ready, stats.delayed, stats.parked, stats.leased, stats.dead, stats.consumers]
            .map(|count| count.to_string());
    let [published, delivered, acked] =
        [report.published_per_second, report.delivered_per_second, report.acked_per_second]
            .map(|rate| format!("{rate:.0}"));
    let size = HumanBytes(stats.bytes).to_string();
    // Whole seconds: the next report is as far away.
    let oldest = age.map(|age| length(Duration::from_secs(age.as_secs()))).unwrap_or_default();
    let name = report.queue.clone();
    [name, ready, delayed, parked, leased, dead, consumers, size, oldest, published, delivered, acked]
}

fn queue_json(report: &proto::QueueReport) -> Value {
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
            cells(&report, now),
            ["jobs", "3", "0", "0", "1", "0", "0", "2.00 KiB", "1m 30s", "12", "0", "0"].map(str::to_owned)
        );
        let json = queue_json(&report);
        assert_eq!((&json["ready"], &json["published_per_second"]), (&json!(3), &json!(12.4)));
        assert_eq!(json["oldest_published_at"], "1970-01-01T00:16:40.000Z");
    }
}
