//! Keeping leases: those of deliveries that are held are extended at half their time.
//!
//! It decides when. It never learns what a delivery is for, and gives nothing back.
//!
//! Always true: a lease is in the book if and only if its delivery, or its settlement, is alive and its stream is.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{sync::Notify, time::Instant};

use crate::{Client, receive::RECEIPTS_MAX};

/// The shortest lease there is.
const LEASE_MIN: Duration = Duration::from_secs(1);
/// The longest that is believed of a lease whose length is not known: this is read from two clocks, and extending too
/// often costs less than extending too late.
const LEASE_GUESS_MAX: Duration = Duration::from_secs(30);

/// The leases of one subscription.
#[derive(Clone)]
pub(crate) struct Leases {
    book: Arc<Mutex<Book>>,
    /// Rings when a lease became the first that is due.
    first_changed: Arc<Notify>,
}

#[derive(Default)]
struct Book {
    by_due: BTreeMap<(Instant, u64), Lease>,
    due: HashMap<u64, Instant>,
    last: u64,
}

struct Lease {
    receipt: Arc<str>,
    half: Duration,
}

/// One lease that is kept until this is dropped.
pub(crate) struct Held {
    id: u64,
    leases: Leases,
}

impl Leases {
    pub(crate) fn new() -> Self {
        Self { book: Arc::default(), first_changed: Arc::default() }
    }

    /// Keeps a lease of this length until what is returned is dropped.
    pub(crate) fn hold(&self, receipt: &str, length: Duration) -> Held {
        let half = length.max(LEASE_MIN) / 2;
        let due = Instant::now() + half;
        let mut book = self.book();
        book.last += 1;
        let id = book.last;
        book.insert(id, due, Lease { receipt: receipt.into(), half });
        if book.by_due.first_key_value().is_some_and(|((_, first), _)| *first == id) {
            self.first_changed.notify_one();
        }
        Held { id, leases: self.clone() }
    }

    /// Forgets all: their stream has ended, and they with it.
    pub(crate) fn clear(&self) {
        let mut book = self.book();
        book.by_due.clear();
        book.due.clear();
    }

    /// Extends what is due, for ever.
    pub(crate) async fn keep(self, client: Client, queue: String, lease: Option<Duration>) {
        loop {
            let first = self.book().by_due.first_key_value().map(|((due, _), _)| *due);
            match first {
                None => self.first_changed.notified().await,
                Some(due) if due > Instant::now() => tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = self.first_changed.notified() => {}
                },
                Some(_) => self.extend(&client, &queue, lease).await,
            }
        }
    }

    /// One call for all that is due now, or nearly.
    async fn extend(&self, client: &Client, queue: &str, lease: Option<Duration>) {
        let now = Instant::now();
        let due: Vec<(u64, Arc<str>, Duration)> = {
            let book = self.book();
            let soon = book.by_due.iter().take_while(|((due, _), lease)| *due <= now + lease.half / 4);
            soon.take(RECEIPTS_MAX)
                .map(|((_, id), lease)| (*id, Arc::clone(&lease.receipt), lease.half))
                .collect()
        };
        let half_min = due.iter().map(|(.., half)| *half).min().unwrap_or(LEASE_MIN);
        let receipts: Vec<&str> = due.iter().map(|(_, receipt, _)| receipt.as_ref()).collect();
        // An answer that takes longer than what is left of the leases is worth nothing.
        let result = client.with_deadline(half_min).extend(queue, &receipts, lease).await;
        let now = Instant::now();
        let mut book = self.book();
        match result {
            Ok(failed) => {
                let failed: Vec<&str> = failed.iter().map(|failed| failed.receipt.as_str()).collect();
                for (id, receipt, half) in due {
                    if failed.contains(&receipt.as_ref()) {
                        book.remove(id);
                    } else {
                        book.delay(id, now + half);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(queue, %error, count = due.len(), "leases were not extended, trying again");
                for (id, _, half) in due {
                    book.delay(id, now + half / 4);
                }
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing in here can panic halfway.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn insert(&mut self, id: u64, due: Instant, lease: Lease) {
        self.by_due.insert((due, id), lease);
        self.due.insert(id, due);
    }

    fn remove(&mut self, id: u64) {
        if let Some(due) = self.due.remove(&id) {
            self.by_due.remove(&(due, id));
        }
    }

    fn delay(&mut self, id: u64, until: Instant) {
        if let Some(due) = self.due.get(&id).copied()
            && let Some(lease) = self.by_due.remove(&(due, id))
        {
            self.insert(id, until, lease);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.leases.book().remove(self.id);
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Held").field(&self.id).finish()
    }
}

/// How long a lease that ends at `expires_at` by the server's clock lasts, guessed low.
pub(crate) fn guess(expires_at: Option<SystemTime>) -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "the server's time is on the wall, so it is compared with the wall"
    )]
    let now = SystemTime::now();
    guess_at(expires_at, now)
}

fn guess_at(expires_at: Option<SystemTime>, now: SystemTime) -> Duration {
    let left = expires_at.and_then(|end| end.duration_since(now).ok()).unwrap_or(LEASE_MIN);
    left.clamp(LEASE_MIN, LEASE_GUESS_MAX)
}

#[cfg(test)]
mod tests;
