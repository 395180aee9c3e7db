//! All systems in turn, as often as asked: what there is to measure, and what came of it.
//!
//! Always true: a system is alone on the machine while it is measured, each run starts on an empty directory, and a
//! system that fails is left out from there on, with the reason.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::bbq::{self, Transport};
use crate::beanstalkd::Beanstalkd;
use crate::drive::drive;
use crate::figures::Figures;
use crate::nats::{Nats, Sync};
use crate::others::Usage;
use crate::postgres::Postgres;
use crate::program;
use crate::rabbitmq::RabbitMq;
use crate::redis::Redis;
use crate::settings::{Settings, Workload};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum System {
    BbqHttp3,
    BbqHttp2,
    Redis,
    Rabbitmq,
    Postgres,
    NatsAlways,
    Beanstalkd,
    NatsDefault,
}

/// What came of a system.
#[derive(Debug)]
pub struct Outcome {
    /// Which one.
    pub system: System,
    /// Its version, if it is there.
    pub version: Option<String>,
    /// A run at full speed each round.
    pub full_speed: Vec<Figures>,
    /// A run at the rate each round; none for a system that is too slow for it.
    pub paced: Vec<Figures>,
    /// Why it could not be measured, or no further.
    pub trouble: Option<String>,
}

/// Measures everything that is asked for.
pub async fn measure(settings: &Settings) -> Result<Vec<Outcome>> {
    let systems = System::value_variants().iter().copied();
    let systems = systems.filter(|system| settings.only.is_empty() || settings.only.contains(system));
    let mut outcomes: Vec<_> = systems.map(|system| Outcome::new(system, settings)).collect();
    for round in 1..=settings.rounds {
        for outcome in &mut outcomes {
            if outcome.trouble.is_none()
                && let Err(error) = outcome.round(settings, round).await
            {
                let trouble = format!("{error:#}").replace(['\n', '|'], " ");
                eprintln!("{}: {trouble}", outcome.system.name());
                outcome.trouble = Some(trouble);
            }
        }
    }
    if outcomes.iter().all(|outcome| outcome.full_speed.is_empty()) {
        bail!("nothing could be measured");
    }
    Ok(outcomes)
}

impl Outcome {
    fn new(system: System, settings: &Settings) -> Self {
        let (version, trouble) = match system.version(settings) {
            Ok(version) => (Some(version), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        Self { system, version, full_speed: Vec::new(), paced: Vec::new(), trouble }
    }

    async fn round(&mut self, settings: &Settings, round: u32) -> Result<()> {
        let name = self.system.name();
        let figures = self.run(settings, &settings.full_speed(self.system)).await?;
        let (speed, others) = (figures.end_to_end_per_s, figures.others * 100.0);
        eprintln!("round {round}  {name}: {speed:.0} msg/s (others had {others:.0} % of the machine)");
        self.full_speed.push(figures);
        // At a rate it can't keep up with, a queue only shows how long the run was.
        if figures.end_to_end_per_s < f64::from(settings.rate) * 1.2 {
            return Ok(());
        }
        let figures = self.run(settings, &settings.paced()).await?;
        let (p50, p99, others) = (figures.p50_us, figures.p99_us, figures.others * 100.0);
        eprintln!(
            "round {round}  {name}: p50 {p50:.0} us, p99 {p99:.0} us (others had {others:.0} % of the machine)"
        );
        self.paced.push(figures);
        Ok(())
    }

    async fn run(&self, settings: &Settings, workload: &Workload) -> Result<Figures> {
        let before = Usage::now()?;
        let figures = self.system.run(settings, workload).await?;
        Ok(Figures { others: Usage::now()?.others_since(before), ..figures })
    }

    /// The median of the runs at full speed.
    pub fn throughput(&self) -> Option<Figures> {
        Figures::median(&self.full_speed)
    }

    /// The median of the runs at the rate.
    pub fn latency(&self) -> Option<Figures> {
        Figures::median(&self.paced)
    }
}

impl System {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::BbqHttp3 => "BBQ, HTTP/3",
            Self::BbqHttp2 => "BBQ, HTTP/2",
            Self::Redis => "Redis Streams",
            Self::Rabbitmq => "RabbitMQ quorum queue",
            Self::Postgres => "PostgreSQL SKIP LOCKED",
            Self::NatsAlways => "NATS JetStream, sync always",
            Self::Beanstalkd => "beanstalkd -f 0",
            Self::NatsDefault => "NATS JetStream, as it comes",
        }
    }

