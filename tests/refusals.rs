//! What people get wrong: each is refused with its exit code and one line that names the thing, the bound and the way
//! out, and nothing that was there before is lost.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::time::Duration;

use bbq_client::proto::{self, publish_request::Target};
use bbq_client::{Error, Nack, ReceiptFailure, Transport};
use support::command::Cli;
use support::raw::{Raw, refusal};
use support::{Server, eventually};
use tonic::Code;

/// A server with a queue that holds one message.
async fn server_with_message() -> Server {
    let server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    server.run(&["publish", "q", "first"]).await.ok();
    server
}

/// The message is still there, alone.
async fn unharmed(server: &Server) {
    let messages = server.run(&["peek", "q", "--json"]).await.json();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!((&messages[0]["body"], &messages[0]["sequence"]), (&"first".into(), &1.into()));
}

#[track_caller]
fn says(why: &str, words: &[&str]) {
    for word in words {
        assert!(why.contains(word), "{word:?} is not in: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_queue_is_named_by_every_command() {
    let server = server_with_message().await;
    for command in [
        &["publish", "nope", "x"][..],
        &["publish", "nope", "x", "--count", "2"],
        &["subscribe", "nope"],
        &["subscribe", "nope", "--count", "1"],
        &["receive", "nope"],
        &["ack", "nope", "1.1.1.1"],
        &["nack", "nope", "1.1.1.1"],
        &["extend", "nope", "1.1.1.1"],
        &["peek", "nope"],
        &["leases", "nope"],
        &["queue", "show", "nope"],
        &["queue", "delete", "nope"],
        &["queue", "purge", "nope"],
    ] {
        says(&server.run(command).await.refused(), &["nope", "queue create"]);
    }
    unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_name_is_shown_with_what_is_wrong() {
    let server = server_with_message().await;
    let long = "x".repeat(129);
    for (name, words) in [
        ("a b", &["\"a b\"", "' '", "letters"][..]),
        ("a/b/c", &["\"a/b/c\"", "'/'", "namespace"]),
        ("ä", &["'ä'", "letters"]),
        ("", &["empty"]),
        (&long, &["129", "128"]),
    ] {
        says(&server.run(&["queue", "create", name]).await.refused(), words);
        says(&server.run(&["publish", name, "x"]).await.refused(), words);
    }
    unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_is_refused_with_the_limit() {
    let server = server_with_message().await;
    let body = vec![b'x'; 5 << 20];
    for transport in [&[][..], &["--http2"]] {
        let words = [&["publish", "q"], transport].concat();
        let why = server.cli(&words).stdin(body.clone()).run().await.refused();
        says(&why, &["5242880", "4194304", "limits.message_bytes"]);
    }
    for transport in [Transport::Http3, Transport::Http2] {
        let client = server.client_over(transport).await;
        let error = client.publish("q", body.clone()).await.unwrap_err();
        assert!(matches!(&error, Error::ResourceExhausted(_)), "{error:?}");
        assert_eq!(error.reason(), Some("LIMIT_EXCEEDED"));
        // As large as may be is fine.
        let sequence = client.publish("q", vec![b'x'; 4 << 20]).await.unwrap();
        let mut taken = client.receive("q", 1, Duration::ZERO, None).await.unwrap();
        taken.extend(client.receive("q", 1, Duration::ZERO, None).await.unwrap());
        for delivery in taken {
            let large = delivery.sequence() == sequence;
            assert_eq!(large, delivery.body().len() == 4 << 20);
            if large { delivery.ack().await.unwrap() } else { delivery.nack().await.unwrap() }
        }
    }
    unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_over_the_limit_is_refused_with_the_limit() {
    let server = server_with_message().await;
    let four = || bbq_client::Message::new(vec![b'x'; (4 << 20) - 100]);
    for transport in [Transport::Http3, Transport::Http2] {
        let client = server.client_over(transport).await;
        let error = client.publish_all("q", (0..5).map(|_| four()).collect()).await.unwrap_err();
        assert!(matches!(&error, Error::ResourceExhausted(_)), "{transport:?}: {error:?}");
        says(&error.to_string(), &["16777216", "limits.request_bytes", "in parts"]);
        assert_eq!(error.reason(), Some("REQUEST_TOO_LARGE"));
    }
    let mut raw = Raw::connect(&server).await;
    let messages = vec![proto::Message { body: vec![0; 17 << 20].into(), ..Default::default() }];
    let target = Some(Target::Queue("q".to_owned()));
    let outcome = raw.queues.publish(proto::PublishRequest { target, messages, ..Default::default() }).await;
    let (code, reason, _, message) = refusal(outcome);
    assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "REQUEST_TOO_LARGE"), "{message}");
    unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_what_the_configuration_says() {
    let server =
        Server::start_with(&["--set", "limits.message_bytes=1024", "--set", "limits.batch_items=2"]).await;
    server.run(&["queue", "create", "q"]).await.ok();
    let why = server.cli(&["publish", "q"]).stdin(vec![b'x'; 1025]).run().await.refused();
    says(&why, &["1025", "1024", "limits.message_bytes"]);
    says(&server.run(&["publish", "q", "a", "b", "c"]).await.refused(), &["3", "2", "limits.batch_items"]);
    server.cli(&["publish", "q"]).stdin(vec![b'x'; 1024]).run().await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_out_of_bounds_is_refused_by_the_command_too() {
    let server = server_with_message().await;
    says(
        &server.run(&["queue", "create", "new", "--lease-duration", "500ms"]).await.refused(),
        &["1s to 12h"],
    );
    says(
        &server.run(&["publish", "q", "x", "--ordering-key", "k"]).await.refused(),
        &["ordering_key", "BY_KEY"],
    );
    says(&server.run(&["publish", "q", "x", "--delay", "31d"]).await.refused(), &["delay", "30 days"]);
    says(&server.run(&["publish", "q", "x", "--ttl", "0s"]).await.refused(), &["time_to_live", "unset"]);
    let late = ["publish", "q", "x", "--ttl", "1s", "--delay", "2s"];
    says(&server.run(&late).await.refused(), &["delay", "2s", "1s"]);
    says(&server.run(&["publish", "q", "x", "--attr", "bbq-x=1"]).await.refused(), &["bbq-x", "server's"]);
    let why = server.run(&["nack", "q", "1.1.1.1", "--delay", "13h"]).await.refused();
    says(&why, &["delay", "12h"]);
    let once = ["queue", "create", "new", "--delivery", "at-most-once", "--max-attempts", "3"];
    says(&server.run(&once).await.refused(), &["settings.max_attempts", "leave max_attempts unset"]);
    says(&server.run(&["queue", "show", "new"]).await.refused(), &["new"]);
    unharmed(&server).await;
}

/// Only the latest attempt's receipt settles, and each other one learns why not.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_settles_nothing_says_why() {
    let server = Server::start().await;
    let client = server.client().await;
    for queue in ["q", "other"] {
        client.create_queue(queue, proto::QueueSettings::default()).await.unwrap();
    }
    client.publish("q", "a").await.unwrap();
    client.publish("other", "a").await.unwrap();
    let take = async |queue: &str, lease: Option<Duration>| {
        let taken = client.receive(queue, 1, Duration::from_secs(30), lease).await.unwrap();
        taken[0].receipt().to_owned()
    };
    let why =
        |failed: Vec<bbq_client::FailedReceipt>| failed.into_iter().map(|one| one.why).collect::<Vec<_>>();
    let foreign = take("other", None).await;
    let garbage =
        ["", "x", "1.1.1", "1.1.1.1.1", "01.1.1.1", "1.ffff.1.1", "999.1.1.1", "-1.1.1.1", &"f".repeat(5000)];
    for bad in garbage.iter().copied().chain([foreign.as_str()]) {
        assert_eq!(why(client.ack("q", &[bad]).await.unwrap()), [ReceiptFailure::Unknown], "{bad:.20}");
        assert_eq!(why(client.nack("q", &[bad], &Nack::new()).await.unwrap()), [ReceiptFailure::Unknown]);
        assert_eq!(why(client.extend("q", &[bad], None).await.unwrap()), [ReceiptFailure::Unknown]);
    }

    let first = take("q", None).await;
    assert_eq!(client.nack("q", &[&first], &Nack::new()).await.unwrap(), []);
    let second = take("q", None).await;
    assert_eq!(why(client.ack("q", &[&first]).await.unwrap()), [ReceiptFailure::Superseded]);
    assert_eq!(why(client.nack("q", &[&first], &Nack::new()).await.unwrap()), [ReceiptFailure::Superseded]);
    assert_eq!(why(client.extend("q", &[&first], None).await.unwrap()), [ReceiptFailure::Superseded]);

    // A nack gives the lease up; what it left behind is ready, and nobody's.
    assert_eq!(client.nack("q", &[&second], &Nack::new()).await.unwrap(), []);
    assert_eq!(why(client.extend("q", &[&second], None).await.unwrap()), [ReceiptFailure::Expired]);
    assert_eq!(why(client.nack("q", &[&second], &Nack::new()).await.unwrap()), [ReceiptFailure::Expired]);

    let third = take("q", Some(Duration::from_secs(1))).await;
    eventually("the lease ran out", async || {
        let stats = client.get_queue("q").await.unwrap().stats.unwrap();
        (stats.ready == 1).then_some(())
    })
    .await;
    assert_eq!(why(client.extend("q", &[&third], None).await.unwrap()), [ReceiptFailure::Expired]);
    // Late, but before anyone else: an ack counts, and repeating it is harmless.
    assert_eq!(client.ack("q", &[&third]).await.unwrap(), []);
    assert_eq!(client.ack("q", &[&third]).await.unwrap(), []);
    assert_eq!(why(client.nack("q", &[&third], &Nack::new()).await.unwrap()), [ReceiptFailure::Gone]);
    assert_eq!(why(client.extend("q", &[&third], None).await.unwrap()), [ReceiptFailure::Gone]);
    assert_eq!(client.get_queue("other").await.unwrap().stats.unwrap().leased, 1);

    // One that is wrong does not keep the others from being settled.
    let output = server.run(&["ack", "other", "x", &foreign, "--json"]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stdout.contains(&format!("\"receipt\":\"{foreign}\"")) && output.stdout.contains("acked"));
    says(&output.stderr, &["error: ", "receipt x", "not a receipt of this queue"]);
    assert_eq!(client.get_queue("other").await.unwrap().stats.unwrap().leased, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_of_a_queue_that_was_deleted_is_unknown_to_its_namesake() {
    let server = server_with_message().await;
    let client = server.client().await;
    let taken = client.receive("q", 1, Duration::ZERO, None).await.unwrap();
    let old = taken[0].receipt().to_owned();
    client.delete_queue("q").await.unwrap();
    client.create_queue("q", proto::QueueSettings::default()).await.unwrap();
    client.publish("q", "first").await.unwrap();
    client.receive("q", 1, Duration::ZERO, None).await.unwrap();
    let failed = client.ack("q", &[&old]).await.unwrap();
    assert_eq!(failed.iter().map(|one| one.why).collect::<Vec<_>>(), [ReceiptFailure::Unknown]);
    unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_that_makes_no_sense_exits_with_2() {
    for words in [
        &[][..],
        &["nonsense"],
        &["publish"],
        &["queue"],
        &["queue", "create"],
        &["queue", "create", "q", "--lease-duration", "soon"],
        &["queue", "create", "q", "--ordering", "random"],
        &["publish", "q", "x", "--attr", "novalue"],
        &["publish", "q", "x", "--lines", "-"],
        &["publish", "q", "x", "--nonsense"],
        &["subscribe", "q", "--no-ack", "--exec", "true"],
        &["subscribe", "q", "--count", "many"],
        &["ack", "q"],
        &["token", "create", "t"],
        &["token", "create", "t", "--grant", "fly"],
        &["serve", "--nonsense"],
    ] {
        let output = Cli::new(words).run().await;
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{words:?}: {output:?}");
        assert!(
            output.stderr.contains("Usage:") || output.stderr.contains("--help"),
            "{words:?}: {output:?}"
        );
    }
    for words in [&["help"][..], &["--help"], &["--version"], &["queue", "create", "--help"]] {
        assert!(!Cli::new(words).run().await.ok().is_empty(), "{words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_can_not_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.toml");
    let text = path.to_str().unwrap();
    let list = || Cli::new(&["queue", "list"]).within(directory.path());
    says(&list().run().await.refused(), &["bbq-data/client.toml", "bbq serve", "BBQ_PROFILE"]);
    says(&list().profile(&path).run().await.refused(), &[text, "bbq serve"]);
    says(&list().env("BBQ_PROFILE", text).run().await.refused(), &[text, "bbq serve"]);
    for (content, words) in [
        ("url = ", &["line 1"][..]),
        ("", &["url"]),
        ("url = 'https://127.0.0.1:1'\ntokn = 'x'\n", &["line 2", "tokn"]),
        ("url = 'ftp://127.0.0.1'\n", &["ftp", "https"]),
        ("url = 'https://127.0.0.1:1'\nca = 'missing.pem'\n", &["missing.pem", "ca"]),
        ("url = 'http://192.0.2.1:1'\n", &["192.0.2.1"]),
    ] {
        std::fs::write(&path, content).unwrap();
        says(&list().profile(&path).run().await.refused(), words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_run_is_named_with_the_way_out() {
    let mut server = server_with_message().await;
    server.stop().await;
    let address = server.address.to_string();
    for transport in [&[][..], &["--http2"]] {
        for command in [&["queue", "list"][..], &["publish", "q", "x"], &["subscribe", "q"]] {
            let why = server.run(&[command, transport].concat()).await.refused();
            says(&why, &["cannot reach", &address, "bbq serve"]);
        }
    }
    unharmed(&server.restart().await).await;
}
