//! Control streams by the byte.

use bytes::Bytes;

use super::control::admits;

/// A unidirectional stream, of which the first byte says how it is cut: whatever that is, the same is admitted.
pub fn control(bytes: &[u8]) {
    let Some((&step, stream)) = bytes.split_first() else { return };
    let stream = Bytes::copy_from_slice(stream);
    let cut = |length: usize| admits(stream.chunks(length.max(1)).map(|piece| stream.slice_ref(piece)));
    assert_eq!(cut(stream.len()), cut(usize::from(step)));
    assert_eq!(cut(stream.len()), cut(1));
}
