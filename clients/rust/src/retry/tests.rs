use super::*;
use crate::Refusal;

#[test]
fn delays_stay_within_a_bound_that_doubles_up_to_its_end() {
    let error = Error::unavailable("gone");
    let bounds = [100, 200, 400, 800, 1600, 3200, 5000, 5000];
    let mut widest = [Duration::ZERO; 8];
    for _ in 0..200 {
        let mut backoff = Backoff::new();
        for (bound, widest) in bounds.iter().zip(&mut widest) {
            let delay = backoff.delay(&error);
            assert!(delay <= Duration::from_millis(*bound));
            *widest = (*widest).max(delay);
        }
        backoff.reset();
        assert!(backoff.delay(&error) <= Duration::from_millis(100));
    }
    // Full jitter uses the whole of each bound: none of 200 above half of it would be one in 2^200.
    for (bound, widest) in bounds.iter().zip(widest) {
        assert!(widest > Duration::from_millis(bound / 2));
    }
}

#[test]
fn server_may_ask_for_more_patience() {
    let asked = Duration::from_secs(7);
    let error = Error::ResourceExhausted(Refusal { retry_after: Some(asked), ..Refusal::local("full") });
    assert!(Backoff::new().delay(&error) >= asked);
}

/// What may be repeated after which failure.
#[test]
fn publishing_is_repeated_only_if_nothing_was_done() {
    let refused = Error::Connect { url: "https://h".into(), reason: "connection refused".into() };
    let untrusted = Error::Certificate { url: "https://h".into(), reason: "UnknownIssuer".into() };
    let rejected = Error::unprocessed("REQUEST_REJECTED");
    let lost = Error::unavailable("the connection was lost");
    let late = Error::deadline(Duration::from_secs(1));
    let full = Error::ResourceExhausted(Refusal::local("the queue is full"));
    let allowed = |error| (Repeat::Anytime.allows(error), Repeat::Unprocessed.allows(error));
    assert_eq!(allowed(&refused), (true, true));
    assert_eq!(allowed(&untrusted), (false, false), "trying again comes to the same");
    assert_eq!(allowed(&rejected), (true, true));
    assert_eq!(allowed(&lost), (true, false));
    assert_eq!(allowed(&late), (false, false));
    assert_eq!(allowed(&full), (false, false));
}
