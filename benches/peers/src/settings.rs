//! What is measured and how much of it: the flags and their defaults.

use std::path::PathBuf;

use clap::Parser;

use crate::lineup::System;

/// The flags.
#[derive(Clone, Debug, Parser)]
#[command(about = "BBQ and other queues under the same workload, side by side", version)]
pub struct Settings {
    /// Messages of a run at full speed
    #[arg(long, default_value_t = 200_000)]
    pub messages: u64,
    /// The same for systems that fsync every message by itself
    #[arg(long, default_value_t = 5_000)]
    pub slow_messages: u64,
    /// Messages a second in all, in the runs that look at latency
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// Messages of a run at that rate
    #[arg(long, default_value_t = 10_000)]
    pub rate_messages: u64,
    /// Bytes of each body, at least 8
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(8..=1 << 20))]
    pub size: u32,
    /// Producers, each with a connection of its own
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub producers: u32,
    /// Consumers, each with a connection of its own
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub consumers: u32,
    /// Unconfirmed messages of each producer, unacked ones of each consumer
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub window: u16,
    /// How often all systems are measured in turn
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub rounds: u32,
    /// Only these systems
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<System>,
    /// The directory below which every system keeps its data; it must be on a real disk [default: the temporary one]
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// The program of BBQ
    #[arg(long, default_value = "target/release/bbq")]
    pub bbq: PathBuf,
    /// The program of NATS [default: the one on the PATH]
    #[arg(long)]
    pub nats_server: Option<PathBuf>,
    /// The directory that benchmarks.md and benchmarks.svg are written to
    #[arg(long, default_value = "docs")]
    pub out: PathBuf,
}

/// One run: what the producers send and at which speed.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// How many messages in all.
    pub messages: u64,
    /// Messages a second in all; as fast as it goes if none.
    pub rate: Option<u32>,
    /// Bytes of each body.
    pub size: u32,
    /// Producers, each with a connection of its own.
    pub producers: u32,
    /// Consumers, each with a connection of its own.
    pub consumers: u32,
    /// Unconfirmed messages of each producer, unacked ones of each consumer.
    pub window: u16,
}

impl Settings {
    /// The directory below which every system keeps its data.
    pub fn directory(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// As fast as `system` goes.
    pub fn full_speed(&self, system: System) -> Workload {
        let messages = if system.fsyncs_each() { self.slow_messages } else { self.messages };
        self.workload(messages, None)
    }

    /// At the rate of the latency runs.
    pub fn paced(&self) -> Workload {
        self.workload(self.rate_messages, Some(self.rate))
    }

    fn workload(&self, messages: u64, rate: Option<u32>) -> Workload {
        let Self { size, producers, consumers, window, .. } = *self;
        Workload { messages, rate, size, producers, consumers, window }
    }
}
