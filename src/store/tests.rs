//! Scenarios over real directories.

mod backup;
mod compaction;
mod corruption;
mod crash;
mod faults;
mod lifecycle;
mod model;
mod removal;
