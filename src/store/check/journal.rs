//! Verifying the journal: segments follow one another, records are whole, entries decode, and it reaches from the checkpoint on.

use std::fs;
use std::path::Path;

use crate::store::OpenError;
use crate::store::error::Context;
use crate::store::journal::{self, Survey};
use crate::types::LogId;

use super::{NOTHING, Progress, Report};

const LOOK: &str =
    "nothing after a power cut or a kill, when nothing confirmed is in it; otherwise a backup may have more";
const REMOVE: &str = "remove it when nobody wants to look into it any more";

/// Verifies the journal behind the checkpoint of entry `applied`, if that is known.
pub(super) fn check(
    directory: &Path,
    applied: Option<LogId>,
    report: &mut Report,
    progress: &mut Progress<'_>,
) -> Result<(), OpenError> {
    kept_aside(directory, report)?;
    let survey = match journal::survey(directory, applied.map(|applied| applied.index)) {
        Ok(survey) => survey,
        Err(error) => return report.note(error),
    };
    let Survey { last, torn, useless, replay } = survey;
    report.last = last;
    if let Some((file, from, until)) = torn {
        let what = format!("{} bytes behind the last whole entry are no whole entry", until - from);
        report.left(&file, format!("byte {from}"), what, LOOK);
    }
    for file in useless {
        report.left(&file, "the file".to_owned(), "it has no entry that a start would read", NOTHING);
    }
    if let Some(applied) = applied.filter(|applied| applied.index > last.index) {
        let what = format!(
            "it ends at entry {}, but the state files hold entry {}, which it had when they were written",
            last.index, applied.index
        );
        report.damaged(directory, format!("entry {}", last.index + 1), what);
    }
    for entry in replay {
        if let Err(error) = entry {
            return report.note(error);
        }
        report.entries += 1;
    }
    progress.add(super::bytes(directory)?);
    Ok(())
}

/// Torn tails of earlier starts.
fn kept_aside(directory: &Path, report: &mut Report) -> Result<(), OpenError> {
    for entry in fs::read_dir(directory).context("list", directory)? {
        let path = entry.context("list", directory)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("torn-") {
            report.left(&path, "the file".to_owned(), "a torn tail that an earlier start cut off", REMOVE);
        } else if path.extension().is_none_or(|ending| ending != "seg") {
            report.left(&path, "the file".to_owned(), "it is not one of the journal's", REMOVE);
        }
    }
    Ok(())
}
