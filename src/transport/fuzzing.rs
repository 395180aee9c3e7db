//! Frames, control streams and header sections, however they are cut into pieces.

pub use super::h3::fuzzing::{frames, headers};
pub use super::quic::fuzzing::control;
