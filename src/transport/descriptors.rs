//! File descriptors: how many this process may have, and how many of them connections may take.
//!
//! Each TCP connection takes one, and a store that gets none for its next file has failed. So whoever reaches a port must
//! not be able to take them all.
//!
//! Always true: what connections may take, together with the reserve, is within the limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that connections never get: the store's, the listeners', the runtime's. About 20 are in use; a backup, a
/// checkpoint and a new journal file take a few more.
const RESERVE: usize = 64;

/// Fewer connections than this are no service.
const CONNECTIONS_MIN: usize = 16;

/// There are not enough descriptors to serve anyone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may have {limit} files open, which is too few to serve: it needs {needed}; raise the limit (`ulimit -n`, \
     LimitNOFILE= of systemd)"
)]
pub struct TooFew {
    /// How many there may be.
    pub limit: usize,
    /// How many there must be.
    pub needed: usize,
}

/// Raises this process's limit to what it may be raised to, and says what it is then.
#[must_use]
pub fn raise() -> usize {
    let found = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: found.maximum, maximum: found.maximum };
    // Some systems have a hard limit that they do not grant; the one that was found stays then.
    let granted = if setrlimit(Resource::Nofile, raised).is_ok() { found.maximum } else { found.current };
    granted.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// How many connections each of `listeners` may have with this limit, once `others` are set aside for further ones.
///
/// # Errors
/// If that is too few to serve anyone.
pub fn connections(limit: usize, others: usize, listeners: usize) -> Result<usize, TooFew> {
    let aside = RESERVE.saturating_add(others);
    let each = limit.saturating_sub(aside) / listeners.max(1);
    if each < CONNECTIONS_MIN {
        let needed = aside.saturating_add(CONNECTIONS_MIN.saturating_mul(listeners.max(1)));
        return Err(TooFew { limit, needed });
    }
    Ok(each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_the_reserve_are_within_the_limit() {
        for (limit, others, listeners) in [(1024, 32, 1), (1024, 32, 2), (200, 32, 1), (usize::MAX, 32, 2)] {
            let each = connections(limit, others, listeners).unwrap();
            assert!(each.checked_mul(listeners).unwrap() + others + RESERVE <= limit, "{limit}: {each}");
        }
    }

    #[test]
    fn too_few_are_refused_with_what_is_needed() {
        let refused = connections(100, 32, 1).unwrap_err();
        assert_eq!(refused, TooFew { limit: 100, needed: 112 });
        assert_eq!(connections(refused.needed, 32, 1), Ok(CONNECTIONS_MIN));
    }
}
