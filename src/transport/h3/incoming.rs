//! The request side of a call: a body for the handler, and the watch that notices a client's reset.
//!
//! The handler may read the body in the request's task or hand it to another. quinn wakes one waiter per stream, so both
//! the body and the watch wait with one waker that wakes both.
//!
//! Always true:
//! - the body ends cleanly only when the whole upload has come; else it ends with ABORTED (tonic takes CANCELLED for a
//!   clean end);
//! - a reset is noticed while nobody reads, unless something has come before it that nobody has read;
//! - an empty DATA frame is nothing, trailers are read and dropped.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use h3::error::Code;
use http::{HeaderMap, header};
use http_body::{Body, Frame, SizeHint};
use tokio::time::timeout;
use tonic::Status;

use super::frame::{Failure, FrameHead, FrameReader};

/// The longest trailers we skip.
const TRAILERS_MAX: u64 = 16 * 1024;

/// How much of an upload is still taken after the answer, and for how long, before the client is asked to stop.
const LINGER_BYTES: usize = 64 * 1024;
const LINGER: Duration = Duration::from_millis(500);

/// The request side of a call, shared by its task and its body.
pub(super) struct Incoming {
    state: Mutex<State>,
    waiting: Arc<Waiting>,
    /// Wakes `waiting`; the only waker that quinn gets.
    waker: Waker,
}

struct State {
    frames: FrameReader,
    phase: Phase,
    /// From `content-length`: bytes still to come.
    announced: Option<u64>,
    trailers_seen: bool,
    /// The call is over: what still comes is for nobody.
    closed: bool,
}

/// Who waits for the stream.
#[derive(Default)]
struct Waiting {
    body: AtomicWaker,
    watch: AtomicWaker,
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.body.wake();
        self.watch.wake();
    }
}

enum Phase {
    Between,
    Data(u64),
    Skip(u64),
    Done,
    Failed(Failure),
}

impl Incoming {
    /// Takes over after the header section.
    pub(super) fn new(frames: FrameReader, headers: &HeaderMap) -> Arc<Self> {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse().ok());
        let state = State { frames, phase: Phase::Between, announced, trailers_seen: false, closed: false };
        let waiting = Arc::<Waiting>::default();
        let waker = Waker::from(Arc::clone(&waiting));
        Arc::new(Self { state: Mutex::new(state), waiting, waker })
    }

    /// The body for the handler.
    pub(super) fn body(self: &Arc<Self>) -> tonic::body::Body {
        tonic::body::Body::new(RequestBody(Arc::clone(self)))
    }

    /// Waits until the client has reset the upload, or has broken HTTP/3 in it. Stays pending after a whole upload.
    pub(super) fn poll_cancelled(&self, cx: &mut Context<'_>) -> Poll<Failure> {
        self.waiting.watch.register(cx.waker());
        let mut state = self.lock();
        match state.phase {
            Phase::Done => return Poll::Pending,
            // The handler has the error and may answer it; there is nobody else to tell.
            Phase::Failed(Failure::Truncated | Failure::Stopped) => return Poll::Pending,
            Phase::Failed(failure) => return Poll::Ready(failure),
            Phase::Between | Phase::Data(_) | Phase::Skip(_) => {}
        }
        match state.frames.poll_reset(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(Some(failure)) => {
                state.phase = Phase::Failed(failure);
                self.waiting.body.wake();
                Poll::Ready(failure)
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// The call is over: whoever still reads gets an error, and the client is asked to send no more.
    pub(super) fn close(&self, code: Code) {
        let mut state = self.lock();
        state.closed = true;
        state.frames.stop(code);
        if !matches!(state.phase, Phase::Done | Phase::Failed(_)) {
            state.phase = Phase::Failed(Failure::Stopped);
        }
        drop(state);
        self.waiting.body.wake();
    }

    /// The call was answered. Takes a little of what is on its way before it asks the client to stop: stock clients
    /// give up an answer when a STOP_SENDING reaches them first, even one without error.
    pub(super) async fn answered(&self) {
        self.lock().closed = true;
        self.waiting.body.wake();
        let mut left = LINGER_BYTES;
        let discard = poll_fn(|cx| {
            self.waiting.watch.register(cx.waker());
            let mut state = self.lock();
            while let Some(data) = ready!(state.poll_data(&mut Context::from_waker(&self.waker)))? {
                left = left.saturating_sub(data.len());
                if left == 0 {
                    break;
                }
            }
            Poll::Ready(Ok::<(), Failure>(()))
        });
        // Whatever comes of it, the call has its answer.
        let _ = timeout(LINGER, discard).await;
        self.close(Code::H3_NO_ERROR);
    }

    /// Why the upload failed, if it did and not by [`close`](Self::close).
    pub(super) fn failure(&self) -> Option<Failure> {
        match self.lock().phase {
            Phase::Failed(failure) => Some(failure),
            Phase::Between | Phase::Data(_) | Phase::Skip(_) | Phase::Done => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        loop {
            match &mut self.phase {
                Phase::Done => return Poll::Ready(Ok(None)),
                Phase::Failed(failure) => return Poll::Ready(Err(*failure)),
                Phase::Data(left) => {
                    let data = ready!(self.frames.poll_payload(cx, left))?;
                    if *left == 0 {
                        self.phase = Phase::Between;
                    }
                    return Poll::Ready(Ok(Some(data)));
                }
                Phase::Skip(left) => {
                    ready!(self.frames.poll_payload(cx, left))?;
                    if *left == 0 {
                        self.phase = Phase::Between;
                    }
                }
                Phase::Between => {
                    let head = ready!(self.frames.poll_head(cx))?;
                    self.phase = self.after(head)?;
                }
            }
        }
    }

    fn after(&mut self, head: FrameHead) -> Result<Phase, Failure> {
        match head {
            FrameHead::End if self.announced.is_some_and(|left| left != 0) => Err(Failure::Truncated),
            FrameHead::End => Ok(Phase::Done),
            FrameHead::Data(_) | FrameHead::Headers(_) if self.trailers_seen => Err(Failure::Unexpected),
            FrameHead::Data(length) => {
                if let Some(left) = &mut self.announced {
                    *left = left.checked_sub(length).ok_or(Failure::Malformed)?;
                }
                Ok(if length == 0 { Phase::Between } else { Phase::Data(length) })
            }
            FrameHead::Headers(length) if length > TRAILERS_MAX => Err(Failure::Excessive),
            FrameHead::Headers(length) => {
                self.trailers_seen = true;
                Ok(if length == 0 { Phase::Between } else { Phase::Skip(length) })
            }
            FrameHead::Unknown(0) => Ok(Phase::Between),
            FrameHead::Unknown(length) => Ok(Phase::Skip(length)),
        }
    }
}

struct RequestBody(Arc<Incoming>);

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let incoming = &self.0;
        incoming.waiting.body.register(cx.waker());
        let mut state = incoming.lock();
        if state.closed && !matches!(state.phase, Phase::Done | Phase::Failed(_)) {
            state.phase = Phase::Failed(Failure::Stopped);
        }
        let read = ready!(state.poll_data(&mut Context::from_waker(&incoming.waker)));
        Poll::Ready(match read {
            Ok(Some(data)) => {
                if state.frames.may_look_again() {
                    incoming.waiting.watch.wake();
                }
                Some(Ok(Frame::data(data)))
            }
            Ok(None) => None,
            Err(failure) => {
                state.phase = Phase::Failed(failure);
                incoming.waiting.watch.wake();
                Some(Err(Status::aborted(failure.message())))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0.lock().phase, Phase::Done)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
