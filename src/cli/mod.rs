//! The command line: what can be typed, one file a family of commands.
//!
//! Everything but `serve`, `restore` and `check` is a client like any other and goes through `bbq-client`. What a script may read goes to
//! standard output, one JSON object a line with `--json`; everything else goes to standard error.

mod apply;
mod argument;
mod backup;
mod bench;
mod check;
mod connection;
mod declaration;
mod exec;
mod feasible;
mod field;
mod inspect;
mod output;
mod progress;
mod publish;
mod publish_to_topic;
mod queue;
mod receive;
mod record;
mod redrive;
mod running;
mod serve;
mod settings;
mod settle;
mod settling;
mod subscribe;
mod table;
mod token;
mod topic;
mod watch;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

pub use apply::Differs;
pub use output::OutputClosed;

/// BBQ, a durable message queue over gRPC on HTTP/3.
#[derive(Debug, Parser)]
#[command(name = "bbq", version, after_help = EXAMPLES, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  bbq serve                                   start a server here, with its data in ./bbq-data
  bbq queue create jobs
  bbq publish jobs 'hello'
  bbq subscribe jobs --exec 'wc -c'           run a command for each message; exit code 0 settles it";

/// What every client command takes.
#[derive(Clone, Debug, Args)]
struct Global {
    /// Print one JSON object a line
    #[arg(long, global = true, help_heading = "Client options")]
    json: bool,
    /// Where the server is and how to prove who is asking [default: $BBQ_PROFILE, else ./bbq-data/client.toml]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Client options")]
    profile: Option<PathBuf>,
    /// Speak HTTP/2 instead of HTTP/3
    #[arg(long, global = true, help_heading = "Client options")]
    http2: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server
    Serve(serve::Serve),
    /// Create, show, list, change, pause, delete and purge queues
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Create, list, delete, bind and unbind topics
    #[command(subcommand)]
    Topic(topic::Topic),
    /// Publish messages to a queue, or to all queues that a topic chooses
    Publish(publish::Publish),
    /// Take messages as they come, and settle them
    Subscribe(subscribe::Subscribe),
    /// Take some messages and leave them leased
    Receive(receive::Receive),
    /// Settle messages for good, by their receipts
    Ack(settle::Ack),
    /// Give messages back for another attempt, by their receipts
    Nack(settle::Nack),
    /// Move the end of leases, by their receipts
    Extend(settle::Extend),
    /// Look at messages and change nothing
    Peek(inspect::Peek),
    /// Show who holds what, since when, until when
    Leases(inspect::Leases),
    /// Move dead-lettered messages back to where they came from
    Redrive(redrive::Redrive),
    /// Create, list and revoke bearer tokens
    #[command(subcommand)]
    Token(token::Token),
    /// Make queues, topics and bindings what a file declares
    Apply(apply::Apply),
    /// Copy everything that a running server has into a file
    Backup(backup::Backup),
    /// Make a data directory from such a file
    Restore(backup::Restore),
    /// Verify the data directory of a server that does not run
    Check(check::Check),
    /// Measure how fast a server is
    Bench(bench::Bench),
}

impl Cli {
    /// Does what was typed. It needs a tokio runtime with more than one thread: printing may block one.
    pub async fn run(self) -> Result<()> {
        let global = &self.global;
        match self.command {
            Command::Serve(command) => command.run().await,
            Command::Queue(command) => command.run(global).await,
            Command::Topic(command) => command.run(global).await,
            Command::Publish(command) => command.run(global).await,
            Command::Subscribe(command) => command.run(global).await,
            Command::Receive(command) => command.run(global).await,
            Command::Ack(command) => command.run(global).await,
            Command::Nack(command) => command.run(global).await,
            Command::Extend(command) => command.run(global).await,
            Command::Peek(command) => command.run(global).await,
            Command::Leases(command) => command.run(global).await,
            Command::Redrive(command) => command.run(global).await,
            Command::Token(command) => command.run(global).await,
            Command::Apply(command) => command.run(global).await,
            Command::Backup(command) => command.run(global).await,
            Command::Restore(command) => command.run(global).await,
            Command::Check(command) => command.run(global).await,
            Command::Bench(command) => command.run(global).await,
        }
    }
}

#[cfg(test)]
mod tests;
