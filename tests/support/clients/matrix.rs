//! The matrix client x transport x scenario: printed, and kept in `docs/CLIENTS.md`.

use std::fmt::Write as _;
use std::fs;

use super::runner::Outcome;
use super::{LANGUAGES, Language, SCENARIOS, is_run, root};

const BEGIN: &str = "<!-- matrix: written by make test-clients -->\n";
const END: &str = "<!-- matrix: end -->\n";

/// The table: a row a scenario, a column for each client on each of its transports.
pub fn table(outcomes: &[Outcome]) -> String {
    let columns: Vec<(&Language, &str)> = LANGUAGES
        .iter()
        .flat_map(|language| language.transports.iter().map(move |transport| (language, *transport)))
        .collect();
    let mut table = String::from("| scenario |");
    for (client, transport) in &columns {
        let _ = write!(table, " {} {transport} |", client.name);
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(columns.len()));
    table.push('\n');
    for (scenario, _) in SCENARIOS {
        let _ = write!(table, "| {scenario} |");
        for (client, transport) in &columns {
            let is_it = |outcome: &&Outcome| {
                (outcome.client, outcome.transport, outcome.scenario) == (client.name, *transport, scenario)
            };
            let cell = match outcomes.iter().find(is_it) {
                Some(Outcome { failure: None, .. }) => "passed",
                Some(Outcome { failure: Some(_), .. }) => "FAILED",
                None if is_run(scenario, transport) => "not run",
                None if client.transports.contains(&"h3") => "as h3",
                None => "no HTTP/3",
            };
            let _ = write!(table, " {cell} |");
        }
        table.push('\n');
    }
    table
}

/// Puts the table into the page, if `BBQ_CLIENTS_KEEP` is set and nothing is missing from it.
pub fn keep(table: &str) {
    if std::env::var_os("BBQ_CLIENTS_KEEP").is_none() {
        return;
    }
    if table.contains("not run") {
        eprintln!("docs/CLIENTS.md keeps the matrix that it has: this one has cells that were not run");
        return;
    }
    let path = root().join("docs/CLIENTS.md");
    let page = fs::read_to_string(&path).expect("the page is there");
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the matrix");
    let (_, after) = rest.split_once(END).expect("the place has an end");
    fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("the page can be written");
}
