//! QUIC's variable-length integers, read a byte at a time.
//!
//! | 2 bits: log2 of the length | 6, 14, 30 or 62 bits |   big-endian

use bytes::{Buf, BufMut, Bytes};

/// An integer of which some bytes may still be missing.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::transport) struct PartialVarint {
    value: u64,
    /// Bytes still missing; 0 before the first.
    missing: u8,
}

impl PartialVarint {
    /// Takes bytes from the front of `input` until the integer is complete; then starts anew.
    pub(in crate::transport) fn take(&mut self, input: &mut Bytes) -> Option<u64> {
        while input.has_remaining() {
            let byte = input.get_u8();
            if self.missing == 0 {
                self.value = u64::from(byte & 0x3f);
                self.missing = 1 << (byte >> 6);
            } else {
                self.value = (self.value << 8) | u64::from(byte);
            }
            self.missing -= 1;
            if self.missing == 0 {
                return Some(self.value);
            }
        }
        None
    }

    /// Whether some bytes have been taken and others are missing.
    pub(in crate::transport) const fn is_partial(self) -> bool {
        self.missing != 0
    }
}

/// Writes `value`, which must be below 2^62, in as few bytes as it needs.
pub(in crate::transport) fn put(value: u64, output: &mut impl BufMut) {
    let bytes = value.to_be_bytes();
    match value {
        0..0x40 => output.put_u8(bytes[7]),
        0x40..0x4000 => output.put_slice(&[bytes[6] | 0x40, bytes[7]]),
        0x4000..0x4000_0000 => output.put_slice(&[bytes[4] | 0x80, bytes[5], bytes[6], bytes[7]]),
        _ => {
            assert!(value < 1 << 62, "{value} does not fit into a QUIC integer");
            output.put_u8(bytes[0] | 0xc0);
            output.put_slice(&bytes[1..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_survive_any_split() {
        for value in [0, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30, (1 << 62) - 1] {
            let mut encoded = Vec::new();
            put(value, &mut encoded);
            for split in 0..=encoded.len() {
                let mut partial = PartialVarint::default();
                let (mut front, mut back) =
                    (Bytes::copy_from_slice(&encoded[..split]), Bytes::copy_from_slice(&encoded[split..]));
                let read = partial.take(&mut front).or_else(|| partial.take(&mut back));
                assert_eq!(read, Some(value));
                assert!(!partial.is_partial());
            }
        }
    }

    #[test]
    fn the_encoding_is_the_one_of_rfc_9000() {
        let mut encoded = Vec::new();
        put(151_288_809_941_952_652, &mut encoded);
        put(494_878_333, &mut encoded);
        put(15_293, &mut encoded);
        put(37, &mut encoded);
        let expected =
            [0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c, 0x9d, 0x7f, 0x3e, 0x7d, 0x7b, 0xbd, 0x25];
        assert_eq!(encoded, expected);
    }
}
