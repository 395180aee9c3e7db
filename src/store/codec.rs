//! Bytes in and out: big-endian numbers, varints, length-prefixed strings.
//!
//! A varint is LEB128: seven bits a byte, least first, the high bit says that more follow. Decoding takes any input and
//! never panics; what it refuses is `Malformed`.

use std::ops::Range;

/// Why bytes can't be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

/// Appends a length and the bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, length(bytes.len()));
    out.extend_from_slice(bytes);
}

/// A length as it is stored.
pub(super) fn length(n: usize) -> u64 {
    u64::try_from(n).expect("lengths fit 64 bits")
}

/// A stored length as a size in memory. What does not fit can't be there either, so it is cut.
pub(super) fn size(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// Reads from the front of a slice, remembering how far.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// How many bytes are left: no count of things that take at least a byte each can be larger.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Where the next `count` bytes are.
    pub(super) fn range(&mut self, count: u64) -> Result<Range<usize>, Malformed> {
        let count = size(count);
        if count > self.left() {
            return Err(Malformed("it ends early"));
        }
        let range = self.at..self.at + count;
        self.at = range.end;
        Ok(range)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let range = self.range(length(N))?;
        <[u8; N]>::try_from(&self.bytes[range]).map_err(|_| Malformed("it ends early"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A version, which must be the one that is known.
    pub(super) fn version(&mut self, known: u8) -> Result<(), Malformed> {
        match self.u8()? {
            version if version == known => Ok(()),
            _ => Err(Malformed("it has a version that this program does not know")),
        }
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed("a number is too large"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("a number is too long"))
    }

    pub(super) fn varint_u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| Malformed("a number is too large"))
    }

    /// Where length-prefixed bytes are.
    pub(super) fn sized(&mut self) -> Result<Range<usize>, Malformed> {
        let count = self.varint()?;
        self.range(count)
    }

    /// Length-prefixed bytes, to be read by themselves.
    pub(super) fn part(&mut self) -> Result<Input<'a>, Malformed> {
        let range = self.sized()?;
        Ok(Input::new(&self.bytes[range]))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        let range = self.sized()?;
        std::str::from_utf8(&self.bytes[range]).map_err(|_| Malformed("a text is not UTF-8"))
    }

    /// A count of things that take at least `least` bytes each.
    pub(super) fn count(&mut self, least: usize) -> Result<usize, Malformed> {
        let count = size(self.varint()?);
        if count > self.left() / least.max(1) {
            return Err(Malformed("a count is larger than what follows"));
        }
        Ok(count)
    }

    pub(super) fn finish(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed("it goes on after its end")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_read_back_and_have_known_bytes() {
        let mut out = Vec::new();
        put_varint(&mut out, 300);
        assert_eq!(out, [0xac, 0x02]);
        for value in [0, 1, 127, 128, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut input = Input::new(&out);
            assert_eq!(input.varint(), Ok(value));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn varints_beyond_64_bits_are_refused() {
        let mut bytes = [0xff; 10];
        bytes[9] = 0x02;
        assert!(Input::new(&bytes).varint().is_err());
        assert!(Input::new(&[0xff; 11]).varint().is_err());
        assert!(Input::new(&[0x80]).varint().is_err());
    }
}
