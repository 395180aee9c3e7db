//! What reads bytes that others wrote, each as a function that a fuzzer calls: it must not panic, hang or grow, and what it
//! takes must be what it says.
//!
//! `make fuzz` runs them under libFuzzer, `tests/corpora.rs` over what was found so far.

use crate::{config, service, store, transport, types};

/// What is fuzzed.
pub type Target = fn(&[u8]);

/// All targets by name, which is also that of their corpus in `fuzz/corpus/`.
pub const TARGETS: [(&str, Target); 14] = [
    ("backup", store::fuzzing::backup),
    ("chunks", store::fuzzing::chunks),
    ("config", config::fuzzing::config),
    ("control", transport::fuzzing::control),
    ("entries", store::fuzzing::entries),
    ("frames", transport::fuzzing::frames),
    ("headers", transport::fuzzing::headers),
    ("journal", store::fuzzing::journal),
    ("keys", store::fuzzing::keys),
    ("messages", service::fuzzing::messages),
    ("names", types::fuzzing::names),
    ("receipts", types::fuzzing::receipts),
    ("records", store::fuzzing::records),
    ("requests", service::fuzzing::requests),
];

/// The target of a name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
