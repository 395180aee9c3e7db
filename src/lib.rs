//! BBQ: a durable message queue over gRPC on HTTP/3.
//!
//! From the wire inwards: [`transport`], [`middleware`], [`service`], [`broker`], [`engine`] and [`store`], joined by
//! [`server`]. `docs/ARCHITECTURE.md` says who may know whom.

pub mod broker;
pub mod cli;
pub mod config;
pub mod engine;
#[doc(hidden)]
pub mod fuzzing;
pub mod middleware;
pub mod server;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod transport;
pub mod types;
