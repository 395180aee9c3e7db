//! The rules of `docs/ARCHITECTURE.md` hold in `src/`: who may import whom, and what may appear where.
//!
//! The page is the only place where the rules are written; this test reads its two tables. A table that is missing, or
//! that names a module which does not exist, fails too, so that the page can't lose its meaning unnoticed. Comments and
//! string literals are not code and don't count; test modules are code and do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, iter};

/// A rule of the second table: a word and the modules or files in which it may appear.
struct Confined {
    word: String,
    places: Vec<String>,
}

#[test]
fn modules_import_only_what_the_page_allows() {
    let page = read(&root().join("docs/ARCHITECTURE.md"));
    let broken = import_violations(&import_table(&page), &sources());
    assert!(broken.is_empty(), "docs/ARCHITECTURE.md, \"Who may import whom\":\n{}", broken.join("\n"));
}

#[test]
fn words_appear_only_where_the_page_allows() {
    let page = read(&root().join("docs/ARCHITECTURE.md"));
    let broken = word_violations(&confined_table(&page), &sources());
    assert!(broken.is_empty(), "docs/ARCHITECTURE.md, \"What must never be\":\n{}", broken.join("\n"));
}

#[test]
fn the_page_names_every_module_and_no_other() {
    let page = read(&root().join("docs/ARCHITECTURE.md"));
    let in_table: BTreeSet<String> = import_table(&page).into_keys().collect();
    let in_source: BTreeSet<String> =
        sources().iter().map(|(path, _)| module_of(path)).filter(|name| name != "lib").collect();
    assert_eq!(in_table, in_source, "the import table of docs/ARCHITECTURE.md (left), src/ (right)");
}

#[test]
fn a_forbidden_import_is_seen_however_it_is_written() {
    let table = import_table(
        "| module | may import |\n|---|---|\n| `engine` | `types`; never `store` |\n| `store` | `types` |\n",
    );
    for forbidden in [
        "use crate::store::Overlay;",
        "use crate::{types::Sequence, store};",
        "use crate::{\n    types::{Sequence, Epoch},\n    store::{Overlay, Journal},\n};",
        "fn f() -> crate::store::Overlay { make() }",
        "use super::store::Overlay;",
        "pub(crate) use crate :: store;",
    ] {
        let sources = [(PathBuf::from("engine/mod.rs"), code(forbidden))];
        assert_eq!(
            import_violations(&table, &sources),
            ["src/engine/mod.rs: `engine` imports `store`"],
            "{forbidden}"
        );
    }
    for allowed in [
        "use crate::types::{store, Sequence};",
        "use crate::engine::store::Thing;",
        "// use crate::store;\n/* crate::store */ const S: &str = \"crate::store\"; const R: &str = r#\"\"crate::store\"#;",
        "const QUOTE: char = '\"'; // crate::store \"",
        "mod store; use self::store::Thing; use store::Other;",
    ] {
        let sources = [(PathBuf::from("engine/mod.rs"), code(allowed))];
        assert_eq!(import_violations(&table, &sources), Vec::<String>::new(), "{allowed}");
    }
}

#[test]
fn a_confined_word_is_seen_outside_its_place_only() {
    let table = confined_table(
        "| word | only in |\n|---|---|\n| `sled` | `store` |\n| `Status::` | `service/status.rs` |\n",
    );
    let source = |path: &str, text: &str| [(PathBuf::from(path), code(text))];
    assert_eq!(word_violations(&table, &source("broker/task.rs", "use sled::Db;")).len(), 1);
    assert_eq!(word_violations(&table, &source("service/wire.rs", "Err(Status::internal(text))")).len(), 1);
    for allowed in [
        source("store/keys.rs", "use sled::Db;"),
        source("broker/task.rs", "let bobsled = sledge; // sled"),
        source("service/status.rs", "Err(Status::internal(text))"),
        source("service/wire.rs", "fn f() -> Result<(), Status> { MyStatus::new() }"),
    ] {
        assert_eq!(word_violations(&table, &allowed), Vec::<String>::new());
    }
}

/// What a page says of imports: each module with the modules that it may import.
fn import_table(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let rows = table(page, "| module | may import |");
    // What follows the list is a remark.
    let cells = |cell: &str| {
        quoted(cell.split([':', ';']).next().unwrap_or_default()).into_iter().collect::<BTreeSet<_>>()
    };
    rows.iter().flat_map(|(left, right)| quoted(left).into_iter().zip(iter::repeat(cells(right)))).collect()
}

