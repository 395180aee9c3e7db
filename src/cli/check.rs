//! `bbq check`: is everything in a stopped data directory as it was written?

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::Global;
use super::output::Output;
use super::progress::bar;
use super::record::counted;
use crate::server;
use crate::store::check::{Finding, Findings, Report, check};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The data directory of a server that does not run
    #[arg(value_name = "DIR")]
    data_dir: PathBuf,
}

impl Check {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let path = self.data_dir.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let bar = bar();
            let report = check(&path, |read, total| {
                bar.set_length(total);
                bar.set_position(read);
            });
            bar.finish_and_clear();
            report.map(|mut report| {
                server::check(&path, &mut report);
                report
            })
        });
        let report = checked.await.context("the check failed")??;
        let mut output = Output::new(global);
        for (kind, title, findings) in
            [("damage", "DAMAGED", &report.damage), ("leftover", "left over", &report.leftovers)]
        {
            for finding in &findings.first {
                output.record(line(title, finding), &object(kind, finding))?;
            }
        }
        let shown = self.data_dir.display();
        output.record(summary(&report, &shown.to_string()), &total(&report, &shown.to_string()))?;
        let Findings { count, .. } = report.damage;
        if count > 0 {
            bail!(
                "{shown} is damaged in {count} {places}; see above what to do about each. A backup can be restored into a new \
                 directory (`bbq restore`)",
                places = if count == 1 { "place" } else { "places" }
            );
        }
        Ok(())
    }
}

fn line(title: &str, Finding { file, place, what, advice }: &Finding) -> String {
    format!("{title}: {}, {place}: {what}; {advice}", file.display())
}

fn object(kind: &str, Finding { file, place, what, advice }: &Finding) -> Value {
    json!({ "kind": kind, "file": file.display().to_string(), "place": place, "what": what, "advice": advice })
}

fn summary(report: &Report, shown: &str) -> String {
    let Report { applied, last, queues, messages, chunks, entries, damage, leftovers } = report;
    let verdict = if damage.count == 0 { "no damage" } else { "DAMAGED" };
    format!(
        "{shown}: {verdict}; {}, {} in {} at entry {}, {} in the journal up to {}, {} left over",
        counted(*queues, "queue"),
        counted(*messages, "message"),
        counted(*chunks, "chunk"),
        applied.index,
        counted(*entries, "entry"),
        last.index,
        leftovers.count
    )
}

fn total(report: &Report, shown: &str) -> Value {
    json!({
        "kind": "summary",
        "data_dir": shown,
        "entry": report.applied.index,
        "last_entry": report.last.index,
        "queues": report.queues,
        "messages": report.messages,
        "chunks": report.chunks,
        "journal_entries": report.entries,
        "damage": report.damage.count,
        "leftovers": report.leftovers.count,
    })
}
