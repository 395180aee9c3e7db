//! Settings: defaults that stand, and no unknown keys.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use bbq::transport::h2::H2Settings;
use bbq::transport::h3::H3Settings;
use bbq::transport::quic::QuicSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn check<T: Serialize + DeserializeOwned + Default + PartialEq + std::fmt::Debug>(change: &str) {
    assert_eq!(toml::from_str::<T>("").unwrap(), T::default(), "every key has a default");
    let written = toml::to_string(&T::default()).unwrap();
    assert_eq!(toml::from_str::<T>(&written).unwrap(), T::default());
    assert_ne!(toml::from_str::<T>(change).unwrap(), T::default());
    let unknown = toml::from_str::<T>("conections_max = 1").unwrap_err().to_string();
    assert!(unknown.contains("unknown field `conections_max`"), "{unknown}");
}

#[test]
fn settings_have_defaults_and_refuse_unknown_keys() {
    check::<QuicSettings>("idle_timeout_ms = 5");
    check::<H3Settings>("drain_ms = 5");
    check::<H2Settings>("keep_alive_ms = 5");
}

/// A silent peer must be noticed within 10 s on either transport: its messages wait for it.
#[test]
fn a_silent_peer_is_noticed_within_ten_seconds() {
    let (quic, h2) = (QuicSettings::default(), H2Settings::default());
    assert!(quic.idle_timeout_ms <= 10_000);
    assert!(quic.keep_alive_ms * 3 <= quic.idle_timeout_ms);
    assert!(h2.keep_alive_ms + h2.keep_alive_timeout_ms <= 10_000);
}
