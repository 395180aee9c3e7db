//! gRPC messages as they come in, and requests up to the commands that they ask for.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message;
use tonic::Streaming;
use tonic::codec::Codec as _;

use super::codec::Bounded;
use super::proto::{
    self, AckRequest, CreateQueueRequest, ExtendRequest, NackRequest, PublishRequest, SubscribeRequest,
    TransactRequest, UpdateQueueRequest,
};
use super::{Limits, check, publish};

/// The body of a call, of which the first byte says how it is cut: length-prefixed messages, or what passes for them.
pub fn messages(bytes: &[u8]) {
    let Some((&step, body)) = bytes.split_first() else { return };
    let body = Bytes::copy_from_slice(body);
    let read = |length: usize| {
        let pieces: Vec<_> = body.chunks(length.max(1)).map(|piece| body.slice_ref(piece)).collect();
        let frames = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
        let frames = StreamBody::new(futures_util::stream::iter(frames));
        let decoder = Bounded::<PublishRequest, PublishRequest>::default().decoder();
        let mut stream = Streaming::new_request(decoder, frames, None, Some(1 << 20));
        let mut found = Vec::new();
        // All is there, so nothing has to be waited for.
        while let Some(next) = stream.message().now_or_never() {
            match next {
                Ok(Some(message)) => found.push(Ok(message)),
                Ok(None) => return found,
                Err(status) => {
                    found.push(Err(status.code()));
                    return found;
                }
            }
        }
        panic!("it waits for more than there is");
    };
    assert_eq!(read(body.len()), read(usize::from(step)));
}

/// A request, of which the first byte says which: it is decoded and checked as a call does it.
pub fn requests(bytes: &[u8]) {
    let Some((&kind, request)) = bytes.split_first() else { return };
    let request = Bytes::copy_from_slice(request);
    match kind % 9 {
        0 => on(request, |request: PublishRequest| published(&request)),
        1 => on(request, |AckRequest { queue, receipts }: AckRequest| settled(&queue, &receipts)),
        2 => on(request, |request: NackRequest| {
            settled(&request.queue, &request.receipts);
            request.delay.map(|delay| check::duration("delay", delay).is_ok());
        }),
        3 => on(request, |request: ExtendRequest| {
            settled(&request.queue, &request.receipts);
            let _ = check::lease_duration("lease_duration", request.lease_duration);
        }),
        4 => on(request, |request: SubscribeRequest| {
            let _ = check::queue_name("queue", &request.queue);
            let _ = check::consumer_name(request.consumer_name);
            let _ = check::lease_duration("lease_duration", request.lease_duration);
        }),
        5 => on(request, |request: TransactRequest| {
            request.acks.iter().for_each(|ack| settled(&ack.queue, &ack.receipts));
            request.publishes.iter().for_each(published);
        }),
        6 => on(request, |request: CreateQueueRequest| declared(&request.name, request.settings)),
        7 => on(request, |request: UpdateQueueRequest| declared(&request.name, request.settings)),
        _ => on(request, |message: proto::Message| {
            let _ = check::attributes("attributes", &message.attributes);
        }),
    }
}

fn on<T: Message + Default>(request: Bytes, then: impl FnOnce(T)) {
    if let Ok(request) = T::decode(request) {
        then(request);
    }
}

fn published(request: &PublishRequest) {
    if let Some(proto::publish_request::Target::Queue(queue)) = &request.target {
        let _ = publish::to_queue(queue, &request.routing_key);
    }
    let limits = Limits::default();
    if let Ok((contents, facts)) = check::messages(&request.messages, &limits) {
        assert_eq!(contents.len(), request.messages.len());
        assert!(contents.iter().all(|content| content.0.len() <= limits.message_bytes * 2));
        drop(facts);
    }
}

fn settled(queue: &str, receipts: &[String]) {
    let _ = check::queue_name("queue", queue);
    let _ = check::receipts(receipts, &Limits::default());
}

fn declared(name: &str, settings: Option<proto::QueueSettings>) {
    if let Ok(name) = check::queue_name("name", name) {
        let _ = check::queue_settings(&name, settings);
    }
}
