//! Calls whose messages are not what they should be: claims, bombs, and every field of every request with bytes that it can't
//! hold.

use std::collections::{BTreeMap, BTreeSet};

use bbq::service::proto::DESCRIPTORS;
use bytes::{Buf as _, BufMut as _, Bytes};
use futures_util::StreamExt as _;
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::frames::{self, DATA, head};
use crate::support::{Server, raw, within};
use crate::wire_h3::Raw;
use crate::{attack, scale};

/// Messages as bytes.
#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, input: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(input.copy_to_bytes(input.remaining())))
    }
}

/// A client of one server that sends what it likes.
#[derive(Clone)]
struct Caller {
    channel: Channel,
    token: String,
}

impl Caller {
    async fn connect(server: &Server) -> Self {
        let token = format!("Bearer {}", server.profile().token.unwrap());
        Self { channel: raw::channel(server).await, token }
    }

    /// Calls, and takes the first answer.
    async fn call(&self, path: &str, body: impl Into<Bytes>) -> Result<Option<Bytes>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone()).max_encoding_message_size(usize::MAX);
        within("a connection", grpc.ready()).await.unwrap();
        let mut request = Request::new(body.into());
        request.metadata_mut().insert("authorization", self.token.parse().unwrap());
        // A stream that stands has taken the request, and needs not go on.
        request.set_timeout(std::time::Duration::from_millis(300));
        let path = PathAndQuery::try_from(path).unwrap();
        let mut answer =
            within(path.as_str(), grpc.server_streaming(request, path.clone(), Plain)).await?.into_inner();
        within(path.as_str(), answer.message()).await
    }
}

/// Every message that the descriptors describe, by its full name with a dot in front.
fn messages(set: &FileDescriptorSet) -> BTreeMap<String, DescriptorProto> {
    let mut found = BTreeMap::new();
    let mut open: Vec<_> = set
        .file
        .iter()
        .flat_map(|file| {
            file.message_type.iter().map(move |message| (format!(".{}", file.package()), message))
        })
        .collect();
    while let Some((within, message)) = open.pop() {
        let name = format!("{within}.{}", message.name());
        open.extend(message.nested_type.iter().map(|nested| (name.clone(), nested)));
        found.insert(name, message.clone());
    }
    found
}

/// All calls, each with the name of its request.
fn calls(set: &FileDescriptorSet) -> Vec<(String, String)> {
    let services =
        set.file.iter().flat_map(|file| file.service.iter().map(move |service| (file.package(), service)));
    let calls = services.flat_map(|(package, service)| {
        service.method.iter().map(move |method| {
            let path = format!("/{package}.{}/{}", service.name(), method.name());
            (path, method.input_type().to_owned())
        })
    });
    let calls: Vec<_> = calls.collect();
    assert!(calls.len() > 20, "all calls of both services");
    calls
}

/// A message within a request: the fields that lead to it, and its own.
struct Place {
    way: Vec<u64>,
    name: String,
    fields: Vec<u64>,
}

fn number(field: &FieldDescriptorProto) -> u64 {
    u64::try_from(field.number()).unwrap()
}

/// The request itself and every message in it. One that holds itself is not entered again.
fn places(messages: &BTreeMap<String, DescriptorProto>, request: &str) -> Vec<Place> {
    let mut found = Vec::new();
    let mut open = vec![(Vec::new(), vec![request.to_owned()])];
    while let Some((way, names)) = open.pop() {
        let name = names.last().unwrap().clone();
        let message = messages.get(&name).unwrap_or_else(|| panic!("{name} is not described"));
        for field in &message.field {
            let inner = field.type_name().to_owned();
            if field.r#type() == Type::Message && !names.contains(&inner) {
                let further = [way.as_slice(), &[number(field)]].concat();
                open.push((further, [names.as_slice(), &[inner]].concat()));
            }
        }
        found.push(Place { way, name, fields: message.field.iter().map(number).collect() });
    }
    found
}

/// A message with these bytes at the end of the way that the fields lead.
fn at(way: &[u64], bytes: Vec<u8>) -> Vec<u8> {
    way.iter().rev().fold(bytes, |inner, field| {
        [varint(field << 3 | 2), varint(u64::try_from(inner.len()).unwrap()), inner].concat()
    })
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
    out
}

