//! A configuration file: what is taken is the same again when it is written down and read.

use super::load::combine;
use super::{Config, ConfigError};

fn text(toml: &str) -> Result<Config, ConfigError> {
    combine(Some(("bbq.toml".to_owned(), toml.to_owned())), std::iter::empty(), &[])
}

/// The text of a `bbq.toml`.
pub fn config(bytes: &[u8]) {
    let Ok(toml) = std::str::from_utf8(bytes) else { return };
    let Ok(config) = text(toml) else { return };
    let written = config.to_toml();
    match text(&written) {
        Ok(again) => assert_eq!(again.to_toml(), written),
        Err(error) => panic!("{error}: {written}"),
    }
}
