//! What can go wrong: while opening, and while reading. Each message names the file and the way out.

use std::io;
use std::path::{Path, PathBuf};

/// Why a data directory can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "data directory {} is in use by process {pid}; stop it, or name another directory",
        .directory.display()
    )]
    Locked {
        /// The directory.
        directory: PathBuf,
        /// What that process wrote into the lock file; `unknown` if nothing.
        pid: String,
    },
    /// It holds something else.
    #[error(
        "{} is not a data directory of bbq: it holds {found:?} and no file FORMAT; name an empty or new directory",
        .directory.display()
    )]
    Foreign {
        /// The directory.
        directory: PathBuf,
        /// One of the files found.
        found: String,
    },
    /// It is to be looked at, and is none.
    #[error("{} {problem}; name the data directory of a server that does not run", .path.display())]
    NoData {
        /// What was named.
        path: PathBuf,
        /// What it is instead.
        problem: &'static str,
    },
    /// A newer program wrote it.
    #[error(
        "data directory {} has format {found}, this program knows formats up to {}; use a newer program",
        .directory.display(), super::FORMAT
    )]
    Newer {
        /// The directory.
        directory: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Stored bytes are not what was written.
    #[error(
        "{} is damaged at byte {offset}: {reason}. The server does not start, because confirmed messages may be lost. \
         Restore a backup, or a copy of the file from before the damage",
        .file.display()
    )]
    Corrupt {
        /// Which file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// How that is known.
        reason: String,
    },
    /// The state files can't be opened or read.
    #[error(
        "state in {}: {reason}. Restore a backup, or a copy of the directory from before the damage",
        .directory.display()
    )]
    State {
        /// The directory of the state files.
        directory: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The operating system refused something.
    #[error("could not {action} {}: {error}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not; not as the source, which whoever prints the whole chain would print a second time.
        error: io::Error,
    },
    /// A setting is out of its bounds.
    #[error("store.{field} is {value}, it must be {bound}")]
    Options {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: u64,
        /// What it may be.
        bound: String,
    },
}

/// Why stored messages can't be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The state files fail; the store must be given up.
    #[error("state files: {0}")]
    State(String),
    /// What was read is not what was written.
    #[error("{tree} of queue {queue} at message {first} is damaged: {reason}; restore a backup")]
    Corrupt {
        /// In which tree.
        tree: &'static str,
        /// Of which queue.
        queue: u32,
        /// The first message of the value.
        first: u64,
        /// How that is known.
        reason: &'static str,
    },
}

impl From<sled::Error> for ReadError {
    fn from(error: sled::Error) -> Self {
        Self::State(match &error {
            sled::Error::Corruption { at: Some(at), .. } => format!("db is damaged at byte {}", at.lid()),
            sled::Error::Corruption { at: None, .. } => "db is damaged, or not what it was".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// Names what was tried, and on what, when the operating system refuses.
pub(super) trait Context<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, OpenError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, OpenError> {
        self.map_err(|error| OpenError::Io { action, path: path.to_owned(), error: error.into() })
    }
}
