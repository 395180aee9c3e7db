//! The `bbq` binary: parse, run, and say how it ended.
//!
//! Exit code 0 is success, also when whoever read the output had enough; 1 is a failure, told in one line on standard
//! error; 2 is a command line that makes no sense; 3 is a dry run that found something to change.

use std::io;
use std::process::ExitCode;

use bbq::cli::{Cli, Differs, OutputClosed};
use clap::Parser as _;
use tokio::runtime::{Builder, Runtime};

/// The most threads for what blocks: reads of the state files, pieces of a backup, the token table, a command's files. What finds none
/// waits in line, and no such job waits for another one, so a few are enough to get on. 16 reads at once keep a disk and the
/// processors busy; without a bound, each queue whose backlog went cold could have a thread of its own, up to 512, and they last.
const BLOCKING_THREADS_MAX: usize = 16;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return report(&anyhow::Error::new(error).context("the runtime can't start")),
    };
    let outcome = runtime.block_on(cli.run());
    // A read of standard input that nobody waits for any more must not hold the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().max_blocking_threads(BLOCKING_THREADS_MAX).build()
}

fn report(error: &anyhow::Error) -> ExitCode {
    if error.is::<OutputClosed>() {
        return ExitCode::SUCCESS;
    }
    if error.is::<Differs>() {
        return ExitCode::from(3);
    }
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        usage.exit();
    }
    let text = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    eprintln!("error: {text}");
    ExitCode::FAILURE
}
