//! Every link of the pages leads somewhere: to a file of the repository, and to a heading that is there.
//!
//! Links to the web are not followed; a test must not depend on someone else's server.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn links_of_the_pages_lead_somewhere() {
    let pages = pages();
    assert!(pages.len() >= 5, "README.md, CHANGELOG.md and docs/ were not found, only {pages:?}");
    let broken: Vec<_> = pages.iter().flat_map(|page| broken_links(page, &read(page))).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The table of docs/TESTING.md says what each file of tests/ shows.
#[test]
fn each_file_of_tests_has_a_row() {
    let page = read(&root().join("docs/TESTING.md"));
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let named: Vec<&str> =
        rows.flat_map(|row| row.split(" | ").next()).flat_map(|cell| cell.split('`')).collect();
    let has_a_row = |name: &str| {
        named.iter().any(|pattern| match pattern.split_once('*') {
            Some((before, after)) => name.starts_with(before) && name.ends_with(after),
            None => pattern.trim_end_matches('/') == name,
        })
    };
    let entries = fs::read_dir(root().join("tests")).expect("the tests are there");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("plain names"));
    let missing: Vec<_> = names.filter(|name| name != "support" && !has_a_row(name)).collect();
    assert!(missing.is_empty(), "docs/TESTING.md says nothing of {missing:?}");
}

#[test]
fn a_link_to_nowhere_is_seen() {
    let page = root().join("README.md");
    let text = "# A heading, and `code`\n[file](Cargo.toml) [web](https://example.com/x) [here](#a-heading-and-code)";
    assert_eq!(broken_links(&page, text), Vec::<String>::new());
    for broken in ["[file](docs/NOWHERE.md)", "[heading](#nowhere)", "[both](README.md#nowhere-at-all)"] {
        assert_eq!(broken_links(&page, broken).len(), 1, "{broken}");
    }
}

fn broken_links(page: &Path, text: &str) -> Vec<String> {
    let leads_somewhere = |target: &str| {
        let (file, heading) = target.split_once('#').unwrap_or((target, ""));
        let path = page.parent().expect("a page is in a directory").join(file);
        let path = if file.is_empty() { page.to_owned() } else { path };
        let there = path.exists();
        let text =
            if file.is_empty() { text.to_owned() } else { fs::read_to_string(&path).unwrap_or_default() };
        there && (heading.is_empty() || headings(&text).any(|anchor| anchor == heading))
    };
    links(text)
        .filter(|target| !target.contains("://") && !leads_somewhere(target))
        .map(|target| format!("{}: ({target}) leads nowhere", page.display()))
        .collect()
}

fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// The anchors that a renderer makes of headings: lower case, words joined by dashes, no punctuation.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let anchor = |line: &str| {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        text.chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            })
            .collect()
    };
    text.lines().filter(|line| line.starts_with('#')).map(anchor)
}

fn pages() -> Vec<PathBuf> {
    [root(), root().join("docs")]
        .iter()
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flatten()
        .map(|entry| entry.expect("the repository can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
