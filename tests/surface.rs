//! What is out of bounds is refused by name: no field is taken and ignored.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use bbq_client::proto::{self, publish_request::Target};
use prost_types::Duration;
use support::raw::{Raw, refusal, refuses_field};
use support::{Server, within};
use tonic::Code;

async fn server_with_queue() -> (Server, Raw) {
    let server = Server::start().await;
    let mut raw = Raw::connect(&server).await;
    let request = proto::CreateQueueRequest { name: "q".to_owned(), settings: None };
    raw.admin.create_queue(request).await.unwrap();
    (server, raw)
}

/// What stands in the queue, and that is what was there before.
async fn ready(raw: &mut Raw) -> u64 {
    let request = proto::GetQueueRequest { name: "q".to_owned() };
    let queue = raw.admin.get_queue(request).await.unwrap().into_inner().queue.unwrap();
    queue.stats.unwrap().ready
}

/// A queue whose settings were half ignored would be a queue that breaks its promises.
#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_can_not_be_had_is_refused_by_name() {
    use proto::QueueSettings as Settings;
    let (_server, mut raw) = server_with_queue().await;
    let negative = Some(Duration { seconds: -1, nanos: 0 });
    let two_days = Some(Duration { seconds: 172_800, nanos: 0 });
    let backoff = proto::RetryBackoff { initial: None, multiplier: 2.0, max: None };
    for (field, settings) in [
        ("ordering", Settings { ordering: 99, ..Default::default() }),
        ("delivery", Settings { delivery: 99, ..Default::default() }),
        ("durability", Settings { durability: 99, ..Default::default() }),
        ("lease_duration", Settings { lease_duration: Some(Duration::default()), ..Default::default() }),
        ("max_attempts", Settings { max_attempts: 3, delivery: 2, ..Default::default() }),
        ("retry_backoff.initial", Settings { retry_backoff: Some(backoff), ..Default::default() }),
        ("dead_letter_queue", Settings { dead_letter_queue: "a b".to_owned(), ..Default::default() }),
        ("dead_letter_queue", Settings { dead_letter_queue: "other/dead".to_owned(), ..Default::default() }),
        ("time_to_live", Settings { time_to_live: negative, ..Default::default() }),
        ("overflow", Settings { overflow: proto::Overflow::DropOldest.into(), ..Default::default() }),
        ("overflow", Settings { overflow: 99, ..Default::default() }),
        ("deduplication_window", Settings { deduplication_window: two_days, ..Default::default() }),
    ] {
        let request = proto::CreateQueueRequest { name: "new".to_owned(), settings: Some(settings) };
        refuses_field(raw.admin.create_queue(request).await, &format!("settings.{field}"));
    }
    let missing = raw.admin.get_queue(proto::GetQueueRequest { name: "new".to_owned() }).await;
    assert_eq!(refusal(missing).0, Code::NotFound);
}

