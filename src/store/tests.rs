//! Scenarios over real directories.

mod backup;
mod crash;
mod lifecycle;
mod model;
mod removal;
