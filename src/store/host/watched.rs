//! This machine's disk for tests: each operation on it is noted, and one of them can fail.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{Disk, DiskFile, Machine};

/// What was asked of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Operation {
    List,
    Read,
    Write,
    Create,
    Open,
    Remove,
    SyncDirectory,
    WriteAt,
    SyncData,
    SyncAll,
    SetLength,
    Length,
    Allocate,
}

/// See above. Clones share what they note.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Watched(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    done: Vec<(Operation, PathBuf)>,
    /// How many operations go well before one does not.
    good: Option<usize>,
    /// From here on, the next of this kind fails.
    fails: Option<Operation>,
    /// So often it goes well to sync the directory of this name.
    syncs: Option<(&'static str, usize)>,
    failed: Option<(Operation, PathBuf)>,
}

impl Watched {
    /// After so many operations, one fails.
    pub(in crate::store) fn failing_after(good: usize) -> Self {
        Self(Arc::new(Mutex::new(Notes { good: Some(good), ..Notes::default() })))
    }

    /// Directories of a name are synced so often before that fails, once.
    pub(in crate::store) fn failing_to_sync(name: &'static str, after: usize) -> Self {
        Self(Arc::new(Mutex::new(Notes { syncs: Some((name, after)), ..Notes::default() })))
    }

    /// The next operation of a kind fails.
    pub(in crate::store) fn fail_next(&self, operation: Operation) {
        self.0.lock().unwrap().fails = Some(operation);
    }

    /// What was done, in order.
    pub(in crate::store) fn done(&self) -> Vec<(Operation, PathBuf)> {
        self.0.lock().unwrap().done.clone()
    }

    /// What failed, if it came to that.
    pub(in crate::store) fn failed(&self) -> Option<(Operation, PathBuf)> {
        self.0.lock().unwrap().failed.clone()
    }

    fn note(&self, operation: Operation, path: &Path) -> io::Result<()> {
        let mut notes = self.0.lock().unwrap();
        let mut due = notes.good == Some(notes.done.len()) || notes.fails == Some(operation);
        if let Some((name, left)) = &mut notes.syncs
            && operation == Operation::SyncDirectory
            && path.ends_with(*name)
        {
            due = *left == 0;
            *left = left.wrapping_sub(1);
        }
        notes.done.push((operation, path.to_owned()));
        if due {
            notes.fails = None;
            notes.failed = Some((operation, path.to_owned()));
            return Err(rustix::io::Errno::IO.into());
        }
        Ok(())
    }

    fn file(&self, path: &Path, inner: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(WatchedFile { inner, path: path.to_owned(), watched: self.clone() })
    }
}

impl Disk for Watched {
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        self.note(Operation::List, directory)?;
        Machine.list(directory)
    }

    fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        self.note(Operation::Read, file)?;
        Machine.read(file)
    }

    fn reader(&self, file: &Path, from: u64) -> io::Result<Box<dyn Read + Send>> {
        self.note(Operation::Read, file)?;
        Machine.reader(file, from)
    }

    fn write(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        self.note(Operation::Write, file)?;
        Machine.write(file, bytes)
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.note(Operation::Create, file)?;
        Ok(self.file(file, Machine.create(file)?))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.note(Operation::Open, file)?;
        Ok(self.file(file, Disk::open(&Machine, file)?))
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        self.note(Operation::Remove, file)?;
        Machine.remove(file)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.note(Operation::SyncDirectory, directory)?;
        Machine.sync_directory(directory)
    }
}

#[derive(Debug)]
struct WatchedFile {
    inner: Box<dyn DiskFile>,
    path: PathBuf,
    watched: Watched,
}

impl DiskFile for WatchedFile {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.watched.note(Operation::WriteAt, &self.path)?;
        self.inner.write_all_at(bytes, at)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.watched.note(Operation::SyncData, &self.path)?;
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.watched.note(Operation::SyncAll, &self.path)?;
        self.inner.sync_all()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.watched.note(Operation::SetLength, &self.path)?;
        self.inner.set_len(bytes)
    }

    fn length(&self) -> io::Result<u64> {
        self.watched.note(Operation::Length, &self.path)?;
        self.inner.length()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.watched.note(Operation::Allocate, &self.path)?;
        self.inner.allocate(bytes)
    }
}
