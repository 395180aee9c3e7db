//! The store's settings, and the bounds within which they make sense.

use super::OpenError;

/// How much the store keeps in memory and on disk. Every bound of the store is here.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreOptions {
    /// Size of a journal file, allocated when it is made. Larger: fewer pauses of a few milliseconds for making files, but
    /// more disk space taken while idle, and as much memory for a moment when the store opens. 64 KiB to 1 GiB.
    pub segment_bytes: u64,
    /// A checkpoint begins after this much journal. Larger: less work for checkpoints, a longer restart after a crash.
    pub checkpoint_journal_bytes: u64,
    /// A checkpoint begins this long after the one before, if anything changed. Larger: fewer short-lived messages reach
    /// the state files, a longer restart after a crash.
    pub checkpoint_interval_ms: u64,
    /// A checkpoint begins after this many leases and settlements. Larger: more memory, about 200 bytes each, and a larger
    /// transaction, during which readers of the state files wait.
    pub overlay_touched_max: u64,
    /// Publishers wait while messages that no checkpoint has stored take more memory than this.
    pub overlay_publish_bytes_max: u64,
    /// Grants wait, too, above this. Settlements never wait.
    pub overlay_grant_bytes_max: u64,
    /// Cache of the state files. sled overshoots it several times.
    pub sled_cache_bytes: u64,
    /// State files are compacted that take more room than this, and four times as much as what lives in them: at a start, and while
    /// the server runs. Smaller: less room on disk, and more often a copy of what lives, of 256 MiB at most at a start and of 64
    /// MiB otherwise.
    pub compaction_bytes: u64,
    /// While the server runs, it looks this often whether that is worth it, if anything changed.
    pub compaction_interval_ms: u64,
    /// Segment size of the state files, a power of two from 4 to 16 MiB. Fixed when the directory is made; later changes
    /// have no effect on it.
    pub sled_segment_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            checkpoint_journal_bytes: 64 << 20,
            checkpoint_interval_ms: 5000,
            overlay_touched_max: 200_000,
            overlay_publish_bytes_max: 256 << 20,
            overlay_grant_bytes_max: 384 << 20,
            sled_cache_bytes: 64 << 20,
            compaction_bytes: 128 << 20,
            compaction_interval_ms: 60_000,
            sled_segment_bytes: 8 << 20,
        }
    }
}

impl StoreOptions {
    pub(super) fn validate(&self) -> Result<(), OpenError> {
        let bounds = [
            ("segment_bytes", self.segment_bytes, 64 << 10, 1 << 30),
            ("checkpoint_journal_bytes", self.checkpoint_journal_bytes, 64 << 10, 64 << 30),
            ("checkpoint_interval_ms", self.checkpoint_interval_ms, 10, 3_600_000),
            ("overlay_touched_max", self.overlay_touched_max, 1, 1_000_000),
            ("overlay_publish_bytes_max", self.overlay_publish_bytes_max, 1 << 20, 1 << 40),
            (
                "overlay_grant_bytes_max",
                self.overlay_grant_bytes_max,
                self.overlay_publish_bytes_max,
                1 << 40,
            ),
            ("sled_cache_bytes", self.sled_cache_bytes, 1 << 20, 1 << 40),
            ("compaction_bytes", self.compaction_bytes, 1 << 20, 1 << 40),
            ("compaction_interval_ms", self.compaction_interval_ms, 10, 86_400_000),
            ("sled_segment_bytes", self.sled_segment_bytes, 4 << 20, 16 << 20),
        ];
        for (field, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(OpenError::Options { field, value, bound: format!("{least} to {most}") });
            }
        }
        if !self.sled_segment_bytes.is_power_of_two() {
            let value = self.sled_segment_bytes;
            return Err(OpenError::Options {
                field: "sled_segment_bytes",
                value,
                bound: "a power of two".into(),
            });
        }
        Ok(())
    }
}
