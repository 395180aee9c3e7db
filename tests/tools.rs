//! The two sessions of docs/TOOLS.md, with `grpcurl` and with `buf curl`, run as they are printed.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::pages::{Block, Reader, blocks, page};

/// Each tool, and what the server calls its transport.
const TOOLS: [(&str, &str); 2] = [("grpcurl", "h2"), ("buf", "h3")];

/// All commands of a session, each on one line.
fn commands(tool: &str) -> Vec<String> {
    let blocks = blocks(&page("docs/TOOLS.md"), tool);
    let lines = blocks.iter().map(|block| block.text.replace("\\\n  ", "")).collect::<String>();
    lines.lines().map(ToOwned::to_owned).collect()
}

/// The methods that a session calls, `package.Service/Method`, with what it sends.
fn calls(tool: &str) -> Vec<(String, String)> {
    let address = if tool == "grpcurl" { "' localhost:6789 " } else { "' https://localhost:6789/" };
    let call = |command: &String| {
        let (_, rest) = command.split_once(" -d '")?;
        let (data, rest) = rest.split_once(address).unwrap_or_else(|| panic!("no address in {command}"));
        // The one message that grpcurl does not take in JSON's usual form.
        let data = data.replace(r#"{"paths": ["lease_duration"]}"#, r#""leaseDuration""#);
        Some((rest.split(' ').next().unwrap().to_owned(), data))
    };
    commands(tool).iter().filter_map(call).collect()
}

/// All methods of the two services, as their files name them.
fn methods() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/bbq/v1");
    let mut methods = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut service = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("service ") {
                service = name.trim_end_matches(" {");
            } else if let Some(rest) = line.strip_prefix("  rpc ") {
                let method = rest.split('(').next().unwrap();
                methods.push(format!("bbq.v1.{service}/{method}"));
            }
        }
    }
    assert!(methods.len() >= 26, "{methods:?}");
    methods
}

#[test]
fn every_method_is_shown_with_both_tools() {
    let health = ["Check", "Watch"].map(|method| format!("grpc.health.v1.Health/{method}"));
    let methods = methods().into_iter().chain(health).collect::<Vec<_>>();
    for (tool, _) in TOOLS {
        let shown = calls(tool);
        for method in &methods {
            assert!(shown.iter().any(|(called, _)| called == method), "{tool}: {method} is not shown");
        }
    }
    // What asks for reflection itself.
    assert!(commands("grpcurl").iter().any(|command| command.contains(" describe ")));
    assert!(commands("buf").iter().any(|command| command.contains(" --list-methods ")));
}

#[test]
fn both_tools_are_shown_the_same_calls() {
    assert_eq!(calls("grpcurl"), calls("buf"));
}

/// Whoever comes from another queue finds each setting and each call.
#[test]
fn the_migration_page_names_every_setting_and_every_call_of_the_data_plane() {
    let page = page("docs/MIGRATING.md");
    let proto =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/bbq/v1/queue.proto"));
    let proto = proto.unwrap();
    let (_, settings) = proto.split_once("message QueueSettings {").unwrap();
    let (settings, _) = settings.split_once("\n}").unwrap();
    let fields = settings.lines().filter_map(|line| line.split_once(" = ")?.0.rsplit(' ').next());
    let fields = fields.map(|field| format!("`{field}`")).collect::<Vec<_>>();
    assert!(fields.len() >= 14, "{fields:?}");
    let calls =
        methods().into_iter().filter_map(|method| Some(method.split_once("QueueService/")?.1.to_owned()));
    let missing = fields.into_iter().chain(calls).filter(|name| !page.contains(name.as_str()));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<String>::new());
}

/// The JSON documents among what was printed. Both tools begin and end each at the start of a line.
fn documents(printed: &str) -> Vec<Value> {
    let mut documents = Vec::new();
    let mut open = String::new();
    for line in printed.lines() {
        if !open.is_empty() || line.starts_with('{') {
            open.push_str(line);
        }
        if !open.is_empty() && line.starts_with(['}', '{']) && line.ends_with('}') {
            documents.push(serde_json::from_str(&open).unwrap_or_else(|error| panic!("{error}: {open}")));
            open.clear();
        }
    }
    documents
}

