//! The broker's words as protobuf messages.

use prost_types::{Duration as WireDuration, Timestamp as WireTimestamp};

use super::proto;
use super::tokens::TokenRecord;
use crate::broker::{Delivery, Depth, LeaseView, MessageState, Peeked, QueueView, Refused};
use crate::types::{
    DeliveryMode, Durability, Duration, Holder, Ordering, Overflow, QueueSettings, Receipt, ReceiptFailure,
    RetryBackoff, Timestamp,
};

/// As long as receipts are as a rule; a few are longer.
const RECEIPT_BYTES: usize = 24;

pub(super) fn timestamp(at: Timestamp) -> WireTimestamp {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    WireTimestamp { seconds, nanos: nanos(at.0) }
}

fn duration(lasts: Duration) -> WireDuration {
    let seconds = i64::try_from(lasts.0 / 1000).unwrap_or(i64::MAX);
    WireDuration { seconds, nanos: nanos(lasts.0) }
}

fn nanos(ms: u64) -> i32 {
    i32::try_from(ms % 1000 * 1_000_000).unwrap_or(0)
}

pub(super) fn delivery(delivery: Delivery) -> proto::Delivery {
    let Delivery { receipt, lease_expires_at, message } = delivery;
    proto::Delivery {
        receipt: if lease_expires_at.is_some() { text(&receipt) } else { String::new() },
        sequence: message.sequence.0,
        attempt: receipt.attempt.0,
        published_at: Some(timestamp(message.published_at)),
        lease_expires_at: lease_expires_at.map(timestamp),
        message: message.content.0,
    }
}

/// A receipt's text, in one allocation: one for each message that is delivered.
fn text(receipt: &Receipt) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(RECEIPT_BYTES);
    // A string takes everything.
    let _ = write!(text, "{receipt}");
    text
}

/// The failures of a settlement, with the receipts as they were sent.
pub(super) fn failures(refused: &[Refused], receipts: &[String]) -> Vec<proto::ReceiptFailure> {
    let reason = |why| match why {
        ReceiptFailure::Superseded => proto::ReceiptFailureReason::Superseded,
        ReceiptFailure::Expired => proto::ReceiptFailureReason::Expired,
        ReceiptFailure::Gone => proto::ReceiptFailureReason::Gone,
        ReceiptFailure::Unknown => proto::ReceiptFailureReason::Unknown,
    };
    refused
        .iter()
        .map(|&(place, why)| proto::ReceiptFailure {
            receipt: receipts.get(place).cloned().unwrap_or_default(),
            reason: reason(why).into(),
        })
        .collect()
}

pub(super) fn queue(view: &QueueView) -> proto::Queue {
    let QueueView { record, depth, consumers } = view;
    proto::Queue {
        name: record.name.to_string(),
        settings: Some(settings(&record.settings)),
        created_at: Some(timestamp(record.created_at)),
        stats: Some(proto::QueueStats {
            ready: depth.ready,
            delayed: depth.delayed,
            leased: depth.leased,
            dead: depth.dead,
            parked: depth.parked,
            bytes: depth.bytes,
            consumers: *consumers,
            oldest_published_at: None,
        }),
    }
}

fn settings(settings: &QueueSettings) -> proto::QueueSettings {
    let ordering = match settings.ordering {
        Ordering::Unordered => proto::Ordering::Unordered,
        Ordering::Fifo => proto::Ordering::Fifo,
        Ordering::ByKey => proto::Ordering::ByKey,
    };
    let delivery = match settings.delivery {
        DeliveryMode::AtLeastOnce => proto::DeliveryMode::AtLeastOnce,
        DeliveryMode::AtMostOnce => proto::DeliveryMode::AtMostOnce,
    };
    let durability = match settings.durability {
        Durability::Synced => proto::Durability::Synced,
        Durability::Buffered => proto::Durability::Buffered,
    };
    let overflow = match settings.limits.overflow {
        Overflow::Reject => proto::Overflow::Reject,
        Overflow::DropOldest => proto::Overflow::DropOldest,
    };
    let backoff = |backoff: RetryBackoff| proto::RetryBackoff {
        initial: Some(duration(backoff.initial)),
        multiplier: f64::from(backoff.multiplier_thousandths) / 1000.0,
        max: Some(duration(backoff.max)),
    };
    let dead_letter_queue = settings.dead_letter_queue.as_ref().map(ToString::to_string);
    let window = settings.deduplication_window;
    proto::QueueSettings {
        ordering: ordering.into(),
        delivery: delivery.into(),
        durability: durability.into(),
        lease_duration: Some(duration(settings.lease_duration)),
        max_attempts: settings.max_attempts,
        retry_backoff: settings.retry_backoff.map(backoff),
        dead_letter_queue: dead_letter_queue.unwrap_or_default(),
        time_to_live: (settings.time_to_live > Duration(0)).then(|| duration(settings.time_to_live)),
        max_messages: settings.limits.messages,
        max_bytes: settings.limits.bytes,
        overflow: overflow.into(),
        deduplication_window: (window > Duration(0)).then(|| duration(window)),
        single_active_consumer: settings.single_active_consumer,
        paused: settings.paused,
    }
}

pub(super) fn stats(depth: Depth, consumers: u64) -> proto::QueueStats {
    proto::QueueStats {
        ready: depth.ready,
        delayed: depth.delayed,
        leased: depth.leased,
        bytes: depth.bytes,
        consumers,
        oldest_published_at: None,
        dead: depth.dead,
        parked: depth.parked,
    }
}

pub(super) fn peeked(peeked: Peeked) -> proto::PeekedMessage {
    let Peeked { message, state, touch, priority: _ } = peeked;
    let state = match state {
        MessageState::Ready => proto::MessageState::Ready,
        MessageState::Delayed => proto::MessageState::Delayed,
        MessageState::Leased => proto::MessageState::Leased,
        MessageState::Parked => proto::MessageState::Parked,
        MessageState::Dead => proto::MessageState::Dead,
    };
    proto::PeekedMessage {
        sequence: message.sequence.0,
        state: state.into(),
        attempts: touch.map_or(0, |touch| touch.attempt.0),
        published_at: Some(timestamp(message.published_at)),
        message: message.content.0,
    }
}

pub(super) fn lease(view: LeaseView) -> proto::Lease {
    let LeaseView { sequence, attempt, lease } = view;
    proto::Lease {
        sequence: sequence.0,
        attempt,
        consumer_name: lease.consumer.name.clone(),
        peer: lease.consumer.peer.clone(),
        transport: lease.consumer.transport.clone(),
        leased_at: Some(timestamp(lease.since)),
        expires_at: Some(timestamp(lease.deadline)),
        received: matches!(lease.holder, Holder::Receive(_)),
    }
}

pub(super) fn token(record: TokenRecord) -> proto::Token {
    use super::access::Permission;
    let permission = |permission| match permission {
        Permission::Publish => proto::Permission::Publish,
        Permission::Consume => proto::Permission::Consume,
        Permission::Manage => proto::Permission::Manage,
        Permission::Admin => proto::Permission::Admin,
    };
    let grants = record
        .grants
        .into_iter()
        .map(|grant| proto::Grant { permission: permission(grant.permission).into(), queues: grant.queues })
        .collect();
    proto::Token {
        id: record.id,
        name: record.name,
        grants,
        created_at: Some(timestamp(record.created_at)),
        expires_at: record.expires_at.map(timestamp),
    }
}
