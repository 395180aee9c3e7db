//! What could not be run on this machine.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

/// Says what was left out and why, where `make test` and `make test-clients` end with it.
pub fn notice(line: &str) {
    eprintln!("NOT RUN: {line}");
    let path = std::env::var_os("BBQ_NOTICES").filter(|path| !path.is_empty());
    let Some(path) = path.map(PathBuf::from) else { return };
    let file = OpenOptions::new().create(true).append(true).open(&path);
    let mut file = file.unwrap_or_else(|error| panic!("BBQ_NOTICES, {}: {error}", path.display()));
    writeln!(file, "{line}").unwrap_or_else(|error| panic!("BBQ_NOTICES, {}: {error}", path.display()));
}