/// What a session must have shown, heading by heading.
fn shows_what_it_should(tool: &str, transport: &str, heading: &str, printed: &str) {
    let answers = documents(printed);
    let first = |key: &str| {
        let answer = answers.iter().find(|answer| !answer[key].is_null());
        answer.unwrap_or_else(|| panic!("{heading}: no {key} in {printed}"))[key].clone()
    };
    let attempts = || {
        let deliveries = answers.iter().filter_map(|answer| answer["deliveries"][0].as_object());
        let attempt = |delivery: &serde_json::Map<String, Value>| {
            (delivery["sequence"].as_str().unwrap().to_owned(), delivery["attempt"].as_u64().unwrap())
        };
        deliveries.map(attempt).collect::<Vec<_>>()
    };
    let section = heading.strip_prefix(tool).and_then(|rest| rest.strip_prefix(": ")).unwrap();
    match section {
        "what is there" => {
            assert_eq!(first("status"), "SERVING");
            for name in ["bbq.v1.AdminService", "bbq.v1.QueueService", "grpc.health.v1.Health"] {
                assert!(printed.contains(name), "{name}: {printed}");
            }
        }
        "queues" => {
            let settings = answers[4]["queue"]["settings"].clone();
            assert_eq!(settings["leaseDuration"], "60s", "{answers:?}");
            assert_eq!(
                (&settings["maxAttempts"], &settings["deadLetterQueue"]),
                (&5.into(), &"letters-failed".into())
            );
            assert_eq!(answers[5]["queues"].as_array().map(Vec::len), Some(3), "{answers:?}");
        }
        "messages" => {
            assert_eq!(first("messages").as_array().map(Vec::len), Some(3));
            assert_eq!(attempts(), [("1".to_owned(), 1), ("1".to_owned(), 2)]);
            let lease = &first("leases")[0];
            assert_eq!((&lease["consumerName"], &lease["transport"]), (&"me".into(), &transport.into()));
        }
        "a stream" => assert_eq!(attempts(), [("3".to_owned(), 2)]),
        "dead letters" => {
            let attributes = &first("messages")[0]["message"]["attributes"];
            assert_eq!(attributes["bbq-dead-letter-reason"], "no such address");
            assert_eq!(first("moved"), "1");
        }
        "a transaction" => {
            assert_eq!(attempts(), [("4".to_owned(), 1)]);
            assert_eq!(first("publishes")[0]["results"][0]["sequence"], "1");
        }
        "topics" => {
            assert_eq!(first("topics")[0]["bindings"][0]["queue"], "letters");
            assert_eq!(first("results")[0]["routed"][0]["queue"], "letters");
        }
        "statistics" => assert_eq!(first("queues")[0]["stats"]["ready"], "1"),
        "tokens" => {
            assert_eq!(first("queue")["name"], "letters");
            assert_eq!(first("tokens").as_array().map(Vec::len), Some(2));
        }
        "a backup" => assert!(printed.contains("restored holds the state at entry"), "{printed}"),
        "away with it" => assert_eq!(first("purged"), "1"),
        other => panic!("nothing says what must come of {other:?}"),
    }
    assert!(!printed.contains("\"failures\"") && !printed.contains("rror"), "{heading}: {printed}");
}

async fn works_as_printed(tool: &str, transport: &str) {
    let reader = Reader::start().await;
    let mut session = blocks(&page("docs/TOOLS.md"), "token");
    session.extend::<Vec<Block>>(blocks(&page("docs/TOOLS.md"), tool));
    let printed = reader.copies_blocks(&session, &[tool]).await;
    for (heading, printed) in &printed[1..] {
        shows_what_it_should(tool, transport, heading, printed);
    }
    assert_eq!(printed.len(), 12, "a section has no block: {printed:?}");
    assert_eq!(reader.server.run(&["queue", "list", "--json"]).await.ok(), "");
    assert_eq!(reader.server.run(&["topic", "list", "--json"]).await.ok(), "");
    let tokens = reader.server.run(&["token", "list", "--json"]).await.json();
    assert_eq!(tokens.len(), 1, "the session's token was revoked: {tokens:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_with_grpcurl_works_as_printed() {
    works_as_printed("grpcurl", "h2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_with_buf_works_as_printed() {
    works_as_printed("buf", "h3").await;
}