/// One bad message refuses the whole call: all or none.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_a_field_out_of_bounds_is_refused_by_place() {
    use proto::Message;
    let (_server, mut raw) = server_with_queue().await;
    let second = Some(Duration { seconds: 1, nanos: 0 });
    let negative = Some(Duration { seconds: -1, nanos: 0 });
    let two_months = Some(Duration { seconds: 60 * 86_400, nanos: 0 });
    let attributes =
        |key: String, value: String| Message { attributes: [(key, value)].into(), ..Default::default() };
    let many = (0..65).map(|n| (n.to_string(), String::new())).collect();
    for (field, message) in [
        ("ordering_key", Message { ordering_key: "k".repeat(257), ..Default::default() }),
        ("priority", Message { priority: 10, ..Default::default() }),
        ("delay", Message { delay: negative, ..Default::default() }),
        ("delay", Message { delay: two_months, ..Default::default() }),
        ("time_to_live", Message { time_to_live: negative, ..Default::default() }),
        ("time_to_live", Message { time_to_live: Some(Duration::default()), ..Default::default() }),
        ("delay", Message { time_to_live: second, delay: second, ..Default::default() }),
        ("deduplication_id", Message { deduplication_id: "d".repeat(257), ..Default::default() }),
        ("attributes", attributes("bbq-reason".to_owned(), String::new())),
        ("attributes", attributes(String::new(), String::new())),
        ("attributes", attributes("k".to_owned(), "v".repeat(64 << 10))),
        ("attributes", Message { attributes: many, ..Default::default() }),
    ] {
        let messages =
            vec![Message { body: bytes::Bytes::from_static(b"good"), ..Default::default() }, message];
        let request = proto::PublishRequest {
            target: Some(Target::Queue("q".to_owned())),
            messages,
            ..Default::default()
        };
        refuses_field(raw.queues.publish(request).await, &format!("messages[1].{field}"));
    }
    assert_eq!(ready(&mut raw).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_without_queue_or_messages_is_refused() {
    let (_server, mut raw) = server_with_queue().await;
    let target = Some(Target::Queue("q".to_owned()));
    let messages = vec![proto::Message::default()];
    let none = proto::PublishRequest { target: None, messages: messages.clone(), ..Default::default() };
    refuses_field(raw.queues.publish(none).await, "queue");
    let empty = proto::PublishRequest { target: target.clone(), ..Default::default() };
    refuses_field(raw.queues.publish(empty).await, "messages");
    let routed = proto::PublishRequest { target: target.clone(), routing_key: "a.b".to_owned(), messages };
    refuses_field(raw.queues.publish(routed).await, "routing_key");
    let messages = vec![proto::Message::default(); 10_001];
    let outcome = raw.queues.publish(proto::PublishRequest { target, messages, ..Default::default() }).await;
    let (code, reason, field, message) = refusal(outcome);
    assert_eq!(
        (code, reason.as_str(), field.as_str()),
        (Code::ResourceExhausted, "LIMIT_EXCEEDED", "messages")
    );
    assert!(message.contains("10000") && message.contains("limits.batch_items"), "{message}");
    assert_eq!(ready(&mut raw).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_a_consumer_out_of_bounds_is_refused_by_name() {
    let (_server, mut raw) = server_with_queue().await;
    let half_second = Some(Duration { seconds: 0, nanos: 500_000_000 });
    let day = Some(Duration { seconds: 86_400, nanos: 0 });
    let queue = || "q".to_owned();
    let long = "n".repeat(129);
    for (field, request) in [
        ("max_in_flight", proto::SubscribeRequest { max_in_flight: 10_001, ..Default::default() }),
        (
            "max_in_flight_bytes",
            proto::SubscribeRequest { max_in_flight_bytes: u64::MAX, ..Default::default() },
        ),
        ("lease_duration", proto::SubscribeRequest { lease_duration: half_second, ..Default::default() }),
        ("consumer_name", proto::SubscribeRequest { consumer_name: long.clone(), ..Default::default() }),
    ] {
        let request = proto::SubscribeRequest { queue: queue(), ..request };
        refuses_field(within(field, raw.queues.subscribe(request)).await, field);
    }
    for (field, request) in [
        ("max_messages", proto::ReceiveRequest { max_messages: 1001, ..Default::default() }),
        ("wait", proto::ReceiveRequest { wait: day, ..Default::default() }),
        ("lease_duration", proto::ReceiveRequest { lease_duration: day, ..Default::default() }),
        ("consumer_name", proto::ReceiveRequest { consumer_name: long.clone(), ..Default::default() }),
    ] {
        let request = proto::ReceiveRequest { queue: queue(), ..request };
        refuses_field(within(field, raw.queues.receive(request)).await, field);
    }
    let negative = Some(Duration { seconds: -1, nanos: 0 });
    let request = proto::ReceiveRequest { queue: queue(), wait: negative, ..Default::default() };
    refuses_field(raw.queues.receive(request).await, "wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_a_settlement_out_of_bounds_is_refused_by_name() {
    let (_server, mut raw) = server_with_queue().await;
    let day = Some(Duration { seconds: 86_400, nanos: 0 });
    let (queue, receipts) = (|| "q".to_owned(), || vec!["1.1.1.1".to_owned()]);
    for (field, request) in [
        ("delay", proto::NackRequest { delay: day, ..Default::default() }),
        (
            "delay",
            proto::NackRequest { delay: Some(Duration::default()), dead_letter: true, ..Default::default() },
        ),
        ("reason", proto::NackRequest { reason: "y".repeat(1025), ..Default::default() }),
    ] {
        let request = proto::NackRequest { queue: queue(), receipts: receipts(), ..request };
        refuses_field(raw.queues.nack(request).await, field);
    }
    let request = proto::ExtendRequest { queue: queue(), receipts: receipts(), lease_duration: day };
    refuses_field(raw.queues.extend(request).await, "lease_duration");
    let request = proto::AckRequest { queue: queue(), receipts: Vec::new() };
    refuses_field(raw.queues.ack(request).await, "receipts");
    let request = proto::AckRequest { queue: queue(), receipts: vec![String::new(); 10_001] };
    assert_eq!(refusal(raw.queues.ack(request).await).0, Code::ResourceExhausted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_the_control_plane_out_of_bounds_is_refused_by_name() {
    let (_server, mut raw) = server_with_queue().await;
    let admin = &mut raw.admin;
    let request = proto::ListQueuesRequest { page_size: 1001, ..Default::default() };
    refuses_field(admin.list_queues(request).await, "page_size");
    let request = proto::ListQueuesRequest { page_token: "no name!".to_owned(), ..Default::default() };
    refuses_field(admin.list_queues(request).await, "page_token");
    let queue = || "q".to_owned();
    for (field, request) in [
        ("state", proto::PeekMessagesRequest { state: 99, ..Default::default() }),
        ("page_size", proto::PeekMessagesRequest { page_size: 1001, ..Default::default() }),
        ("page_token", proto::PeekMessagesRequest { page_token: "x".to_owned(), ..Default::default() }),
    ] {
        refuses_field(
            admin.peek_messages(proto::PeekMessagesRequest { queue: queue(), ..request }).await,
            field,
        );
    }
    for paths in
        [Vec::new(), vec!["paused".to_owned(), "colour".to_owned()], vec!["retry_backoff.max".to_owned()]]
    {
        let update_mask = Some(prost_types::FieldMask { paths });
        let request = proto::UpdateQueueRequest { name: queue(), settings: None, update_mask };
        refuses_field(admin.update_queue(request).await, "update_mask");
    }
    for (field, request) in [
        (
            "source_queue",
            proto::RedriveMessagesRequest { source_queue: "a b".to_owned(), ..Default::default() },
        ),
        ("target_queue", proto::RedriveMessagesRequest { target_queue: queue(), ..Default::default() }),
        (
            "target_queue",
            proto::RedriveMessagesRequest { target_queue: "n/q".to_owned(), ..Default::default() },
        ),
    ] {
        let request = proto::RedriveMessagesRequest { queue: queue(), ..request };
        refuses_field(admin.redrive_messages(request).await, field);
    }
    let request = proto::ListLeasesRequest { queue: queue(), page_size: 1001, ..Default::default() };
    refuses_field(admin.list_leases(request).await, "page_size");
    let grants =
        || vec![proto::Grant { permission: proto::Permission::Publish.into(), queues: String::new() }];
    let unspecified = vec![proto::Grant::default()];
    for (field, name, grants) in [
        ("name", String::new(), grants()),
        ("name", "n".repeat(129), grants()),
        ("grants", "n".to_owned(), Vec::new()),
        ("grants[0].permission", "n".to_owned(), unspecified),
    ] {
        let request = proto::CreateTokenRequest { name, grants, time_to_live: None };
        refuses_field(admin.create_token(request).await, field);
    }
    let pattern = vec![proto::Grant { queues: "a b".to_owned(), ..grants().remove(0) }];
    let request = proto::CreateTokenRequest { name: "n".to_owned(), grants: pattern, time_to_live: None };
    refuses_field(admin.create_token(request).await, "grants[0].queues");
}

/// Every call that names a queue refuses a name that is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_name_is_refused_by_every_call() {
    let (_server, mut raw) = server_with_queue().await;
    let long = "x".repeat(129);
    for bad in ["", " ", "a b", "a/b/c", "/a", "a/", "ä", "a\nb", "a*", long.as_str()] {
        let name = || bad.to_owned();
        let (queues, admin) = (&mut raw.queues, &mut raw.admin);
        let target = Some(Target::Queue(name()));
        let messages = vec![proto::Message::default()];
        let publish = proto::PublishRequest { target, messages, ..Default::default() };
        refuses_field(queues.publish(publish).await, "queue");
        let subscribe = proto::SubscribeRequest { queue: name(), ..Default::default() };
        refuses_field(within("subscribing", queues.subscribe(subscribe)).await, "queue");
        let receive = proto::ReceiveRequest { queue: name(), ..Default::default() };
        refuses_field(queues.receive(receive).await, "queue");
        let receipts = || vec!["1.1.1.1".to_owned()];
        let ack = proto::AckRequest { queue: name(), receipts: receipts() };
        refuses_field(queues.ack(ack).await, "queue");
        let nack = proto::NackRequest { queue: name(), receipts: receipts(), ..Default::default() };
        refuses_field(queues.nack(nack).await, "queue");
        let extend = proto::ExtendRequest { queue: name(), receipts: receipts(), ..Default::default() };
        refuses_field(queues.extend(extend).await, "queue");
        refuses_field(
            admin.create_queue(proto::CreateQueueRequest { name: name(), settings: None }).await,
            "name",
        );
        refuses_field(admin.get_queue(proto::GetQueueRequest { name: name() }).await, "name");
        refuses_field(admin.delete_queue(proto::DeleteQueueRequest { name: name() }).await, "name");
        refuses_field(admin.purge_queue(proto::PurgeQueueRequest { name: name() }).await, "name");
        let update = proto::UpdateQueueRequest { name: name(), ..Default::default() };
        refuses_field(admin.update_queue(update).await, "name");
        let redrive = proto::RedriveMessagesRequest { queue: name(), ..Default::default() };
        refuses_field(admin.redrive_messages(redrive).await, "queue");
        let peek = proto::PeekMessagesRequest { queue: name(), ..Default::default() };
        refuses_field(admin.peek_messages(peek).await, "queue");
        let leases = proto::ListLeasesRequest { queue: name(), ..Default::default() };
        refuses_field(admin.list_leases(leases).await, "queue");
        refuses_field(admin.create_topic(proto::CreateTopicRequest { name: name() }).await, "name");
        refuses_field(admin.delete_topic(proto::DeleteTopicRequest { name: name() }).await, "name");
        let bind = proto::BindRequest { topic: name(), binding: None };
        refuses_field(admin.bind(bind).await, "topic");
        let unbind = proto::UnbindRequest { topic: name(), binding: None };
        refuses_field(admin.unbind(unbind).await, "topic");
    }
}

/// A client of a newer server learns that this one is older.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_is_unimplemented() {
    let (server, _raw) = server_with_queue().await;
    let channel = support::raw::channel(&server).await;
    let mut grpc = tonic::client::Grpc::new(channel);
    let codec = tonic_prost::ProstCodec::<proto::BackupRequest, proto::BackupRequest>::default();
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/bbq.v2.QueueService/Publish");
    let mut request = tonic::Request::new(proto::BackupRequest {});
    let token = server.profile().token.unwrap();
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let outcome = grpc.unary(request, path, codec).await;
    assert_eq!(refusal(outcome).0, Code::Unimplemented);
}
