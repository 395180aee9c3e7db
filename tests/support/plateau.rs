//! Whether what was measured under churn has levelled off.
//!
//! The load comes in waves, so only peaks are compared: the first third of a run is for warming up, the rest is cut into waves, and
//! the peak of each is taken. The growth is the median slope between any two peaks (Theil and Sen's), so that neither one odd wave
//! nor where the run happens to end decides.

/// How much growth is none.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// As a share of the median peak.
    pub share: f64,
    /// In the unit of what was measured. The larger of the two counts.
    pub least: f64,
}

/// What became of a series.
#[derive(Clone, Copy, Debug)]
pub struct Trend {
    /// The median of the peaks.
    pub level: f64,
    /// By how much the peaks rose from the first to the last wave.
    pub growth: f64,
    /// The highest value of the whole series.
    pub highest: f64,
}

/// The trend of samples, each a time and a value, under waves of length `wave`. At least two whole waves must be left after the warm-up.
pub fn trend(samples: &[(f64, f64)], wave: f64) -> Trend {
    let end = samples.last().expect("samples").0;
    let peaks = peaks(samples, end / 3.0, end, wave);
    assert!(peaks.len() >= 2, "{} waves are too few to tell", peaks.len());
    let mut slopes = Vec::new();
    for (at, (t, v)) in peaks.iter().enumerate() {
        slopes.extend(peaks[at + 1..].iter().map(|(later, value)| (value - v) / (later - t)));
    }
    let span = peaks[peaks.len() - 1].0 - peaks[0].0;
    Trend {
        level: median(peaks.iter().map(|peak| peak.1).collect()),
        growth: median(slopes) * span,
        highest: samples.iter().map(|sample| sample.1).fold(0.0, f64::max),
    }
}

impl Trend {
    /// Whether it has levelled off.
    pub fn is_plateau(&self, allowed: Allowance) -> bool {
        self.growth <= (self.level * allowed.share).max(allowed.least)
    }
}

/// The middle and the highest value of each whole wave, counted back from the end.
fn peaks(samples: &[(f64, f64)], from: f64, end: f64, wave: f64) -> Vec<(f64, f64)> {
    let mut peaks = Vec::new();
    let mut until = end;
    while until - wave >= from {
        let within = samples.iter().filter(|(t, _)| (until - wave..=until).contains(t));
        let highest = within.map(|sample| sample.1).fold(0.0, f64::max);
        peaks.push((until - wave / 2.0, highest));
        until -= wave;
    }
    peaks.reverse();
    peaks
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
