//! Verifying a stopped data directory: everything in it is read, and what is not as it must be is reported with its file, its
//! place and the way out.
//!
//! It takes the directory's lock. Of the journal it changes nothing. sled, which the state files belong to, tidies them as at
//! any start: it writes a snapshot, and cuts off what it takes for a torn tail of its log. So whoever wants to keep damage as
//! it is checks a copy.

mod journal;
mod rows;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::types::LogId;

use super::directory::Directory;
use super::error::Context;
use super::guard::guarded;
use super::host::Machine;
use super::state::State;
use super::{OpenError, ReadError, StoreOptions, compaction};

/// How many findings of a kind are kept; all of them are counted.
const FINDINGS_MAX: usize = 1000;

/// What to do about damage.
const RESTORE: &str = "restore a backup, or a copy of the directory from before the damage";
const NOTHING: &str = "nothing: the next start sees to it";

/// Something that is not as it must be, or that is left over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which file.
    pub file: PathBuf,
    /// Where in it.
    pub place: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub advice: &'static str,
}

/// Findings of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The first thousand.
    pub first: Vec<Finding>,
    /// How many there are.
    pub count: u64,
}

/// What a data directory holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The entry whose state the state files hold.
    pub applied: LogId,
    /// The last entry of the journal.
    pub last: LogId,
    /// Queues that the state files hold.
    pub queues: u64,
    /// Messages that the state files hold, alive.
    pub messages: u64,
    /// Chunks of messages, dead ones included.
    pub chunks: u64,
    /// Entries that the journal holds.
    pub entries: u64,
    /// What was confirmed and is lost or changed.
    pub damage: Findings,
    /// What a stop left behind, and does no harm.
    pub leftovers: Findings,
}

impl Findings {
    fn add(&mut self, finding: Finding) {
        self.count += 1;
        if self.first.len() < FINDINGS_MAX {
            self.first.push(finding);
        }
    }
}

impl Report {
    /// Damage, if that is what kept something from being opened.
    fn note(&mut self, error: OpenError) -> Result<(), OpenError> {
        match error {
            OpenError::Corrupt { file, offset, reason } => {
                self.damaged(&file, format!("byte {offset}"), reason);
            }
            OpenError::State { directory, reason } => {
                self.damaged(&directory, "the state files".to_owned(), reason);
            }
            OpenError::Locked { .. }
            | OpenError::Foreign { .. }
            | OpenError::NoData { .. }
            | OpenError::Newer { .. }
            | OpenError::Io { .. }
            | OpenError::Options { .. } => return Err(error),
        }
        Ok(())
    }

    /// Adds damage that somebody else found.
    pub fn add(&mut self, finding: Finding) {
        self.damage.add(finding);
    }

    fn damaged(&mut self, file: &Path, place: String, what: impl Into<String>) {
        self.damage.add(Finding { file: file.to_owned(), place, what: what.into(), advice: RESTORE });
    }

    fn left(&mut self, file: &Path, place: String, what: impl Into<String>, advice: &'static str) {
        self.leftovers.add(Finding { file: file.to_owned(), place, what: what.into(), advice });
    }
}

/// How much of how much was read, and who is told.
struct Progress<'a> {
    read: u64,
    total: u64,
    tell: &'a mut dyn FnMut(u64, u64),
}

impl Progress<'_> {
    fn add(&mut self, bytes: u64) {
        // Files have room to spare, and rows are read more than once: it is an estimate.
        self.read = (self.read + bytes).min(self.total);
        (self.tell)(self.read, self.total);
    }
}

/// What speaks against this being a data directory at all.
fn no_data(path: &Path) -> Option<&'static str> {
    // A file of this name is the first thing that a start makes.
    if path.join("FORMAT").is_file() {
        None
    } else if path.is_dir() {
        Some("is not a data directory of bbq: it has no file FORMAT")
    } else if path.exists() {
        Some("is not a directory")
    } else {
        Some("does not exist")
    }
}

/// Verifies a data directory that no server has open, and tells `progress` how many of how many bytes are read. Blocking.
///
/// # Errors
/// If it can't be looked at: it is in use, of a newer program, not one of ours, or the disk refuses. Damage is no error, but in
/// the report.
pub fn check(path: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Report, OpenError> {
    if let Some(problem) = no_data(path) {
        return Err(OpenError::NoData { path: path.to_owned(), problem });
    }
    let mut report = Report::default();
    for part in ["journal", "state"] {
        let there = path.join(part).is_dir() || part == "state" && compaction::is_between_names(path);
        if !there {
            report.damaged(&path.join(part), "the directory".to_owned(), "it is missing");
        }
    }
    if report.damage.count > 0 {
        return Ok(report);
    }
    let options = StoreOptions::default();
    let directory = match Directory::open(Arc::new(Machine), path, options.sled_segment_bytes) {
        Ok(directory) => directory,
        Err(error) => return report.note(error).map(|()| report),
    };
    let journal = directory.journal();
    let total = bytes(&directory.state())? + bytes(&journal)?;
    let mut progress = Progress { read: 0, total, tell: &mut progress };
    // Held until the journal is read as well.
    let state = match State::open(directory, &options) {
        Ok(state) => Some(state),
        Err(error) => {
            report.note(error)?;
            None
        }
    };
    let mut applied = None;
    if let Some(state) = &state {
        let file = state.path().join("db");
        let checked = guarded(|| rows::check(state, &file, &mut report, &mut progress));
        match checked {
            Ok(()) => applied = Some(report.applied),
            Err(ReadError::State(reason)) => report.damaged(&file, "the trees".to_owned(), reason),
            Err(error @ ReadError::Corrupt { .. }) => {
                report.damaged(&file, "the trees".to_owned(), error.to_string());
            }
        }
    }
    journal::check(&journal, applied, &mut report, &mut progress)?;
    progress.add(u64::MAX / 2);
    Ok(report)
}

/// What is wrong with the rows of a state.
pub(super) fn rows(state: &State) -> Result<Report, ReadError> {
    let mut report = Report::default();
    let mut progress = Progress { read: 0, total: 0, tell: &mut |_, _| {} };
    rows::check(state, &state.path().join("db"), &mut report, &mut progress)?;
    Ok(report)
}

/// Bytes of the files in a directory.
fn bytes(directory: &Path) -> Result<u64, OpenError> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory).context("list", directory)? {
        bytes += entry.and_then(|entry| entry.metadata()).context("list", directory)?.len();
    }
    Ok(bytes)
}
