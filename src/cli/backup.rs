//! `bbq backup` and `bbq restore`: a file with everything that a server has, and a data directory made of it.
//!
//! Always true: what there is under the name that was asked for is whole, checked and on disk, or was not touched.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bbq_client::Client;
use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Global;
use super::connection::{stop_signal, with_client};
use super::output::Output;
use super::progress::bar;
use super::record::{counted, time};
use crate::store::{Restored, StoreOptions, restore, verify};

/// Read and written by its owner, as what is in the data directory.
const OWNER_ONLY: u32 = 0o600;

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The file to make, readable by its owner alone; there must be none
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// A file that `bbq backup` made
    file: PathBuf,
    /// The data directory to make; new, or empty
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: PathBuf,
}

/// A file that is removed unless it gets its name.
struct Partial {
    path: PathBuf,
    kept: bool,
}

impl Backup {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        with_client(global, async |client| {
            let stop = stop_signal()?;
            let held = self.take(&client, &stop).await?;
            let shown = self.file.display();
            let text = format!(
                "{shown} holds entry {}: {}, {}",
                held.applied.index,
                counted(held.rows, "row"),
                counted(held.bytes, "byte")
            );
            Output::new(global).record(text, &summary(&self.file, held))
        })
        .await
    }

    async fn take(&self, client: &Client, stop: &CancellationToken) -> Result<Restored> {
        let path = &self.file;
        if fs::symlink_metadata(path).is_ok() {
            bail!("{} is there already; name another file, or remove it first", path.display());
        }
        let name = path.file_name().with_context(|| format!("{} names no file", path.display()))?;
        let mut beside = name.to_owned();
        beside.push(".partial");
        let mut partial = Partial { path: path.with_file_name(beside), kept: false };
        let failed = |what: &str| format!("{} can't be {what}", partial.path.display());
        let mut file = private(&partial.path).with_context(|| failed("made"))?;
        let mut pieces = client.backup().await?;
        let bar = bar();
        loop {
            let piece = tokio::select! {
                biased;
                () = stop.cancelled() => bail!("interrupted; no backup was made"),
                piece = pieces.next() => piece.context("no backup was made")?,
            };
            let Some(piece) = piece else { break };
            bar.set_length(piece.total_bytes);
            bar.inc(u64::try_from(piece.data.len()).unwrap_or_default());
            file.write_all(&piece.data).with_context(|| failed("written"))?;
        }
        file.sync_all().with_context(|| failed("written to the disk"))?;
        // A proxy could have ended the stream early, and the disk could have taken something else.
        let held =
            verify(&partial.path, |_, _| {}).context("what came from the server is no whole backup")?;
        bar.finish_and_clear();
        fs::rename(&partial.path, path).with_context(|| failed("renamed"))?;
        partial.kept = true;
        sync(path)?;
        Ok(held)
    }
}

impl Restore {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let Self { file, data_dir } = self;
        let (from, to) = (file.clone(), data_dir.clone());
        let restored = tokio::task::spawn_blocking(move || {
            let bar = bar();
            let restored = restore(&from, &to, &StoreOptions::default(), |read, total| {
                bar.set_length(total);
                bar.set_position(read);
            });
            bar.finish_and_clear();
            restored
        });
        let restored = restored.await.context("the restore failed")??;
        let shown = data_dir.display();
        let text = format!(
            "{shown} holds the state at entry {}; `bbq serve --data-dir {shown}` serves it",
            restored.applied.index
        );
        let mut json = summary(&file, restored);
        json["data_dir"] = shown.to_string().into();
        Output::new(global).record(text, &json)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.kept {
            // What can't be removed is overwritten by the next try.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A new file that its owner alone may read: in it is every message of every queue.
fn private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(true).mode(OWNER_ONLY).open(path)?;
    // What an earlier try left keeps the mode that it was made with.
    file.set_permissions(Permissions::from_mode(OWNER_ONLY))?;
    Ok(file)
}

fn summary(file: &Path, held: Restored) -> serde_json::Value {
    let made_at = std::time::UNIX_EPOCH + Duration::from_millis(held.made_at.0);
    json!({
        "file": file.display().to_string(),
        "entry": held.applied.index,
        "made_at": time(made_at),
        "rows": held.rows,
        "bytes": held.bytes,
    })
}

/// Brings a file's name onto the disk.
fn sync(file: &Path) -> Result<()> {
    let parent = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let synced = File::open(parent).and_then(|directory| directory.sync_all());
    synced.with_context(|| format!("{} can't be brought to the disk", parent.display()))
}
