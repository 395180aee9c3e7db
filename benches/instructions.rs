//! Rounds of publish, lease and ack for an instruction counter: `make instructions` runs this under callgrind.
//!
//! Its argument is how many rounds of one message. Only the rounds are counted, whatever starting costs.

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something is not as it must be")]

#[path = "round/mod.rs"]
mod round;

use bytes::Bytes;

fn main() {
    let rounds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1000_u64);
    let body = Bytes::from(vec![b'x'; 1024]);
    let mut inside = round::Inside::new();
    for _ in 0..rounds {
        inside.round(1, &body);
    }
}
