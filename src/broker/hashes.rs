//! The state's hash after each entry, written to a file: what a replay must reproduce. A test mode.

use std::fs::{File, OpenOptions};
use std::hash::Hasher;
use std::io::{self, Write};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use crate::engine::Engine;

/// Writes a line `index hash` for each entry, also for those that are replayed: equal indexes must have equal hashes.
pub(super) struct Hashes(File);

impl Hashes {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().create(true).append(true).open(path).map(Self)
    }

    pub(super) fn note(&mut self, index: u64, engine: &Engine) -> io::Result<()> {
        let mut hasher = Xxh3::new();
        engine.digest(&mut hasher);
        let line = format!("{index} {:016x}\n", hasher.finish());
        self.0.write_all(line.as_bytes())
    }
}
