use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::*;

fn parsed(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn global_flags_stand_anywhere() {
    for line in
        ["bbq --json --http2 --profile p.toml queue list", "bbq queue list --json --http2 --profile p.toml"]
    {
        let cli = parsed(line).unwrap();
        assert!(cli.global.json && cli.global.http2, "{line}");
        assert_eq!(cli.global.profile, Some("p.toml".into()), "{line}");
    }
}

#[test]
fn what_is_typed_is_what_is_meant() {
    for (line, parts) in [
        (
            "bbq queue create a/b --delivery at-most-once --durability buffered --lease-duration 90s",
            vec!["name: Some(\"a/b\")", "Some(AtMostOnce)", "Some(Buffered)", "lease_duration: Some(90s)"],
        ),
        ("bbq publish q one two --attr k=v=w", vec!["[\"one\", \"two\"]", "[(\"k\", \"v=w\")]", "count: 1"]),
        (
            "bbq publish --topic t --routing-key a.b one two",
            vec!["queue: Some(\"one\")", "topic: Some(\"t\")", "routing_key: \"a.b\"", "bodies: [\"two\"]"],
        ),
        (
            "bbq topic bind t q --pattern a.# --attr k=v",
            vec!["topic: \"t\"", "queue: \"q\"", "pattern: \"a.#\"", "[(\"k\", \"v\")]"],
        ),
        ("bbq publish q --lines -", vec!["lines: Some(\"-\")", "bodies: []"]),
        (
            "bbq subscribe q --count 3 --exec true --lease-duration 1m --name me",
            vec!["count: Some(3)", "exec: Some(\"true\")", "lease_duration: Some(60s)", "name: \"me\""],
        ),
        ("bbq receive q --max 5 --wait 500ms --ack", vec!["max: 5", "wait: 500ms", "ack: true"]),
        (
            "bbq nack q 1.1.1.1 --delay 1s --dead-letter",
            vec!["[\"1.1.1.1\"]", "Some(1s)", "dead_letter: true"],
        ),
        ("bbq peek q --state leased --count 2", vec!["Some(Leased)", "count: 2"]),
        (
            "bbq token create shop --grant publish:orders* --grant consume --ttl 1h",
            vec![
                "permission: Publish, queues: \"orders*\"",
                "permission: Consume, queues: \"\"",
                "Some(3600s)",
            ],
        ),
        (
            "bbq serve --set limits.calls=5 --data-dir d --print-config",
            vec!["[\"limits.calls=5\"]", "Some(\"d\")"],
        ),
    ] {
        let shown = format!("{:?}", parsed(line).unwrap().command);
        for part in parts {
            assert!(shown.contains(part), "{line}: {part} is not in {shown}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for (line, kind) in [
        ("bbq", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("bbq publish", ErrorKind::MissingRequiredArgument),
        ("bbq publish q body --lines f", ErrorKind::ArgumentConflict),
        ("bbq publish q body --routing-key a.b", ErrorKind::MissingRequiredArgument),
        ("bbq topic bind t", ErrorKind::MissingRequiredArgument),
        ("bbq publish q --attr k", ErrorKind::ValueValidation),
        ("bbq subscribe q --no-ack --exec true", ErrorKind::ArgumentConflict),
        ("bbq subscribe q --lease-duration 30", ErrorKind::ValueValidation),
        ("bbq queue create q --delivery twice", ErrorKind::InvalidValue),
        ("bbq queue create q --retry-max 1s", ErrorKind::MissingRequiredArgument),
        ("bbq queue create q --retry-multiplier 2", ErrorKind::MissingRequiredArgument),
        ("bbq queue create q --from f", ErrorKind::ArgumentConflict),
        ("bbq subscribe q --exec ", ErrorKind::ValueValidation),
        ("bbq subscribe q --count 0", ErrorKind::ValueValidation),
        ("bbq redrive q --count 0", ErrorKind::ValueValidation),
        ("bbq token create n --grant consume:", ErrorKind::ValueValidation),
        ("bbq ack q", ErrorKind::MissingRequiredArgument),
        ("bbq token create n", ErrorKind::MissingRequiredArgument),
        ("bbq token create n --grant root", ErrorKind::ValueValidation),
        ("bbq serve --listn x", ErrorKind::UnknownArgument),
    ] {
        let error = parsed(line).expect_err(line);
        assert_eq!(error.kind(), kind, "{line}: {error}");
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn a_wrong_duration_says_what_a_right_one_looks_like() {
    let error = parsed("bbq receive q --wait 30").unwrap_err().to_string();
    assert!(error.contains("such as 500ms, 30s, 5m"), "{error}");
}

/// A bound that is crossed is the bound that people hear of, and no tip about `--`, which helps with none of these.
#[test]
fn what_is_out_of_bounds_is_told_the_bounds() {
    for (line, says) in [
        ("bbq queue create q --max-attempts -1", "give a whole number, 0 to 4294967295"),
        ("bbq queue create q --max-messages -1", "give a whole number, 0 or more"),
        ("bbq queue create q --max-bytes -1", "64KiB, 16MiB or 2GiB"),
        ("bbq queue create q --max-bytes 1MB", "64KiB, 16MiB or 2GiB"),
        ("bbq queue create q --retry-initial 1s --retry-multiplier -2", "give a number, 1 or more"),
        ("bbq queue create q --lease-duration 99999999999999999999h", "it is too long"),
        ("bbq publish q x --priority -1", "give a whole number, 0 to 9"),
        ("bbq publish q x --priority=-1", "give a whole number, 0 to 9"),
        ("bbq publish q x --priority 10", "give a whole number, 0 to 9"),
        ("bbq publish q x --count -3", "give a whole number, 1 or more"),
        ("bbq publish q x --delay -1s", "it must not be negative"),
        ("bbq publish q x --delay 100us", "give whole milliseconds"),
        ("bbq nack q 1.1 --delay -1s", "it must not be negative"),
        ("bbq receive q --max 4294967296", "give a whole number, 1 to 1000"),
        ("bbq receive q --max 1001", "give a whole number, 1 to 1000"),
        ("bbq subscribe q --exec x --parallel -1", "give a whole number, 1 to 1000"),
        ("bbq subscribe q --max-in-flight 0", "give a whole number, 1 to 4294967295"),
        ("bbq peek q --count -3", "give a whole number, 1 to 4294967295"),
        ("bbq redrive q --count -1", "give a whole number, 1 or more"),
        ("bbq queue watch --count 0", "give a whole number, 1 or more"),
        ("bbq queue watch --interval -1s", "it must not be negative"),
        ("bbq token create n --grant consume --ttl -1h", "it must not be negative"),
        ("bbq bench --messages -1", "give a whole number, 1 or more"),
        ("bbq bench --rate -1", "give a number greater than 0"),
        ("bbq bench cancel --held 0", "give a whole number, 1 to 10000"),
        ("bbq bench backlog --size -1", "give a whole number, 0 to 4194304"),
    ] {
        let error = parsed(line).expect_err(line);
        assert_eq!(error.kind(), ErrorKind::ValueValidation, "{line}: {error}");
        assert!(error.to_string().contains(says), "{line}: {error}");
    }
}

#[test]
fn a_queue_without_a_name_is_told_of_files() {
    let error = parsed("bbq queue create").unwrap_err().to_string();
    assert!(error.contains("--from <FILE>"), "{error}");
}
