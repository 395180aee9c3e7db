use super::load::combine;
use super::*;

/// Loads from this `bbq.toml`, these variables and these `--set`.
fn loaded(file: &str, variables: &[(&str, &str)], sets: &[&str]) -> Result<Config, String> {
    let file = (!file.is_empty()).then(|| ("bbq.toml".to_owned(), file.to_owned()));
    let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    let overrides = sets.iter().map(|set| Override::set(set)).collect::<Result<Vec<_>, _>>();
    overrides.and_then(|overrides| combine(file, variables, &overrides)).map_err(|error| error.to_string())
}

fn refused(file: &str, variables: &[(&str, &str)], sets: &[&str]) -> String {
    loaded(file, variables, sets).expect_err("it was taken")
}

#[test]
fn with_nothing_set_the_defaults_hold() {
    assert_eq!(loaded("", &[], &[]), Ok(Config::default()));
}

#[test]
fn flags_beat_the_environment_and_that_beats_the_file() {
    let file = "drain_timeout_ms = 1\n[limits]\ncalls = 1\nrequest_bytes = 1048577\nmessage_bytes = 2000";
    let variables = [("BBQ_LIMITS__CALLS", "2"), ("BBQ_LIMITS__MESSAGE_BYTES", "3000")];
    let config = loaded(file, &variables, &["limits.calls=3"]).unwrap();
    assert_eq!(config.limits.calls, 3);
    assert_eq!(config.limits.message_bytes, 3000);
    assert_eq!(config.limits.request_bytes, 1_048_577);
    assert_eq!(config.drain_timeout_ms, 1);
    assert_eq!(config.limits.in_flight_messages, Limits::default().in_flight_messages);
}

#[test]
fn every_kind_of_value_comes_from_the_environment() {
    let config = loaded(
        "",
        &[
            ("BBQ_LISTEN", "0.0.0.0:1"),
            ("BBQ_OPERATIONS_LISTEN", ""),
            ("BBQ_DATA_DIR", "/var/lib/bbq"),
            ("BBQ_TLS__NAMES", "[a.example, b.example]"),
            ("BBQ_PLAINTEXT__LISTEN", "unix:/run/bbq.sock"),
            ("BBQ_LOG__FORMAT", "json"),
            ("BBQ_PROFILE", "client.toml"),
            ("BBQ_CONFIG", "other.toml"),
            ("LISTEN", "not ours"),
        ],
        &[],
    )
    .unwrap();
    assert_eq!(config.listen, "0.0.0.0:1".parse().unwrap());
    assert_eq!(config.operations_listen, Listen(None));
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/bbq"));
    assert_eq!(config.tls.names, ["a.example", "b.example"]);
    assert_eq!(config.plaintext.listen, Listen(Some(PlaintextAddress::Unix("/run/bbq.sock".into()))));
    assert_eq!(config.log.format, logs::Format::Json);
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_what_was_meant() {
    for (error, expected) in [
        (refused("lisen = \"a\"", &[], &[]), "bbq.toml: unknown key `lisen`; did you mean `listen`?"),
        (
            refused("[limits]\ncals = 1", &[], &[]),
            "bbq.toml: unknown key `limits.cals`; did you mean `limits.calls`?",
        ),
        (
            refused("", &[("BBQ_LIMITS__CALL", "1")], &[]),
            "BBQ_LIMITS__CALL: unknown key `limits.call`; did you mean `limits.calls`?",
        ),
        (
            refused("", &[], &["log.levle=info"]),
            "--set log.levle: unknown key `log.levle`; did you mean `log.level`?",
        ),
        (
            refused("[log]\ncolour = 1", &[], &[]),
            "bbq.toml: unknown key `log.colour`; there are level, format",
        ),
    ] {
        assert_eq!(error, expected);
    }
}

#[test]
fn a_value_that_cannot_be_had_is_named_with_its_place() {
    for (error, parts) in [
        (refused("[limits]\ncalls = 0", &[], &[]), vec!["bbq.toml: limits.calls is 0", "1 to 1000000"]),
        (refused("", &[("BBQ_LIMITS__CALLS", "0")], &[]), vec!["BBQ_LIMITS__CALLS: limits.calls is 0"]),
        (refused("", &[], &["limits.calls=many"]), vec!["--set limits.calls: limits.calls", "many"]),
        (refused("listen = \"here\"", &[], &[]), vec!["bbq.toml: listen is \"here\": "]),
        (
            refused("plaintext.listen = \"0.0.0.0:1\"", &[], &[]),
            vec!["bbq.toml: plaintext.listen", "0.0.0.0:1 is not a loopback"],
        ),
        (refused("tls.key = \"k.pem\"", &[], &[]), vec!["tls.certificate is missing"]),
        (
            refused("log.level = \"loud\"", &[], &[]),
            vec!["bbq.toml: log.level is \"loud\": \"loud\" is not a level"],
        ),
        (
            refused("limits.message_bytes = 20000000", &[], &[]),
            vec!["limits.message_bytes is 20000000", "limits.request_bytes"],
        ),
        (refused("data_dir = \"\"", &[], &[]), vec!["data_dir is empty"]),
        (refused("listen = ", &[], &[]), vec!["bbq.toml: TOML parse error at line 1"]),
        (refused("", &[], &["limits"]), vec!["KEY=VALUE"]),
        (refused("limits = 3", &[], &[]), vec!["bbq.toml: limits"]),
    ] {
        assert!(parts.iter().all(|part| error.contains(part)), "{error:?} does not say {parts:?}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_named_file_must_be_there() {
    let error = load(Some("nowhere/at/all.toml".as_ref()), &[]).unwrap_err().to_string();
    assert!(error.starts_with("configuration nowhere/at/all.toml can't be read"), "{error}");
}

#[test]
fn what_is_printed_reads_back_the_same() {
    let mut config = Config::default();
    assert_eq!(loaded(&config.to_toml(), &[], &[]), Ok(config.clone()));
    config.operations_listen = Listen(None);
    config.tls.certificate = Some("c.pem".into());
    config.tls.key = Some("k.pem".into());
    config.tls.names = vec!["a.example".into()];
    config.plaintext.listen = "unix:/run/bbq.sock".to_owned().try_into().unwrap();
    config.limits.calls = 7;
    assert_eq!(loaded(&config.to_toml(), &[], &[]), Ok(config));
}

#[test]
fn plaintext_stays_on_this_machine() {
    for good in ["127.0.0.1:1", "[::1]:1", "127.9.9.9:1", "unix:/a"] {
        assert_eq!(good.parse::<PlaintextAddress>().expect(good).to_string(), good);
    }
    for bad in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "localhost:1", "unix:", "127.0.0.1"] {
        assert!(bad.parse::<PlaintextAddress>().is_err(), "{bad} was taken");
    }
}

/// A bound of nothing would stop the server, or panic.
#[test]
fn the_brokers_bounds_are_checked() {
    let broken = [
        crate::broker::Settings { inbox_calls: 0, ..Default::default() },
        crate::broker::Settings { inbox_bytes: 0, ..Default::default() },
        crate::broker::Settings { entry_bytes: 0, ..Default::default() },
        crate::broker::Settings { entries_in_flight: 0, ..Default::default() },
    ];
    for broker in broken {
        let config = Config { broker, ..Config::default() };
        assert!(config.check().is_err(), "{:?}", config.broker);
    }
}
