//! How much of the machine others had during a run: what makes figures worthless, and can't be seen in them.

use std::fs::read_to_string;

use anyhow::{Context as _, Result};

/// Processor time used up to now, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// By anyone, since the machine started.
    busy: u64,
    /// Busy or not.
    whole: u64,
    /// By this process and those that it started and has seen the end of.
    own: u64,
}

impl Usage {
    /// What was used up to now.
    pub fn now() -> Result<Self> {
        let all = read_to_string("/proc/stat").context("/proc/stat can't be read")?;
        let own = read_to_string("/proc/self/stat").context("/proc/self/stat can't be read")?;
        Self::of(&all, &own).context("/proc/stat is not what proc(5) says")
    }

    fn of(all: &str, own: &str) -> Option<Self> {
        let fields = all.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        let ticks = fields.map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
        let whole: u64 = ticks.get(..8)?.iter().sum();
        let busy = whole - ticks.get(3)? - ticks.get(4)?;
        // The name in parentheses may contain anything; fields 14 to 17 are this one's and its children's times.
        let (_, fields) = own.rsplit_once(") ")?;
        let own =
            fields.split(' ').skip(11).take(4).map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()?;
        Some(Self { busy, whole, own })
    }

    /// The part of the machine, from 0 to 1, that others and the kernel's own threads have had since `earlier`.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub fn others_since(self, earlier: Self) -> f64 {
        let others = (self.busy - earlier.busy).saturating_sub(self.own - earlier.own);
        others as f64 / (self.whole - earlier.whole).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::Usage;

    /// What others had is what was busy, less what was ours.
    #[test]
    fn others_are_told_apart() {
        let own = |ticks: u64| format!("7 (a b) c) S 1 1 1 0 0 0 0 0 0 0 {ticks} 5 10 0 20");
        let before = Usage::of("cpu  100 0 0 900 0 0 0 0 0 0\n", &own(10));
        let after = Usage::of("cpu  150 10 20 1000 20 0 0 0 0 0\n", &own(50));
        let share = before.zip(after).map(|(before, after)| after.others_since(before));
        assert_eq!(share, Some(0.2));
    }
}
