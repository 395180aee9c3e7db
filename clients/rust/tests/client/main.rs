//! The client against a server that the tests drive by hand, over real sockets on loopback.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod closing;
mod deadlines;
mod errors;
mod extending;
mod fake;
mod http3;
mod publisher;
mod publishing;
mod raw;
mod reconnecting;
mod settling;
mod subscribing;
mod transports;

/// Fails a test that would wait for ever.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(20), future).await.expect("nothing happened for 20 s")
}
