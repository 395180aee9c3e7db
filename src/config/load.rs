//! Where a configuration comes from: flags over `BBQ_*` environment over file over defaults.
//!
//! `BBQ_LIMITS__CALLS` sets `limits.calls`. A key that nobody knows is an error that names where it stands and what it may
//! have meant. Sources are read one at a time first, so that an error belongs to one of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Format as _, Serialized, Toml};
use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::{Config, Fault};

/// The file that is read, if it is there, when none is named.
const FILE: &str = "bbq.toml";
const PREFIX: &str = "BBQ_";
/// Variables that are there for clients, and for choosing the file.
const NOT_KEYS: [&str; 3] = ["profile", "config", "token"];

/// One key given on the command line or in the environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// The key, sections joined by dots.
    key: String,
    value: Value,
    /// The flag or variable, for errors.
    origin: String,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The named file can't be read.
    #[error("configuration {} can't be read: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// A source holds what can't be used.
    #[error("{origin}: {reason}")]
    Source {
        /// The file, variable or flag.
        origin: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A value is out of bounds.
    #[error("{origin}: {} {}", fault.key, fault.reason)]
    Value {
        /// Where the value comes from.
        origin: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A text is not `KEY=VALUE`.
    #[error("--set {0:?}: give KEY=VALUE, such as limits.calls=1000")]
    Pair(String),
}

impl Override {
    /// What a flag of its own says: `value` is a text, whatever it looks like.
    #[must_use]
    pub fn flag(flag: &str, key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), value: Value::from(value), origin: flag.to_owned() }
    }

    /// What `--set KEY=VALUE` says. The value reads as in the environment: numbers, true, false, [lists], else text.
    pub fn set(pair: &str) -> Result<Self, ConfigError> {
        let (key, value) = pair.split_once('=').ok_or_else(|| ConfigError::Pair(pair.to_owned()))?;
        if key.is_empty() || key.split('.').any(str::is_empty) {
            return Err(ConfigError::Pair(pair.to_owned()));
        }
        Ok(Self { key: key.to_owned(), value: parsed(value), origin: format!("--set {key}") })
    }

    /// What a variable says, if it is one that sets a key.
    fn variable((name, value): (String, String)) -> Option<Self> {
        let key = name.strip_prefix(PREFIX)?.to_lowercase().replace("__", ".");
        (!NOT_KEYS.contains(&key.as_str())).then(|| Self { key, value: parsed(&value), origin: name })
    }
}

fn parsed(value: &str) -> Value {
    let Ok(value) = value.parse();
    value
}

impl Provider for Override {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        match nest(&self.key, self.value.clone()) {
            Value::Dict(_, dict) => Ok(Profile::Default.collect(dict)),
            other => Err(figment::Error::from(format!("{other:?} is not a section"))),
        }
    }
}

/// Reads the configuration: from `file`, else from `bbq.toml` in this directory if it is there, then from the
/// environment and from `overrides`, a later one over an earlier. Blocks.
pub fn load(file: Option<&Path>, overrides: &[Override]) -> Result<Config, ConfigError> {
    let text = |text: std::ffi::OsString| text.into_string().ok();
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
    combine(read(file)?, variables, overrides)
}

/// Reads a file of some other kind, with errors like those of the configuration. Blocks.
pub fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let read = fs::read_to_string(path);
    let text = read.map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
    let source = Source { name: path.display().to_string(), data: Figment::from(Toml::string(&text)) };
    source.data.extract().map_err(|error| explain(&source, &error))
}

fn read(file: Option<&Path>) -> Result<Option<(String, String)>, ConfigError> {
    let path = file.unwrap_or(Path::new(FILE));
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.display().to_string(), text))),
        Err(error) if file.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConfigError::Read { path: path.to_owned(), error }),
    }
}

/// One source, and how errors name it.
struct Source {
    name: String,
    data: Figment,
}

/// Combines the file's name and text, variables and flags over the defaults.
pub(super) fn combine(
    file: Option<(String, String)>,
    variables: impl Iterator<Item = (String, String)>,
    overrides: &[Override],
) -> Result<Config, ConfigError> {
    let mut sources = Vec::new();
    if let Some((name, text)) = file {
        sources.push(Source { name, data: Figment::from(Toml::string(&text)) });
    }
    let overrides = variables.filter_map(Override::variable).chain(overrides.iter().cloned());
    sources.extend(overrides.map(|one| Source { name: one.origin.clone(), data: Figment::from(one) }));

    let mut all = Figment::from(Serialized::defaults(Config::default()));
    for source in &sources {
        let alone = Figment::from(Serialized::defaults(Config::default())).merge(&source.data);
        alone.extract::<Config>().map_err(|error| explain(source, &error))?;
        all = all.merge(&source.data);
    }
    let together = Source { name: "configuration".to_owned(), data: all };
    let config: Config = together.data.extract().map_err(|error| explain(&together, &error))?;
    config.check().map_err(|fault| {
        let giver = sources.iter().rev().find(|source| source.data.contains(fault.key));
        ConfigError::Value { origin: giver.unwrap_or(&together).name.clone(), fault }
    })?;
    Ok(config)
}

fn explain(source: &Source, error: &figment::Error) -> ConfigError {
    let path = error.path.join(".");
    let reason = match &error.kind {
        Kind::UnknownField(field, known) => {
            let key = match error.path.last() {
                Some(last) if last == field => path,
                Some(_) => format!("{path}.{field}"),
                None => field.clone(),
            };
            unknown(&key, field, known)
        }
        Kind::Message(text) if path.is_empty() => one_line(text),
        Kind::Message(text) => match source.data.find_value(&path).ok().as_ref().and_then(Value::as_str) {
            Some(value) => format!("{path} is {value:?}: {}", one_line(text)),
            None => format!("{path}: {}", one_line(text)),
        },
        kind => format!("{path}: {}", one_line(&kind.to_string())),
    };
    ConfigError::Source { origin: source.name.clone(), reason }
}

fn unknown(key: &str, field: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(field, known), known)).min();
    match nearest {
        Some((distance, nearest)) if distance <= 3 && distance < field.len() => {
            let section = key.strip_suffix(field).unwrap_or_default();
            format!("unknown key `{key}`; did you mean `{section}{nearest}`?")
        }
        Some(_) | None => format!("unknown key `{key}`; there are {}", known.join(", ")),
    }
}

/// A parser's message without the drawing of the line it is about.
fn one_line(text: &str) -> String {
    let is_drawing = |line: &&str| line.contains(" | ") || line.trim_end().ends_with('|');
    let lines = text.lines().filter(|line| !is_drawing(line)).map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(": ")
}
