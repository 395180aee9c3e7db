//! HTTP/3 by the byte: frames and header sections as a client may send them, well-formed or not.

use bytes::BufMut;

pub const DATA: u64 = 0;
pub const HEADERS: u64 = 1;
pub const SETTINGS: u64 = 4;

pub fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        0..0x40 => out.put_u8(value as u8),
        0x40..0x4000 => out.put_u16(value as u16 | 0x4000),
        0x4000..0x4000_0000 => out.put_u32(value as u32 | 0x8000_0000),
        _ => out.put_u64(value | 0xc000_0000_0000_0000),
    }
    out
}

/// The head of a frame that claims `length` bytes.
pub fn head(kind: u64, length: u64) -> Vec<u8> {
    [varint(kind), varint(length)].concat()
}

pub fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    [head(kind, payload.len() as u64), payload.to_vec()].concat()
}

pub fn data(payload: &[u8]) -> Vec<u8> {
    frame(DATA, payload)
}

/// A header section of literal fields.
pub fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = vec![0, 0];
    for (name, value) in fields {
        prefixed(&mut out, 0x20, 3, name.len());
        out.extend_from_slice(name.as_bytes());
        prefixed(&mut out, 0, 7, value.len());
        out.extend_from_slice(value.as_bytes());
    }
    out
}

fn prefixed(out: &mut Vec<u8>, flags: u8, bits: u32, value: usize) {
    let max = (1_usize << bits) - 1;
    if value < max {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | max as u8);
    let mut rest = value - max;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The fields of a good call.
pub fn fields(path: &str) -> Vec<(&str, &str)> {
    vec![
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
}

/// The HEADERS frame of a good call.
pub fn call(path: &str) -> Vec<u8> {
    frame(HEADERS, &section(&fields(path)))
}

/// The HEADERS frame of a call with more fields.
pub fn call_with(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, &section(&[fields(path), more.to_vec()].concat()))
}
