//! What h3 lets pass in a header section and RFC 9114 does not: a pseudo-header twice, after a regular field, or of a
//! response.
//!
//! It reads QPACK's static representations just far enough to know each field's name; values and the dynamic table
//! (which we never offer) are h3's to judge.
//!
//! | 1T index(6) | indexed field |
//! | 01NT index(4), value | literal with name reference |
//! | 001NH name(3), value | literal with literal name |
//! | 0001 / 0000 | references past the base: dynamic table |

/// The section is malformed: H3_MESSAGE_ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The pseudo-headers of a request. `:protocol` belongs to extended CONNECT, which we do not offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pseudo {
    Authority,
    Method,
    Path,
    Scheme,
}

/// A field's name, as far as it matters here.
enum Name {
    Pseudo(Pseudo),
    /// A pseudo-header that no request may have.
    Foreign,
    Regular,
}

/// Names as literals, plain and in Huffman code, which has one encoding for each.
const LITERALS: [(Pseudo, &[u8], &[u8]); 4] = [
    (Pseudo::Authority, b":authority", &[0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f]),
    (Pseudo::Method, b":method", &[0xb9, 0x49, 0x53, 0x39, 0xe4]),
    (Pseudo::Path, b":path", &[0xb9, 0x58, 0xd3, 0x3f]),
    (Pseudo::Scheme, b":scheme", &[0xb8, 0x82, 0x4e, 0x5a, 0x4b]),
];

/// The first seven bits of any Huffman string that begins with a colon.
const HUFFMAN_COLON: u8 = 0b101_1100;

/// Checks the pseudo-headers of an encoded header section.
pub(super) fn check(section: &[u8]) -> Result<(), Malformed> {
    let mut input = section;
    // Required insert count and base. Anything but zero means the dynamic table, which is h3's to refuse.
    if integer(&mut input, 8)? != 0 {
        return Ok(());
    }
    integer(&mut input, 7)?;
    let mut seen: Vec<Pseudo> = Vec::with_capacity(4);
    let mut regular = false;
    while let Some(&first) = input.first() {
        let Some(name) = field(&mut input, first)? else { return Ok(()) };
        match name {
            Name::Regular => regular = true,
            Name::Pseudo(pseudo) if !regular && !seen.contains(&pseudo) => seen.push(pseudo),
            Name::Pseudo(_) | Name::Foreign => return Err(Malformed),
        }
    }
    // gRPC needs the three; `:authority` may be a `host` field instead, which h3 checks.
    let needed = [Pseudo::Method, Pseudo::Path, Pseudo::Scheme];
    if needed.iter().all(|pseudo| seen.contains(pseudo)) { Ok(()) } else { Err(Malformed) }
}

/// Reads one field; `None` when it refers to the dynamic table.
fn field(input: &mut &[u8], first: u8) -> Result<Option<Name>, Malformed> {
    if first & 0x80 != 0 {
        let index = integer(input, 6)?;
        return Ok((first & 0x40 != 0).then(|| static_name(index)));
    }
    if first & 0x40 != 0 {
        let index = integer(input, 4)?;
        string(input, 7)?;
        return Ok((first & 0x10 != 0).then(|| static_name(index)));
    }
    if first & 0x20 != 0 {
        let (name, huffman) = string(input, 3)?;
        string(input, 7)?;
        return Ok(Some(literal_name(name, huffman)));
    }
    Ok(None)
}

/// The static table's pseudo-headers (RFC 9204, appendix A).
fn static_name(index: u64) -> Name {
    match index {
        0 => Name::Pseudo(Pseudo::Authority),
        1 => Name::Pseudo(Pseudo::Path),
        15..=21 => Name::Pseudo(Pseudo::Method),
        22 | 23 => Name::Pseudo(Pseudo::Scheme),
        24..=28 | 63..=71 => Name::Foreign,
        _ => Name::Regular,
    }
}

fn literal_name(name: &[u8], huffman: bool) -> Name {
    for (pseudo, plain, coded) in LITERALS {
        if name == (if huffman { coded } else { plain }) {
            return Name::Pseudo(pseudo);
        }
    }
    let colon = match name.first() {
        Some(&first) if huffman => first >> 1 == HUFFMAN_COLON,
        Some(&first) => first == b':',
        None => false,
    };
    if colon { Name::Foreign } else { Name::Regular }
}