/// What can be wrong with one field.
fn wrongs(field: u64) -> Vec<Vec<u8>> {
    let tagged = |wire: u64, rest: &[u8]| [varint(field << 3 | wire), rest.to_vec()].concat();
    let nested = (0..300).fold(Vec::new(), |inner: Vec<u8>, _| {
        [varint(field << 3 | 2), varint(u64::try_from(inner.len()).unwrap()), inner].concat()
    });
    vec![
        tagged(0, &[0xff; 11]),
        tagged(0, &varint(u64::MAX)),
        tagged(1, &[1; 8]),
        tagged(1, &[1; 3]),
        tagged(2, &[5, 0xff, 0xfe, 0xfd, 0xfc, 0xfb]),
        tagged(2, &[100, 1, 2, 3]),
        tagged(2, &varint(1 << 62)),
        tagged(2, &[1, 0]),
        tagged(3, &[]),
        tagged(4, &[]),
        tagged(5, &[1; 4]),
        tagged(7, &[]),
        tagged(3, &[]).repeat(200),
        nested,
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_protobuf_in_every_field_is_answered() {
    attack("invalid protobuf in every field", &[], async |server: &Server| {
        let caller = Caller::connect(server).await;
        let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let messages = messages(&set);
        let (mut seen, mut fields) = (BTreeSet::new(), 0);
        let mut bodies = Vec::new();
        for (path, request) in calls(&set) {
            for place in places(&messages, &request) {
                fields += place.fields.len();
                for wrong in place.fields.into_iter().chain([0, 100, (1 << 29) - 1]).flat_map(wrongs) {
                    bodies.push((path.clone(), at(&place.way, wrong)));
                }
                seen.insert(place.name);
            }
        }
        for name in ["Message", "Message.AttributesEntry", "QueueSettings", "RetryBackoff", "Binding", "Grant"] {
            assert!(seen.contains(&format!(".bbq.v1.{name}")), "{name} is not among {seen:?}");
        }
        let tried = bodies.len();
        let taken = futures_util::stream::iter(bodies)
            .map(async |(path, body)| match caller.call(&path, body.clone()).await {
                Ok(_) => 1,
                Err(status) => {
                    assert!(!status.message().contains("panic"), "{path}: {status}: {body:?}");
                    assert_ne!(status.code(), Code::Unknown, "{path}: {status}: {body:?}");
                    0
                }
            })
            .buffer_unordered(16)
            .fold(0, async |taken, one| taken + one)
            .await;
        println!(
            "invalid protobuf: {tried} requests for {fields} fields of {} messages, {taken} of them with nothing wrong that \
             the field minds",
            seen.len()
        );
    })
    .await;
}

/// Requests that are small on the wire and large in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn message_bombs_are_refused_before_they_are_built() {
    attack("message bombs", &[], async |server: &Server| {
        let caller = Caller::connect(server).await;
        let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let (messages, calls) = (messages(&set), calls(&set));
        let field = |call: &str, name: &str| {
            let (_, request) = calls.iter().find(|(path, _)| path.ends_with(call)).unwrap();
            let field = messages[request].field.iter().find(|field| field.name() == name).unwrap();
            u8::try_from(field.number()).unwrap() << 3 | 2
        };
        let many = (16 << 20) / 2 - 100;
        let within_publish = [field("/Publish", "messages"), 0].repeat(many);
        let within_ack = [field("/Ack", "receipts"), 0].repeat(many);
        let nested = |field: u8, inner: &[u8]| {
            [vec![field], varint(u64::try_from(inner.len()).unwrap()), inner.to_vec()].concat()
        };
        let within_transact = [
            nested(field("/Transact", "acks"), &within_ack[..many]),
            nested(field("/Transact", "publishes"), &within_publish[..many]),
        ]
        .concat();
        let large = vec![0; 17 << 20];
        for _ in 0..scale() {
            let bombs = [
                ("/bbq.v1.QueueService/Publish", &within_publish),
                ("/bbq.v1.QueueService/Ack", &within_ack),
                ("/bbq.v1.QueueService/Nack", &within_ack),
                ("/bbq.v1.QueueService/Extend", &within_ack),
                ("/bbq.v1.QueueService/Transact", &within_transact),
                ("/bbq.v1.QueueService/Publish", &large),
            ];
            let thrown = bombs.map(|(path, body)| {
                let (caller, body) = (caller.clone(), Bytes::from(body.clone()));
                tokio::spawn(async move { (path, caller.long(path, body).await) })
            });
            for bomb in thrown {
                let (path, outcome) = within("an answer", bomb).await.unwrap();
                let status = outcome.expect_err(path);
                let refused = [Code::ResourceExhausted, Code::InvalidArgument, Code::OutOfRange];
                assert!(refused.contains(&status.code()), "{path}: {status}");
            }
        }
    })
    .await;
}

impl Caller {
    /// The same without a deadline.
    async fn long(&self, path: &str, body: Bytes) -> Result<Option<Bytes>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone()).max_encoding_message_size(usize::MAX);
        within("a connection", grpc.ready()).await.unwrap();
        let mut request = Request::new(body);
        request.metadata_mut().insert("authorization", self.token.parse().unwrap());
        grpc.server_streaming(request, PathAndQuery::try_from(path).unwrap(), Plain)
            .await?
            .into_inner()
            .message()
            .await
    }
}

/// A gRPC message that says that it is a gibibyte long, or compressed, which nobody offered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_claim_too_much_are_refused_by_their_head() {
    attack("claims of messages", &[], async |server: &Server| {
        let token = format!("Bearer {}", server.profile().token.unwrap());
        let call = frames::call_with("/bbq.v1.QueueService/Publish", &[("authorization", &token)]);
        let raw = Raw::connect(server).await;
        for n in 0..100 * scale() {
            let (mut send, mut recv) = within("a stream", raw.connection.open_bi()).await.unwrap();
            // Length-prefixed: not compressed and a gibibyte, or compressed and short.
            let message = if n % 2 == 0 { [0, 0x40, 0, 0, 0] } else { [1, 0, 0, 0, 4] };
            let bytes = [call.clone(), head(DATA, 1 << 31), message.to_vec()].concat();
            send.write_all(&bytes).await.unwrap();
            let answer = within("an answer", recv.read_to_end(1 << 16)).await;
            assert!(answer.is_ok_and(|answer| !answer.is_empty()), "it is told, while nothing more comes");
        }
    })
    .await;
}
