//! A broker with its engine and its store in one thread, over a simulated clock, disk and schedule.

pub mod clients;
pub mod platter;
pub mod schedule;
pub mod world;
