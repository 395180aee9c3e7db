//! sled's database, helped to keep its promises.
//!
//! sled's `flush` is not an fsync on Linux, and it never syncs `conf`, its directories and what spills into `blobs/`. So all
//! of these are fsynced after opening, and `persist` follows each flush with an fdatasync of our own on `db`.
//!
//! sled writes its log with seven threads. If all of them wait for its segment table, and whoever holds that waits for the file to be
//! shortened, which is one more task for these threads, nothing moves again: seen after some hundred thousand writes on a busy
//! disk. So whoever writes much calls `drain` after every few megabytes, and no transaction is large: then fewer than seven
//! buffers are ever on their way.
//!
//! Always true: after a write or an fsync that failed, nothing is written or synced any more, not even by closing it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{Advice, FlockOperation};
use sled::Db;

use super::codec::length;
use super::directory::{self, Directory};
use super::error::Context;
use super::guard::guarded;
use super::host::Disk;
use super::rows::Tree;
use super::{OpenError, ReadError, StoreOptions, sled_files};

/// sled gives its lock back a moment after it was closed: how often to try, and how long to wait between.
const LOCK_TRIES: u32 = 200;
const LOCK_WAIT: Duration = Duration::from_millis(10);
/// The same where it has just been closed, with an fsync that takes as long as the disk likes.
const CLOSE_TRIES: u32 = 500;

/// sled, open. Written by one thread.
#[derive(Debug)]
pub(super) struct Database {
    db: Db,
    file: File,
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// Something that must not be tried again failed, or is being tried.
    failed: AtomicBool,
    /// Last, so that our lock outlives sled's.
    directory: Arc<Directory>,
}

impl Database {
    /// Opens the files in `path`, for whoever has the directory.
    pub(super) fn open(
        directory: Arc<Directory>,
        path: PathBuf,
        options: &StoreOptions,
    ) -> Result<Self, OpenError> {
        let disk = Arc::clone(&directory.disk);
        let segment = usize::try_from(directory.sled_segment_bytes).unwrap_or(usize::MAX);
        let config = sled::Config::new()
            .path(&path)
            .cache_capacity(options.sled_cache_bytes)
            .segment_size(segment)
            .flush_every_ms(None);
        remove_unfinished(&path)?;
        see_the_disk(&path)?;
        sled_files::verify(&path)?;
        let opened = guarded(|| Ok::<_, ReadError>(open_patiently(&config)?));
        let db = opened.map_err(|error| refused(&path, &error))?;
        let file = File::open(path.join("db")).context("open", &path.join("db"))?;
        Ok(Self { db, file, path, disk, failed: AtomicBool::new(false), directory })
    }

    /// A tree, made if it is not there.
    pub(super) fn tree(&self, name: &str) -> Result<Tree, OpenError> {
        let tree = guarded(|| Ok::<_, ReadError>(Tree::Sled(self.db.open_tree(name)?)));
        tree.map_err(|error| refused(&self.path, &error))
    }

    /// Brings all that opening has made onto the disk.
    pub(super) fn settle(&self) -> Result<(), OpenError> {
        guarded(|| self.persist()).map_err(|error| refused(&self.path, &error))?;
        sync_all(&*self.disk, &self.path).context("fsync files of", &self.path)?;
        directory::sync(&*self.disk, &self.path.join("blobs"))?;
        directory::sync(&*self.disk, &self.path)
    }

    /// All trees that hold rows, by name.
    pub(super) fn trees(&self) -> Result<Vec<(String, Tree)>, ReadError> {
        let mut trees = Vec::new();
        for name in self.db.tree_names() {
            let text = String::from_utf8_lossy(&name).into_owned();
            if !text.starts_with("__sled__") {
                trees.push((text, Tree::Sled(self.db.open_tree(name)?)));
            }
        }
        Ok(trees)
    }

