//! The Rust client of BBQ, a durable message queue.
//!
//! ```no_run
//! # async fn example() -> Result<(), bbq_client::Error> {
//! use bbq_client::{Client, Profile};
//!
//! let client = Client::connect(Profile::find(None)?).await?;
//! client.publish("jobs", "hello").await?;
//!
//! let mut jobs = client.subscribe("jobs").start().await?;
//! while let Some(job) = jobs.next().await {
//!     let job = job?;
//!     println!("{:?}, attempt {}", job.body(), job.attempt());
//!     job.ack().await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It speaks gRPC over HTTP/3, and over HTTP/2 where UDP does not get through. A lost connection is made again, and
//! subscriptions with it. What is confirmed is stored: [`Client::publish`] returns, and a [`Confirmation`] resolves, when
//! the message survives what its queue's durability promises. What is delivered is leased, and [`Delivery`] says what
//! becomes of it.
//!
//! Everything here needs a tokio runtime with time and I/O.

mod admin;
mod client;
mod closing;
mod connect;
mod delivery;
mod error;
mod extend;
mod frames;
mod h2;
mod h3;
mod message;
mod profile;
mod publish;
mod publisher;
mod quic;
mod receive;
mod retry;
mod settle;
mod subscription;
mod target;
mod tcp;

pub use admin::{Page, PageRequest, Responses};
pub use client::{Client, DEADLINE};
pub use connect::Protocol;
pub use delivery::{Delivery, Nack};
pub use error::{Error, ReceiptFailure, Refusal};
pub use message::Message;
pub use profile::{PROFILE_PATH, PROFILE_VARIABLE, Pem, Profile, Transport};
pub use publish::Published;
pub use publisher::{Confirmation, Publisher, PublisherOptions};
pub use receive::FailedReceipt;
pub use settle::Settlement;
pub use subscription::{SubscribeBuilder, Subscription};

/// The code generated from the protobuf API.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated code")]
pub mod proto {
    tonic::include_proto!("bbq.v1");
}
