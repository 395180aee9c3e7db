//! A queue's settings as bytes, in entries and in rows of `queues`.
//!
//! | length: varint | fields |
//!
//! A field is its number in `bbq.v1.QueueSettings`, one byte, and its value: a varint, or as the table says. One that has its
//! default is left out. They ascend by number; one that is unknown is refused, as it would be a promise that is not kept.
//!
//! | field | value |
//! |---|---|
//! | 1 ordering | 1 FIFO, 2 BY_KEY |
//! | 2 delivery | 1 at most once |
//! | 3 durability | 1 buffered |
//! | 4 lease_duration, 5 max_attempts, 8 time_to_live, 9 max_messages, 10 max_bytes, 12 deduplication_window | a number; times in milliseconds |
//! | 6 retry_backoff | three numbers: initial, multiplier in thousandths, max |
//! | 7 dead_letter_queue | a text with its length before it |
//! | 11 overflow | 1 drop oldest |
//! | 13 single_active_consumer, 14 paused | 1 |

use crate::types::{
    DeliveryMode, Durability, Duration, Limits, Ordering, Overflow, QueueSettings, RetryBackoff,
};

use super::codec::{Input, Malformed, put_bytes, put_varint};
use super::entry;

/// Fields being put down: each only if it is not as by default.
struct Fields(Vec<u8>);

impl Fields {
    fn number(&mut self, field: u8, value: u64, default: u64) {
        if value != default {
            self.0.push(field);
            put_varint(&mut self.0, value);
        }
    }

    fn flag(&mut self, field: u8, set: bool) {
        self.number(field, u64::from(set), 0);
    }
}

pub(super) fn put_settings(out: &mut Vec<u8>, settings: &QueueSettings) {
    let QueueSettings {
        ordering,
        delivery,
        durability,
        lease_duration,
        max_attempts,
        retry_backoff,
        dead_letter_queue,
        time_to_live,
        limits: Limits { messages, bytes, overflow },
        deduplication_window,
        single_active_consumer,
        paused,
    } = settings;
    let standard = QueueSettings::default();
    let mut fields = Fields(Vec::new());
    let order = match ordering {
        Ordering::Unordered => 0,
        Ordering::Fifo => 1,
        Ordering::ByKey => 2,
    };
    fields.number(1, order, 0);
    fields.flag(2, *delivery == DeliveryMode::AtMostOnce);
    fields.flag(3, *durability == Durability::Buffered);
    fields.number(4, lease_duration.0, standard.lease_duration.0);
    fields.number(5, u64::from(*max_attempts), u64::from(standard.max_attempts));
    if let Some(RetryBackoff { initial, multiplier_thousandths, max }) = retry_backoff {
        fields.0.push(6);
        for number in [initial.0, u64::from(*multiplier_thousandths), max.0] {
            put_varint(&mut fields.0, number);
        }
    }
    if let Some(name) = dead_letter_queue {
        fields.0.push(7);
        put_bytes(&mut fields.0, name.as_str().as_bytes());
    }
    fields.number(8, time_to_live.0, 0);
    fields.number(9, *messages, 0);
    fields.number(10, *bytes, 0);
    fields.flag(11, *overflow == Overflow::DropOldest);
    fields.number(12, deduplication_window.0, 0);
    fields.flag(13, *single_active_consumer);
    fields.flag(14, *paused);
    put_bytes(out, &fields.0);
}

pub(super) fn settings(input: &mut Input<'_>) -> Result<QueueSettings, Malformed> {
    let mut fields = input.part()?;
    let mut settings = QueueSettings::default();
    let mut last = 0;
    while !fields.is_empty() {
        let field = fields.u8()?;
        if field <= last {
            return Err(Malformed("settings are not in their order"));
        }
        last = field;
        read(field, &mut fields, &mut settings)?;
    }
    Ok(settings)
}

fn read(field: u8, input: &mut Input<'_>, settings: &mut QueueSettings) -> Result<(), Malformed> {
    match field {
        1 => {
            settings.ordering = match input.varint()? {
                1 => Ordering::Fifo,
                2 => Ordering::ByKey,
                _ => return Err(Malformed("a queue has an order that this program does not know")),
            };
        }
        2 => settings.delivery = one(input, DeliveryMode::AtMostOnce)?,
        3 => settings.durability = one(input, Durability::Buffered)?,
        4 => settings.lease_duration = Duration(input.varint()?),
        5 => settings.max_attempts = input.varint_u32()?,
        6 => {
            settings.retry_backoff = Some(RetryBackoff {
                initial: Duration(input.varint()?),
                multiplier_thousandths: input.varint_u32()?,
                max: Duration(input.varint()?),
            });
        }
        7 => settings.dead_letter_queue = Some(entry::name(input)?),
        8 => settings.time_to_live = Duration(input.varint()?),
        9 => settings.limits.messages = input.varint()?,
        10 => settings.limits.bytes = input.varint()?,
        11 => settings.limits.overflow = one(input, Overflow::DropOldest)?,
        12 => settings.deduplication_window = Duration(input.varint()?),
        13 => settings.single_active_consumer = one(input, true)?,
        14 => settings.paused = one(input, true)?,
        _ => return Err(Malformed("a queue has a setting that this program does not know")),
    }
    Ok(())
}

/// The only value of a field that is not its default.
fn one<T>(input: &mut Input<'_>, value: T) -> Result<T, Malformed> {
    match input.varint()? {
        1 => Ok(value),
        _ => Err(Malformed("a setting has a value that this program does not know")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(settings: &QueueSettings) -> Vec<u8> {
        let mut out = Vec::new();
        put_settings(&mut out, settings);
        out
    }

    #[test]
    fn settings_have_known_bytes_and_read_back() {
        let backoff = RetryBackoff { initial: Duration(300), multiplier_thousandths: 2000, max: Duration(1) };
        let all = QueueSettings {
            ordering: Ordering::Fifo,
            delivery: DeliveryMode::AtMostOnce,
            durability: Durability::Buffered,
            lease_duration: Duration(301),
            max_attempts: 5,
            retry_backoff: Some(backoff),
            dead_letter_queue: Some("a/b".parse().unwrap()),
            time_to_live: Duration(302),
            limits: Limits { messages: 300, bytes: 2, overflow: Overflow::DropOldest },
            deduplication_window: Duration(301),
            single_active_consumer: true,
            paused: true,
        };
        let golden: [&[u8]; 13] = [
            &[39, 1, 1, 2, 1, 3, 1],
            &[4, 0xad, 2],
            &[5, 5],
            &[6, 0xac, 2, 0xd0, 0x0f, 1],
            &[7, 3, b'a', b'/', b'b'],
            &[8, 0xae, 2],
            &[9, 0xac, 2],
            &[10, 2],
            &[11, 1],
            &[12, 0xad, 2],
            &[13, 1],
            &[14, 1],
            &[],
        ];
        let bytes = encoded(&all);
        assert_eq!(bytes, golden.concat());
        assert_eq!(settings(&mut Input::new(&bytes)), Ok(all));
        assert_eq!(encoded(&QueueSettings::default()), [0]);
        assert_eq!(settings(&mut Input::new(&[0])), Ok(QueueSettings::default()));
    }

    #[test]
    fn a_setting_that_is_unknown_or_out_of_order_is_refused() {
        for bad in [&[2, 99, 1][..], &[2, 1, 3], &[4, 14, 1, 13, 1], &[4, 1, 1, 1, 1], &[3, 1, 1]] {
            assert!(settings(&mut Input::new(bad)).is_err(), "{bad:?}");
        }
    }
}
