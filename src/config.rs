//! The configuration of a server: what can be set, its defaults and its bounds.
//!
//! One struct a section, each with safe defaults; a field says what raising it costs. [`load`] takes it from flags,
//! environment and file. What exists has been checked: every value is within its bounds.
//!
//! A section that belongs to one module is defined there and listed in [`Config`] and in [`Config::check`]; its keys then
//! work in every source.

mod bounds;
pub(crate) mod fuzzing;
mod load;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::broker;
use crate::service::Limits;
use crate::store::StoreOptions;
use crate::telemetry::logs;
use crate::transport::h2::H2Settings;
use crate::transport::h3::H3Settings;
use crate::transport::http1::Http1Settings;
use crate::transport::quic::QuicSettings;

pub use load::{ConfigError, Override, load, read_toml};

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where calls come in: HTTP/3 over UDP, HTTP/2 over TCP, on the same port.
    pub listen: SocketAddr,
    /// Where health and metrics are shown over plain HTTP; empty for nowhere.
    pub operations_listen: Listen<SocketAddr>,
    /// Where everything is kept. One server at a time uses it.
    pub data_dir: PathBuf,
    /// How long a stopping server waits for calls in flight, in milliseconds. Raising it delays every restart.
    pub drain_timeout_ms: u64,
    /// Certificates.
    pub tls: Tls,
    /// HTTP/2 without TLS.
    pub plaintext: Plaintext,
    /// Bounds on what callers may ask for.
    pub limits: Limits,
    /// Logs.
    pub log: logs::Settings,
    /// The broker's bounds.
    pub broker: broker::Settings,
    /// The journal and the checkpoints.
    pub store: StoreOptions,
    /// QUIC connections.
    pub quic: QuicSettings,
    /// HTTP/3 on them.
    pub http3: H3Settings,
    /// HTTP/2.
    pub http2: H2Settings,
    /// The listener for health and metrics.
    pub operations: Http1Settings,
}

/// The `[tls]` section. With neither certificate nor key the server makes its own on its first start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The server's certificate chain, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// If set, a client may show a certificate, which this authority must have signed, PEM. A token is needed all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Names and addresses, besides the local ones, that the certificate made on the first start is for.
    pub names: Vec<String>,
}

/// The `[plaintext]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plaintext {
    /// A loopback address or `unix:/path`; empty for nowhere. Tokens and messages cross it unencrypted.
    pub listen: Listen<PlaintextAddress>,
}

/// An address to listen on, or none; written as an empty text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "String",
    into = "String",
    bound(deserialize = "A: FromStr, A::Err: std::fmt::Display", serialize = "A: Clone + std::fmt::Display")
)]
pub struct Listen<A>(pub Option<A>);

/// Where plaintext is safe enough to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaintextAddress {
    /// On the loopback interface.
    Loopback(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Why plaintext is not had there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaintextAddressError {
    /// It is no address.
    #[error("{0:?} is neither an address such as 127.0.0.1:6788 nor unix:/path")]
    Malformed(String),
    /// Others could listen in.
    #[error(
        "{0} is not a loopback address, and plaintext shows tokens to the network; use `listen`, which has TLS"
    )]
    NotLoopback(SocketAddr),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 6789)),
            operations_listen: Listen(Some(SocketAddr::from(([127, 0, 0, 1], 6790)))),
            data_dir: PathBuf::from("bbq-data"),
            drain_timeout_ms: 10_000,
            tls: Tls::default(),
            plaintext: Plaintext::default(),
            limits: Limits::default(),
            log: logs::Settings::default(),
            broker: broker::Settings::default(),
            store: StoreOptions::default(),
            quic: QuicSettings::default(),
            http3: H3Settings::default(),
            http2: H2Settings::default(),
            operations: Http1Settings::default(),
        }
    }
}

/// A value that can't be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, sections joined by dots.
    pub key: &'static str,
    /// What is wrong with its value, and what would be right.
    pub reason: String,
}

impl Config {
    /// The configuration as the file that would give it.
    ///
    /// # Panics
    /// Never: every value has a form in TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("every value has a form in TOML")
    }

    /// The first value that is out of bounds.
    pub fn check(&self) -> Result<(), Fault> {
        bounds::check(self)?;
        if self.data_dir.as_os_str().is_empty() {
            return Err(Fault {
                key: "data_dir",
                reason: "is empty; name a directory, or `.` for this one".into(),
            });
        }
        self.tls.check()?;
        self.log.check().map_err(|error| {
            let text = error.to_string();
            Fault { key: "log.level", reason: text.trim_start_matches("log.level ").to_owned() }
        })
    }
}

impl Tls {
    fn check(&self) -> Result<(), Fault> {
        match (&self.certificate, &self.key) {
            (Some(_), None) => {
                Err(Fault { key: "tls.key", reason: "is missing; tls.certificate needs its key".into() })
            }
            (None, Some(_)) => Err(Fault {
                key: "tls.certificate",
                reason: "is missing; tls.key needs its certificate".into(),
            }),
            (Some(_), Some(_)) | (None, None) => Ok(()),
        }
    }
}

impl<A> Default for Listen<A> {
    fn default() -> Self {
        Self(None)
    }
}

impl<A: FromStr> TryFrom<String> for Listen<A> {
    type Error = A::Err;

    fn try_from(text: String) -> Result<Self, A::Err> {
        if text.is_empty() { Ok(Self(None)) } else { text.parse().map(Some).map(Self) }
    }
}

impl<A: std::fmt::Display> From<Listen<A>> for String {
    fn from(listen: Listen<A>) -> Self {
        listen.0.map(|address| address.to_string()).unwrap_or_default()
    }
}

impl FromStr for PlaintextAddress {
    type Err = PlaintextAddressError;

    fn from_str(text: &str) -> Result<Self, PlaintextAddressError> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let address: SocketAddr =
            text.parse().map_err(|_| PlaintextAddressError::Malformed(text.to_owned()))?;
        if address.ip().is_loopback() {
            Ok(Self::Loopback(address))
        } else {
            Err(PlaintextAddressError::NotLoopback(address))
        }
    }
}

impl std::fmt::Display for PlaintextAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Loopback(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;
