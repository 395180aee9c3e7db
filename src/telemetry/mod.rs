//! How an operator sees a running server: logs, metrics, health.
//!
//! It knows nothing of queues; whoever has something to tell uses `tracing`, `metrics` or the [`operations::Readiness`]
//! switch.

pub mod logs;
pub mod metrics;
pub mod operations;
