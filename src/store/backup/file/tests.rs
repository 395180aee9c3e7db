use super::*;

const HEADER: Header = Header { made_at: Timestamp(0x0102), applied: LogId { term: 1, index: 0x0304 } };

/// A small file, and where its blocks begin and it ends.
fn sample() -> (Vec<u8>, Vec<usize>) {
    let mut encoder = Encoder::default();
    let mut file = encoder.header(HEADER);
    let mut borders = vec![0, file.len()];
    for (tree, rows) in [("queues", &[(&b"k"[..], &b"value"[..]), (b"l", b"")][..]), ("chunks", &[])] {
        let mut block = Rows::of(tree);
        rows.iter().for_each(|(key, value)| block.push(key, value));
        file.extend(encoder.block(&block));
        borders.push(file.len());
    }
    file.extend(encoder.trailer());
    (file, borders)
}

fn read(file: &[u8]) -> Result<Vec<Block>, Flaw> {
    let mut decoder = Decoder::new(file)?;
    let mut blocks = Vec::new();
    while let Some(block) = decoder.next()? {
        blocks.push(block);
    }
    Ok(blocks)
}

#[test]
fn a_file_has_known_bytes_and_reads_back() {
    let (file, _) = sample();
    let header = [
        b"BBQBACK\0\0\0\0\x01".to_vec(),
        vec![0, 0, 0, 0, 0, 0, 1, 2],
        vec![0, 0, 0, 0, 0, 0, 0, 1],
        vec![0, 0, 0, 0, 0, 0, 3, 4],
    ]
    .concat();
    assert_eq!(file[..36], header);
    assert_eq!(file[40..44], [0, 0, 0, 23], "the length of the first block");
    assert_eq!(file[48..53], [0, 0, 0, 0, 1], "its number and kind");
    assert_eq!(file[53..71], *b"\x06queues\x01k\x05value\x01l\0");
    assert_eq!(format!("{:08x}", crc32fast::hash(&file)), GOLDEN_CRC, "some byte has changed");
    let rows = vec![(b"k".to_vec(), b"value".to_vec()), (b"l".to_vec(), Vec::new())];
    let expected = [Block { tree: "queues".into(), rows }, Block { tree: "chunks".into(), rows: Vec::new() }];
    assert_eq!(read(&file).unwrap(), expected);
    assert_eq!(Decoder::new(&file[..]).unwrap().header, HEADER);
}

/// The checksum of the whole sample.
const GOLDEN_CRC: &str = "6fd26af0";

#[test]
fn a_file_that_was_cut_is_refused_with_the_place() {
    let (file, borders) = sample();
    for cut in 0..file.len() {
        match read(&file[..cut]).unwrap_err() {
            Flaw::Foreign => assert!(cut < 8),
            Flaw::Damaged { offset, .. } => {
                assert!(offset <= length(cut));
                assert!(cut < 40 || borders.contains(&size(offset)), "{cut}: {offset}");
            }
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[test]
fn a_file_with_a_changed_bit_is_refused() {
    let (mut file, _) = sample();
    for bit in 0..file.len() * 8 {
        file[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&file).is_err(), "bit {bit}");
        file[bit / 8] ^= 1 << (bit % 8);
    }
    read(&file).unwrap();
    file.push(0);
    assert!(matches!(read(&file), Err(Flaw::Damaged { .. })), "something follows");
}

/// Every block is whole by itself; only together they tell that one is missing, or of another file.
#[test]
fn a_file_with_a_block_too_few_or_of_another_file_is_refused() {
    let (file, borders) = sample();
    let without = [&file[..borders[1]], &file[borders[2]..]].concat();
    assert!(matches!(read(&without), Err(Flaw::Damaged { reason, .. }) if reason.contains("missing")));
    let mut other = Encoder::default();
    let mut foreign = other.header(HEADER);
    let mut rows = Rows::of("queues");
    rows.push(b"k", b"other");
    rows.push(b"l", b"");
    foreign.extend(other.block(&rows));
    let mixed = [&foreign[..], &file[borders[2]..]].concat();
    assert!(matches!(read(&mixed), Err(Flaw::Damaged { reason, .. }) if reason.contains("trailer")));
}

#[test]
fn a_newer_file_says_so() {
    let mut file = encode_header(HEADER);
    file[11] = 2;
    let crc = crc32fast::hash(&file[..36]);
    file[36..].copy_from_slice(&crc.to_be_bytes());
    assert!(matches!(read(&file), Err(Flaw::Newer(2))));
    assert!(matches!(read(b"PK\x03\x04 and so on, and so on, and so on, and so on"), Err(Flaw::Foreign)));
}
