//! The bounds of every number in the configuration, but for the store's, which knows its own.

use toml::{Table, Value};

use super::{Config, Fault};

/// A key, and the least and the most that it may be.
type Bound = (&'static str, i64, i64);

const KIB: i64 = 1 << 10;
const MIB: i64 = 1 << 20;
const GIB: i64 = 1 << 30;
const HOUR_MS: i64 = 3_600_000;
/// More of anything that costs memory for each is a mistake.
const MANY: i64 = 1_000_000;
/// What a QUIC or HTTP/2 window can be.
const WINDOW: i64 = (2 << 30) - 1;

const BOUNDS: &[Bound] = &[
    ("drain_timeout_ms", 0, 600_000),
    ("limits.message_bytes", KIB, 128 * MIB),
    ("limits.request_bytes", 64 * KIB, 256 * MIB),
    ("limits.batch_items", 1, MANY),
    ("limits.in_flight_messages", 1, MANY),
    ("limits.in_flight_bytes", MIB, 1024 * GIB),
    ("limits.calls", 1, MANY),
    ("limits.open_calls", 1, MANY),
    ("broker.inbox_calls", 1, MANY),
    ("broker.inbox_bytes", MIB, 4 * GIB - 1),
    ("broker.entry_bytes", KIB, 64 * MIB),
    ("broker.entries_in_flight", 1, 1000),
    ("broker.routed_messages", 1, 10 * MANY),
    ("broker.routed_bytes", KIB, 1024 * GIB),
    ("broker.read_ahead_bytes", KIB, GIB),
    ("broker.read_ahead_total_bytes", KIB, 1024 * GIB),
    ("broker.deduplication_ids_max", 0, 100 * MANY),
    ("broker.delayed_messages_max", 0, 100 * MANY),
    ("broker.parked_messages_max", 0, 100 * MANY),
    ("broker.touched_messages_max", 1, 100 * MANY),
    ("quic.idle_timeout_ms", 100, HOUR_MS),
    ("quic.keep_alive_ms", 10, HOUR_MS),
    ("quic.stream_window_bytes", 16 * KIB, WINDOW),
    ("quic.connection_window_bytes", 16 * KIB, WINDOW),
    ("quic.send_window_bytes", 16 * KIB, WINDOW),
    ("quic.streams_max", 1, MANY),
    ("quic.socket_buffer_bytes", 64 * KIB, GIB),
    ("http3.connections_max", 1, MANY),
    ("http3.half_open_max", 0, MANY),
    ("http3.handshake_timeout_ms", 100, HOUR_MS),
    ("http3.header_timeout_ms", 100, HOUR_MS),
    ("http3.early_cancels_burst", 1, 1000 * MANY),
    ("http3.early_cancels_per_second", 1, 1000 * MANY),
    ("http3.drain_ms", 0, 600_000),
    ("http2.connections_max", 1, MANY),
    ("http2.handshakes_max", 1, MANY),
    ("http2.handshake_timeout_ms", 100, HOUR_MS),
    ("http2.keep_alive_ms", 10, HOUR_MS),
    ("http2.keep_alive_timeout_ms", 10, HOUR_MS),
    ("http2.stream_window_bytes", 16 * KIB, WINDOW),
    ("http2.connection_window_bytes", 64 * KIB, WINDOW),
    ("http2.streams_max", 1, MANY),
    ("http2.early_cancels_burst", 1, 1000 * MANY),
    ("http2.early_cancels_per_second", 1, 1000 * MANY),
    ("http2.send_buffer_bytes", 16 * KIB, GIB),
    ("http2.drain_ms", 0, 600_000),
    ("operations.connections_max", 1, MANY),
    ("operations.header_timeout_ms", 100, HOUR_MS),
    ("operations.connection_timeout_ms", 100, HOUR_MS),
];

/// The first number that is out of its bounds.
pub(super) fn check(config: &Config) -> Result<(), Fault> {
    let values = table(config)?;
    for &(key, least, most) in BOUNDS {
        match number(&values, key) {
            Some(value) if (least..=most).contains(&value) => {}
            Some(value) => {
                return Err(Fault { key, reason: format!("is {value}, it must be {least} to {most}") });
            }
            None => return Err(Fault { key, reason: "is not a number".to_owned() }),
        }
    }
    // The request around a message needs some bytes of its own.
    let (message, largest) = (config.limits.message_bytes, config.limits.request_bytes - 1024);
    if message > largest {
        let reason = format!(
            "is {message}, which does not fit into a request; use at most {largest}, or raise limits.request_bytes"
        );
        return Err(Fault { key: "limits.message_bytes", reason });
    }
    Ok(())
}

/// The configuration by its keys. A number that TOML can't hold is out of every bound.
fn table(config: &Config) -> Result<Table, Fault> {
    Table::try_from(config)
        .map_err(|error| Fault { key: "a number", reason: format!("is too large: {error}") })
}

fn number(values: &Table, key: &str) -> Option<i64> {
    let mut parts = key.split('.');
    let first = values.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part)).and_then(Value::as_integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(prefix: &str, values: &Table, found: &mut Vec<String>) {
        for (key, value) in values {
            match value {
                Value::Integer(_) => found.push(format!("{prefix}{key}")),
                Value::Table(inner) => numbers(&format!("{prefix}{key}."), inner, found),
                _ => {}
            }
        }
    }

    #[test]
    fn every_number_has_bounds() {
        let mut found = Vec::new();
        numbers("", &table(&Config::default()).unwrap(), &mut found);
        found.retain(|key| !key.starts_with("store."));
        let mut bound: Vec<_> = BOUNDS.iter().map(|(key, ..)| (*key).to_owned()).collect();
        found.sort();
        bound.sort();
        assert_eq!(found, bound);
        assert_eq!(check(&Config::default()), Ok(()));
    }

    #[test]
    fn a_number_out_of_its_bounds_is_named() {
        let mut config = Config::default();
        config.broker.entries_in_flight = 0;
        let fault = check(&config).unwrap_err();
        assert_eq!(
            (fault.key, fault.reason.as_str()),
            ("broker.entries_in_flight", "is 0, it must be 1 to 1000")
        );
    }
}
