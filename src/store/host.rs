//! The host: what the store stands on. Files for the journal, rows for the state, threads for both.
//!
//! The real one is `Machine`: the operating system, sled and threads. A simulation brings its own, on which the power fails
//! between any two steps and the order of events is drawn from a seed; everything above this line is the same code.

mod machine;
#[cfg(test)]
mod watched;

use std::fmt::Debug;
use std::future::poll_fn;
use std::io::{self, Read, Seek, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

pub(super) use machine::Machine;
#[cfg(test)]
pub(super) use watched::{Operation, Watched};

/// Something that runs beside the store's owner, to its end.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What became of a job that may block: done, or why not.
pub type Ran = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A host of somebody else's, to open a store on.
#[derive(Clone, Debug)]
pub struct Host {
    /// Where the journal's files go.
    pub disk: Arc<dyn Disk>,
    /// The directory of the journal there.
    pub journal: PathBuf,
    /// Where the state's rows go.
    pub rows: Arc<dyn Rows>,
    /// Who runs the store's tasks.
    pub threads: Arc<dyn Threads>,
}

/// The file operations of the journal. What is not synced may be lost, in part and in any order.
pub trait Disk: Debug + Send + Sync {
    /// The files of a directory, in any order.
    ///
    /// # Errors
    /// As of the operating system; so for all of them.
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>>;
    /// A whole file.
    fn read(&self, file: &Path) -> io::Result<Vec<u8>>;
    /// A file from a place on, piece by piece.
    fn reader(&self, file: &Path, from: u64) -> io::Result<Box<dyn Read + Send>>;
    /// Makes a file of these bytes, or replaces it. Not synced.
    fn write(&self, file: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Makes a file, or empties it, and opens it for writing.
    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for writing.
    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Removes a file.
    fn remove(&self, file: &Path) -> io::Result<()>;
    /// Makes what is new in a directory last, and what is gone from it stay away.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
    /// A number that nobody can guess.
    fn salt(&self) -> u64 {
        rand::random()
    }
}

/// A file that is open for writing.
pub trait DiskFile: Debug + Send {
    /// Writes all bytes at a place.
    ///
    /// # Errors
    /// As of the operating system; so for all of them.
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Makes its bytes last.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes its bytes and its length last.
    fn sync_all(&self) -> io::Result<()>;
    /// Cuts it off, or fills it up with zeros.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Its length.
    fn length(&self) -> io::Result<u64>;
    /// Allocates so many bytes, where that can be done.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
}

/// A change of one row.
#[derive(Clone, Debug)]
pub struct RowChange {
    /// In which tree.
    pub tree: &'static str,
    /// Its key.
    pub key: Vec<u8>,
    /// Its new value; none removes it.
    pub value: Option<Vec<u8>>,
}

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Bytes that are written, read once, and gone when they are dropped.
pub trait Spool: Read + Write + Seek + Send {}

impl<T: Read + Write + Seek + Send> Spool for T {}

/// Sorted rows in named trees. A power cut leaves what was persisted, and some of the first changes after that.
pub trait Rows: Debug + Send + Sync {
    /// A value.
    fn get(&self, tree: &str, key: &[u8]) -> Option<Vec<u8>>;
    /// The first row within bounds.
    fn first(&self, tree: &str, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Option<Row>;
    /// The last row within bounds.
    fn last(&self, tree: &str, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Option<Row>;
    /// Carries out all changes or none.
    ///
    /// # Errors
    /// As of the operating system; so for all of them. Then it is not known what is there, and nothing may be written any more.
    fn change(&self, changes: Vec<RowChange>) -> io::Result<()>;
    /// Lets what was written reach the operating system.
    fn flush(&self) -> io::Result<()>;
    /// Makes everything so far last.
    fn persist(&self) -> io::Result<()>;
    /// Room for what is copied aside. A failure there is nobody's but the copy's.
    fn spool(&self) -> io::Result<Box<dyn Spool>>;
}

/// Who runs what the store does beside its owner.
pub trait Threads: Debug + Send + Sync {
    /// Runs a task. If it has a thread of its own, whoever drops the store waits for that.
    ///
    /// # Errors
    /// There are no more threads.
    fn run(&self, name: &'static str, task: Task) -> io::Result<Option<JoinHandle<()>>>;
    /// Begins a job that may block; what it returns need not be waited for.
    fn block(&self, job: Box<dyn FnOnce() + Send>) -> Ran;
    /// Asked before each step of a task that others can see: pending lets others go first. A thread of its own never waits here.
    fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }
}

/// Waits for a task's turn, see `Threads::poll_turn`. Cancel safe.
pub(super) async fn turn(threads: &Arc<dyn Threads>) {
    poll_fn(|cx| threads.poll_turn(cx)).await;
}
