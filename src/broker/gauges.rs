//! What the broker shows of itself as metrics.

use super::consumers::Consumers;
use crate::engine::Engine;
use crate::store::{Store, StoreEvent};
use crate::types::Attempt;

/// Queues beyond this many are only part of the totals: each would cost every scrape a few lines.
const QUEUES_SHOWN: usize = 1000;

/// Sets the gauges: what there is now.
#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
pub(super) fn set(engine: &Engine, store: &Store, consumers: &Consumers) {
    let (mut ready, mut leased, mut bytes) = (0, 0, 0);
    for (place, queue) in engine.queues().enumerate() {
        let depth = queue.depth();
        ready += depth.ready;
        leased += depth.leased;
        bytes += depth.bytes;
        if place < QUEUES_SHOWN {
            let name = queue.record().name.to_string();
            metrics::gauge!("bbq_queue_ready", "queue" => name.clone()).set(depth.ready as f64);
            metrics::gauge!("bbq_queue_leased", "queue" => name.clone()).set(depth.leased as f64);
            metrics::gauge!("bbq_queue_bytes", "queue" => name).set(depth.bytes as f64);
        }
    }
    metrics::gauge!("bbq_queues").set(engine.queues().count() as f64);
    metrics::gauge!("bbq_messages_ready").set(ready as f64);
    metrics::gauge!("bbq_messages_leased").set(leased as f64);
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

/// A queue is gone: what was shown of it must not stay as it was.
pub(super) fn forget(name: &str) {
    for gauge in ["bbq_queue_ready", "bbq_queue_leased", "bbq_queue_bytes"] {
        metrics::gauge!(gauge, "queue" => name.to_owned()).set(0.0);
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
        StoreEvent::Written { .. } | StoreEvent::Failed { .. } => {}
    }
}
