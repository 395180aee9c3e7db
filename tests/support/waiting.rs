//! Waiting with a bound.

use std::time::Duration;

/// Nothing that works takes so long, however busy the machine; it is only how a broken test ends.
pub const LONG: Duration = Duration::from_secs(60);

/// How long to leave a server alone between two looks at something that it does not tell by itself.
const PAUSE: Duration = Duration::from_millis(10);

/// The outcome of something that must come to an end.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONG, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("{what}: not within {LONG:?}"),
    }
}

/// Looks until there is something to see.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await
}
