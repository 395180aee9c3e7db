//! Scenarios over real directories.

mod crash;
mod lifecycle;
mod model;
mod removal;
