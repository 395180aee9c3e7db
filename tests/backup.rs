//! `bbq backup` of a server under load, and `bbq restore` of what it made.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bbq_client::{Client, Error, Message, PageRequest, proto};
use proto::{Permission, QueueSettings};
use rustix::process::Signal;
use support::command::Cli;
use support::{Server, Setup, within};
use tokio::task::JoinHandle;

/// Publishes to both queues and settles from one until it is told to stop: what was confirmed, and what acked.
fn load(client: Client, stop: Arc<AtomicBool>) -> JoinHandle<(HashSet<String>, HashSet<String>)> {
    tokio::spawn(async move {
        let (mut confirmed, mut acked) = (HashSet::new(), HashSet::new());
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            for queue in ["kept", "drained"] {
                let bodies: Vec<_> =
                    (0..20).map(|m| format!("{queue}-{n}-{m}-{}", "x".repeat(2000))).collect();
                client
                    .publish_all(queue, bodies.iter().map(|body| Message::new(body.clone())).collect())
                    .await
                    .unwrap();
                confirmed.extend(bodies);
            }
            for delivery in client.receive("drained", 20, Duration::ZERO, None).await.unwrap() {
                let body = String::from_utf8(delivery.body().to_vec()).unwrap();
                delivery.ack().await.unwrap();
                acked.insert(body);
            }
        }
        (confirmed, acked)
    })
}

/// Every message of a queue, by its body.
fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

async fn bodies(client: &Client, queue: &str) -> Vec<String> {
    let (mut bodies, mut token) = (Vec::new(), String::new());
    loop {
        let page = PageRequest { size: 1000, token };
        let page = client.peek(queue, proto::MessageState::Unspecified, page).await.unwrap();
        let body =
            |peeked: proto::PeekedMessage| String::from_utf8(peeked.message.unwrap().body.to_vec()).unwrap();
        bodies.extend(page.items.into_iter().map(body));
        token = page.next_page_token;
        if token.is_empty() {
            return bodies;
        }
    }
}

/// The backup holds what was confirmed before it began and not acked, nothing that was never published, and leases
/// that a consumer can still use.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_holds_all_that_was_confirmed_before_it() {
    // Checkpoints all the time, so that they meet the backup.
    let server = Server::start_with(&["--set", "store.checkpoint_interval_ms=50"]).await;
    let client = server.client().await;
    for queue in ["kept", "drained", "held"] {
        client.create_queue(queue, QueueSettings::default()).await.unwrap();
    }
    for body in ["by a call", "by a stream"] {
        client.publish("held", Message::new(body)).await.unwrap();
    }
    let hour = Some(Duration::from_secs(3600));
    let held = client.receive("held", 1, Duration::ZERO, hour).await.unwrap().remove(0);
    let mut stream = client.subscribe("held").start().await.unwrap();
    let streamed = within("the other one", stream.next()).await.unwrap().unwrap();
    let before: Vec<_> = (0..200).map(|n| format!("before-{n}-{}", "y".repeat(9000))).collect();
    client.publish_all("kept", before.iter().map(|body| Message::new(body.clone())).collect()).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let loads = [load(client.clone(), Arc::clone(&stop)), load(server.client().await, Arc::clone(&stop))];

    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (directory.path().join("backup.bbq"), directory.path().join("restored"));
    let (file_text, data_text) = (file.to_str().unwrap(), data.to_str().unwrap());
    let made = server.run(&["backup", file_text, "--json"]).await.json().remove(0);
    stop.store(true, Ordering::Relaxed);
    let (mut confirmed, mut acked) = (HashSet::new(), HashSet::new());
    for load in loads {
        let (more_confirmed, more_acked) = within("the load", load).await.unwrap();
        confirmed.extend(more_confirmed);
        acked.extend(more_acked);
    }
    assert_eq!(made["bytes"].as_u64().unwrap(), fs::metadata(&file).unwrap().len());
    assert_eq!(mode(&file), 0o600, "every message is in it");
    let again = server.run(&["backup", file_text]).await.refused();
    assert!(again.contains("is there already"), "{again}");

    let restored = Cli::new(&["restore", file_text, "--data-dir", data_text, "--json"]).run().await.json();
    assert_eq!((&restored[0]["entry"], &restored[0]["rows"]), (&made["entry"], &made["rows"]));
    let refused = Cli::new(&["restore", file_text, "--data-dir", data_text]).run().await.refused();
    assert!(refused.contains("not empty"), "{refused}");
    let mut second = Setup::at(&data).start().await;
    let client = second.client().await;
    let kept = bodies(&client, "kept").await;
    assert_eq!(kept[..200], before);
    let kept: HashSet<_> = kept.into_iter().collect();
    let drained: HashSet<_> = bodies(&client, "drained").await.into_iter().collect();
    let known = |body: &String| confirmed.contains(body) || before.contains(body);
    assert!(kept.iter().chain(&drained).all(known), "something was never published");
    assert!(drained.iter().all(|body| body.starts_with("drained")), "a message is in another queue");

    let stats = client.get_queue("held").await.unwrap().stats.unwrap();
    assert_eq!((stats.ready, stats.leased), (1, 1), "a stream's lease is over, a call's goes on");
    assert_eq!(client.ack("held", &[held.receipt()]).await.unwrap(), []);
    let stale = client.ack("held", &[streamed.receipt()]).await.unwrap();
    assert_eq!(stale, [], "nobody got it since, so the ack still counts");
    client.publish("kept", Message::new("more")).await.unwrap();
    assert!(second.stop().await.success());
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_needs_the_permission_for_everything() {
    let server = Server::start().await;
    let admin = server.client().await;
    let grants = vec![proto::Grant { permission: Permission::Manage.into(), queues: String::new() }];
    let (_, secret) = admin.create_token("t", grants, None).await.unwrap();
    let profile = server.profile_of(Some(&secret), bbq_client::Transport::Http3);
    let client = within("connecting", Client::connect(profile)).await.unwrap();
    let outcome = async { client.backup().await?.next().await }.await;
    assert!(matches!(outcome, Err(Error::PermissionDenied(_))), "{outcome:?}");
}

