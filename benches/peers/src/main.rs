//! BBQ and other queues under the same workload, side by side.
//!
//! Every system is started here, on loopback ports and data directories of its own, with the settings that make it
//! fsync before it confirms, and ended by its process id. What is written was measured in this run and nothing else.

mod bbq;
mod beanstalkd;
mod chart;
mod drive;
mod figures;
mod lineup;
mod machine;
mod nats;
mod others;
mod peer;
mod postgres;
mod process;
mod program;
mod rabbitmq;
mod redis;
mod report;
mod run;
mod settings;

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use machine::Machine;
use settings::Settings;

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::parse();
    let machine = Machine::look(&settings.directory())?;
    let mut terminate = signal(SignalKind::terminate()).context("signals can't be heard")?;
    // Whatever is running when this one is told to end is killed, because its owner drops.
    let outcomes = tokio::select! {
        outcomes = lineup::measure(&settings) => outcomes?,
        pressed = tokio::signal::ctrl_c() => {
            pressed.context("interrupts can't be heard")?;
            bail!("interrupted, nothing is written");
        }
        _ = terminate.recv() => bail!("terminated, nothing is written"),
    };
    let text = report::page(&settings, &machine, &outcomes);
    let drawn = chart::draw(settings.rate, &outcomes);
    for (name, content) in [("benchmarks.md", text), ("benchmarks.svg", drawn)] {
        let path = settings.out.join(name);
        std::fs::write(&path, content).with_context(|| format!("{} can't be written", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}
