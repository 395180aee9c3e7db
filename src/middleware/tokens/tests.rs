use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::time::UNIX_EPOCH;

use super::super::identity::Permission;
use super::*;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn grant(permission: Permission, queues: &str) -> Vec<Grant> {
    vec![Grant { permission, queues: queues.parse().unwrap() }]
}

struct Fixture {
    directory: tempfile::TempDir,
    table: TokenTable,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let table = TokenTable::open(&directory.path().join("tokens.json")).unwrap();
        Self { directory, table }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("tokens.json")
    }

    fn reopen(&mut self) {
        self.table = TokenTable::open(&self.path()).unwrap();
    }
}

#[test]
fn a_token_is_its_bearer_after_a_restart_too() {
    let mut fixture = Fixture::new();
    let grants = grant(Permission::Publish, "orders*");
    let (token, secret) = fixture.table.create("shop", grants.clone(), None, at(5)).unwrap();
    for _ in 0..2 {
        let identity = fixture.table.authenticate(secret.expose(), at(6)).expect("it was just made");
        assert_eq!((identity.name.as_str(), &identity.grants), ("shop", &grants));
        assert_eq!(fixture.table.list(), std::slice::from_ref(&token));
        fixture.reopen();
    }
}

#[test]
fn only_the_whole_secret_counts() {
    let fixture = Fixture::new();
    let (token, secret) = fixture.table.create("a", grant(Permission::Admin, ""), None, at(5)).unwrap();
    let secret = secret.expose();
    assert_eq!(secret.len(), 4 + 12 + 1 + 43);
    let last = if secret.ends_with('A') { "B" } else { "A" };
    let other = format!("{}{last}", &secret[..secret.len() - 1]);
    let (_, random) = secret.split_at(17);
    for wrong in [
        "",
        "bbq_",
        &token.id,
        random,
        &other,
        &secret[1..],
        &secret[..secret.len() - 1],
        &format!("{secret} "),
        &format!("bbq_000000000000_{random}"),
        &secret.to_uppercase(),
    ] {
        assert_eq!(fixture.table.authenticate(wrong, at(6)), None, "{wrong:?} came in");
    }
}

#[test]
fn a_token_ends_with_its_time_to_live() {
    let fixture = Fixture::new();
    let hour = Duration::from_secs(3600);
    let (token, secret) =
        fixture.table.create("a", grant(Permission::Publish, ""), Some(hour), at(5)).unwrap();
    assert_eq!(token.expires_at, Some(at(3605)));
    assert!(fixture.table.authenticate(secret.expose(), at(3604)).is_some());
    assert!(fixture.table.authenticate(secret.expose(), at(3605)).is_none());
}

#[test]
fn a_revoked_token_is_refused_at_once_and_after_a_restart() {
    let mut fixture = Fixture::new();
    let (token, secret) = fixture.table.create("a", grant(Permission::Manage, ""), None, at(5)).unwrap();
    fixture.table.revoke(&token.id, at(6)).unwrap();
    assert_eq!(fixture.table.authenticate(secret.expose(), at(6)), None);
    fixture.reopen();
    assert_eq!(fixture.table.authenticate(secret.expose(), at(6)), None);
    assert!(matches!(fixture.table.revoke(&token.id, at(7)), Err(RevokeError::NotFound { .. })));
}

/// Locking oneself out would need access to the machine to mend.
#[test]
fn the_last_admin_token_stays() {
    let fixture = Fixture::new();
    let admin = || grant(Permission::Admin, "");
    let (first, _) = fixture.table.create("a", admin(), None, at(5)).unwrap();
    fixture.table.create("m", grant(Permission::Manage, ""), None, at(5)).unwrap();
    fixture.table.create("short", admin(), Some(Duration::from_secs(1)), at(5)).unwrap();
    assert!(matches!(fixture.table.revoke(&first.id, at(7)), Err(RevokeError::LastAdmin { .. })));
    assert!(fixture.table.has_admin(at(7)));
    let (second, _) = fixture.table.create("b", admin(), None, at(8)).unwrap();
    fixture.table.revoke(&first.id, at(8)).unwrap();
    assert!(matches!(fixture.table.revoke(&second.id, at(8)), Err(RevokeError::LastAdmin { .. })));
}

