//! What is to become of messages that can't be handled: backoff, delays, dead letters.

use std::sync::Arc;

use super::check::duration;
use super::proto;
use super::status::Invalid;
use crate::broker::Settlement;
use crate::types::{Duration, QueueName, RETRY_DELAY_MAX, Retry, RetryBackoff};

/// The longest reason that a consumer may give.
const REASON_MAX: usize = 1 << 10;

/// What a nack asks for.
pub(super) fn nack(request: &proto::NackRequest) -> Result<Settlement, Invalid> {
    if request.reason.len() > REASON_MAX {
        let problem = format!("it is {} bytes, the limit is {REASON_MAX}", request.reason.len());
        return Err(Invalid::new("reason", problem));
    }
    let delay = request.delay.map(|delay| bounded("delay", delay, Duration(0))).transpose()?;
    let retry = match (request.dead_letter, delay) {
        (true, Some(_)) => {
            return Err(Invalid::new(
                "delay",
                "dead_letter is set too, which waits for nothing; leave one unset",
            ));
        }
        (true, None) => Retry::Never,
        (false, Some(delay)) => Retry::After(delay),
        (false, None) => Retry::Backoff,
    };
    Ok(Settlement::Nack { retry, reason: Arc::from(request.reason.as_str()) })
}

/// A queue's backoff.
pub(super) fn backoff(wire: proto::RetryBackoff) -> Result<RetryBackoff, Invalid> {
    let field = |name: &str| format!("settings.retry_backoff.{name}");
    let Some(initial) = wire.initial else {
        return Err(Invalid::new(field("initial"), "set it: the delay before the second attempt"));
    };
    let initial = bounded(&field("initial"), initial, Duration(1))?;
    let max = match wire.max {
        Some(max) => bounded(&field("max"), max, initial)?,
        None => RETRY_DELAY_MAX,
    };
    let multiplier = if wire.multiplier == 0.0 { 1.0 } else { wire.multiplier };
    let most = f64::from(RetryBackoff::MULTIPLIER_MAX) / 1000.0;
    if !(1.0..=most).contains(&multiplier) {
        let problem = format!("it is {multiplier}; it must be 1 to {most}");
        return Err(Invalid::new(field("multiplier"), problem));
    }
    // Printed and read, as no float becomes an integer without a cast.
    let thousandths = format!("{:.0}", multiplier * 1000.0).parse().unwrap_or(1000);
    Ok(RetryBackoff { initial, multiplier_thousandths: thousandths, max })
}

fn bounded(field: &str, wire: prost_types::Duration, least: Duration) -> Result<Duration, Invalid> {
    let delay = duration(field, wire)?;
    if delay < least || delay > RETRY_DELAY_MAX {
        let problem = format!("it is {delay}; it must be {least} to 12h");
        return Err(Invalid::new(field, problem));
    }
    Ok(delay)
}

/// A queue's dead-letter queue, which must be in its namespace: what is moved between them is moved at once or not at all.
pub(super) fn dead_letter_queue(queue: &QueueName, name: &str) -> Result<Option<QueueName>, Invalid> {
    const FIELD: &str = "settings.dead_letter_queue";
    if name.is_empty() {
        return Ok(None);
    }
    let dead = super::check::queue_name(FIELD, name)?;
    if dead.namespace() != queue.namespace() {
        let problem = format!("{dead} is in another namespace than {queue}; name one in the same");
        return Err(Invalid::new(FIELD, problem));
    }
    Ok(Some(dead))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(initial: i64, multiplier: f64, max: Option<i64>) -> proto::RetryBackoff {
        let seconds = |seconds| prost_types::Duration { seconds, nanos: 0 };
        proto::RetryBackoff { initial: Some(seconds(initial)), multiplier, max: max.map(seconds) }
    }

    #[test]
    fn a_backoff_is_whole_numbers() {
        let expected =
            RetryBackoff { initial: Duration(2000), multiplier_thousandths: 1500, max: Duration(60_000) };
        assert_eq!(backoff(wire(2, 1.5, Some(60))), Ok(expected));
        let standard = backoff(wire(1, 0.0, None)).unwrap();
        assert_eq!((standard.multiplier_thousandths, standard.max), (1000, RETRY_DELAY_MAX));
    }

    #[test]
    fn a_backoff_out_of_bounds_is_refused_by_field() {
        for (bad, field) in [
            (proto::RetryBackoff::default(), "initial"),
            (wire(0, 1.0, None), "initial"),
            (wire(43_201, 1.0, None), "initial"),
            (wire(1, 0.5, None), "multiplier"),
            (wire(1, -1.0, None), "multiplier"),
            (wire(1, f64::NAN, None), "multiplier"),
            (wire(1, 1001.0, None), "multiplier"),
            (wire(2, 1.0, Some(1)), "max"),
            (wire(2, 1.0, Some(43_201)), "max"),
        ] {
            assert_eq!(backoff(bad).unwrap_err().field, format!("settings.retry_backoff.{field}"));
        }
    }
}
