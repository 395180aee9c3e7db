//! A service whose calls tell what happens to them.
//!
//! | path | does |
//! |---|---|
//! | /t/Echo | sends the upload back |
//! | /t/Idle | answers headers, then nothing for ever |
//! | /t/Hang | never answers |
//! | /t/Wait | answers when the test says so |
//! | /t/WaitLong | the same, with `LONG_ANSWER` bytes |
//! | /t/Reader | reads the upload in another task, never answers |
//! | /t/Early | refuses without reading the upload |
//! | /t/Fail | an error with message and details |
//! | /t/Panic, /t/PanicBody | panics before the answer, or in its body |
//! | /t/BreakBody | one message, then the body fails |
//! | /t/BreakAtOnce | the body fails before the first message |
//! | /t/Flood | messages for ever, 16 KiB each |
//! | /t/Peer | tells the peer in header fields |
//! | /t/Metadata | tells how long `key-bin` is once decoded |

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bbq::transport::PeerInfo;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, mpsc};
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

/// As much as a client's window takes at once, so that the server is done with it long before the client is.
pub const LONG_ANSWER: usize = 1_000_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The service was called.
    Called(String),
    /// Its future was dropped before it answered.
    FutureDropped(String),
    /// Its response body was dropped.
    BodyDropped(String),
    /// The upload ended cleanly, with so many bytes.
    Uploaded(usize),
    /// The upload ended with an error.
    UploadFailed(Code),
    /// A piece of the upload came.
    Chunk(usize),
}

pub type Events = mpsc::UnboundedReceiver<Event>;

/// The next event, within reason.
pub async fn next(events: &mut Events) -> Event {
    super::within("another event", events.recv()).await.unwrap()
}

/// Waits for `wanted`, past others.
pub async fn until(events: &mut Events, wanted: &Event) {
    super::within(&format!("{wanted:?}"), async { while events.recv().await.as_ref() != Some(wanted) {} })
        .await;
}

#[derive(Clone)]
pub struct Probe {
    events: mpsc::UnboundedSender<Event>,
    pub go: Arc<Semaphore>,
}

/// Reports when it is dropped.
struct Guard(mpsc::UnboundedSender<Event>, Option<Event>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(event) = self.1.take() {
            let _ = self.0.send(event);
        }
    }
}

impl Probe {
    pub fn new() -> (Self, Events) {
        let (events, received) = mpsc::unbounded_channel();
        (Self { events, go: Arc::new(Semaphore::new(0)) }, received)
    }

    fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        self.tell(Event::Called(path.clone()));
        let mut guard = Guard(self.events.clone(), Some(Event::FutureDropped(path.clone())));
        let response = match path.as_str() {
            "/t/Echo" => self.echo(request).await,
            "/t/Idle" => grpc(self.body(&path, Vec::new(), End::Never)),
            "/t/Hang" => pending().await,
            "/t/Wait" => {
                self.go.acquire().await.unwrap().forget();
                grpc(self.body(&path, vec![b"done".to_vec().into()], End::Ok))
            }
            "/t/WaitLong" => {
                self.go.acquire().await.unwrap().forget();
                grpc(self.body(&path, vec![vec![1; LONG_ANSWER].into()], End::Ok))
            }
            "/t/Reader" => {
                let probe = self.clone();
                tokio::spawn(async move { probe.read(request.into_body()).await });
                pending().await
            }
            "/t/Early" => Status::unauthenticated("who are you?").into_http(),
            "/t/Fail" => {
                Status::with_details(Code::NotFound, "no such queue", Bytes::from_static(b"why")).into_http()
            }
            "/t/Panic" => panic!("on purpose"),
            "/t/PanicBody" => grpc(self.body(&path, vec![vec![1].into()], End::Panic)),
            "/t/BreakBody" => grpc(self.body(&path, vec![vec![1].into()], End::Error)),
            "/t/BreakAtOnce" => grpc(self.body(&path, Vec::new(), End::ErrorAtOnce)),
            "/t/Flood" => grpc(self.body(&path, Vec::new(), End::Flood)),
            "/t/Peer" => peer(&request),
            "/t/Metadata" => metadata(&request),
            _ => Status::unimplemented("no such method").into_http(),
        };
        guard.1 = None;
        response
    }

    async fn echo(&self, request: Request<Body>) -> Response<Body> {
        match request.into_body().collect().await {
            Ok(body) => {
                let data = body.to_bytes();
                self.tell(Event::Uploaded(data.len()));
                grpc(self.body("/t/Echo", vec![data], End::Ok))
            }
            Err(status) => {
                self.tell(Event::UploadFailed(status.code()));
                status.into_http()
            }
        }
    }

    async fn read(&self, mut body: Body) {
        let mut total = 0;
        loop {
            match body.frame().await {
                None => return self.tell(Event::Uploaded(total)),
                Some(Err(status)) => return self.tell(Event::UploadFailed(status.code())),
                Some(Ok(frame)) => {
                    let length = frame.into_data().unwrap().len();
                    total += length;
                    self.tell(Event::Chunk(length));
                }
            }
        }
    }

    fn body(&self, path: &str, data: Vec<Bytes>, end: End) -> Body {
        let event = Event::BodyDropped(path.to_owned());
        Body::new(ProbeBody {
            data: data.into_iter(),
            end,
            steps: 0,
            _guard: Guard(self.events.clone(), Some(event)),
        })
    }
}

