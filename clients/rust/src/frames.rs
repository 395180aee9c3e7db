//! A guard between QUIC and h3 that reads the frames of a response as they pass.
//!
//! It decides which bytes h3 may see. It never looks into a payload.
//!
//! Always true of what comes out:
//! - no empty DATA frame, which h3 would take for the end of the body;
//! - no frame but DATA longer than [`FRAME_MAX`], which h3 would buffer whole;
//! - an end only after a response began and at a frame's edge, where h3 neither panics nor closes the connection.

use bytes::{Bytes, BytesMut};

/// The longest frame, other than DATA, that is let through: h3 buffers those whole. Headers and trailers of a gRPC
/// response are within 16 KiB.
const FRAME_MAX: u64 = 64 * 1024;

const DATA: u64 = 0x0;
const HEADERS: u64 = 0x1;

/// Why a response is not fit to be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// It ended inside a frame.
    #[error("the response was cut short")]
    CutShort,
    /// It ended before it began.
    #[error("the stream ended without a response")]
    Absent,
    /// Headers, trailers or an unknown frame of a size that nobody needs.
    #[error("the response has a frame of {0} bytes beside its data, the limit is {FRAME_MAX}")]
    Oversized(u64),
}

/// Where in the frames of one stream the reader stands.
#[derive(Debug, Default)]
pub(crate) struct FrameGuard {
    /// Bytes of the current payload still to come.
    payload: u64,
    /// The beginning of a frame header that is split over chunks; below 16 bytes.
    carry: BytesMut,
    /// Whether headers were seen.
    began: bool,
}

impl FrameGuard {
    /// What of `chunk` may pass; can be empty.
    pub(crate) fn admit(&mut self, chunk: Bytes) -> Result<Bytes, Broken> {
        let chunk = if self.carry.is_empty() {
            chunk
        } else {
            self.carry.extend_from_slice(&chunk);
            self.carry.split().freeze()
        };
        let mut kept = Vec::new();
        let mut keep_from = 0;
        let mut at = 0;
        while at < chunk.len() {
            if self.payload > 0 {
                let left = chunk.len() - at;
                let step = usize::try_from(self.payload).map_or(left, |payload| payload.min(left));
                at += step;
                self.payload -= u64::try_from(step).unwrap_or(self.payload);
                continue;
            }
            let Some((kind, length, header)) = frame_header(&chunk[at..]) else {
                self.carry.extend_from_slice(&chunk[at..]);
                break;
            };
            if kind == DATA && length == 0 {
                kept.push(chunk.slice(keep_from..at));
                keep_from = at + header;
            } else if kind != DATA && length > FRAME_MAX {
                return Err(Broken::Oversized(length));
            }
            self.began |= kind == HEADERS;
            self.payload = length;
            at += header;
        }
        let rest = chunk.slice(keep_from.min(at)..at);
        if kept.is_empty() {
            return Ok(rest);
        }
        kept.push(rest);
        Ok(kept.concat().into())
    }

    /// Whether the stream may end here.
    pub(crate) fn end(&self) -> Result<(), Broken> {
        if self.payload > 0 || !self.carry.is_empty() {
            return Err(Broken::CutShort);
        }
        if self.began { Ok(()) } else { Err(Broken::Absent) }
    }
}

/// Type, payload length and size of the frame header at the start of `bytes`, if all of it is there.
fn frame_header(bytes: &[u8]) -> Option<(u64, u64, usize)> {
    let (kind, kind_size) = varint(bytes)?;
    let (length, length_size) = varint(&bytes[kind_size..])?;
    Some((kind, length, kind_size + length_size))
}

/// A QUIC variable-length integer and its size: the two high bits of the first byte give the size as a power of two.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let size = 1_usize << (first >> 6);
    let tail = bytes.get(1..size)?;
    let value = tail.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, size))
}

#[cfg(test)]
mod tests;
