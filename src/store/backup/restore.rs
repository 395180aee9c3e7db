//! Making a data directory from a backup.
//!
//! The directory is built beside the one that is wanted, fsynced, and given its name last: what there is under that name is
//! whole, or nothing.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::directory::{self, Directory};
use crate::store::error::Context as _;
use crate::store::host::{Host, Machine};
use crate::store::state::{DRAIN_BYTES, State};
use crate::store::{OpenError, ReadError, StoreOptions, journal, meta};
use crate::types::{Epoch, LogId, Timestamp};

use super::file::{Block, Decoder, Flaw, VERSION};

/// A restored server must not take a receipt that the first one gave after the backup for one of its own.
const EPOCHS: u32 = 1 << 16;

/// What a backup held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The entry whose state it is.
    pub applied: LogId,
    /// When it was made.
    pub made_at: Timestamp,
    /// Rows of all trees.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Why a backup can't be restored. Whatever it is, the wanted directory was not touched.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is something else.
    #[error("{} is no backup of bbq; name a file that `bbq backup` wrote", .file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// A newer program wrote it.
    #[error(
        "{} is a backup of version {found}, this program knows versions up to {VERSION}; use a newer program",
        .file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It is not as it was written.
    #[error(
        "{} is damaged at byte {offset}: {reason}. Nothing was restored; use another backup",
        .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// There is something where it should go.
    #[error(
        "{} is not empty: it holds {found:?}; name a new or empty directory for what is restored",
        .directory.display()
    )]
    NotEmpty {
        /// The directory.
        directory: PathBuf,
        /// One of the files in it.
        found: String,
    },
    /// The new directory can't be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The state files can't be written.
    #[error("restoring to {}: {error}", .directory.display())]
    Write {
        /// Where it was built.
        directory: PathBuf,
        /// Why not.
        error: ReadError,
    },
}

/// Makes `directory` from a backup, and tells `progress` how many of how many bytes are read. Blocking.
///
/// # Errors
/// See `RestoreError`. Then `directory` is as it was.
pub fn restore(
    file: &Path,
    directory: &Path,
    options: &StoreOptions,
    mut progress: impl FnMut(u64, u64),
) -> Result<Restored, RestoreError> {
    vacant(directory)?;
    let beside = beside(directory);
    if beside.is_dir() {
        // An earlier try that was killed.
        fs::remove_dir_all(&beside).context("remove", &beside)?;
    }
    let built = build(file, &beside, options, &mut progress);
    let named = built.and_then(|restored| {
        fs::rename(&beside, directory).context("rename", &beside)?;
        directory::sync(&Machine, parent(directory))?;
        Ok(restored)
    });
    if named.is_err() {
        // It is of no use; what can't be removed the next try removes.
        let _ = fs::remove_dir_all(&beside);
    }
    named
}

