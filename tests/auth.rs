//! Who may do what, at the wire, over both transports.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::time::Duration;

use bbq_client::proto::{self, Grant, Permission, QueueSettings};
use bbq_client::{Client, Error, Message, Nack, PageRequest, Transport};
use support::{Server, within};

const TRANSPORTS: [Transport; 2] = [Transport::Http3, Transport::Http2];

async fn connect(server: &Server, token: Option<&str>, transport: Transport) -> Client {
    let profile = server.profile_of(token, transport);
    within("connecting", Client::connect(profile)).await.expect("anybody may connect")
}

fn grant(permission: Permission, queues: &str) -> Grant {
    Grant { permission: permission.into(), queues: queues.to_owned() }
}

/// A token's id and its secret.
async fn token(server: &Server, grants: Vec<Grant>) -> (String, String) {
    let (token, secret) = server.client().await.create_token("t", grants, None).await.unwrap();
    (token.id, secret)
}

/// How a subscription begins: with a place among the queue's consumers, or with a refusal, which over HTTP/3 comes after
/// the headers.
async fn subscribes(admin: &Client, client: &Client, queue: &str) -> Result<(), Error> {
    let mut subscription = within("a subscription's headers", client.subscribe(queue).start()).await?;
    let stands = support::eventually("the subscription stands or is refused", async || {
        let stats = admin.get_queue(queue).await.ok()?.stats?;
        (stats.consumers > 0).then_some(())
    });
    let outcome = tokio::select! {
        first = subscription.next() => first.transpose().map(drop),
        () = stands => Ok(()),
    };
    subscription.close().await;
    support::eventually("the subscription has ended", async || {
        let stats = admin.get_queue(queue).await.ok().and_then(|queue| queue.stats);
        stats.is_none_or(|stats| stats.consumers == 0).then_some(())
    })
    .await;
    outcome
}

async fn watches(client: &Client, queue: &str) -> Result<(), Error> {
    let request = proto::WatchStatsRequest { queue: queue.to_owned(), ..Default::default() };
    support::within("a report", async { client.watch_stats(request).await?.next().await }).await.map(drop)
}

async fn redrives(client: &Client, queue: &str) -> Result<(), Error> {
    let request = proto::RedriveMessagesRequest { queue: queue.to_owned(), ..Default::default() };
    support::within("a redrive", async { client.redrive(request).await?.next().await }).await.map(drop)
}

fn mask() -> Vec<String> {
    vec!["max_attempts".to_owned()]
}

/// How each call that is built ends, by name.
async fn every_call(admin: &Client, client: &Client, queue: &str) -> Vec<(&'static str, Result<(), Error>)> {
    let receipts = ["1.1.1.1"];
    let page = PageRequest::default;
    let subscribed = subscribes(admin, client, queue).await;
    vec![
        ("Publish", client.publish(queue, Message::new("x")).await.map(drop)),
        ("Subscribe", subscribed),
        ("Receive", client.receive(queue, 1, Duration::ZERO, None).await.map(drop)),
        ("Ack", client.ack(queue, &receipts).await.map(drop)),
        ("Nack", client.nack(queue, &receipts, &Nack::new()).await.map(drop)),
        ("Extend", client.extend(queue, &receipts, None).await.map(drop)),
        ("GetQueue", client.get_queue(queue).await.map(drop)),
        ("WatchStats", watches(client, queue).await),
        ("PeekMessages", client.peek(queue, proto::MessageState::Unspecified, page()).await.map(drop)),
        ("ListLeases", client.leases(queue, page()).await.map(drop)),
        ("PurgeQueue", client.purge_queue(queue).await.map(drop)),
        ("CreateQueue", client.create_queue(queue, QueueSettings::default()).await.map(drop)),
        ("UpdateQueue", client.update_queue(queue, QueueSettings::default(), mask()).await.map(drop)),
        ("RedriveMessages", redrives(client, queue).await),
        ("Backup", async { client.backup().await?.next().await }.await.map(drop)),
        ("ListTokens", client.list_tokens(page()).await.map(drop)),
        ("CreateToken", client.create_token("x", vec![grant(Permission::Publish, "")], None).await.map(drop)),
        ("RevokeToken", client.revoke_token("nobody").await.map(drop)),
    ]
}

