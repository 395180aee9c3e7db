//! What a system must be able to do to be measured here.

use std::sync::Arc;

use anyhow::Result;

use crate::run::{Run, Times};

/// A running server.
pub trait Peer: Sized {
    /// One of its producers.
    type Producer: Producer;
    /// One of its consumers.
    type Consumer: Consumer;

    /// A producer with a connection of its own.
    async fn producer(&self) -> Result<Self::Producer>;

    /// A consumer with a connection of its own, that holds at most `window` messages unacked.
    async fn consumer(&self, window: u16) -> Result<Self::Consumer>;

    /// How many messages are left in the queue.
    async fn left(&self) -> Result<u64>;

    /// Ends the server in order.
    async fn end(self) -> Result<()>;
}

/// Sends messages and hears that they are safe.
pub trait Producer: Send + Sync + 'static {
    /// How many messages go together when so many are due; as suits the system best.
    const BATCH: u16;

    /// Sends `bodies`; ends when every one is confirmed. Several calls may be under way at once.
    fn publish(&self, bodies: Vec<Vec<u8>>) -> impl Future<Output = Result<()>> + Send;
}

/// Receives messages and acks them.
pub trait Consumer: Send + 'static {
    /// Receives and acks until the run is done; ends when the server has every ack. Returns how long each message took.
    fn consume(self, run: Arc<Run>) -> impl Future<Output = Result<Times>> + Send;
}
