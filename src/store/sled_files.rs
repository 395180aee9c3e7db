//! The small files of sled beside its `db`, verified before sled sees them: it only warns of a changed `conf`, and of a changed
//! snapshot it says nothing but that something is corrupt.
//!
//! `conf` is what it says and a CRC-32 of that; `snap.*` is what it says, its length as a u64, and a CRC-32 of the first part;
//! numbers little-endian.

use std::fs;
use std::path::{Path, PathBuf};

use super::OpenError;
use super::codec::length;
use super::error::Context;

/// Refuses files that are not as sled wrote them.
pub(super) fn verify(state: &Path) -> Result<(), OpenError> {
    let conf = state.join("conf");
    // sled makes a new one of what is shorter.
    if let Some(bytes) = read(&conf)?.filter(|bytes| bytes.len() > 8) {
        checked(&conf, &bytes, 4)?;
    }
    if let Some(snapshot) = latest_snapshot(state)?
        && let Some(bytes) = read(&snapshot)?
    {
        checked(&snapshot, &bytes, 12)?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("read", path),
    }
}

/// The one that sled reads.
fn latest_snapshot(state: &Path) -> Result<Option<PathBuf>, OpenError> {
    let mut latest = None;
    for entry in fs::read_dir(state).context("list", state)? {
        let path = entry.context("list", state)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("snap.") {
            latest = latest.max(Some(path));
        }
    }
    Ok(latest)
}

/// Compares the CRC-32 at the end with that of what is before the last `trailer` bytes.
fn checked(file: &Path, bytes: &[u8], trailer: usize) -> Result<(), OpenError> {
    let damaged =
        |reason: &str| OpenError::Corrupt { file: file.to_owned(), offset: 0, reason: reason.to_owned() };
    let Some((rest, crc)) = bytes.split_last_chunk() else { return Err(damaged("it is too short")) };
    let Some(content) = bytes.len().checked_sub(trailer).map(|end| &bytes[..end]) else {
        return Err(damaged("it is too short"));
    };
    if crc32fast::hash(content) != u32::from_le_bytes(*crc) {
        return Err(damaged("its checksum does not match"));
    }
    // What is between the two is a length, which the checksum does not cover.
    let between = &rest[content.len()..];
    if trailer == 12 && between != length(content.len()).to_le_bytes() {
        return Err(damaged("the length in it does not match"));
    }
    Ok(())
}
