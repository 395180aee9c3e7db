//! gRPC messages as they come in, and calls up to what the broker is asked.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::FutureExt as _;
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use prost::Message;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::codec::Codec as _;
use tonic::{Code, Status, Streaming};
use tower_service::Service as _;

use super::codec::Bounded;
use super::proto::{self, PublishRequest};
use super::{
    Authority, Caller, Limits, NewToken, Permission, Services, TokenError, TokenGrant, TokenRecord, Tokens,
};
use crate::broker::fuzzing::{Bounds, listen};
use crate::types::{Duration, QueueName, Timestamp};

/// Every call; a request's first byte is its place here.
const CALLS: [&str; 26] = [
    "QueueService/Publish",
    "QueueService/Ack",
    "QueueService/Nack",
    "QueueService/Extend",
    "QueueService/Subscribe",
    "QueueService/Transact",
    "AdminService/CreateQueue",
    "AdminService/UpdateQueue",
    "QueueService/Receive",
    "AdminService/GetQueue",
    "AdminService/ListQueues",
    "AdminService/DeleteQueue",
    "AdminService/PurgeQueue",
    "AdminService/PeekMessages",
    "AdminService/ListLeases",
    "AdminService/RedriveMessages",
    "AdminService/CreateTopic",
    "AdminService/ListTopics",
    "AdminService/DeleteTopic",
    "AdminService/Bind",
    "AdminService/Unbind",
    "AdminService/WatchStats",
    "AdminService/CreateToken",
    "AdminService/ListTokens",
    "AdminService/RevokeToken",
    "AdminService/Backup",
];

/// Nobody may do anything to what is called like this.
const FORBIDDEN: &str = "no";

/// It is never dropped, so it does not matter on which thread it is used.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime without sockets can be made")
});

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

/// A request, of which the first byte says for which call. It goes through the service as it does in a server, up to a broker that
/// listens to what it is asked, see [`listen`].
pub fn requests(bytes: &[u8]) {
    let Some((&which, request)) = bytes.split_first() else { return };
    let call = CALLS[usize::from(which) % CALLS.len()];
    // Small, so that short requests reach them.
    let limits = Limits {
        message_bytes: 64,
        batch_items: 8,
        in_flight_messages: 50,
        in_flight_bytes: 8 << 20,
        ..Limits::default()
    };
    let (handle, mut listener) = listen(Bounds {
        message_bytes: limits.message_bytes + (68 << 10),
        items: limits.batch_items,
        in_flight_messages: limits.in_flight_messages,
        in_flight_bytes: limits.in_flight_bytes,
    });
    let tokens = Arc::new(Drawer::default());
    let services = Services::new(handle, limits, tokens.clone());
    let code = RUNTIME.block_on(async {
        tokio::select! {
            biased;
            code = code(services, call, request) => code,
            never = listener.listen() => match never {},
        }
    });
    assert_eq!(tokens.outside.load(Ordering::Relaxed), 0, "{call}: a token is outside its bounds");
    let of_tokens = tokens.questions.load(Ordering::Relaxed);
    match (listener.questions, of_tokens) {
        // What is no request tonic calls internal.
        (0, 0) => assert!(
            matches!(
                code,
                Code::InvalidArgument | Code::ResourceExhausted | Code::PermissionDenied | Code::Internal
            ),
            "{call}: nothing was asked: {code:?}"
        ),
        (0, _) => assert!(matches!(code, Code::Ok | Code::NotFound), "{call}: {code:?}"),
        // To see a queue is asked first, where there is more to check.
        _ => assert_eq!(code, Code::Unavailable, "{call}"),
    }
    let forbidden = listener.names.iter().find(|name| name.starts_with(FORBIDDEN));
    assert_eq!(forbidden, None, "{call}: it asks about what its caller may not touch");
    if listener.questions > 0 {
        taken(call, request);
    }
}

