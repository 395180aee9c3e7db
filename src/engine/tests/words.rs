//! The words of scripts: how they are read and written.

use crate::types::{Duration, ReceiptFailure};

/// What stands between spaces.
pub fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// Items, or `none`.
pub fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<_> = items.into_iter().collect();
    if items.is_empty() { "none".to_owned() } else { items.join(" ") }
}

/// What a receipt that settled nothing is told.
pub fn word(failure: ReceiptFailure) -> &'static str {
    match failure {
        ReceiptFailure::Superseded => "superseded",
        ReceiptFailure::Expired => "expired",
        ReceiptFailure::Gone => "gone",
        ReceiptFailure::Unknown => "unknown",
    }
}

/// Reads `30s` or `500ms`.
pub fn time(word: &str) -> Duration {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().unwrap_or_else(|_| panic!("not a time: {word}"));
    match &word[digits.len()..] {
        "ms" => Duration(number),
        "s" => Duration::seconds(number),
        _ => panic!("not a time: {word}"),
    }
}

/// A time as scripts write it.
pub fn show(duration: Duration) -> String {
    if duration.0.is_multiple_of(1000) {
        format!("{}s", duration.0 / 1000)
    } else {
        format!("{}ms", duration.0)
    }
}
