//! Peers that mean harm, against the real server: while each does its worst, a client that behaves is served, the server stays
//! small, and whoever asks for too much is cut off.
//!
//! `BBQ_HOSTILE=full` (`make hostile`) multiplies the attacks by ten. One attack runs at a time: each has a server of its own,
//! and what it does to a client's latency is printed beside that client's latency in peace.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, clippy::cast_possible_truncation, reason = "shared with the tests of the transport")]
#[path = "../support/transport/frames.rs"]
mod frames;

#[allow(dead_code, reason = "the soak looks at all of them")]
#[path = "../support/vitals.rs"]
mod vitals;

#[path = "../support/wire_h3.rs"]
mod wire_h3;

mod calls;
mod descriptors;
mod garbage;
mod h2;
mod h2_streams;
mod handshakes;
mod meter;
mod operations;
mod streams;

use std::sync::LazyLock;

use tokio::sync::Mutex;

use meter::Meter;
use support::{Server, Setup};

/// One attack at a time: they would measure one another.
static ALONE: LazyLock<Mutex<()>> = LazyLock::new(|| Mutex::new(()));

/// The server's resident memory must stay below this, whatever is done to it. It is 60 to 90 MiB in peace.
pub const RESIDENT_MAX_KIB: u64 = 512 << 10;

/// How many times as much the long run does.
pub fn scale() -> usize {
    match std::env::var("BBQ_HOSTILE").as_deref() {
        Ok("full") => 10,
        Ok(_) | Err(_) => 1,
    }
}

/// Runs an attack against a server of its own while a client uses it as it should.
pub async fn attack(name: &str, args: &[&str], harm: impl AsyncFnOnce(&Server)) {
    attack_on(Setup::new().args(args), name, harm).await;
}

/// The same against a server that is started in a way of its own.
pub async fn attack_on(setup: Setup, name: &str, harm: impl AsyncFnOnce(&Server)) {
    let _alone = ALONE.lock().await;
    // Of these processes, this one has the most connections open.
    let _ = bbq::transport::descriptors::raise();
    let mut server = setup.start().await;
    let peace = Meter::start(&server).await;
    peace.rounds(60).await;
    let peace = peace.finish().await;
    let meter = Meter::start(&server).await;
    harm(&server).await;
    // The client is served after it as well.
    meter.rounds(10).await;
    let seen = meter.finish().await;
    println!(
        "{name}: p99 {:.1} ms (in peace {:.1} ms, {:.1} times), longest {:.1} ms, {} calls; resident {} MiB at most",
        seen.p99(),
        peace.p99(),
        seen.p99() / peace.p99(),
        seen.longest(),
        seen.calls(),
        seen.resident_kib >> 10,
    );
    assert!(
        seen.resident_kib < RESIDENT_MAX_KIB,
        "{name}: the server grew to {} MiB, the bound is {} MiB",
        seen.resident_kib >> 10,
        RESIDENT_MAX_KIB >> 10
    );
    assert!(server.stop().await.success(), "{name}: it ends in order: {}", server.log());
}