/// What a call that was taken holds besides what the broker gets to hear.
fn taken(call: &str, request: &[u8]) {
    let seconds = |duration: &prost_types::Duration| {
        i128::from(duration.seconds) * 1_000_000_000 + i128::from(duration.nanos)
    };
    match call {
        "QueueService/Receive" => {
            let request = proto::ReceiveRequest::decode(request).expect("it was taken");
            request.wait.iter().for_each(|wait| assert!((0..=60_000_000_000).contains(&seconds(wait))));
        }
        "AdminService/WatchStats" => {
            let proto::WatchStatsRequest { queue, interval, prefix } =
                proto::WatchStatsRequest::decode(request).expect("it was taken");
            // Rounded up to whole milliseconds.
            let interval = interval.as_ref().map_or(1_000_000_000, seconds);
            assert!((99_000_001..=3_600_000_000_000).contains(&interval));
            assert!(queue.is_empty() || prefix.is_empty());
        }
        "AdminService/RedriveMessages" => {
            let request = proto::RedriveMessagesRequest::decode(request).expect("it was taken");
            let name = |name: &str| name.parse::<QueueName>().expect("it was taken");
            let queue = name(&request.queue);
            if !request.source_queue.is_empty() {
                name(&request.source_queue);
            }
            if !request.target_queue.is_empty() {
                let target = name(&request.target_queue);
                assert!(target != queue && target.namespace() == queue.namespace());
            }
        }
        _ => {}
    }
}

/// Makes a call as a transport does, and says how it ended.
async fn code(services: Services, call: &str, request: &[u8]) -> Code {
    let mut body = BytesMut::with_capacity(5 + request.len());
    body.put_u8(0);
    body.put_u32(u32::try_from(request.len()).expect("inputs are small"));
    body.put_slice(request);
    let caller = Caller { authority: Arc::new(Anybody), peer: "peer".to_owned(), transport: "h3" };
    let request = http::Request::post(format!("http://test/bbq.v1.{call}"))
        .header("content-type", "application/grpc")
        .extension(caller)
        .body(Body::new(Full::new(body.freeze())))
        .expect("it has a path");
    let response = if call.starts_with("Queue") {
        services.queue_service().call(request).await
    } else {
        services.admin_service().call(request).await
    };
    let Ok(response) = response;
    if let Some(status) = Status::from_header_map(response.headers()) {
        return status.code();
    }
    let answer = response.into_body().collect().await.expect("an answer has an end");
    answer.trailers().and_then(Status::from_header_map).expect("an answer has a status").code()
}

/// May do everything, but for what is called [`FORBIDDEN`].
struct Anybody;

impl Authority for Anybody {
    fn allows(&self, _: Permission, queue: Option<&str>) -> bool {
        queue.is_none_or(|name| !name.starts_with(FORBIDDEN))
    }

    fn name(&self) -> &str {
        "anybody"
    }
}

/// Keeps no tokens, but looks whether what is to be kept is within its bounds. It does not panic, as it is asked on other threads.
#[derive(Default)]
struct Drawer {
    questions: AtomicUsize,
    outside: AtomicUsize,
}

impl Drawer {
    fn token(&self) -> TokenRecord {
        self.questions.fetch_add(1, Ordering::Relaxed);
        TokenRecord {
            id: "id".to_owned(),
            name: "name".to_owned(),
            grants: Vec::new(),
            created_at: Timestamp(0),
            expires_at: None,
        }
    }
}

impl Tokens for Drawer {
    fn create(&self, name: &str, grants: &[TokenGrant], _: Option<Duration>) -> Result<NewToken, TokenError> {
        if !(1..=128).contains(&name.len()) || !(1..=100).contains(&grants.len()) {
            self.outside.fetch_add(1, Ordering::Relaxed);
        }
        let token = TokenRecord { grants: grants.to_vec(), ..self.token() };
        Ok(NewToken { token, secret: "secret".to_owned() })
    }

    fn list(&self) -> Vec<TokenRecord> {
        vec![self.token(), self.token()]
    }

    fn revoke(&self, _: &str) -> Result<(), TokenError> {
        Err(TokenError::NotFound(self.token().id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_a_target() {
        let descriptors = prost_types::FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
        let services = descriptors.file.iter().flat_map(|file| &file.service);
        let mut all: Vec<_> = services
            .flat_map(|service| {
                service.method.iter().map(|call| format!("{}/{}", service.name(), call.name()))
            })
            .collect();
        all.sort();
        let mut known = CALLS;
        known.sort_unstable();
        assert_eq!(all, known);
    }
}