/// A string whose length has a prefix of `bits`, with the Huffman flag just above it.
fn string<'a>(input: &mut &'a [u8], bits: u32) -> Result<(&'a [u8], bool), Malformed> {
    let huffman = input.first().ok_or(Malformed)? & (1 << bits) != 0;
    let length = usize::try_from(integer(input, bits)?).map_err(|_| Malformed)?;
    let (string, rest) = input.split_at_checked(length).ok_or(Malformed)?;
    *input = rest;
    Ok((string, huffman))
}

/// An integer with a prefix of `bits` (RFC 9204, 4.1.1).
fn integer(input: &mut &[u8], bits: u32) -> Result<u64, Malformed> {
    let mut next = || -> Result<u8, Malformed> {
        let (&byte, rest) = input.split_first().ok_or(Malformed)?;
        *input = rest;
        Ok(byte)
    };
    let mask = u8::MAX >> (8 - bits);
    let prefix = next()? & mask;
    let mut value = u64::from(prefix);
    if prefix < mask {
        return Ok(value);
    }
    for shift in (0..56).step_by(7) {
        let byte = next()?;
        value += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prefix, then `:method POST`, `:scheme https`, `:path /`, all indexed.
    const WHOLE: [u8; 5] = [0, 0, 0x80 | 0x40 | 20, 0x80 | 0x40 | 23, 0x80 | 0x40 | 1];

    fn with(more: &[u8]) -> Result<(), Malformed> {
        check(&[&WHOLE, more].concat())
    }

    fn literal(name: &[u8], huffman: bool) -> Vec<u8> {
        let flag = if huffman { 0x08 } else { 0 };
        let length = u8::try_from(name.len()).unwrap();
        let mut field =
            if length < 7 { vec![0x20 | flag | length] } else { vec![0x20 | flag | 7, length - 7] };
        field.extend_from_slice(name);
        field.extend_from_slice(&[1, b'v']);
        field
    }

    #[test]
    fn a_whole_request_passes() {
        assert_eq!(with(&[]), Ok(()));
        assert_eq!(with(&literal(b"grpc-timeout", false)), Ok(()));
    }

    #[test]
    fn a_pseudo_header_twice_is_malformed_however_it_is_written() {
        assert_eq!(with(&[0x80 | 0x40 | 1]), Err(Malformed), "indexed");
        assert_eq!(with(&[0x50 | 1, 1, b'/']), Err(Malformed), "name reference");
        for (_, plain, coded) in LITERALS {
            let again = [literal(plain, false), literal(plain, false)].concat();
            assert_eq!(with(&again), Err(Malformed), "plain");
            let again = [literal(coded, true), literal(plain, false)].concat();
            assert_eq!(with(&again), Err(Malformed), "Huffman");
        }
    }

    #[test]
    fn a_pseudo_header_after_a_regular_field_is_malformed() {
        let authority = literal(b":authority", false);
        assert_eq!(with(&authority), Ok(()));
        assert_eq!(with(&[literal(b"a", false), authority].concat()), Err(Malformed));
    }

    #[test]
    fn pseudo_headers_of_responses_and_of_nobody_are_malformed() {
        assert_eq!(with(&[0x80 | 0x40 | 25]), Err(Malformed), ":status");
        assert_eq!(with(&literal(b":protocol", false)), Err(Malformed));
        assert_eq!(with(&literal(&[0xb9, 0x58, 0xd3], true)), Err(Malformed), "a Huffman name with a colon");
    }

    #[test]
    fn a_request_without_method_scheme_or_path_is_malformed() {
        for missing in 2..5 {
            let mut section = WHOLE.to_vec();
            section.remove(missing);
            assert_eq!(check(&section), Err(Malformed));
        }
    }

    #[test]
    fn a_section_cut_anywhere_is_malformed_and_never_panics() {
        let whole = [WHOLE.to_vec(), literal(b"grpc-timeout", false)].concat();
        for length in 0..whole.len() {
            let _ = check(&whole[..length]);
        }
        assert_eq!(check(&[0xff; 32]), Err(Malformed));
    }
}
