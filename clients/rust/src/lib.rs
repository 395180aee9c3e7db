//! The Rust client of BBQ.

/// The code generated from the protobuf API.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated code")]
pub mod proto {
    tonic::include_proto!("bbq.v1");
}