/// Reads a backup and says what it holds, if it is whole. Blocking.
///
/// # Errors
/// See `RestoreError`.
pub fn verify(file: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Restored, RestoreError> {
    read(file, &mut progress, |_| Ok(()))
}

/// Hands every block to `take`, and what it took counts only if this succeeds.
fn read(
    path: &Path,
    progress: &mut dyn FnMut(u64, u64),
    mut take: impl FnMut(Block) -> Result<(), RestoreError>,
) -> Result<Restored, RestoreError> {
    let refused = |flaw| refusal(path, flaw);
    let file = File::open(path).context("open", path)?;
    let total = file.metadata().context("look at", path)?.len();
    let mut decoder = Decoder::new(BufReader::with_capacity(1 << 20, file)).map_err(refused)?;
    while let Some(block) = decoder.next().map_err(refused)? {
        progress(decoder.offset(), total);
        take(block)?;
    }
    let (header, rows, bytes) = (decoder.header, decoder.rows, decoder.offset());
    progress(bytes, total);
    Ok(Restored { applied: header.applied, made_at: header.made_at, rows, bytes })
}

fn refusal(path: &Path, flaw: Flaw) -> RestoreError {
    let file = path.to_owned();
    match flaw {
        Flaw::Foreign => RestoreError::Foreign { file },
        Flaw::Newer(found) => RestoreError::Newer { file, found },
        Flaw::Damaged { offset, reason } => RestoreError::Damaged { file, offset, reason: reason.to_owned() },
        Flaw::Io(error) => OpenError::Io { action: "read", path: file, error }.into(),
    }
}

fn build(
    file: &Path,
    beside: &Path,
    options: &StoreOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, RestoreError> {
    let directory = Directory::open(Arc::new(Machine), beside, options.sled_segment_bytes)?;
    let journal = directory.journal();
    let state = State::open(directory, options)?;
    let restored = fill(&state, beside, file, progress)?;
    journal::begin(&Machine, &journal, restored.applied, options.segment_bytes)?;
    drop(state);
    directory::sync(&Machine, beside)?;
    Ok(restored)
}

/// Makes the rows and the journal of another host, on which there is nothing yet, from a backup. Blocking as far as that blocks.
///
/// # Errors
/// See `RestoreError`. Then what there is on the host is of no use.
pub fn restore_on(host: &Host, file: &Path, options: &StoreOptions) -> Result<Restored, RestoreError> {
    let state = State::on(host)?;
    let restored = fill(&state, &host.journal, file, &mut |_, _| {})?;
    journal::begin(&*host.disk, &host.journal, restored.applied, options.segment_bytes)?;
    Ok(restored)
}

/// Fills state files that are empty.
fn fill(
    state: &State,
    place: &Path,
    file: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, RestoreError> {
    let failed = |error| RestoreError::Write { directory: place.to_owned(), error };
    let mut written = 0;
    let restored = read(file, progress, |block| {
        written += insert(state, block).map_err(failed)?;
        if written >= DRAIN_BYTES {
            written = 0;
            state.drain().map_err(failed)?;
        }
        Ok(())
    })?;
    let applied = adopt(state).map_err(failed)?;
    if applied != restored.applied {
        return Err(RestoreError::Damaged {
            file: file.to_owned(),
            offset: 0,
            reason: format!("it should hold the state at entry {}, but that is {applied}", restored.applied),
        });
    }
    state.persist().map_err(failed)?;
    Ok(restored)
}

/// Writes the rows of a block; their bytes.
pub(super) fn insert(state: &State, block: Block) -> Result<usize, ReadError> {
    let known = state.trees()?.into_iter().find(|(name, _)| *name == block.tree);
    let Some((_, tree)) = known else {
        return Err(ReadError::State(format!("it has a tree {:?}, of a newer program", block.tree)));
    };
    let mut written = 0;
    for (key, value) in block.rows {
        written += key.len() + value.len();
        tree.insert(key, value)?;
    }
    Ok(written)
}

/// Begins epochs of its own for a state that is another server's; the entry whose state it is.
pub(super) fn adopt(state: &State) -> Result<LogId, ReadError> {
    let (applied, mut engine) = state.applied()?;
    engine.epoch = Epoch(engine.epoch.0.saturating_add(EPOCHS));
    state.meta.insert(meta::STATE, meta::encode_state(applied, engine))?;
    Ok(applied)
}

/// Refuses a directory with something in it.
fn vacant(directory: &Path) -> Result<(), RestoreError> {
    if fs::symlink_metadata(directory).is_err() {
        return Ok(());
    }
    match fs::read_dir(directory).context("list", directory)?.next() {
        None => Ok(()),
        Some(entry) => {
            let found = entry.context("list", directory)?.file_name().to_string_lossy().into_owned();
            Err(RestoreError::NotEmpty { directory: directory.to_owned(), found })
        }
    }
}

fn parent(directory: &Path) -> &Path {
    match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Where a directory is built: on the same file system.
fn beside(directory: &Path) -> PathBuf {
    let name = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    parent(directory).join(format!(".{name}.restoring"))
}
