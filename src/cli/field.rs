//! Values of a file, refused in the words of whoever writes one: with the bounds, and with what would be right instead.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::argument;

/// What stands in a file for a setting.
enum Scalar {
    Text(String),
    Whole(i128),
    Flag(bool),
    /// Another number, as it reads.
    Other(String),
}

/// A duration, which is text.
pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let scalar = Scalar::deserialize(from)?;
    let parsed = match &scalar {
        Scalar::Whole(number) if *number >= 0 => {
            Err(format!("give a unit too, in quotes, such as \"{number}s\""))
        }
        Scalar::Text(_) | Scalar::Whole(_) | Scalar::Flag(_) | Scalar::Other(_) => {
            argument::duration(&scalar.text())
        }
    };
    parsed.map(Some).map_err(|problem| scalar.refused(&problem))
}

/// A whole number that has no bounds but those of its type.
pub(super) fn count<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: TryFrom<u64> + Bounded,
    D: Deserializer<'de>,
{
    let scalar = Scalar::deserialize(from)?;
    // A text is not taken for the number in it: the file would work here, and nowhere else that reads it.
    let parsed = match &scalar {
        Scalar::Whole(number) => argument::whole_number(&number.to_string(), &(0..=T::MOST)),
        Scalar::Text(_) => Err("give a whole number, without quotes".to_owned()),
        Scalar::Flag(_) | Scalar::Other(_) => argument::whole_number(&scalar.text(), &(0..=T::MOST)),
    };
    parsed.map(Some).map_err(|problem| scalar.refused(&problem))
}

/// Bytes, as a number or with a unit.
pub(super) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let scalar = Scalar::deserialize(from)?;
    argument::bytes(&scalar.text()).map(Some).map_err(|problem| scalar.refused(&problem))
}

/// By how much something grows.
pub(super) fn factor<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let scalar = Scalar::deserialize(from)?;
    argument::factor(&scalar.text()).map(Some).map_err(|problem| scalar.refused(&problem))
}

/// What is on or off.
pub(super) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    match Scalar::deserialize(from)? {
        Scalar::Flag(flag) => Ok(Some(flag)),
        scalar => Err(scalar.refused("give true or false, without quotes")),
    }
}

/// One of some words.
pub(super) fn choice<'de, T: ValueEnum, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    let scalar = Scalar::deserialize(from)?;
    T::from_str(&scalar.text(), false).map(Some).map_err(|_| {
        let values = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let names = values.map(|value| value.get_name().to_owned()).collect::<Vec<_>>();
        scalar.refused(&format!("give one of {}", names.join(", ")))
    })
}

/// A type of numbers with a largest one.
pub(super) trait Bounded {
    /// The largest one.
    const MOST: u64;
}

impl Bounded for u32 {
    const MOST: u64 = 0xffff_ffff;
}

impl Bounded for u64 {
    const MOST: u64 = u64::MAX;
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Text(text) | Self::Other(text) => text.clone(),
            Self::Whole(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }

    /// Whoever reads the file names the key, and a text that is wrong.
    fn refused<E: Error>(&self, problem: &str) -> E {
        match self {
            Self::Text(_) => E::custom(problem),
            Self::Whole(_) | Self::Flag(_) | Self::Other(_) => {
                E::custom(format!("it is {}; {problem}", self.text()))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyScalar)
    }
}

struct AnyScalar;

impl Visitor<'_> for AnyScalar {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar::Other(number.to_string()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Scalar, E> {
        Ok(Scalar::Flag(flag))
    }
}
