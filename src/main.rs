//! The `bbq` binary: parse, run, and say how it ended.
//!
//! Exit code 0 is success, also when whoever read the output had enough; 1 is a failure, told in one line on standard
//! error; 2 is a command line that makes no sense; 3 is a dry run that found something to change.

use std::process::ExitCode;

use bbq::cli::{Cli, Differs, OutputClosed};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
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
