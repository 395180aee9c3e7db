//! What the host is asked and told: JSON lines over the standard streams.

use std::error::Error;
use std::process::ExitCode;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::Failure;

/// The host of this process.
pub struct Host;

impl Host {
    /// Asks for something to be done, and returns the answer when it is done.
    pub async fn ask(what: &str) -> Result<Value, Failure> {
        println!("{}", json!({ "ask": what }));
        let mut line = String::new();
        BufReader::new(tokio::io::stdin()).read_line(&mut line).await?;
        let answer: Value = serde_json::from_str(&line)?;
        if answer["done"] == what { Ok(answer) } else { Err(format!("{what} is not done: {line}").into()) }
    }

    pub fn passed() -> ExitCode {
        println!("{}", json!({ "result": "passed" }));
        ExitCode::SUCCESS
    }

    pub fn failed(why: &(dyn Error + 'static)) -> ExitCode {
        println!("{}", json!({ "result": "failed", "why": why.to_string() }));
        ExitCode::FAILURE
    }
}
