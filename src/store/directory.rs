//! The data directory: who may open it, and what makes it one.
//!
//! It holds `FORMAT`, `LOCK`, `journal/`, `state/`, and what `compaction` may be about to put in its place. Made from nothing in an order that leaves, at any power cut, either a
//! directory that counts as empty or one that opens: every file and directory is fsynced before the next step. So are directories
//! that were found: whoever made them may have been killed before that.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FlockOperation;

use super::error::Context;
use super::host::Disk;
use super::{FORMAT, OpenError, compaction};

const NAMES: [&str; 2] = ["LOCK", "FORMAT.new"];

/// An open data directory. The lock lasts as long as this value.
#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    /// Segment size of the state files, fixed when they were made.
    pub(super) sled_segment_bytes: u64,
    pub(super) disk: Arc<dyn Disk>,
    _lock: File,
}

impl Directory {
    /// Opens it, or makes it if there is nothing.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        root: &Path,
        sled_segment_bytes: u64,
    ) -> Result<Arc<Self>, OpenError> {
        create(&*disk, root)?;
        // Before anything is written there: a directory named by mistake stays as it is.
        if format(root)?.is_none() {
            empty(root)?;
        }
        let lock = lock(root)?;
        let sled_segment_bytes = match format(root)? {
            Some(bytes) => bytes,
            None => {
                empty(root)?;
                write_format(&*disk, root, sled_segment_bytes)?;
                sled_segment_bytes
            }
        };
        let directory = Self { root: root.to_owned(), sled_segment_bytes, disk, _lock: lock };
        compaction::resume(&*directory.disk, root)?;
        create(&*directory.disk, &directory.journal())?;
        create(&*directory.disk, &directory.state())?;
        Ok(Arc::new(directory))
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.root.join("state")
    }
}

/// Makes what is new in a directory last: without it, a power cut forgets the names.
pub(super) fn sync(disk: &dyn Disk, directory: &Path) -> Result<(), OpenError> {
    disk.sync_directory(directory).context("fsync directory", directory)
}

/// Makes a directory, if it is not there, and its name last.
pub(super) fn create(disk: &dyn Disk, directory: &Path) -> Result<(), OpenError> {
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let found = directory.is_dir();
    if !found {
        create(disk, parent)?;
        // What is in it is its owner's alone: messages, keys, tokens.
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700).create(directory).context("create directory", directory)?;
    }
    sync(disk, directory)?;
    match sync(disk, parent) {
        // Somebody else made it, in a directory that is not ours to read.
        Err(OpenError::Io { error, .. }) if found && error.kind() == ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

fn lock(root: &Path) -> Result<File, OpenError> {
    let path = root.join("LOCK");
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
    let mut file = options.open(&path).context("open", &path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            let read = file.take(32).read_to_string(&mut pid);
            let known = read.is_ok() && !pid.trim().is_empty();
            let pid = if known { pid.trim().to_owned() } else { "unknown".to_owned() };
            return Err(OpenError::Locked { directory: root.to_owned(), pid });
        }
        Err(error) => return Err(error).context("lock", &path),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).context("write", &path)?;
    Ok(file)
}

/// The segment size in the format file, if there is one.
fn format(root: &Path) -> Result<Option<u64>, OpenError> {
    let path = root.join("FORMAT");
    let corrupt = || OpenError::Corrupt {
        file: path.clone(),
        offset: 0,
        reason: "it must be the line `bbq format <number> sled-segment-bytes <number>`".to_owned(),
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => return Err(corrupt()),
        Err(error) => return Err(error).context("read", &path),
    };
    let mut words = text.split_whitespace();
    if words.next() != Some("bbq") || words.next() != Some("format") {
        return Err(corrupt());
    }
    let found: u32 = words.next().and_then(|word| word.parse().ok()).ok_or_else(corrupt)?;
    if found == 0 {
        return Err(corrupt());
    }
    if found > FORMAT {
        return Err(OpenError::Newer { directory: root.to_owned(), found });
    }
    if words.next() != Some("sled-segment-bytes") {
        return Err(corrupt());
    }
    let bytes = words.next().and_then(|word| word.parse().ok()).filter(|bytes: &u64| bytes.is_power_of_two());
    if words.next().is_some() {
        return Err(corrupt());
    }
    bytes.ok_or_else(corrupt).map(Some)
}

/// Refuses a directory that holds anything but what an interrupted first start leaves.
fn empty(root: &Path) -> Result<(), OpenError> {
    for entry in fs::read_dir(root).context("list", root)? {
        let found = entry.context("list", root)?.file_name().to_string_lossy().into_owned();
        if !NAMES.contains(&found.as_str()) {
            return Err(OpenError::Foreign { directory: root.to_owned(), found });
        }
    }
    Ok(())
}

fn write_format(disk: &dyn Disk, root: &Path, sled_segment_bytes: u64) -> Result<(), OpenError> {
    let new = root.join("FORMAT.new");
    let mut file = File::create(&new).context("create", &new)?;
    writeln!(file, "bbq format {FORMAT} sled-segment-bytes {sled_segment_bytes}").context("write", &new)?;
    file.sync_all().context("fsync", &new)?;
    fs::rename(&new, root.join("FORMAT")).context("rename", &new)?;
    sync(disk, root)
}
