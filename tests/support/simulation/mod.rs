//! A broker with its engine and its store in one thread, over a simulated clock, disk and schedule.

pub mod clients;
mod consumers;
mod ends;
mod keepers;
mod messages;
pub mod platter;
mod producers;
pub mod queues;
pub mod schedule;
mod together;
pub mod world;
