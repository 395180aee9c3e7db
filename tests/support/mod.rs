//! The real binary over real sockets: servers, commands, and waiting for what they do.
//!
//! Nothing here sleeps until something has probably happened: everything waits for the thing itself, and gives up after
//! [`LONG`] with all that it saw.

#![allow(dead_code, unused_imports, reason = "each test uses a part")]
#![allow(missing_docs, clippy::must_use_candidate, reason = "test code")]

pub mod command;
pub mod notices;
pub mod pages;
pub mod ports;
pub mod process;
pub mod raw;
pub mod server;
pub mod waiting;

pub use command::{Cli, Output, bbq};
pub use process::Process;
pub use server::{Server, Setup};
pub use waiting::{LONG, eventually, within};
