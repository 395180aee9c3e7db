//! Where a system's program is, and which version it has.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The program `name`: from the PATH, or from a directory that Debian keeps off it.
pub fn find(name: &str, beside: &str, package: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<_> = env::split_paths(&path).collect();
    directories.extend(newest(Path::new(beside)));
    let found =
        directories.into_iter().map(|directory| directory.join(name)).find(|program| program.is_file());
    found.with_context(|| {
        format!("{name} is not installed; `apt-get install --no-install-recommends {package}`")
    })
}

/// The directories that `pattern` names, the newest version first. At most one part of it is a `*`.
fn newest(pattern: &Path) -> Vec<PathBuf> {
    let text = pattern.to_string_lossy();
    let Some((before, after)) = text.split_once('*') else { return vec![pattern.to_owned()] };
    let (directory, prefix) = before.rsplit_once('/').unwrap_or((".", before));
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort_by_key(|name| std::cmp::Reverse(numbers(name)));
    names.iter().map(|name| PathBuf::from(format!("{directory}/{name}{after}"))).collect()
}

/// The numbers in `text`: what versions are ordered by.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// The first thing in what `program` says of itself that looks like a version.
pub fn version(program: &Path, argument: &str) -> Result<String> {
    let output = Command::new(program).arg(argument).output();
    let output = output.with_context(|| format!("{} can't be run", program.display()))?;
    let said = [output.stdout, output.stderr].concat();
    match number(&String::from_utf8_lossy(&said)) {
        Some(version) => Ok(version),
        None => bail!("{} {argument} names no version", program.display()),
    }
}

/// The first thing in `text` that looks like a version.
pub fn number(text: &str) -> Option<String> {
    let parts = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    let version = parts.map(|part| part.trim_matches('.')).find(|part| part.contains('.'))?;
    Some(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Versions are found in what programs say.
    #[test]
    fn versions_are_found() {
        assert_eq!(number("Redis server v=7.0.15 sha=00000000:0").as_deref(), Some("7.0.15"));
        assert_eq!(number("postgres (PostgreSQL) 15.18 (Debian 15.18-0)").as_deref(), Some("15.18"));
        assert_eq!(number("rabbitmq_server-3.10.8").as_deref(), Some("3.10.8"));
        assert_eq!(number("none"), None);
    }

    /// Version 10 is newer than version 9.
    #[test]
    fn versions_are_ordered_by_number() {
        assert!(numbers("rabbitmq_server-3.10.8") > numbers("rabbitmq_server-3.9.13"));
    }
}
