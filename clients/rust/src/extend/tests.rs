use super::*;

fn receipts(leases: &Leases) -> Vec<String> {
    leases.book().by_due.values().map(|lease| lease.receipt.to_string()).collect()
}

#[test]
fn lease_is_due_at_half_its_time_and_leaves_with_its_holder() {
    let leases = Leases::new();
    let start = Instant::now();
    let long = leases.hold("long", Duration::from_secs(60));
    let short = leases.hold("short", Duration::from_secs(10));
    assert_eq!(receipts(&leases), ["short", "long"]);
    let halves = start + Duration::from_secs(5)..=Instant::now() + Duration::from_secs(5);
    assert!(halves.contains(&leases.book().by_due.first_key_value().unwrap().0.0));
    drop(short);
    assert_eq!(receipts(&leases), ["long"]);
    drop(long);
    assert!(leases.book().due.is_empty());
}

#[test]
fn delayed_lease_stays_and_lost_lease_goes() {
    let leases = Leases::new();
    let a = leases.hold("a", Duration::from_secs(10));
    let _b = leases.hold("b", Duration::from_secs(10));
    leases.book().delay(a.id, Instant::now() + Duration::from_secs(60));
    assert_eq!(receipts(&leases), ["b", "a"]);
    leases.book().remove(a.id);
    // A lease that left is not brought back by an answer that comes late.
    leases.book().delay(a.id, Instant::now());
    assert_eq!(receipts(&leases), ["b"]);
    leases.clear();
    assert!(receipts(&leases).is_empty());
    drop(a);
}

#[test]
fn lease_of_unknown_length_is_guessed_low() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let guessed = |end: Option<Duration>| guess_at(end.map(|end| SystemTime::UNIX_EPOCH + end), now);
    let after = |seconds: u64| Some(Duration::from_secs(1_000_000 + seconds));
    assert_eq!(guessed(after(10)), Duration::from_secs(10));
    assert_eq!(guessed(after(3600)), LEASE_GUESS_MAX);
    assert_eq!(guessed(after(0)), LEASE_MIN);
    assert_eq!(guessed(Some(Duration::ZERO)), LEASE_MIN, "the server's clock is far behind");
    assert_eq!(guessed(None), LEASE_MIN);
}
