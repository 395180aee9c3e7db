//! The client against a server that the tests drive by hand, over real sockets on loopback.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod closing;
mod deadlines;
mod errors;
mod extending;
mod fake;
mod http3;
mod ports;
mod publisher;
mod publishing;
mod raw;
mod reconnecting;
mod settling;
mod subscribing;
mod transports;

use std::time::Duration;

/// What must happen happens within this time, on a busy machine too; nothing waits for it to pass.
const BOUND: Duration = Duration::from_secs(60);

/// Fails a test that would wait for ever.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.expect("it did not happen within the bound")
}
