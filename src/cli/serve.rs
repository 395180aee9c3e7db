//! `bbq serve`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use super::output::OutputClosed;
use crate::config::{self, Override};
use crate::server::{self, Addresses};

/// Flags beat `BBQ_*` variables, and these beat the file.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The configuration file [default: ./bbq.toml if it is there]
    #[arg(long, value_name = "FILE", env = "BBQ_CONFIG")]
    config: Option<PathBuf>,
    /// Where calls come in, over UDP and TCP [default: 127.0.0.1:6789]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where /healthz, /readyz and /metrics are; '' for nowhere [default: 127.0.0.1:6790]
    #[arg(long, value_name = "ADDRESS")]
    operations_listen: Option<String>,
    /// Where everything is kept [default: ./bbq-data]
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<String>,
    /// What to log: error, warn, info, debug, trace, or directives such as info,bbq::store=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// The shape of the logs: auto, human or json [default: auto]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Any key of the configuration, such as limits.calls=1000; may be given more than once
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the configuration that results, as TOML, and exit
    #[arg(long)]
    print_config: bool,
}

impl Serve {
    pub(super) async fn run(self) -> Result<()> {
        let config = config::load(self.config.as_deref(), &self.overrides()?)?;
        if self.print_config {
            return print(&config.to_toml());
        }
        let data_dir = config.data_dir.clone();
        // Nobody may be reading: a server goes on without its greeting.
        server::run(config, |addresses| _ = print(&greeting(addresses, &data_dir))).await
    }

    /// What the flags say; those with a name of their own beat `--set`.
    fn overrides(&self) -> Result<Vec<Override>, config::ConfigError> {
        let mut overrides = self.set.iter().map(|pair| Override::set(pair)).collect::<Result<Vec<_>, _>>()?;
        let named = [
            ("--listen", "listen", &self.listen),
            ("--operations-listen", "operations_listen", &self.operations_listen),
            ("--data-dir", "data_dir", &self.data_dir),
            ("--log-level", "log.level", &self.log_level),
            ("--log-format", "log.format", &self.log_format),
        ];
        let given = named.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value.as_ref()?)));
        overrides.extend(given.map(|(flag, key, value)| Override::flag(flag, key, value)));
        Ok(overrides)
    }
}

/// Where the server is, and what to type next.
fn greeting(addresses: &Addresses, data_dir: &Path) -> String {
    let Addresses { calls, operations, plaintext } = addresses;
    let mut text =
        format!("bbq serves https://{calls} (HTTP/3 and HTTP/2), data in {}\n", data_dir.display());
    if let Some(operations) = operations {
        let _ = writeln!(text, "operations at http://{operations} (/healthz /readyz /metrics)");
    }
    if let Some(plaintext) = plaintext {
        let _ = writeln!(text, "HTTP/2 without TLS at {plaintext}");
    }
    let profile = data_dir.join("client.toml");
    // The commands look there by themselves.
    let found = data_dir == Path::new("bbq-data");
    let flag = if found { String::new() } else { format!("--profile {} ", profile.display()) };
    text.push_str("next, in another terminal:\n");
    for command in ["queue create jobs", "publish jobs hello", "subscribe jobs --count 1"] {
        let _ = writeln!(text, "  bbq {flag}{command}");
    }
    text
}

fn print(text: &str) -> Result<()> {
    use std::io::Write as _;

    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|_| OutputClosed.into())
}
