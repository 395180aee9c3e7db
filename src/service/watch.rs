//! WatchStats: what queues hold and do, again and again.
//!
//! It computes rates from the broker's board, which is shared by all watchers, and remembers of the report before only the tallies of
//! the queues in it.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::try_unfold;
use tokio::time::Instant;
use tonic::Status;

use super::access::{Caller, SEE};
use super::status::Invalid;
use super::{Services, check, proto, wire};
use crate::broker::{Board, BrokerError, Row, Tally, Watch};
use crate::types::{Duration, QueueId, QueueName, Timestamp};

/// How often reports may come.
const INTERVAL_MIN: Duration = Duration(100);
const INTERVAL_MAX: Duration = Duration::seconds(60 * 60);
const INTERVAL: Duration = Duration::seconds(1);
/// The most queues of a report: some 100 KiB.
const QUEUES_MAX: usize = 1000;

/// Which queues are watched.
enum Scope {
    One(QueueName),
    Prefix(String),
}

/// One watch.
struct Watcher {
    services: Services,
    caller: Caller,
    scope: Scope,
    interval: Duration,
    watch: Watch,
    /// When the next report is due; none before the first.
    due: Option<Instant>,
    before: Option<Before>,
}

/// What is remembered of the report before.
struct Before {
    at: Timestamp,
    tallies: HashMap<QueueId, Tally>,
}

impl Services {
    pub(super) async fn watch(
        &self,
        caller: Caller,
        request: proto::WatchStatsRequest,
    ) -> Result<impl Stream<Item = Result<proto::WatchStatsResponse, Status>> + use<>, Status> {
        let proto::WatchStatsRequest { queue, interval, prefix } = request;
        let interval = interval.map_or(Ok(INTERVAL), |interval| check::duration("interval", interval))?;
        if interval < INTERVAL_MIN || interval > INTERVAL_MAX {
            let problem = format!("it is {interval}; it must be 100ms to 1h");
            return Err(Invalid::new("interval", problem).into());
        }
        let scope = if queue.is_empty() {
            Scope::Prefix(prefix)
        } else {
            if !prefix.is_empty() {
                return Err(Invalid::new("prefix", "leave it empty, or leave queue empty").into());
            }
            let name = check::queue_name("queue", &queue)?;
            caller.may(&SEE, &name)?;
            self.broker.show(name.clone()).await?;
            Scope::One(name)
        };
        let watch = self.broker.watch().await?;
        let services = self.clone();
        let watcher = Watcher { services, caller, scope, interval, watch, due: None, before: None };
        Ok(try_unfold(watcher, async |mut watcher: Watcher| {
            let report = watcher.report().await?;
            Ok(Some((report, watcher)))
        }))
    }
}

impl Watcher {
    async fn report(&mut self) -> Result<proto::WatchStatsResponse, Status> {
        if let Some(due) = self.due {
            self.watch.until(due).await?;
        }
        let board = self.watch.board(self.before.as_ref().map(|before| before.at)).await?;
        // A report that came late does not make the next one come early.
        self.due = Some(Instant::now() + self.interval.into());
        let (rows, more) = self.rows(&board)?;
        let mut queues = Vec::with_capacity(rows.len());
        for row in &rows {
            queues.push(report(row, self.before.as_ref(), board.at));
        }
        if let (Scope::One(name), [row], [report]) = (&self.scope, &rows[..], &mut queues[..])
            && row.oldest.is_none()
            && let Some(stats) = &mut report.stats
        {
            // It is on disk, or there is none. Whatever is ready and was leased before is older, but not new.
            let oldest = self.services.oldest(name.clone()).await?;
            stats.oldest_published_at = oldest.map(wire::timestamp);
        }
        let tallies = rows.iter().map(|row| (row.id, row.tally)).collect();
        self.before = Some(Before { at: board.at, tallies });
        Ok(proto::WatchStatsResponse { at: Some(wire::timestamp(board.at)), queues, more })
    }

    /// The queues of a report, and whether there are more.
    fn rows(&self, board: &Arc<Board>) -> Result<(Vec<Row>, bool), BrokerError> {
        match &self.scope {
            Scope::One(name) => {
                let row = board.named(name).ok_or_else(|| BrokerError::NoQueue(name.clone()))?;
                Ok((vec![row.clone()], false))
            }
            Scope::Prefix(prefix) => {
                let mut seen = board.prefixed(prefix).filter(|row| self.caller.sees(&row.name));
                let rows = seen.by_ref().take(QUEUES_MAX).cloned().collect();
                Ok((rows, seen.next().is_some()))
            }
        }
    }
}

fn report(row: &Row, before: Option<&Before>, at: Timestamp) -> proto::QueueReport {
    let mut stats = wire::stats(row.depth, row.consumers);
    stats.oldest_published_at = row.oldest.map(wire::timestamp);
    let passed = before.and_then(|before| {
        // Of a queue that is new since then, everything happened since then.
        let new = row.created_at > before.at;
        let tally = before.tallies.get(&row.id).copied().or(new.then(Tally::default))?;
        Some((tally, at.since(before.at)))
    });
    let rate = |part: fn(&Tally) -> u64| {
        passed.as_ref().map_or(0.0, |(tally, elapsed)| per_second(part(&row.tally) - part(tally), *elapsed))
    };
    proto::QueueReport {
        queue: row.name.to_string(),
        stats: Some(stats),
        published_per_second: rate(|tally| tally.published),
        delivered_per_second: rate(|tally| tally.delivered),
        acked_per_second: rate(|tally| tally.acked),
        redelivered_per_second: rate(|tally| tally.redelivered),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate is an estimate")]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 * 1000.0 / elapsed.0.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Depth;

    fn row(published: u64) -> Row {
        Row {
            id: QueueId(1),
            name: "q".parse().unwrap(),
            created_at: Timestamp(1000),
            depth: Depth { ready: 7, ..Depth::default() },
            consumers: 2,
            oldest: None,
            tally: Tally { published, ..Tally::default() },
        }
    }

    fn before(at: u64, row: Option<&Row>) -> Before {
        let tallies = row.into_iter().map(|row| (row.id, row.tally)).collect();
        Before { at: Timestamp(at), tallies }
    }

    #[test]
    fn a_rate_is_what_happened_since_the_report_before() {
        let rate = |before: Option<Before>, at| {
            let report = report(&row(30), before.as_ref(), Timestamp(at));
            assert_eq!(report.stats.unwrap().ready, 7);
            report.published_per_second.to_string()
        };
        assert_eq!(rate(Some(before(2000, Some(&row(10)))), 2500), "40");
        assert_eq!(rate(None, 2500), "0", "the first report has nothing to compare with");
        assert_eq!(rate(Some(before(500, None)), 1500), "30", "the queue was made since");
        assert_eq!(rate(Some(before(2000, None)), 2500), "0", "the queue was beyond the limit before");
    }
}
