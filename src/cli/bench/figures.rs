//! What a run measured, for people and for scripts.

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::usage::Usage;

/// The longest time that is told apart: an hour, in microseconds.
const LONGEST_US: u64 = 3_600_000_000;
/// Three digits are more than any run repeats.
const DIGITS: u8 = 3;

/// Times in microseconds. Longer ones count as an hour.
pub(super) fn times() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("the bounds make sense")
}

/// The rows of a result, in order: a name, a value for people, the same for scripts.
#[derive(Default)]
pub(super) struct Figures {
    people: Vec<(String, String)>,
    scripts: Map<String, Value>,
}

impl Figures {
    /// A number and its unit.
    pub(super) fn add(&mut self, name: &str, value: f64, unit: &str) {
        let shown = if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        self.people.push((name.replace('_', " "), format!("{shown} {unit}")));
        let exact = (value * 1000.0).round() / 1000.0;
        self.scripts.insert(name.to_owned(), json!(exact));
    }

    pub(super) fn percentiles(&mut self, prefix: &str, times: &Histogram<u64>) {
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999), ("max", 1.0)] {
            let us = times.value_at_quantile(quantile);
            self.people.push((format!("{prefix}{}", name.replace('_', ".")), format!("{us} us")));
            self.scripts.insert(format!("{prefix}{name}_us"), json!(us));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(super) fn usage(&mut self, usage: Usage, messages: f64) {
        self.add("client_cpu_s", usage.client_cpu_s, "s");
        if let Some(cpu) = usage.server_cpu_s {
            self.add("server_cpu_s", cpu, "s");
            self.add("cpu_us_per_message", (cpu + usage.client_cpu_s) * 1e6 / messages, "us, both ends");
        }
        if let Some(kib) = usage.server_peak_kib {
            self.add("server_peak_mib", kib as f64 / 1024.0, "MiB");
        }
        if let Some(fsyncs) = usage.fsyncs {
            self.add("fsyncs", fsyncs, "");
        }
        if let Some(bytes) = usage.bytes_written {
            self.add("bytes_written_per_message", bytes / messages, "bytes");
        }
    }

    /// One line a figure.
    pub(super) fn text(&self) -> String {
        let width = self.people.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let lines = self.people.iter().map(|(name, value)| format!("{name:width$}  {}", value.trim_end()));
        lines.collect::<Vec<_>>().join("\n")
    }

    pub(super) fn json(self) -> Value {
        Value::Object(self.scripts)
    }
}
