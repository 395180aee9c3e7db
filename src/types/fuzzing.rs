//! Names, patterns, keys and receipts: what parses prints as it was.

use super::{QueueName, Receipt, RoutingKey, RoutingPattern, TopicName};

/// A text that is any of the names.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = text.parse::<QueueName>() {
        assert_eq!(name.as_str(), text);
        assert!(text.len() <= 2 * QueueName::PART_BYTES_MAX + 1 && text.starts_with(name.namespace()));
    }
    if let Ok(name) = text.parse::<TopicName>() {
        assert_eq!((name.as_str(), name.to_string().as_str()), (text, text));
    }
    if let Ok(pattern) = text.parse::<RoutingPattern>() {
        assert_eq!(pattern.as_str(), text);
        assert_eq!(pattern.words().count(), text.split('.').count());
    }
    if let Ok(key) = text.parse::<RoutingKey>() {
        assert!(key.words().all(|word| !word.is_empty()) && text.len() <= RoutingKey::BYTES_MAX);
    }
}

/// A text that is a receipt in one way only.
pub fn receipts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(receipt) = text.parse::<Receipt>() {
        assert_eq!(receipt.to_string(), text);
    }
}