impl tower_service::Service<Request<Body>> for Probe {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let probe = self.clone();
        Box::pin(async move { Ok(probe.answer(request).await) })
    }
}

enum End {
    /// `grpc-status: 0`
    Ok,
    Never,
    Panic,
    Error,
    ErrorAtOnce,
    Flood,
    Ended,
}

struct ProbeBody {
    data: std::vec::IntoIter<Bytes>,
    end: End,
    steps: u32,
    _guard: Guard,
}

impl http_body::Body for ProbeBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(data) = self.data.next() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        self.steps += 1;
        // Gives what came before the time to leave.
        if matches!(self.end, End::Panic | End::Error) && self.steps < 3 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match std::mem::replace(&mut self.end, End::Ended) {
            End::Ok => {
                let trailers = HeaderMap::from_iter([(
                    http::HeaderName::from_static("grpc-status"),
                    HeaderValue::from_static("0"),
                )]);
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            End::Never => {
                self.end = End::Never;
                Poll::Pending
            }
            End::Panic => panic!("on purpose"),
            End::Error | End::ErrorAtOnce => Poll::Ready(Some(Err(Status::deadline_exceeded("too late")))),
            End::Flood => {
                self.end = End::Flood;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![7; 16 * 1024])))))
            }
            End::Ended => Poll::Ready(None),
        }
    }
}

fn grpc(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

fn ok() -> Response<Body> {
    let mut response = grpc(Body::empty());
    response.headers_mut().insert("grpc-status", HeaderValue::from_static("0"));
    response
}

fn peer(request: &Request<Body>) -> Response<Body> {
    let peer = request.extensions().get::<PeerInfo>().unwrap();
    let mut response = ok();
    let mut tell = |name: &'static str, value: String| {
        response.headers_mut().insert(name, HeaderValue::try_from(value).unwrap());
    };
    tell("transport", peer.transport.as_str().to_owned());
    tell("address", peer.address.map_or_else(|| "none".to_owned(), |address| address.to_string()));
    if let Some(certificate) = &peer.certificate {
        tell("subject", certificate.subject.clone());
        tell("common-name", certificate.common_name.clone().unwrap_or_default());
        tell("fingerprint", certificate.fingerprint.clone());
    }
    response
}

fn metadata(request: &Request<Body>) -> Response<Body> {
    let metadata = MetadataMap::from_headers(request.headers().clone());
    let value = metadata.get_bin("key-bin").unwrap().to_bytes().unwrap();
    let mut response = ok();
    response.headers_mut().insert("length", HeaderValue::from(value.len()));
    response
}
