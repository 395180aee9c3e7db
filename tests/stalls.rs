//! What stands still, and clocks that jump: a consumer that is stopped holds its messages only as long as its lease, a server
//! that is stopped goes on where it was, and a jump of the wall clock neither ends leases in a burst nor makes them last.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bbq_client::{Client, Delivery, Error, Message, proto};
use rustix::process::Signal;
use support::notices::notice;
use support::{Server, Setup, within};
use tempfile::TempDir;

const LEASE: Duration = Duration::from_secs(2);
const HOUR: i64 = 3600;

async fn queue(server: &Server) -> Client {
    let client = server.client().await;
    let lease_duration = Some(prost_types::Duration { seconds: 2, nanos: 0 });
    let settings = proto::QueueSettings { lease_duration, ..proto::QueueSettings::default() };
    client.create_queue("q", settings).await.unwrap();
    client
}

/// The next message, however long it takes.
async fn next(client: &Client) -> Delivery {
    let taken = client.receive("q", 1, support::LONG, Some(LEASE));
    within("a message", taken).await.unwrap().remove(0)
}

/// A consumer that is stopped with a message in its hands.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_consumer_holds_its_message_only_until_the_deadline() {
    // Its connection stays as it is meanwhile, so that nothing else than the deadline gives the message back.
    let server = Server::start_with(&["--set", "http2.keep_alive_ms=3600000"]).await;
    let client = queue(&server).await;
    client.publish("q", "a").await.unwrap();
    let command = "echo begun; exec sleep 10 > /dev/null 2>&1";
    let mut stopped = server.cli(&["--http2", "subscribe", "q", "--exec", command]).spawn();
    stopped.stdout.contains("begun").await;
    stopped.signal(Signal::STOP);
    let again = next(&client).await;
    assert_eq!((again.attempt(), &again.body()[..]), (2, &b"a"[..]));
    again.ack().await.unwrap();
    stopped.signal(Signal::CONT);
    server.until_counts("q", 0, 0).await;
    stopped.kill().await;
}

/// Clients give up on a server that is stopped; it goes on where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_goes_on_where_it_was() {
    let server = Server::start().await;
    let client = queue(&server).await;
    client.publish("q", "a").await.unwrap();
    let held = next(&client).await;
    server.signal(Signal::STOP);
    let impatient = client.with_deadline(Duration::from_millis(500));
    let error = impatient.publish("q", "b").await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded(_) | Error::Unavailable(_)), "{error:?}");
    tokio::time::sleep(LEASE).await;
    server.signal(Signal::CONT);
    // The lease ran out meanwhile, so the message comes again; the one without an answer may be there or not.
    let client = server.client().await;
    loop {
        let delivery = next(&client).await;
        let (attempt, body) = (delivery.attempt(), delivery.body().to_vec());
        delivery.ack().await.unwrap();
        if body == b"a" {
            assert_eq!(attempt, 2);
            break;
        }
        assert_eq!(body, b"b");
    }
    let late = held.ack().await;
    assert!(late.is_ok() || matches!(late, Err(Error::Receipt { .. })), "{late:?}");
    assert_eq!(client.publish("q", "c").await.unwrap().min(2), 2);
}

/// A server whose wall clock can be set.
struct Jumping {
    directory: TempDir,
    library: PathBuf,
}

impl Jumping {
    /// Needs a C compiler, which Rust's own linking needs too.
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let library = directory.path().join("wall_clock.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/wall_clock.c");
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).output();
        if built.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self { directory, library });
        }
        notice(&format!("jumps of the wall clock: cc can't build a library to preload here ({built:?})"));
        None
    }

    fn setup(&self) -> Setup {
        let file = self.directory.path().join("offset");
        Setup::at(&self.directory.path().join("data"))
            .env("LD_PRELOAD", self.library.to_str().unwrap())
            .env("WALL_CLOCK_OFFSET", file.to_str().unwrap())
    }

    /// Sets the wall clock so many seconds off.
    fn jump(&self, seconds: i64) {
        // In one step, so that nobody reads half of it.
        let new = self.directory.path().join("offset.new");
        std::fs::write(&new, seconds.to_string()).unwrap();
        std::fs::rename(new, self.directory.path().join("offset")).unwrap();
    }
}

/// The lease holds as long as it should, and no longer, by a clock that nobody sets.
async fn lease_lasts(client: &Client, jump: impl FnOnce()) {
    let taken = tokio::time::Instant::now();
    let held = next(client).await;
    jump();
    let again = next(client).await;
    let after = taken.elapsed();
    assert_eq!((again.sequence(), again.attempt()), (held.sequence(), held.attempt() + 1));
    // A tenth is what the engine's clock may be drawn towards the wall clock.
    assert!(after > LEASE * 8 / 10, "the lease ended after {after:?}");
    again.nack().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_outlast_jumps_of_the_wall_clock_and_end_all_the_same() {
    let Some(jumping) = Jumping::new() else { return };
    jumping.jump(0);
    let mut server = jumping.setup().start().await;
    let client = queue(&server).await;
    client.publish("q", Message::new("a")).await.unwrap();
    for seconds in [HOUR, 0, -HOUR, HOUR] {
        lease_lasts(&client, || jumping.jump(seconds)).await;
    }
    // The clock goes back while the server is down: its own time does not, and does not wait for it either.
    let held = next(&client).await;
    server.kill().await;
    jumping.jump(-HOUR);
    let server = jumping.setup().start().await;
    let client = server.client().await;
    let again = next(&client).await;
    assert_eq!((again.sequence(), again.attempt()), (held.sequence(), held.attempt() + 1));
    lease_lasts(&client, || ()).await;
}
