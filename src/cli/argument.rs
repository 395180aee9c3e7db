//! Arguments that are more than a word: durations, attributes, grants.

use std::time::Duration;

use bbq_client::proto::{Grant, Permission};

/// `30s`, `5m`, `1h 30m`, `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "give a number and a unit, such as 500ms, 30s, 5m, 1h or 7d".to_owned())
}

/// The same in a file.
pub(super) fn duration_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(from)?;
    duration(&text).map(Some).map_err(serde::de::Error::custom)
}

/// `KEY=VALUE`.
pub(super) fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("give KEY=VALUE".to_owned()),
    }
}

/// `PERMISSION` or `PERMISSION:QUEUES`.
pub(super) fn grant(text: &str) -> Result<Grant, String> {
    let (permission, queues) = text.split_once(':').unwrap_or((text, ""));
    let permission = match permission {
        "publish" => Permission::Publish,
        "consume" => Permission::Consume,
        "manage" => Permission::Manage,
        "admin" => Permission::Admin,
        _ => {
            return Err(
                "give publish, consume, manage or admin, and for some queues only `:NAME` or `:PREFIX*` after it"
                    .to_owned(),
            );
        }
    };
    Ok(Grant { permission: permission.into(), queues: queues.to_owned() })
}

/// A duration for the wire.
pub(super) fn wire(duration: Duration) -> prost_types::Duration {
    // What a person types as humantime reads it is far from the bound; beyond it the server refuses it anyway.
    prost_types::Duration::try_from(duration).unwrap_or(prost_types::Duration { seconds: i64::MAX, nanos: 0 })
}