    /// Whether it fsyncs before it confirms.
    pub fn is_durable(self) -> bool {
        self != Self::NatsDefault
    }

    /// Whether it fsyncs every message by itself, so that fewer of them take as long.
    pub fn fsyncs_each(self) -> bool {
        matches!(self, Self::Beanstalkd | Self::NatsAlways)
    }

    fn program(self, settings: &Settings) -> Result<PathBuf> {
        match self {
            Self::BbqHttp3 | Self::BbqHttp2 => {
                let program = std::path::absolute(&settings.bbq)?;
                let built = program.is_file().then_some(program);
                built.with_context(|| format!("{} is not there; `make build`", settings.bbq.display()))
            }
            Self::Redis => program::find("redis-server", "", "redis-server"),
            Self::Rabbitmq => program::find(
                "rabbitmq-server",
                "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
                "rabbitmq-server",
            ),
            Self::Postgres => program::find("postgres", "/usr/lib/postgresql/*/bin", "postgresql"),
            Self::Beanstalkd => program::find("beanstalkd", "", "beanstalkd"),
            Self::NatsAlways | Self::NatsDefault => match &settings.nats_server {
                Some(program) if program.is_file() => Ok(program.clone()),
                Some(program) => bail!("{} is not there; it is built with Go 1.26", program.display()),
                None => program::find("nats-server", "", "nats-server"),
            },
        }
    }

    fn version(self, settings: &Settings) -> Result<String> {
        let program = self.program(settings)?;
        match self {
            Self::Beanstalkd => program::version(&program, "-v"),
            // Its own answer takes a second Erlang node; the directory is named by the version.
            Self::Rabbitmq => {
                let real = program_home(&program)?.to_string_lossy().into_owned();
                program::number(&real).context("the directory of rabbitmq-server names no version")
            }
            Self::BbqHttp3
            | Self::BbqHttp2
            | Self::Redis
            | Self::Postgres
            | Self::NatsAlways
            | Self::NatsDefault => program::version(&program, "--version"),
        }
    }

    async fn run(self, settings: &Settings, workload: &Workload) -> Result<Figures> {
        let directory = tempfile::Builder::new().prefix("bbq-peers-").tempdir_in(settings.directory());
        let directory = directory.context("no room for a data directory; name another with --dir")?;
        let path = directory.path();
        let program = self.program(settings)?;
        let unacked_max = i64::from(workload.consumers) * i64::from(workload.window);
        match self {
            Self::BbqHttp3 => bbq::bench(&program, path, Transport::Http3, workload).await,
            Self::BbqHttp2 => bbq::bench(&program, path, Transport::Http2, workload).await,
            Self::Redis => drive(Redis::start(&program, path).await?, workload).await,
            Self::Rabbitmq => {
                let epmd = program::find("epmd", "/usr/lib/erlang/erts-*/bin", "erlang-base")?;
                drive(RabbitMq::start(&program_home(&program)?, &epmd, path).await?, workload).await
            }
            Self::Postgres => drive(Postgres::start(&program, path).await?, workload).await,
            Self::Beanstalkd => drive(Beanstalkd::start(&program, path).await?, workload).await,
            Self::NatsAlways => {
                drive(Nats::start(&program, path, Sync::Always, unacked_max).await?, workload).await
            }
            Self::NatsDefault => {
                drive(Nats::start(&program, path, Sync::Default, unacked_max).await?, workload).await
            }
        }
    }
}

/// RabbitMQ's own script. The one that Debian puts on the PATH changes the user and the directory first.
fn program_home(program: &Path) -> Result<PathBuf> {
    if !program.starts_with("/usr/sbin") {
        return Ok(program.canonicalize()?);
    }
    Ok(Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server").canonicalize()?)
}
