//! (being written)
pub mod proto;