    /// Where they are.
    pub(super) fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }

    /// See `State::drain`.
    pub(super) fn drain(&self) -> Result<(), ReadError> {
        self.unless_failed(|| Ok(self.db.flush().map(drop)?))
    }

    /// See `State::persist`.
    pub(super) fn persist(&self) -> Result<u64, ReadError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| ReadError::State(format!("{what}: {error}"));
        self.unless_failed(|| {
            let blobs = sync_all(&*self.disk, &self.path.join("blobs"));
            let blobs = blobs.map_err(|error| failed("fsync blobs", &error))?;
            self.db.flush()?;
            self.file.sync_data().map_err(|error| failed("fdatasync db", &error))?;
            Ok(blobs)
        })
    }

    /// Writes or syncs something, for the last time if that fails.
    fn unless_failed<T>(&self, write: impl FnOnce() -> Result<T, ReadError>) -> Result<T, ReadError> {
        // Set before: sled may panic.
        if self.failed.swap(true, Ordering::SeqCst) {
            return Err(ReadError::State("an earlier write or fsync of the state files failed".to_owned()));
        }
        let written = write()?;
        self.failed.store(false, Ordering::SeqCst);
        Ok(written)
    }
}

impl Drop for Database {
    /// The last one who closes sled has it sync its file, and panics where that fails. So it is synced before; and an fsync that
    /// failed is never tried again: sled stays open then, until the process ends.
    fn drop(&mut self) {
        if guarded(|| self.persist()).is_err() {
            std::mem::forget(self.db.clone());
        }
    }
}

/// Waits until sled has let go of the files in a directory; false if it does not, because something failed.
pub(super) fn is_closed(state: &Path) -> bool {
    (0..CLOSE_TRIES).any(|_| {
        let free = File::open(state.join("db"))
            .is_ok_and(|db| rustix::fs::flock(&db, FlockOperation::NonBlockingLockExclusive).is_ok());
        if !free {
            std::thread::sleep(LOCK_WAIT);
        }
        free
    })
}

fn refused(path: &Path, error: &ReadError) -> OpenError {
    OpenError::State { directory: path.to_owned(), reason: error.to_string() }
}

/// Has what is read from now on come from the disk. After an fsync that failed, the kernel takes what it could not write for
/// written, and shows it; a start that went on with that would be undone by a later power cut.
fn see_the_disk(state: &Path) -> Result<(), OpenError> {
    for entry in fs::read_dir(state).context("list", state)? {
        let path = entry.context("list", state)?.path();
        if path.is_file() {
            let file = File::open(&path).context("open", &path)?;
            // The kernel keeps what is still to be written.
            file.sync_all().context("fsync", &path)?;
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).context("drop the page cache of", &path)?;
        }
    }
    Ok(())
}

/// Removes snapshots that sled was still writing when it was stopped. They hold nothing that the finished ones and the log do
/// not; but sled expects them under another name than it gives them, would take one for its latest snapshot, find it
/// damaged, and never open again. So it would with half a `conf`, which it writes before it makes `db`.
fn remove_unfinished(state: &Path) -> Result<(), OpenError> {
    let (conf, db) = (state.join("conf"), state.join("db"));
    if conf.is_file() && fs::metadata(&db).map_or(0, |db| db.len()) == 0 {
        fs::remove_file(&conf).context("remove", &conf)?;
    }
    for entry in fs::read_dir(state).context("list", state)? {
        let path = entry.context("list", state)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path).context("remove", &path)?;
        }
    }
    Ok(())
}

fn open_patiently(config: &sled::Config) -> sled::Result<Db> {
    let mut tries = 0;
    loop {
        match config.open() {
            // Our own lock is taken before: whoever holds sled's is about to give it back.
            Err(sled::Error::Io(error))
                if tries < LOCK_TRIES && error.to_string().contains("acquire lock") =>
            {
                tries += 1;
                std::thread::sleep(LOCK_WAIT);
            }
            opened => return opened,
        }
    }
}

/// Syncs the files of a directory, if there are any; how many.
fn sync_all(disk: &dyn Disk, path: &Path) -> std::io::Result<u64> {
    let mut files = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            match File::open(entry.path()) {
                Ok(file) => file.sync_all()?,
                // sled removes its files when it likes.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            files += 1;
        }
    }
    if files > 0 {
        disk.sync_directory(path)?;
    }
    Ok(length(files))
}
