//! Accepting connections: the next one, whatever the operating system says meanwhile.
//!
//! Always true: an error neither ends a listener nor makes it spin.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::time::sleep;

/// How long to wait when the operating system can't give us another socket.
const PAUSE: Duration = Duration::from_millis(100);

/// The next connection. Cancel safe if `accept` is.
pub(super) async fn next<T, F>(accept: impl Fn() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    let mut failures = 0_u64;
    loop {
        match accept().await {
            Ok(connection) => return connection,
            Err(error) if is_its_own(&error) => {}
            Err(error) => {
                // Out of descriptors or memory, most likely. Accepting again at once would spin; what waits in the kernel waits on.
                if failures == 0 {
                    tracing::warn!(%error, "no connection can be accepted; it is tried again ten times a second");
                }
                failures += 1;
                sleep(PAUSE).await;
            }
        }
    }
}

/// Whether an error is that of one connection, which was gone before it was accepted.
fn is_its_own(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::Instant;

    use super::*;

    /// EMFILE, ENFILE and what else may come: the connection after them is accepted, and not by trying all the time.
    #[tokio::test(start_paused = true)]
    async fn errors_are_waited_out() {
        let tries = AtomicU32::new(0);
        let begun = Instant::now();
        let errors = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::CONNABORTED];
        let accepted = next(|| {
            let n = tries.fetch_add(1, Ordering::Relaxed);
            let error = errors.get(usize::try_from(n).unwrap());
            std::future::ready(error.map_or(Ok(n), |error| Err(io::Error::from(*error))))
        });
        assert_eq!(accepted.await, 3);
        assert_eq!(begun.elapsed(), 2 * PAUSE, "an aborted connection is no reason to wait");
    }
}
