//! Looking at what a start reads besides the store, without a start: certificates, tokens and the profile.

use std::path::{Path, PathBuf};

use bbq_client::Profile;

use super::first_start::{PROFILE, TOKENS};
use crate::middleware::tokens::{OpenError, TokenTable};
use crate::store::check::{Finding, Report};
use crate::transport::tls::{GENERATED_ADVICE, IdentityError, verify_generated};

/// What to do about a profile that can't be read.
const PROFILE_ADVICE: &str = "correct it, or put a copy of it back";

/// Adds what is wrong in a data directory with the files that are not the store's. Changes nothing. Blocks.
pub fn check(directory: &Path, report: &mut Report) {
    if let Err(error) = verify_generated(directory) {
        let (file, what) = match error {
            IdentityError::Damaged { path, reason } => (path, reason),
            other => (directory.to_owned(), other.to_string()),
        };
        report.add(finding(file, what, GENERATED_ADVICE));
    }
    match TokenTable::open(&directory.join(TOKENS)) {
        Ok(_) => {}
        Err(OpenError::Corrupt { path, reason }) => report.add(finding(path, reason, OpenError::ADVICE)),
        Err(OpenError::Read { path, error }) => {
            report.add(finding(path, error.to_string(), OpenError::ADVICE));
        }
    }
    let profile = directory.join(PROFILE);
    if profile.exists()
        && let Err(error) = Profile::load(&profile)
    {
        report.add(finding(profile, error.to_string(), PROFILE_ADVICE));
    }
}

fn finding(file: PathBuf, what: String, advice: &'static str) -> Finding {
    // The place has its own column.
    let what = what.strip_prefix(&format!("{}: ", file.display())).map(str::to_owned).unwrap_or(what);
    Finding { file, place: "the file".to_owned(), what, advice }
}
