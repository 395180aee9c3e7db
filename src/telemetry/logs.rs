//! Logs: what goes to standard error, and in which shape.
//!
//! Lines for people on a terminal, one JSON object a line for everything else. Standard output stays free for what a
//! command prints. A filter that would silently select nothing is an error.

use std::io::{self, IsTerminal as _};

use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{EnvFilter, fmt};

/// The `[log]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What to log: a level, or directives such as `info,bbq::store=debug`. `debug` and `trace` log every call.
    pub level: String,
    /// In which shape.
    pub format: Format,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `human` on a terminal, else `json`.
    #[default]
    Auto,
    /// For people.
    Human,
    /// For machines.
    Json,
}

/// Why there will be no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The filter makes no sense.
    #[error(
        "log.level is {level:?}: {reason}; use off, error, warn, info, debug or trace, or target=level, joined by \
         commas"
    )]
    Level {
        /// The filter.
        level: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else in this process takes the logs.
    #[error("logs are installed already")]
    Installed,
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Default for Settings {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Auto }
    }
}

impl Settings {
    /// Whether these settings can be installed.
    pub fn check(&self) -> Result<(), LogsError> {
        self.filter().map(drop)
    }

    fn filter(&self) -> Result<EnvFilter, LogsError> {
        let bad = |reason: String| LogsError::Level { level: self.level.clone(), reason };
        // A word that is no level would count as the name of a module, and nothing would be logged.
        let is_word = |part: &&str| !part.contains(['=', '[']);
        let is_level = |part: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(part));
        let mut words = self.level.split(',').map(str::trim).filter(is_word);
        if let Some(word) = words.find(|word| !is_level(word)) {
            return Err(bad(format!("{word:?} is not a level")));
        }
        EnvFilter::try_new(&self.level).map_err(|error| bad(error.to_string()))
    }

    fn shape(&self) -> Shape {
        match self.format {
            Format::Human => Shape::Human,
            Format::Json => Shape::Json,
            Format::Auto if io::stderr().is_terminal() => Shape::Human,
            Format::Auto => Shape::Json,
        }
    }
}

#[derive(Clone, Copy)]
enum Shape {
    Human,
    Json,
}

/// Sends this process's logs to standard error from now on.
pub fn install(settings: &Settings) -> Result<(), LogsError> {
    let subscriber = subscriber(settings.filter()?, settings.shape(), io::stderr);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogsError::Installed)
}

fn subscriber<W>(filter: EnvFilter, shape: Shape, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = fmt().with_env_filter(filter).with_writer(writer);
    match shape {
        Shape::Human => Box::new(builder.with_ansi(io::stderr().is_terminal()).finish()),
        Shape::Json => {
            Box::new(builder.json().flatten_event(true).with_span_list(false).with_ansi(false).finish())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn at_level(level: &str) -> Settings {
        Settings { level: level.to_owned(), format: Format::Json }
    }

    #[test]
    fn a_level_that_is_none_is_an_error() {
        for good in ["info", "WARN", "off", "info,bbq::store=debug", "bbq=trace, warn", "[call]=debug"] {
            at_level(good).check().expect(good);
        }
        for bad in ["", "infoo", "info,bbq::store", "bbq=loud", "info,"] {
            let error = at_level(bad).check().expect_err(bad).to_string();
            assert!(error.starts_with("log.level"), "{error}");
        }
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(shape: Shape) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(at_level("info").filter().unwrap(), shape, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("call", peer = "192.0.2.1:5").in_scope(|| {
                tracing::info!(count = 3, "it happened");
                tracing::debug!("not this");
            });
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = logged(Shape::Json);
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let lines = lines.collect::<Vec<_>>();
        assert_eq!(lines.len(), 1, "{text}");
        assert_eq!(lines[0]["message"], "it happened");
        assert_eq!(lines[0]["count"], 3);
        assert_eq!(lines[0]["span"]["peer"], "192.0.2.1:5");
    }

    #[test]
    fn a_line_for_people_holds_the_same() {
        let text = logged(Shape::Human);
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in ["INFO", "it happened", "count=3", "192.0.2.1:5"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
