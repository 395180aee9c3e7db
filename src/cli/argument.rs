//! Arguments that are more than a word: durations, numbers within bounds, sizes, attributes, grants, commands.
//!
//! Always true: what is refused is refused with its bounds, or with what would be right instead.

use std::ops::RangeInclusive;
use std::time::Duration;

use bbq_client::proto::{Grant, Permission};

/// Units of bytes, and what each is worth.
const UNITS: [(&str, u64); 5] = [("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// `30s`, `5m`, `1h 30m`, `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| match error {
        humantime::DurationError::NumberOverflow => "it is too long".to_owned(),
        _ if text.trim_start().starts_with('-') => "it must not be negative".to_owned(),
        _ => "give a number and a unit, such as 500ms, 30s, 5m, 1h or 7d".to_owned(),
    })?;
    // The wire could carry less, and the server would round it.
    if duration.subsec_nanos() % 1_000_000 != 0 {
        return Err("give whole milliseconds; they are the smallest unit".to_owned());
    }
    Ok(duration)
}

/// A whole number within bounds, as an argument.
pub(super) fn whole<T>(
    bounds: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: TryFrom<u64> + 'static,
{
    move |text| whole_number(text, &bounds)
}

/// A whole number within bounds.
pub(super) fn whole_number<T: TryFrom<u64>>(text: &str, bounds: &RangeInclusive<u64>) -> Result<T, String> {
    let number = text.parse::<u64>().ok().filter(|number| bounds.contains(number));
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| match (bounds.start(), bounds.end()) {
        (least, &u64::MAX) => format!("give a whole number, {least} or more"),
        (least, most) => format!("give a whole number, {least} to {most}"),
    })
}

/// By how much something grows.
pub(super) fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor: &f64| *factor >= 1.0 && factor.is_finite());
    factor.ok_or_else(|| "give a number, 1 or more, such as 2 or 1.5".to_owned())
}

/// More than nothing.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "give a number greater than 0".to_owned())
}

/// Bytes: `1000`, `64KiB`, `16 MiB`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()));
    match (number.parse::<u64>(), unit) {
        (Ok(number), Some((_, worth))) => {
            number.checked_mul(*worth).ok_or_else(|| "it is too large".to_owned())
        }
        (Err(_), Some(_)) if !number.is_empty() => Err("it is too large".to_owned()),
        _ => Err("give bytes, or a number and a unit: 1000, 64KiB, 16MiB or 2GiB".to_owned()),
    }
}

/// A command for the shell, which does something: an empty one succeeds, and so would settle messages that nobody has seen.
pub(super) fn command(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty, so it would settle every message unseen; give a command".to_owned());
    }
    Ok(text.to_owned())
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
    let (permission, queues) = match text.split_once(':') {
        // Nothing means every queue to the server. Whoever typed a colon meant some.
        Some((permission, "")) => {
            return Err(format!(
                "nothing stands after the colon; give `{permission}:NAME` or `{permission}:PREFIX*`, or `{permission}` \
                 for every queue"
            ));
        }
        Some((permission, queues)) => (permission, queues),
        None => (text, ""),
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_number_may_be_is_said_with_what_it_is_not() {
        let number = |text| whole_number::<u32>(text, &(0..=9));
        assert_eq!((number("0"), number("9")), (Ok(0), Ok(9)));
        for bad in ["-1", "10", "1.5", "", "99999999999999999999"] {
            assert_eq!(number(bad), Err("give a whole number, 0 to 9".to_owned()), "{bad}");
        }
        assert_eq!(
            whole_number::<u64>("-3", &(1..=u64::MAX)),
            Err("give a whole number, 1 or more".to_owned())
        );
    }

    #[test]
    fn bytes_have_units() {
        for (text, expected) in [("0", 0), ("1000", 1000), ("7B", 7), ("64KiB", 65_536), ("2 gib", 2 << 30)] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for (bad, says) in [
            ("1MB", "16MiB"),
            ("-1", "16MiB"),
            ("KiB", "16MiB"),
            ("1.5MiB", "16MiB"),
            ("18446744073709551616", "too large"),
            ("18446744073709551615KiB", "too large"),
        ] {
            assert!(bytes(bad).unwrap_err().contains(says), "{bad}: {:?}", bytes(bad));
        }
    }

    #[test]
    fn a_duration_that_is_refused_says_why() {
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        for (bad, says) in [
            ("30", "such as 500ms"),
            ("99999999999999999999h", "too long"),
            ("-1s", "negative"),
            ("100us", "whole milliseconds"),
            ("1ms 1ns", "whole milliseconds"),
        ] {
            assert!(duration(bad).unwrap_err().contains(says), "{bad}: {:?}", duration(bad));
        }
    }

    #[test]
    fn a_colon_without_a_name_is_not_every_queue() {
        assert!(grant("consume:").unwrap_err().contains("`consume` for every queue"));
        assert_eq!(grant("consume").unwrap().queues, "");
        assert_eq!(grant("consume:jobs").unwrap().queues, "jobs");
    }
}