#[test]
fn the_file_is_private_and_holds_no_secret() {
    let fixture = Fixture::new();
    let (_, secret) = fixture.table.create("a", grant(Permission::Admin, ""), None, at(5)).unwrap();
    let mode = fs::metadata(fixture.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(fixture.path()).unwrap();
    assert!(!text.contains(&secret.expose()[17..]), "the secret is in the file");
    assert_eq!(format!("{secret:?}"), "Secret(..)");
}

#[test]
fn a_damaged_file_is_named() {
    let fixture = Fixture::new();
    fixture.table.create("a", grant(Permission::Admin, ""), None, at(5)).unwrap();
    let good = fs::read_to_string(fixture.path()).unwrap();
    for bad in [
        String::new(),
        good[..good.len() / 2].to_owned(),
        good.replace("\"version\": 1", "\"version\": 2"),
        good.replace("\"sha256\": \"", "\"sha256\": \"x"),
        good.replace("admin", "root"),
        good.replace("\"name\"", "\"nom\""),
    ] {
        assert_ne!(bad, good);
        fs::write(fixture.path(), &bad).unwrap();
        let error = TokenTable::open(&fixture.path()).expect_err(&bad).to_string();
        assert!(error.contains("tokens.json"), "{error}");
    }
}

/// Whatever bit changes at rest, it is noticed, or it says the same.
#[test]
fn a_flipped_bit_never_changes_a_token() {
    let fixture = Fixture::new();
    let hour = Duration::from_secs(3600);
    let (_, secret) =
        fixture.table.create("shop", grant(Permission::Publish, "orders*"), None, at(5)).unwrap();
    fixture.table.create("ops \u{1f525}\n", grant(Permission::Admin, ""), Some(hour), at(6)).unwrap();
    let good = fs::read(fixture.path()).unwrap();
    let file = fs::File::options().write(true).open(fixture.path()).unwrap();
    let (mut refused, mut same) = (0, 0);
    for bit in 0..good.len() * 8 {
        let (place, byte) = (u64::try_from(bit / 8).unwrap(), good[bit / 8]);
        file.write_all_at(&[byte ^ 1 << (bit % 8)], place).unwrap();
        match TokenTable::open(&fixture.path()) {
            Ok(table) => {
                same += 1;
                assert_eq!(table.list(), fixture.table.list(), "bit {bit}");
                assert!(table.authenticate(secret.expose(), at(6)).is_some(), "bit {bit}: another hash");
            }
            Err(error) => {
                refused += 1;
                let error = error.to_string();
                assert!(
                    error.contains("tokens.json") && error.contains("move it and client.toml"),
                    "{error}"
                );
            }
        }
        file.write_all_at(&[byte], place).unwrap();
    }
    TokenTable::open(&fixture.path()).expect("each bit was turned back");
    assert!(refused > 40 * same, "{refused} refused, {same} the same");
}

/// What was left out, doubled or put in by hand has no checksum that fits, nor has a file without one.
#[test]
fn a_table_is_taken_as_it_was_written_or_not_at_all() {
    let fixture = Fixture::new();
    for name in ["a", "b"] {
        fixture.table.create(name, grant(Permission::Admin, ""), None, at(5)).unwrap();
    }
    let good: serde_json::Value = serde_json::from_slice(&fs::read(fixture.path()).unwrap()).unwrap();
    let refuses = |bad: &serde_json::Value| {
        fs::write(fixture.path(), bad.to_string()).unwrap();
        assert!(matches!(TokenTable::open(&fixture.path()), Err(OpenError::Corrupt { .. })), "{bad}");
    };
    let mut bad = good.clone();
    bad["tokens"].as_array_mut().unwrap().remove(0);
    refuses(&bad);
    bad["tokens"] = serde_json::json!([]);
    refuses(&bad);
    let mut bad = good.clone();
    bad["tokens"].as_array_mut().unwrap().swap(0, 1);
    refuses(&bad);
    let mut bad = good.clone();
    bad.as_object_mut().unwrap().remove("xxh3");
    refuses(&bad);
    fs::write(fixture.path(), good.to_string()).unwrap();
    let laid_out_otherwise = TokenTable::open(&fixture.path()).unwrap();
    assert_eq!(laid_out_otherwise.list(), fixture.table.list());
}

#[test]
fn a_failed_write_changes_nothing() {
    let fixture = Fixture::new();
    let (token, secret) = fixture.table.create("a", grant(Permission::Manage, ""), None, at(5)).unwrap();
    let Fixture { directory, table } = fixture;
    directory.close().unwrap();
    assert!(matches!(table.revoke(&token.id, at(6)), Err(RevokeError::Write { .. })));
    assert!(table.authenticate(secret.expose(), at(6)).is_some());
}

#[test]
fn a_token_needs_a_name_grants_and_some_time() {
    let Fixture { table, directory: _directory } = &Fixture::new();
    let grants = || grant(Permission::Publish, "");
    let name = "x".repeat(129);
    assert!(matches!(table.create("", grants(), None, at(5)), Err(CreateError::Name { length: 0 })));
    assert!(matches!(table.create(&name, grants(), None, at(5)), Err(CreateError::Name { length: 129 })));
    assert!(matches!(table.create("a", vec![], None, at(5)), Err(CreateError::Grants { count: 0 })));
    for length in [Duration::ZERO, Duration::MAX] {
        let created = table.create("a", grants(), Some(length), at(5));
        assert!(matches!(created, Err(CreateError::TimeToLive { .. })), "{length:?}");
    }
    assert_eq!(table.list(), []);
}
