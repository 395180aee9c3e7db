//! `bbq bench`: how fast it is, measured from the outside.
//!
//! Every publish is confirmed and every message acked; the time of sending travels in the body. What it prints was
//! measured in this run and nothing else.

mod backlog;
mod cancel;
mod figures;
mod pace;
mod target;
mod usage;
mod workload;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use super::Global;
use super::output::Output;
use workload::Workload;

/// How fast a server is.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    workload: Workload,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Subcommand)]
enum What {
    /// From the cancel of a stream to the redelivery of all it held
    Cancel(cancel::Cancel),
    /// Fill a queue, restart the server, drain the queue
    Backlog(backlog::Backlog),
}

/// Which server is measured.
#[derive(Clone, Debug, Args)]
struct At {
    /// Start a server of its own, in a directory that is gone afterwards, instead of using the profile's
    #[arg(long, conflicts_with = "profile")]
    spawn: bool,
    /// What a confirmed publish has survived
    #[arg(long, value_enum, default_value_t = Durability::Synced)]
    durability: Durability,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Durability {
    Synced,
    Buffered,
}

impl Bench {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let mut output = Output::new(global);
        match self.what {
            None => self.workload.run(&self.at, global, &mut output).await,
            Some(What::Cancel(cancel)) => cancel.run(global, &mut output).await,
            Some(What::Backlog(backlog)) => backlog.run(global, &mut output).await,
        }
    }
}
