//! The whole stack without a network: what reaches a caller, and what becomes of what does not.

use std::path::Path;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tonic::body::Body;
use tower::ServiceExt as _;

use super::stack::Stack;
use super::{open, stack, tokens};
use crate::broker::Handle;
use crate::config::Config;
use crate::middleware::identity::{Grant, Permission, QueuePattern};
use crate::middleware::tokens::TokenTable;
use crate::service::{Services, proto};
use crate::transport::{PeerInfo, Transport};
use crate::types::{Content, QueueSettings};

struct Rig {
    stack: Stack,
    handle: Handle,
    secret: String,
}

impl Rig {
    async fn start(dir: &Path) -> Self {
        let config = Config { data_dir: dir.to_owned(), ..Config::default() };
        let (handle, broker) = open(&config).await.unwrap();
        tokio::spawn(broker.run());
        let table = Arc::new(TokenTable::open(&dir.join("tokens.json")).unwrap());
        let all = Grant { permission: Permission::Admin, queues: QueuePattern::All };
        let (_, secret) = table.create("test", vec![all], None, tokens::now()).unwrap();
        let shared = Arc::new(tokens::Table(Arc::clone(&table)));
        let services = Services::new(handle.clone(), config.limits.clone(), shared);
        let (_, health) = tonic_health::server::health_reporter();
        let stack = stack::build(&config, &services, health, table).unwrap();
        Self { stack, handle, secret: secret.expose().to_owned() }
    }

    async fn receive(&self) -> Response<Body> {
        let message = proto::ReceiveRequest { queue: "jobs".into(), max_messages: 10, ..Default::default() };
        let mut body = BytesMut::new();
        body.put_u8(0);
        body.put_u32(u32::try_from(message.encoded_len()).unwrap());
        message.encode(&mut body).unwrap();
        let request = Request::post("/bbq.v1.QueueService/Receive")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {}", self.secret))
            .extension(PeerInfo { address: None, transport: Transport::H2c, certificate: None })
            .body(Body::new(Full::new(body.freeze())))
            .unwrap();
        self.stack.clone().oneshot(request).await.unwrap()
    }

    async fn leased(&self) -> u64 {
        self.handle.show("jobs".parse().unwrap()).await.unwrap().depth.leased
    }
}

/// A caller that is gone before its answer has left gets nothing, so it must hold nothing.
#[tokio::test]
async fn a_receive_holds_messages_only_once_its_answer_was_taken() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(dir.path()).await;
    rig.handle.create("jobs".parse().unwrap(), QueueSettings::default()).await.unwrap();
    rig.handle.publish("jobs".parse().unwrap(), vec![Content(Bytes::new())], Vec::new()).await.unwrap();

    let answer = rig.receive().await;
    assert_eq!(rig.leased().await, 1);
    drop(answer);
    assert_eq!(rig.leased().await, 0, "an answer that nobody took holds nothing");

    let trailers = rig.receive().await.collect().await.unwrap().trailers().cloned().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(rig.leased().await, 1, "an answer that was taken holds what is in it");
}