/// Two at a time would hold back what is dead for as long as the slower takes. The second may follow the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_backup_waits_for_its_turn() {
    let server = Server::start().await;
    let client = server.client().await;
    client.create_queue("q", QueueSettings::default()).await.unwrap();
    for _ in 0..40 {
        client.publish("q", Message::new(vec![7; 1 << 20])).await.unwrap();
    }
    let mut first = client.backup().await.unwrap();
    within("a piece", first.next()).await.unwrap().unwrap();
    let second = async { client.backup().await?.next().await }.await.unwrap_err();
    assert_eq!(second.reason(), Some("BACKUP_RUNNING"), "{second:?}");
    drop(first);
    support::eventually("the first one is over", async || {
        async { client.backup().await?.next().await }.await.ok().map(drop)
    })
    .await;
}

/// A backup that ends early leaves no file, whoever ended it.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_fails_leaves_nothing() {
    let mut server = Server::start().await;
    let client = server.client().await;
    client.create_queue("q", QueueSettings::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("b");
    let missing = server.run(&["backup", directory.path().join("no/b").to_str().unwrap()]).await.refused();
    assert!(missing.contains("can't be made"), "{missing}");
    server.kill().await;
    let mut backup = server.cli(&["backup", file.to_str().unwrap()]).spawn();
    backup.signal(Signal::TERM);
    assert_ne!(backup.ended().await.code(), Some(0));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_backup_is_refused_with_the_place() {
    let server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    // What an earlier try left does not open the door.
    fs::write(path("good.partial"), "").unwrap();
    fs::set_permissions(path("good.partial"), fs::Permissions::from_mode(0o644)).unwrap();
    server.run(&["backup", &path("good")]).await.ok();
    assert_eq!(mode(Path::new(&path("good"))), 0o600);
    let good = fs::read(path("good")).unwrap();
    fs::write(path("cut"), &good[..good.len() - 37]).unwrap();
    fs::write(path("other"), "something else").unwrap();
    let restore = async |file: &str| {
        Cli::new(&["restore", &path(file), "--data-dir", &path("data")]).run().await.refused()
    };
    let cut = restore("cut").await;
    assert!(cut.contains("damaged at byte") && cut.contains("without its trailer"), "{cut}");
    assert!(restore("other").await.contains("no backup of bbq"));
    let missing = restore("missing").await;
    assert!(missing.contains("missing"), "{missing}");
    assert_eq!(missing.matches("No such file").count(), 1, "once is enough: {missing}");
    assert!(!directory.path().join("data").exists());
}
