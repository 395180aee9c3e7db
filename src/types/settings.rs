//! A queue's settings one by one: which may be changed when, and which go together.

use super::{DeliveryMode, Limits, Overflow, QueueSettings};

/// Which order a queue promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ordering {
    /// No promise; in practice close to the order of publishing.
    #[default]
    Unordered,
    /// One order for all messages: the next only after the one before is settled or dead-lettered, or to the consumer
    /// that holds the one before.
    Fifo,
    /// The same for the messages of each ordering key by themselves. Those without a key are in no order.
    ByKey,
}

/// One of a queue's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsField {
    /// `ordering`.
    Ordering,
    /// `delivery`.
    Delivery,
    /// `durability`.
    Durability,
    /// `lease_duration`.
    LeaseDuration,
    /// `max_attempts`.
    MaxAttempts,
    /// `retry_backoff`.
    RetryBackoff,
    /// `dead_letter_queue`.
    DeadLetterQueue,
    /// `time_to_live`.
    TimeToLive,
    /// `max_messages`.
    MaxMessages,
    /// `max_bytes`.
    MaxBytes,
    /// `overflow`.
    Overflow,
    /// `deduplication_window`.
    DeduplicationWindow,
    /// `single_active_consumer`.
    SingleActiveConsumer,
    /// `paused`.
    Paused,
}

/// Why settings can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A setting is about attempts, and there is one only.
    #[error("an AT_MOST_ONCE queue hands each message out once; leave {} unset", .0.name())]
    AtMostOnce(SettingsField),
    /// What happens beyond a limit is set, but no limit.
    #[error("DROP_OLDEST needs a limit: set max_messages or max_bytes, or leave it unset")]
    NoLimit,
}

impl SettingsField {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Ordering,
        Self::Delivery,
        Self::Durability,
        Self::LeaseDuration,
        Self::MaxAttempts,
        Self::RetryBackoff,
        Self::DeadLetterQueue,
        Self::TimeToLive,
        Self::MaxMessages,
        Self::MaxBytes,
        Self::Overflow,
        Self::DeduplicationWindow,
        Self::SingleActiveConsumer,
        Self::Paused,
    ];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ordering => "ordering",
            Self::Delivery => "delivery",
            Self::Durability => "durability",
            Self::LeaseDuration => "lease_duration",
            Self::MaxAttempts => "max_attempts",
            Self::RetryBackoff => "retry_backoff",
            Self::DeadLetterQueue => "dead_letter_queue",
            Self::TimeToLive => "time_to_live",
            Self::MaxMessages => "max_messages",
            Self::MaxBytes => "max_bytes",
            Self::Overflow => "overflow",
            Self::DeduplicationWindow => "deduplication_window",
            Self::SingleActiveConsumer => "single_active_consumer",
            Self::Paused => "paused",
        }
    }

    /// Whether it may change only while the queue is empty, because what is in it was taken under another promise.
    #[must_use]
    pub fn needs_empty(self) -> bool {
        match self {
            Self::Ordering | Self::Delivery => true,
            Self::Durability
            | Self::LeaseDuration
            | Self::MaxAttempts
            | Self::RetryBackoff
            | Self::DeadLetterQueue
            | Self::TimeToLive
            | Self::MaxMessages
            | Self::MaxBytes
            | Self::Overflow
            | Self::DeduplicationWindow
            | Self::SingleActiveConsumer
            | Self::Paused => false,
        }
    }
}

impl QueueSettings {
    /// These settings with some taken from `new`.
    #[must_use]
    pub fn with(mut self, new: &Self, fields: &[SettingsField]) -> Self {
        for field in fields {
            match field {
                SettingsField::Ordering => self.ordering = new.ordering,
                SettingsField::Delivery => self.delivery = new.delivery,
                SettingsField::Durability => self.durability = new.durability,
                SettingsField::LeaseDuration => self.lease_duration = new.lease_duration,
                SettingsField::MaxAttempts => self.max_attempts = new.max_attempts,
                SettingsField::RetryBackoff => self.retry_backoff = new.retry_backoff,
                SettingsField::DeadLetterQueue => self.dead_letter_queue.clone_from(&new.dead_letter_queue),
                SettingsField::TimeToLive => self.time_to_live = new.time_to_live,
                SettingsField::MaxMessages => self.limits.messages = new.limits.messages,
                SettingsField::MaxBytes => self.limits.bytes = new.limits.bytes,
                SettingsField::Overflow => self.limits.overflow = new.limits.overflow,
                SettingsField::DeduplicationWindow => self.deduplication_window = new.deduplication_window,
                SettingsField::SingleActiveConsumer => {
                    self.single_active_consumer = new.single_active_consumer;
                }
                SettingsField::Paused => self.paused = new.paused,
            }
        }
        self
    }

    /// The first setting that may not change into that of `new` while there are messages, if one would.
    #[must_use]
    pub fn changed_if_empty(&self, new: &Self) -> Option<SettingsField> {
        let differs =
            |&field: &SettingsField| field.needs_empty() && self.clone().with(new, &[field]) != *self;
        SettingsField::ALL.into_iter().find(differs)
    }

    /// Whether the settings go together.
    ///
    /// # Errors
    /// If one is set that another makes meaningless.
    pub fn check(&self) -> Result<(), SettingsError> {
        let once = self.delivery == DeliveryMode::AtMostOnce;
        if once && self.max_attempts != 0 {
            return Err(SettingsError::AtMostOnce(SettingsField::MaxAttempts));
        }
        if once && self.retry_backoff.is_some() {
            return Err(SettingsError::AtMostOnce(SettingsField::RetryBackoff));
        }
        let Limits { messages, bytes, overflow } = self.limits;
        if overflow == Overflow::DropOldest && messages == 0 && bytes == 0 {
            return Err(SettingsError::NoLimit);
        }
        Ok(())
    }
}
