use super::*;

/// HEADERS of three bytes, DATA of five, an empty DATA, DATA of two, trailers of one, a frame of an unknown type.
const RESPONSE: [u8; 27] = [
    1, 3, 7, 7, 7, // headers
    0, 5, 1, 2, 3, 4, 5, // data
    0, 0x40, 0, // empty data, its length in two bytes
    0, 2, 6, 6, // data
    1, 1, 9, // trailers
    0x40, 0x21, 2, 8, 8, // unknown
];

fn without_the_empty_frame() -> Vec<u8> {
    [&RESPONSE[..12], &RESPONSE[15..]].concat()
}

/// Feeds the response in pieces of this size.
fn passed(size: usize) -> Vec<u8> {
    let mut guard = FrameGuard::default();
    let mut out = Vec::new();
    for piece in RESPONSE.chunks(size) {
        out.extend_from_slice(&guard.admit(Bytes::copy_from_slice(piece)).unwrap());
    }
    assert_eq!(guard.end(), Ok(()));
    out
}

#[test]
fn all_but_empty_data_passes_however_it_is_cut() {
    for size in 1..=RESPONSE.len() {
        assert_eq!(passed(size), without_the_empty_frame(), "in pieces of {size}");
    }
}

#[test]
fn end_counts_only_at_the_edge_of_a_frame_after_headers() {
    let edges = [5, 12, 15, 19, 22, 27];
    for end in 0..=RESPONSE.len() {
        let mut guard = FrameGuard::default();
        guard.admit(Bytes::copy_from_slice(&RESPONSE[..end])).unwrap();
        let expected = match end {
            0 => Err(Broken::Absent),
            end if edges.contains(&end) => Ok(()),
            _ => Err(Broken::CutShort),
        };
        assert_eq!(guard.end(), expected, "after {end} bytes");
    }
}

#[test]
fn only_data_may_be_large() {
    let large = 0x8100_0000_u32.to_be_bytes();
    let frame = |kind: u8| Bytes::from([&[kind][..], &large].concat());
    assert_eq!(FrameGuard::default().admit(frame(1)), Err(Broken::Oversized(0x100_0000)));
    assert_eq!(FrameGuard::default().admit(frame(0x21)), Err(Broken::Oversized(0x100_0000)));
    assert_eq!(FrameGuard::default().admit(frame(0)), Ok(frame(0)));
}

#[test]
fn varints_have_four_sizes() {
    assert_eq!(varint(&[0x25]), Some((37, 1)));
    assert_eq!(varint(&[0x7b, 0xbd]), Some((15_293, 2)));
    assert_eq!(varint(&[0x9d, 0x7f, 0x3e, 0x7d]), Some((494_878_333, 4)));
    assert_eq!(varint(&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]), Some((151_288_809_941_952_652, 8)));
    assert_eq!(varint(&[0x7b]), None);
    assert_eq!(varint(&[]), None);
}