/// What the calls that were allowed are called. The others must have been refused, and for the permission they lack.
fn allowed(calls: Vec<(&'static str, Result<(), Error>)>) -> Vec<&'static str> {
    let mut names = Vec::new();
    for (name, outcome) in calls {
        match outcome {
            Err(Error::PermissionDenied(refusal)) => {
                assert_eq!(refusal.reason.as_deref(), Some("PERMISSION_MISSING"), "{name}");
                assert!(
                    refusal.message.contains("token t lacks the permission"),
                    "{name}: {}",
                    refusal.message
                );
            }
            Ok(()) | Err(Error::NotFound(_)) => names.push(name),
            Err(other) => panic!("{name}: {other:?}"),
        }
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_valid_token_nothing_is_allowed() {
    let server = Server::start().await;
    let admin = server.client().await;
    admin.create_queue("q", QueueSettings::default()).await.unwrap();
    let good = server.profile().token.unwrap();
    let (id, rest) = good.split_at(good.len() - 4);
    let altered = format!("{id}{}", rest.chars().rev().collect::<String>());
    let cut = &good[..good.len() - 1];
    for transport in TRANSPORTS {
        for (bad, reason) in [
            (None, "NO_TOKEN"),
            (Some("nonsense"), "BAD_TOKEN"),
            (Some(altered.as_str()), "BAD_TOKEN"),
            (Some(cut), "BAD_TOKEN"),
        ] {
            let client = connect(&server, bad, transport).await;
            for (name, outcome) in every_call(&admin, &client, "q").await {
                let error = outcome.expect_err(name);
                assert!(matches!(error, Error::Unauthenticated(_)), "{transport:?} {name}: {error:?}");
                assert_eq!(error.reason(), Some(reason), "{transport:?} {name}: {error:?}");
                assert!(error.to_string().contains("bbq token create"), "{error}");
            }
            // Not even whether a queue is there is told.
            let listed = client.list_queues("", PageRequest::default()).await.map(drop);
            let missing = client.get_queue("missing").await.map(drop);
            for outcome in [listed, missing] {
                assert!(matches!(outcome, Err(Error::Unauthenticated(_))), "{outcome:?}");
            }
        }
    }
    let stats = admin.get_queue("q").await.unwrap().stats.unwrap();
    assert_eq!((stats.ready, stats.consumers), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_covers_its_calls_on_its_queues_and_nothing_else() {
    let server = Server::start().await;
    let admin = server.client().await;
    for queue in ["team/a", "team/b", "other"] {
        admin.create_queue(queue, QueueSettings::default()).await.unwrap();
    }
    let consume = ["Subscribe", "Receive", "Ack", "Nack", "Extend", "GetQueue", "WatchStats"];
    let manage = [
        &["Publish"][..],
        &consume,
        &["PeekMessages", "ListLeases", "PurgeQueue", "CreateQueue", "UpdateQueue", "RedriveMessages"],
    ]
    .concat();
    for transport in TRANSPORTS {
        for (permission, calls) in [
            (Permission::Publish, &["Publish", "GetQueue", "WatchStats"][..]),
            (Permission::Consume, &consume),
            (Permission::Manage, &manage),
        ] {
            for (pattern, inside, outside) in
                [("team/a", "team/a", "team/b"), ("team/*", "team/b", "other"), ("team/*", "team/a", "tea")]
            {
                let (_, secret) = token(&server, vec![grant(permission, pattern)]).await;
                let client = connect(&server, Some(&secret), transport).await;
                let what = format!("{transport:?} {permission:?} {pattern}");
                assert_eq!(allowed(every_call(&admin, &client, inside).await), calls, "{what} on {inside}");
                assert_eq!(
                    allowed(every_call(&admin, &client, outside).await),
                    [""; 0],
                    "{what} on {outside}"
                );
            }
        }
        // One token, two grants: what each allows, where it allows it.
        let grants = vec![grant(Permission::Publish, "team/a"), grant(Permission::Consume, "team/b")];
        let (_, secret) = token(&server, grants).await;
        let client = connect(&server, Some(&secret), transport).await;
        assert_eq!(
            allowed(every_call(&admin, &client, "team/a").await),
            ["Publish", "GetQueue", "WatchStats"]
        );
        assert_eq!(allowed(every_call(&admin, &client, "team/b").await), consume);
        let listed = client.all_queues("").await.unwrap();
        assert_eq!(listed.iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>(), ["team/a", "team/b"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_at_once() {
    let server = Server::start().await;
    let admin = server.client().await;
    admin.create_queue("q", QueueSettings::default()).await.unwrap();
    for transport in TRANSPORTS {
        let (id, secret) = token(&server, vec![grant(Permission::Manage, "")]).await;
        let client = connect(&server, Some(&secret), transport).await;
        client.publish("q", "before").await.unwrap();
        admin.revoke_token(&id).await.unwrap();
        // On the connection that stands, as on a new one.
        for client in [client, connect(&server, Some(&secret), transport).await] {
            let error = client.publish("q", "after").await.unwrap_err();
            assert!(matches!(&error, Error::Unauthenticated(_)), "{transport:?}: {error:?}");
        }
    }
    assert_eq!(admin.get_queue("q").await.unwrap().stats.unwrap().ready, 2);
}

/// Tokens are part of what a restart must not lose: neither one that works nor one that was revoked.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_their_revocation_survive_a_kill() {
    let mut server = Server::start().await;
    let admin = server.client().await;
    admin.create_queue("q", QueueSettings::default()).await.unwrap();
    let (revoked, old) = token(&server, vec![grant(Permission::Publish, "q")]).await;
    let (_, good) = token(&server, vec![grant(Permission::Publish, "q")]).await;
    admin.revoke_token(&revoked).await.unwrap();
    server.kill().await;
    let server = server.restart().await;
    connect(&server, Some(&good), Transport::Http3).await.publish("q", "x").await.unwrap();
    let error = connect(&server, Some(&old), Transport::Http3).await.publish("q", "x").await.unwrap_err();
    assert!(matches!(&error, Error::Unauthenticated(_)), "{error:?}");
    server.client().await.get_queue("q").await.unwrap();
}

/// A command says the same in one line, and names what to ask for.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_permission_says_what_is_missing() {
    let server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    let (_, secret) = token(&server, vec![grant(Permission::Consume, "q")]).await;
    let path = server.data().join("consumer.toml");
    server.profile_of(Some(&secret), Transport::Auto).save(&path).unwrap();
    let refused = support::Cli::new(&["publish", "q", "x"]).profile(&path).run().await.refused();
    assert!(refused.contains("publish") && refused.contains("queue q"), "{refused}");
    server.profile_of(Some("wrong"), Transport::Auto).save(&path).unwrap();
    let refused = support::Cli::new(&["publish", "q", "x"]).profile(&path).run().await.refused();
    assert!(
        refused.contains("unknown, expired or revoked") && refused.contains("bbq token create"),
        "{refused}"
    );
}
