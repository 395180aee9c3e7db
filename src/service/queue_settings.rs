//! A queue's settings, as they come over the wire, checked. What passes is valid for every layer below.

use super::check::{duration, lease_duration};
use super::proto;
use super::retry;
use super::status::Invalid;
use crate::types::{
    DEDUPLICATION_MAX, DeliveryMode, Durability, Duration, Limits, Ordering, Overflow, QueueName,
    QueueSettings,
};

/// The settings of a queue that is to be made. What does not work yet is refused, and so is what does not go together.
pub(super) fn whole(
    name: &QueueName,
    settings: Option<proto::QueueSettings>,
) -> Result<QueueSettings, Invalid> {
    let settings = each(name, &settings.unwrap_or_default())?;
    settings.check().map_err(Invalid::from)?;
    Ok(settings)
}

/// A queue's settings, each by itself.
pub(super) fn each(name: &QueueName, wire: &proto::QueueSettings) -> Result<QueueSettings, Invalid> {
    let ordering = match proto::Ordering::try_from(wire.ordering) {
        Ok(proto::Ordering::Fifo) => Ordering::Fifo,
        Ok(proto::Ordering::ByKey) => Ordering::ByKey,
        Ok(proto::Ordering::Unspecified | proto::Ordering::Unordered) => Ordering::Unordered,
        Err(unknown) => return Err(Invalid::new("settings.ordering", unknown.to_string())),
    };
    let delivery = match proto::DeliveryMode::try_from(wire.delivery) {
        Ok(proto::DeliveryMode::Unspecified | proto::DeliveryMode::AtLeastOnce) => DeliveryMode::AtLeastOnce,
        Ok(proto::DeliveryMode::AtMostOnce) => DeliveryMode::AtMostOnce,
        Err(unknown) => return Err(Invalid::new("settings.delivery", unknown.to_string())),
    };
    let durability = match proto::Durability::try_from(wire.durability) {
        Ok(proto::Durability::Unspecified | proto::Durability::Synced) => Durability::Synced,
        Ok(proto::Durability::Buffered) => Durability::Buffered,
        Err(unknown) => return Err(Invalid::new("settings.durability", unknown.to_string())),
    };
    let lease_duration = lease_duration("settings.lease_duration", wire.lease_duration)?
        .unwrap_or(QueueSettings::default().lease_duration);
    let deduplication_window = match wire.deduplication_window {
        Some(window) => deduplication_window(duration("settings.deduplication_window", window)?)?,
        None => Duration::default(),
    };
    Ok(QueueSettings {
        ordering,
        delivery,
        durability,
        lease_duration,
        max_attempts: wire.max_attempts,
        retry_backoff: wire.retry_backoff.map(retry::backoff).transpose()?,
        dead_letter_queue: retry::dead_letter_queue(name, &wire.dead_letter_queue)?,
        time_to_live: duration("settings.time_to_live", wire.time_to_live.unwrap_or_default())?,
        limits: limits(wire)?,
        deduplication_window,
        single_active_consumer: wire.single_active_consumer,
        paused: wire.paused,
    })
}

fn limits(wire: &proto::QueueSettings) -> Result<Limits, Invalid> {
    let overflow = match proto::Overflow::try_from(wire.overflow) {
        Ok(proto::Overflow::Unspecified | proto::Overflow::Reject) => Overflow::Reject,
        Ok(proto::Overflow::DropOldest) => Overflow::DropOldest,
        Err(unknown) => return Err(Invalid::new("settings.overflow", unknown.to_string())),
    };
    Ok(Limits { messages: wire.max_messages, bytes: wire.max_bytes, overflow })
}

fn deduplication_window(window: Duration) -> Result<Duration, Invalid> {
    if window > DEDUPLICATION_MAX {
        let problem = format!("it is {window}; it must be at most 24h");
        return Err(Invalid::new("settings.deduplication_window", problem));
    }
    Ok(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_are_unknown_or_do_not_go_together_are_refused() {
        let name: QueueName = "q".parse().unwrap();
        let settings = |wire| whole(&name, Some(wire));
        let refused = |wire| settings(wire).unwrap_err().field;
        let ordering = proto::QueueSettings { ordering: 9, ..Default::default() };
        assert_eq!(refused(ordering), "settings.ordering");
        let delivery = proto::QueueSettings { delivery: 9, ..Default::default() };
        assert_eq!(refused(delivery), "settings.delivery");
        let once = proto::QueueSettings { delivery: 2, max_attempts: 3, ..Default::default() };
        assert_eq!(refused(once), "settings.max_attempts");
        let elsewhere = proto::QueueSettings { dead_letter_queue: "n/dead".into(), ..Default::default() };
        assert_eq!(refused(elsewhere), "settings.dead_letter_queue");
        assert_eq!(whole(&name, None), Ok(QueueSettings::default()));
    }
}
