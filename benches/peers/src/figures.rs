//! What one run measured, and the median of several.

use std::time::Duration;

use crate::run::Times;

/// What one run measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Messages confirmed a second.
    pub published_per_s: f64,
    /// Messages acked a second, from the first publish to the last ack.
    pub end_to_end_per_s: f64,
    /// From the sending of a message to its arrival, in microseconds.
    pub p50_us: f64,
    /// The same, for nine of ten.
    pub p90_us: f64,
    /// The same, for all but one in a hundred.
    pub p99_us: f64,
    /// The same, for all but one in a thousand.
    pub p99_9_us: f64,
    /// The part of the machine, from 0 to 1, that others had during the run.
    pub others: f64,
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub fn new(messages: u64, published: Duration, delivered: Duration, times: &Times) -> Self {
        let at = |quantile| times.value_at_quantile(quantile) as f64;
        Self {
            published_per_s: messages as f64 / published.as_secs_f64(),
            end_to_end_per_s: messages as f64 / delivered.as_secs_f64(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            others: 0.0,
        }
    }

    /// The median of each figure by itself; of an even number, the mean of the two in the middle.
    pub fn median(runs: &[Self]) -> Option<Self> {
        let of = |figure: fn(&Self) -> f64| median(runs.iter().map(figure).collect());
        Some(Self {
            published_per_s: of(|run| run.published_per_s)?,
            end_to_end_per_s: of(|run| run.end_to_end_per_s)?,
            p50_us: of(|run| run.p50_us)?,
            p90_us: of(|run| run.p90_us)?,
            p99_us: of(|run| run.p99_us)?,
            p99_9_us: of(|run| run.p99_9_us)?,
            others: of(|run| run.others)?,
        })
    }
}

/// The median; of an even number, the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let lower = if values.len().is_multiple_of(2) { *values.get(middle - 1)? } else { upper };
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::median;

    /// The median is the middle one, or the mean of the two in the middle.
    #[test]
    fn median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![9.0, 1.0, 4.0]), Some(4.0));
        assert_eq!(median(vec![9.0, 1.0, 4.0, 5.0]), Some(4.5));
    }
}
