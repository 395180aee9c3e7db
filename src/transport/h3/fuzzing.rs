//! Request streams and header sections by the byte.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h3::error::Code;

use super::fields;
use super::frame::{Chunks, Failure, FrameHead, FrameReader};

/// A stream that is all there, in pieces.
struct Pieces(VecDeque<Bytes>);

impl Chunks for Pieces {
    fn poll_next(&mut self, _cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        Poll::Ready(Ok(self.0.pop_front()))
    }

    fn stop(&mut self, _code: Code) {
        self.0.clear();
    }
}

/// Reads all frames: heads, how long each payload was, and how it ended.
fn read(pieces: VecDeque<Bytes>) -> (Vec<(FrameHead, u64)>, Option<Failure>) {
    let mut reader = FrameReader::new(Pieces(pieces));
    let mut cx = Context::from_waker(Waker::noop());
    let mut found = Vec::new();
    loop {
        let head = match reader.poll_head(&mut cx) {
            Poll::Ready(Ok(head)) => head,
            Poll::Ready(Err(failure)) => return (found, Some(failure)),
            Poll::Pending => unreachable!("everything is there"),
        };
        let (FrameHead::Data(length) | FrameHead::Headers(length) | FrameHead::Unknown(length)) = head else {
            return (found, None);
        };
        let mut left = length;
        while left > 0 {
            match reader.poll_payload(&mut cx, &mut left) {
                Poll::Ready(Ok(piece)) => assert!(!piece.is_empty(), "it goes on"),
                Poll::Ready(Err(failure)) => {
                    found.push((head, length - left));
                    return (found, Some(failure));
                }
                Poll::Pending => unreachable!("everything is there"),
            }
        }
        found.push((head, length));
    }
}

/// A request stream, of which the first byte says how it is cut: whatever that is, it reads the same.
pub fn frames(bytes: &[u8]) {
    let Some((&step, stream)) = bytes.split_first() else { return };
    let stream = Bytes::copy_from_slice(stream);
    let pieces = |length: usize| stream.chunks(length.max(1)).map(|piece| stream.slice_ref(piece)).collect();
    let whole = read(pieces(stream.len()));
    assert_eq!(whole, read(pieces(usize::from(step))));
    assert_eq!(whole, read(pieces(1)));
}

/// The bytes of a header section.
pub fn headers(bytes: &[u8]) {
    let _ = fields::check(bytes);
}
