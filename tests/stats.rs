//! Live statistics: WatchStats and `bbq queue watch`.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::time::Duration;

use bbq_client::{Client, Error, Message, Profile, Transport, proto};
use proto::{Permission, QueueReport, QueueSettings, WatchStatsRequest, WatchStatsResponse};
use rustix::process::Signal;
use support::raw::{Raw, refuses_field};
use support::{Server, within};

type Reports = bbq_client::Responses<WatchStatsResponse>;

fn length(ms: i32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: i64::from(ms / 1000), nanos: ms % 1000 * 1_000_000 })
}

async fn watch(client: &Client, queue: &str, prefix: &str) -> Reports {
    let (queue, prefix) = (queue.to_owned(), prefix.to_owned());
    let request = WatchStatsRequest { queue, prefix, interval: length(100) };
    within("watching", client.watch_stats(request)).await.unwrap()
}

async fn next(reports: &mut Reports) -> WatchStatsResponse {
    within("a report", reports.next()).await.unwrap().expect("the watch goes on")
}

/// Reads reports until one is as wanted.
async fn until(reports: &mut Reports, wanted: impl Fn(&QueueReport) -> bool) -> QueueReport {
    within("such a report", async {
        loop {
            let found = next(reports).await.queues.into_iter().find(|report| wanted(report));
            if let Some(report) = found {
                return report;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_what_is_there_at_once_and_what_happens_as_rates() {
    let server = Server::start().await;
    let client = server.client().await;
    client.create_queue("q", QueueSettings::default()).await.unwrap();
    client.publish("q", Message::new("a")).await.unwrap();
    let hour = WatchStatsRequest { queue: "q".into(), interval: length(3_600_000), ..Default::default() };
    let mut slow = client.watch_stats(hour).await.unwrap();
    let first = next(&mut slow).await.queues.remove(0);
    let stats = first.stats.unwrap();
    assert_eq!((first.queue.as_str(), stats.ready, stats.leased, stats.consumers), ("q", 1, 0, 0));
    assert!(stats.bytes > 0 && stats.oldest_published_at.is_some(), "{stats:?}");
    assert!(first.published_per_second == 0.0, "nothing to compare with: {first:?}");

    let mut reports = watch(&client, "q", "").await;
    next(&mut reports).await;
    client.publish("q", Message::new("b")).await.unwrap();
    until(&mut reports, |report| report.published_per_second > 0.0).await;
    let taken = client.receive("q", 2, Duration::ZERO, None).await.unwrap();
    let report = until(&mut reports, |report| report.delivered_per_second > 0.0).await;
    assert_eq!(report.stats.unwrap().leased, 2);
    assert!(report.redelivered_per_second == 0.0, "{report:?}");
    let receipts: Vec<_> = taken.iter().map(|delivery| delivery.receipt().to_owned()).collect();
    client.nack("q", &[&receipts[0]], &bbq_client::Nack::new()).await.unwrap();
    client.receive("q", 1, Duration::ZERO, None).await.unwrap();
    let report = until(&mut reports, |report| report.redelivered_per_second > 0.0).await;
    assert!(report.delivered_per_second >= report.redelivered_per_second, "{report:?}");
    client.ack("q", &[&receipts[1]]).await.unwrap();
    let report = until(&mut reports, |report| report.acked_per_second > 0.0).await;
    let stats = report.stats.unwrap();
    assert_eq!((stats.ready, stats.leased, stats.oldest_published_at), (0, 1, None));

    client.delete_queue("q").await.unwrap();
    let ended = within("the end", async {
        loop {
            if let Err(error) = reports.next().await {
                return error;
            }
        }
    });
    assert!(matches!(ended.await, Error::NotFound(_)));
}

/// The age of the oldest message is known although no checkpoint left it in memory.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_message_of_a_watched_queue_is_found_on_disk() {
    let mut server = Server::start().await;
    let client = server.client().await;
    client.create_queue("q", QueueSettings::default()).await.unwrap();
    client.publish("q", Message::new("a")).await.unwrap();
    assert!(server.stop().await.success());
    let server = server.restart().await;
    let client = server.client().await;
    let stats = next(&mut watch(&client, "q", "").await).await.queues[0].stats.unwrap();
    assert!(stats.oldest_published_at.is_some(), "{stats:?}");
    let stats = next(&mut watch(&client, "", "q").await).await.queues[0].stats.unwrap();
    assert_eq!((stats.ready, stats.oldest_published_at), (1, None), "many queues are not read for this");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_only_what_its_caller_may_see() {
    let server = Server::start().await;
    let admin = server.client().await;
    for queue in ["team/a", "team/b", "other"] {
        admin.create_queue(queue, QueueSettings::default()).await.unwrap();
    }
    let grants = vec![proto::Grant { permission: Permission::Publish.into(), queues: "team/*".into() }];
    let (_, secret) = admin.create_token("t", grants, None).await.unwrap();
    for transport in [Transport::Http3, Transport::Http2] {
        let profile: Profile = server.profile_of(Some(&secret), transport);
        let client = within("connecting", Client::connect(profile)).await.unwrap();
        let names = |report: WatchStatsResponse| {
            report.queues.into_iter().map(|report| report.queue).collect::<Vec<_>>()
        };
        assert_eq!(names(next(&mut watch(&client, "", "").await).await), ["team/a", "team/b"]);
        assert_eq!(names(next(&mut watch(&client, "", "team/b").await).await), ["team/b"]);
        assert_eq!(names(next(&mut watch(&client, "", "oth").await).await), Vec::<String>::new());
        for (queue, denied) in [("other", true), ("team/none", false)] {
            let request = WatchStatsRequest { queue: queue.to_owned(), ..Default::default() };
            let outcome = async { client.watch_stats(request).await?.next().await };
            let error = within("a refusal", outcome).await.unwrap_err();
            let expected = if denied {
                matches!(error, Error::PermissionDenied(_))
            } else {
                matches!(error, Error::NotFound(_))
            };
            assert!(expected, "{queue}: {error:?}");
        }
    }
}

/// However many queues there are, a report is bounded, and says that it is not all.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_has_at_most_a_thousand_queues() {
    let server = Server::start().await;
    let client = server.client().await;
    let made = (0..2100).map(|n| {
        let client = client.clone();
        tokio::spawn(async move {
            client.create_queue(&format!("q{n:04}"), QueueSettings::default()).await.map(drop)
        })
    });
    for made in made.collect::<Vec<_>>() {
        within("a queue", made).await.unwrap().unwrap();
    }
    let report = next(&mut watch(&client, "", "").await).await;
    assert_eq!((report.queues.len(), report.more), (1000, true));
    assert_eq!(report.queues[999].queue, "q0999");
    // More queues than one step of the board copies.
    let report = next(&mut watch(&client, "", "q20").await).await;
    assert_eq!((report.queues.len(), report.more), (100, false));
    assert_eq!(report.queues[99].queue, "q2099");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_out_of_bounds_is_refused_by_field() {
    let server = Server::start().await;
    let admin = &mut Raw::connect(&server).await.admin;
    for (field, request) in [
        ("interval", WatchStatsRequest { interval: length(99), ..Default::default() }),
        ("interval", WatchStatsRequest { interval: length(3_600_001), ..Default::default() }),
        ("queue", WatchStatsRequest { queue: "a b".into(), ..Default::default() }),
        ("prefix", WatchStatsRequest { queue: "q".into(), prefix: "q".into(), ..Default::default() }),
    ] {
        refuses_field(within(field, admin.watch_stats(request)).await, field);
    }
}

/// A watch with an hour between its reports must not hold up the drain.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_the_drain() {
    let mut server = Server::start_with(&["--set", "drain_timeout_ms=60000"]).await;
    let client = server.client().await;
    let request = WatchStatsRequest { interval: length(3_600_000), ..Default::default() };
    let mut reports = client.watch_stats(request).await.unwrap();
    next(&mut reports).await;
    server.signal(Signal::TERM);
    let error = within("the end", reports.next()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)) && error.reason() == Some("DRAINING"), "{error:?}");
    client.close().await;
    assert!(server.process.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_reports_and_ends_when_told() {
    let server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    server.run(&["publish", "q", "a"]).await.ok();
    let watch = ["queue", "watch", "--interval", "100ms", "--count", "2"];
    let reports = server.run(&[&watch[..], &["--json"]].concat()).await.json();
    assert_eq!(reports.len(), 2);
    for report in &reports {
        assert!(report["at"].is_string() && report["more"] == false, "{report}");
        let queue = &report["queues"][0];
        assert_eq!((&queue["queue"], &queue["ready"]), (&"q".into(), &1.into()), "{report}");
        assert!(queue["published_per_second"].is_number(), "{report}");
    }
    let table = server.run(&watch).await.ok();
    assert!(table.contains("NAME") && table.contains("OLDEST") && !table.contains('\x1b'), "{table}");
    let refused = server.run(&["queue", "watch", "nope"]).await.refused();
    assert!(refused.contains("no queue nope"), "{refused}");
    let mut running = server.cli(&["queue", "watch", "q", "--interval", "1h", "--json"]).spawn();
    running.stdout.contains("\"ready\":1").await;
    running.signal(Signal::INT);
    assert_eq!(running.ended().await.code(), Some(0));
}

/// What the client logs goes to a file without the colours of a terminal.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_server_is_told_without_colours() {
    let mut server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    let mut running =
        server.cli(&["queue", "watch", "q", "--interval", "100ms", "--json", "--http2"]).spawn();
    running.stdout.contains("\"ready\":0").await;
    server.kill().await;
    let told = running.stderr.contains("trying again").await;
    assert!(!told.contains('\x1b'), "{told:?}");
    running.signal(Signal::INT);
    assert_eq!(running.ended().await.code(), Some(0));
}
