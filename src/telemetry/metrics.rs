//! Metrics: where everything recorded with the `metrics` crate goes, and how it reads in Prometheus' text format.
//!
//! It never listens; [`super::operations`] shows what it holds. A histogram's buckets follow from the end of its name:
//! `_seconds`, `_bytes` or `_messages`.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

pub use metrics_exporter_prometheus::PrometheusHandle;

/// From a reply out of memory to a call that should have been a stream.
const SECONDS: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0,
    60.0,
];
/// From one small message to the largest request.
const BYTES: [f64; 10] = [
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// From one message to the most in one request.
const MESSAGES: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 10_000.0];

/// Observations wait in memory until they are read or this has passed.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Why there will be no metrics.
#[derive(Debug, thiserror::Error)]
#[error("metrics can't be recorded: {0}")]
pub struct MetricsError(#[from] BuildError);

/// Records this process's metrics from now on. Handles made before this lead nowhere, so it comes first.
pub fn install() -> Result<PrometheusHandle, MetricsError> {
    let handle = builder()?.install_recorder()?;
    metrics::describe_gauge!("bbq_build_info", "Always 1; the labels say what runs");
    metrics::gauge!("bbq_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)?
        .set_buckets_for_metric(Matcher::Suffix("_messages".to_owned()), &MESSAGES)
}

/// Folds observations into their buckets for as long as it is polled, so that a server that nobody scrapes does not
/// grow. Never ends; it may be dropped at any time.
pub async fn upkeep(handle: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_has_the_buckets_of_its_unit() {
        let recorder = builder().unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("a_seconds").record(0.003);
            metrics::histogram!("b_bytes").record(5000.0);
            metrics::histogram!("c_messages").record(7.0);
        });
        let text = recorder.handle().render();
        for line in [
            "a_seconds_bucket{le=\"0.0025\"} 0",
            "a_seconds_bucket{le=\"0.005\"} 1",
            "b_bytes_bucket{le=\"4096\"} 0",
            "b_bytes_bucket{le=\"16384\"} 1",
            "c_messages_bucket{le=\"5\"} 0",
            "c_messages_bucket{le=\"10\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