fn confined_table(page: &str) -> Vec<Confined> {
    let rows = table(page, "| word | only in |");
    let confined = |left: &str, right: &str| {
        let places = quoted(right);
        quoted(left)
            .into_iter()
            .map(move |word| Confined { word, places: places.clone() })
            .collect::<Vec<_>>()
    };
    rows.iter().flat_map(|(left, right)| confined(left, right)).collect()
}

/// The rows of the two-column table under `heading`.
fn table(page: &str, heading: &str) -> Vec<(String, String)> {
    let rows: Vec<_> = page
        .lines()
        .skip_while(|line| line.trim() != heading)
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|');
            let mut cell = || cells.next().unwrap_or_default().trim().to_owned();
            (cell(), cell())
        })
        .collect();
    assert!(!rows.is_empty(), "docs/ARCHITECTURE.md has no table headed {heading}");
    rows
}

/// All that stands between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn import_violations(
    table: &BTreeMap<String, BTreeSet<String>>,
    sources: &[(PathBuf, String)],
) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, code) in sources {
        let module = module_of(path);
        let Some(allowed) = table.get(&module) else { continue };
        let forbidden =
            |name: &&String| table.contains_key(*name) && **name != module && !allowed.contains(*name);
        for name in imports(path, code).iter().filter(forbidden) {
            broken.push(format!("src/{}: `{module}` imports `{name}`", path.display()));
        }
    }
    broken
}

fn word_violations(table: &[Confined], sources: &[(PathBuf, String)]) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, code) in sources {
        for Confined { word, places } in table {
            let at_home = places.iter().any(|place| *place == module_of(path) || Path::new(place) == path);
            if !at_home && positions(code, word).next().is_some() {
                let places = places.join(", ");
                broken.push(format!("src/{}: `{word}` belongs in {places} only", path.display()));
            }
        }
    }
    broken
}

/// The top-level modules that a file names: `crate::name`, `bbq::name`, groups of them, and `super::` up to the root.
fn imports(path: &Path, code: &str) -> BTreeSet<String> {
    let depth = path.with_extension("").components().filter(|c| c.as_os_str() != "mod").count();
    let mut names = BTreeSet::new();
    for prefix in ["crate::".to_owned(), "bbq::".to_owned(), "super::".repeat(depth)] {
        for at in positions(code, &prefix).filter(|at| !code[..*at].ends_with("::")) {
            names.extend(heads(&code[at + prefix.len()..]));
        }
    }
    names
}

/// The first words of a path, or of each path of a group.
fn heads(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let (mut depth, mut starts) = (0, vec![0]);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts.push(at + 1),
            _ => {}
        }
    }
    starts.into_iter().map(|at| word(&group[at..])).collect()
}

fn word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| is_word(*c)).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `needle` stands on its own, not as a part of a longer word.
fn positions<'a>(code: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    let alone = move |at: usize| {
        let before = code[..at].chars().next_back();
        let after = code[at + needle.len()..].chars().next().filter(|_| !needle.ends_with(':'));
        !before.into_iter().chain(after).any(is_word)
    };
    code.match_indices(needle).map(|(at, _)| at).filter(move |at| alone(*at))
}

/// Source text without comments, the contents of literals, and the space around `::` and `{`.
fn code(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let skipped = literal_or_comment(rest);
        if skipped > 0 {
            kept.push(' ');
            rest = &rest[skipped..];
        } else {
            kept.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    kept.split("::").map(str::trim).collect::<Vec<_>>().join("::")
}

/// How many bytes a literal or comment at the start of `text` takes; 0 if there is none.
fn literal_or_comment(text: &str) -> usize {
    let until = |open: &str, close: &str| {
        let body = &text[open.len()..];
        open.len() + body.find(close).map_or(body.len(), |at| at + close.len())
    };
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return until("/*", "*/");
    }
    if let Some(hashes) = text.strip_prefix('r').map(|t| t.len() - t.trim_start_matches('#').len())
        && text[1 + hashes..].starts_with('"')
    {
        let fence = "#".repeat(hashes);
        return until(&format!("r{fence}\""), &format!("\"{fence}"));
    }
    if text.starts_with("'\"'") || text.starts_with("'\\\"'") {
        return until("'", "'");
    }
    if !text.starts_with('"') {
        return 0;
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == '"' && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// The module a file of `src/` belongs to: the first part of its path.
fn module_of(path: &Path) -> String {
    let first = path.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
    first.unwrap_or_default().trim_end_matches(".rs").to_owned()
}

/// Every file of `src/`, by its path there, as `code`.
fn sources() -> Vec<(PathBuf, String)> {
    let src = root().join("src");
    let mut found = Vec::new();
    let mut directories = vec![src.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("src/ can be read") {
            let path = entry.expect("src/ can be read").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&src).expect("it was found there").to_owned();
                found.push((name, code(&read(&path))));
            }
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
