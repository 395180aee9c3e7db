//! What the broker shows of itself as metrics.

use std::sync::Arc;

use tokio::sync::watch;

use super::consumers::Consumers;
use crate::engine::{Depth, Engine, Queue};
use crate::store::{Compacted, Store, StoreEvent};
use crate::types::{Attempt, QueueName};

/// Queues beyond this many are only part of the totals: each would cost every scrape a few lines.
const QUEUES_SHOWN: usize = 1000;

/// What is in the first queues, by name. Not among the recorded metrics, which never forget: a queue that is gone is gone
/// from here.
#[derive(Clone, Debug)]
pub struct Depths(watch::Receiver<Shown>);

/// Each queue shown, and what is in it.
type Shown = Arc<[(QueueName, Depth)]>;

/// One number of what is in a queue.
type Part = fn(&Depth) -> u64;

/// Where the broker puts it.
pub(super) type DepthsSender = watch::Sender<Shown>;

impl Depths {
    pub(super) fn channel() -> (DepthsSender, Self) {
        let (sender, receiver) = watch::channel(Shown::default());
        (sender, Self(receiver))
    }

    /// In Prometheus' text format.
    #[must_use]
    pub fn text(&self) -> String {
        let shown = Arc::clone(&self.0.borrow());
        let mut text = String::new();
        let gauges: [(&str, Part); 6] = [
            ("bbq_queue_ready", |depth| depth.ready),
            ("bbq_queue_delayed", |depth| depth.delayed),
            ("bbq_queue_parked", |depth| depth.parked),
            ("bbq_queue_dead", |depth| depth.dead),
            ("bbq_queue_leased", |depth| depth.leased),
            ("bbq_queue_bytes", |depth| depth.bytes),
        ];
        for (gauge, value) in gauges {
            text += &format!("# TYPE {gauge} gauge\n");
            for (name, depth) in shown.iter() {
                text += &format!("{gauge}{{queue=\"{name}\"}} {}\n", value(depth));
            }
        }
        text
    }
}

/// Shows what is in the queues now.
pub(super) fn show(engine: &Engine, depths: &DepthsSender) {
    let queues = engine.queues_from("").take(QUEUES_SHOWN);
    // Nobody may be looking.
    depths.send_replace(queues.map(|queue| (queue.record().name.clone(), queue.depth())).collect());
}

/// Sets the gauges: what there is now.
#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
pub(super) fn set(engine: &Engine, store: &Store, consumers: &Consumers) {
    let (mut ready, mut delayed, mut leased, mut dead, mut bytes) = (0, 0, 0, 0, 0);
    let mut parked = 0;
    for depth in engine.queues().map(Queue::depth) {
        ready += depth.ready;
        delayed += depth.delayed;
        leased += depth.leased;
        dead += depth.dead;
        parked += depth.parked;
        bytes += depth.bytes;
    }
    metrics::gauge!("bbq_queues").set(engine.queues().count() as f64);
    metrics::gauge!("bbq_messages_ready").set(ready as f64);
    metrics::gauge!("bbq_messages_delayed").set(delayed as f64);
    metrics::gauge!("bbq_messages_leased").set(leased as f64);
    metrics::gauge!("bbq_messages_parked").set(parked as f64);
    metrics::gauge!("bbq_messages_dead").set(dead as f64);
    metrics::gauge!("bbq_messages_bytes").set(bytes as f64);
    metrics::gauge!("bbq_consumers").set(consumers.len() as f64);
    metrics::gauge!("bbq_journal_bytes").set(store.journal_bytes() as f64);
    metrics::gauge!("bbq_overlay_bytes").set(store.overlay_bytes() as f64);
}

/// Counts a delivery.
pub(super) fn delivered(attempt: Attempt) {
    metrics::counter!("bbq_messages_delivered_total").increment(1);
    if attempt > Attempt(1) {
        metrics::counter!("bbq_messages_redelivered_total").increment(1);
    }
}

/// Counts what the store reports.
#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
pub(super) fn note(event: &StoreEvent) {
    match event {
        StoreEvent::Durable { bytes, took, .. } => {
            metrics::counter!("bbq_commits_total").increment(1);
            metrics::histogram!("bbq_commit_bytes").record(*bytes as f64);
            metrics::histogram!("bbq_commit_seconds").record(took.as_secs_f64());
        }
        StoreEvent::Checkpointed { took, .. } => {
            metrics::counter!("bbq_checkpoints_total").increment(1);
            metrics::histogram!("bbq_checkpoint_seconds").record(took.as_secs_f64());
        }
        StoreEvent::Compacted(done) => compacted(*done),
        StoreEvent::Written { .. } | StoreEvent::Failed { .. } => {}
    }
}

/// The state files gave room back to the disk.
pub(super) fn compacted(Compacted { before, after }: Compacted) {
    metrics::counter!("bbq_compactions_total").increment(1);
    tracing::info!(before, after, "the state files were compacted");
}
