//! A broker with its engine and its store in one thread, over a simulated clock, disk and schedule.

pub mod clients;
mod clocks;
mod consumers;
mod ends;
mod keepers;
mod leases;
mod life;
mod messages;
pub mod platter;
mod producers;
pub mod queues;
pub mod schedule;
mod together;
mod trouble;
pub mod world;
