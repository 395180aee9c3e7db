//! A disk without room: publishers are told, the process ends and says why, and what was confirmed comes back.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use bbq_client::{Client, Error, Message, Transport, proto};
use support::{Setup, within};
use tempfile::TempDir;

/// Small journal files, so that no single file takes all of a small disk.
const SMALL: [&str; 2] = ["--set", "store.segment_bytes=1048576"];
/// So many checkpoints that the state files fill the disk.
const MANY_CHECKPOINTS: [&str; 2] = ["--set", "store.checkpoint_journal_bytes=2097152"];
/// None, so that the journal fills it.
const NO_CHECKPOINTS: [&str; 2] = ["--set", "store.checkpoint_interval_ms=3600000"];

/// How much room there is.
const ROOM_MIB: u64 = 24;
/// How large a file may be where only that can be limited.
const FILE_MIB: u64 = 12;

/// A place with little room for a data directory.
enum Small {
    /// A file system of its own; root may have one.
    Mounted(TempDir),
    /// Without the right to mount: an ordinary directory, and a limit on the size of each file.
    Limited(TempDir),
}

impl Small {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("bbq-small-").tempdir().unwrap();
        let size = format!("size={ROOM_MIB}m,mode=700");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path()).output();
        match mount {
            Ok(output) if output.status.success() => Self::Mounted(directory),
            Ok(_) | Err(_) => Self::Limited(directory),
        }
    }

    fn data(&self) -> PathBuf {
        let (Self::Mounted(directory) | Self::Limited(directory)) = self;
        directory.path().join("data")
    }

    fn setup(&self, checkpoints: &[&str]) -> Setup {
        let setup = Setup::at(&self.data()).args(&SMALL).args(checkpoints);
        match self {
            Self::Mounted(_) => setup,
            Self::Limited(_) => {
                // In units of 512 bytes; the signal that would kill at the limit is ignored, so that the write fails.
                let limit = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", FILE_MIB << 11);
                setup.wrapper(&["sh", "-c", &limit, "sh"])
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        if let Self::Mounted(directory) = self {
            // Lazily: a failing test may leave a server that has not quite ended.
            let _ = Command::new("umount").arg("-l").arg(directory.path()).output();
        }
    }
}

/// Publishes one message after the other until that fails; says how many were confirmed, and the failure.
async fn publish_until_refused(client: &Client, small: &Small) -> (u64, Error) {
    let mut confirmed = 0;
    loop {
        let mut body = confirmed.to_string().into_bytes();
        body.resize(100_000, b'.');
        match client.publish("q", Message::new(body)).await {
            Ok(sequence) => {
                confirmed += 1;
                assert_eq!(sequence, confirmed);
            }
            Err(error) => return (confirmed, error),
        }
        // What one call brings is one journal entry, in one file.
        if confirmed == 100 && matches!(small, Small::Limited(_)) {
            let large = || Message::new(vec![b'.'; 1 << 20]);
            let all = (0..=FILE_MIB).map(|_| large()).collect();
            return (confirmed, client.publish_all("q", all).await.expect_err("no file may be so large"));
        }
        assert!(confirmed < 10_000, "the disk is not as small as it should be");
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// Fills a disk, makes room, and looks what is there.
async fn a_full_disk_ends_the_server_and_loses_nothing(checkpoints: &[&str], culprit: &str) {
    let small = Small::new();
    let mut server = small.setup(checkpoints).start().await;
    // TCP says at once when nobody is there any more.
    let client = server.client_over(Transport::Http2).await;
    client.create_queue("q", proto::QueueSettings::default()).await.unwrap();
    let (confirmed, error) = within("a full disk", publish_until_refused(&client, &small)).await;
    assert!(confirmed > 20, "only {confirmed} were confirmed: {error}");
    let told = matches!(&error, Error::Unavailable(_)) && error.reason() == Some("STORE_FAILED");
    // A checkpoint fails whether or not a publish is under way; the next one may lose its connection, or find nobody.
    let gone = matches!(&error, Error::Unavailable(_) | Error::Connect { .. });
    assert!(told || gone && culprit != "journal", "{error:?}");

    assert_eq!(server.process.ended().await.code(), Some(1));
    let log = server.log();
    let why = log.lines().last().unwrap();
    assert!(why.starts_with("error: "), "{log}");
    let words = ["No space left", "File too large"];
    assert!(words.iter().any(|word| why.contains(word)) && why.contains(culprit), "{why}");
    assert!(!log.contains("panicked"), "{log}");

    // Room is made: the directory moves to a larger disk.
    let large = tempfile::tempdir().unwrap();
    copy(&small.data(), large.path());
    drop(small);
    let server = Setup::at(&large.path().join("data")).args(&SMALL).start().await;
    let client = server.client().await;
    let stats = client.get_queue("q").await.unwrap().stats.unwrap();
    // What was refused may have reached the disk; what was confirmed must have.
    assert!(stats.ready >= confirmed, "{confirmed} were confirmed: {stats:?}");
    let mut seen = 0;
    while seen < confirmed {
        let taken = client.receive("q", 20, std::time::Duration::ZERO, None).await.unwrap();
        assert!(!taken.is_empty(), "{seen} of {confirmed} are there");
        for delivery in taken {
            if seen == confirmed {
                break;
            }
            assert!(delivery.body().starts_with(format!("{seen}.").as_bytes()), "message {seen} is another");
            seen += 1;
            delivery.ack().await.unwrap();
        }
    }
    client.publish("q", "there is room again").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_fills_the_disk_loses_nothing_that_was_confirmed() {
    a_full_disk_ends_the_server_and_loses_nothing(&NO_CHECKPOINTS, "journal").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_fills_the_disk_loses_nothing_that_was_confirmed() {
    a_full_disk_ends_the_server_and_loses_nothing(&MANY_CHECKPOINTS, "data").await;
}
