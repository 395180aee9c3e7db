use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot::error::TryRecvError;
use tonic::{Code, Status};
use tower::{ServiceExt as _, service_fn};

use super::super::testing::{Alive, Owning, answering, call, endless, ok, read};
use super::*;

fn timeout_of(value: &str) -> Result<Option<Duration>, Refusal> {
    let mut headers = HeaderMap::new();
    headers.insert(HEADER, value.parse().unwrap());
    timeout(&headers)
}

fn request(timeout: &str) -> Request<Body> {
    call("/a/B").header(HEADER, timeout).body(Body::empty()).unwrap()
}

#[test]
fn every_unit_is_read() {
    for (text, expected) in [
        ("2H", Duration::from_secs(7200)),
        ("3M", Duration::from_secs(180)),
        ("4S", Duration::from_secs(4)),
        ("5m", Duration::from_millis(5)),
        ("6u", Duration::from_micros(6)),
        ("7n", Duration::from_nanos(7)),
        ("0n", Duration::ZERO),
        ("99999999H", Duration::from_secs(99_999_999 * 3600)),
    ] {
        assert_eq!(timeout_of(text), Ok(Some(expected)), "{text}");
    }
    assert_eq!(timeout(&HeaderMap::new()), Ok(None));
}

#[test]
fn what_is_no_timeout_is_refused() {
    for bad in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789S", " 1S", "1 S", "1SS"] {
        assert!(matches!(timeout_of(bad), Err(Refusal::BadTimeout { .. })), "{bad:?} was taken");
    }
}

#[tokio::test]
async fn a_bad_timeout_is_an_invalid_argument() {
    let service = layer().layer(answering(|_| ok()));
    let (_, status) = read(service.oneshot(request("soon")).await.unwrap()).await;
    assert_eq!(status.unwrap().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_call_that_never_answers_ends_at_its_deadline() {
    let (alive, mut dropped) = tokio::sync::oneshot::channel();
    let guard: Arc<Mutex<Option<Alive>>> = Arc::new(Mutex::new(Some(alive)));
    let service = layer().layer(service_fn(move |_: Request<Body>| {
        let guard = guard.lock().unwrap().take();
        async move {
            std::future::pending::<()>().await;
            drop(guard);
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    }));
    let (_, status) = read(service.oneshot(request("1m")).await.unwrap()).await;
    assert_eq!(status.unwrap().code(), Code::DeadlineExceeded);
    assert_eq!(dropped.try_recv(), Err(TryRecvError::Closed), "what served the call is still there");
}

/// The end of a lease-holding stream must not wait for the caller to read it.
#[tokio::test]
async fn a_stream_ends_at_its_deadline_with_trailers() {
    let (alive, mut dropped) = tokio::sync::oneshot::channel();
    let body = Arc::new(Mutex::new(Some(Owning { _alive: alive })));
    let service = layer().layer(answering(move |_| {
        Response::new(Body::new(body.lock().unwrap().take().expect("called once")))
    }));
    let response = service.oneshot(request("5m")).await.unwrap();
    assert!(!response.headers().contains_key("grpc-status"), "the response had begun");
    let mut body = response.into_body();
    let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap().unwrap();
    let status = Status::from_header_map(frame.trailers_ref().unwrap()).unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(body.is_end_stream());
    assert_eq!(dropped.try_recv(), Err(TryRecvError::Closed), "what fed the stream is still there");
}

#[tokio::test]
async fn a_busy_stream_ends_at_its_deadline_too() {
    let service = layer().layer(answering(|_| {
        let frames =
            futures_util::stream::repeat_with(|| Ok::<_, Status>(Frame::data(Bytes::from_static(b"x"))));
        Response::new(Body::new(http_body_util::StreamBody::new(frames)))
    }));
    let mut body = service.oneshot(request("5m")).await.unwrap().into_body();
    let trailers = loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap().unwrap();
        if let Ok(trailers) = frame.into_trailers() {
            break trailers;
        }
    };
    assert_eq!(Status::from_header_map(&trailers).unwrap().code(), Code::DeadlineExceeded);
    assert!(body.is_end_stream());
}

#[tokio::test]
async fn a_call_within_its_deadline_is_left_alone() {
    let service = layer().layer(answering(|_| ok()));
    for timeout in ["1H", "99999999H"] {
        let (bytes, status) = read(service.clone().oneshot(request(timeout)).await.unwrap()).await;
        assert_eq!((&bytes[..], status.unwrap().code()), (&b"hello"[..], Code::Ok));
    }
}

#[tokio::test]
async fn without_a_timeout_there_is_no_deadline() {
    let service = layer().layer(answering(|_| endless()));
    let response = service.oneshot(call("/a/B").body(Body::empty()).unwrap()).await.unwrap();
    let mut body = response.into_body();
    let polled = futures_util::poll!(std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)));
    assert!(polled.is_pending());
}
