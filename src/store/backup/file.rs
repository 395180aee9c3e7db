//! The backup file: blocks of rows, each with a checksum, and a trailer over all of them.
//!
//! | header  | magic "BBQBACK\0" | version u32 = 1 | made at u64, ms | term u64 | index u64 | crc u32 |      40 bytes
//! | block   | length u32 | crc u32 | number u32 | kind u8 | payload |                                      13 bytes + payload
//! | rows    | tree: varint length, name | rows: varint length, key, varint length, value, until the end |   payload of kind 1
//! | trailer | rows u64 | bytes u64 | hash u64 |                                                           payload of kind 2
//!
//! `length` counts what follows `crc`; both CRC-32 cover what their header or block has besides them. Blocks are numbered from 0; the last
//! one is the trailer, and nothing follows it. It counts the rows and the bytes before it, and `hash` is the XXH3-64 of these bytes. `term` and
//! `index` name the entry whose state it is.
//!
//! So a file that was cut anywhere, also between two blocks, or changed anywhere, is known not to be whole.

use std::io::{self, Read};

use xxhash_rust::xxh3::Xxh3;

use crate::store::codec::{Input, Malformed, length, put_bytes, size};
use crate::types::{LogId, Timestamp};

const MAGIC: [u8; 8] = *b"BBQBACK\0";
/// The version of the file that this program writes, and the newest that it reads.
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 40;
/// What a block has besides its payload.
pub(super) const BLOCK_BYTES: usize = 13;
/// What of it `length` counts.
const COUNTED: usize = 5;
/// A block takes no more rows beyond this size.
pub(super) const PAYLOAD_BYTES: usize = 256 << 10;
/// No block has a larger payload: a row is a value of at most 32 KiB and its key.
const PAYLOAD_MAX: usize = PAYLOAD_BYTES + (64 << 10);

const ROWS: u8 = 1;
const TRAILER: u8 = 2;

/// What a file says of itself at its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) made_at: Timestamp,
    pub(super) applied: LogId,
}

/// Makes the pieces of a file, one after the other.
#[derive(Default)]
pub(super) struct Encoder {
    number: u32,
    rows: u64,
    bytes: u64,
    hash: Xxh3,
}

/// Rows of one tree, as they go into a block.
pub(super) struct Rows {
    payload: Vec<u8>,
    count: u64,
    empty: usize,
}

/// Why a file can't be used: where, and what is wrong there.
#[derive(Debug)]
pub(super) enum Flaw {
    /// It was never a backup.
    Foreign,
    /// A newer program wrote it.
    Newer(u32),
    /// It is not as it was written.
    Damaged {
        offset: u64,
        reason: &'static str,
    },
    Io(io::Error),
}

/// Reads a file from its beginning. Whatever it gives counts only once it has given the end.
pub(super) struct Decoder<R> {
    from: R,
    pub(super) header: Header,
    offset: u64,
    number: u32,
    pub(super) rows: u64,
    hash: Xxh3,
    ended: bool,
}

/// A block of rows: the tree's name, then keys and values.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) tree: String,
    pub(super) rows: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Encoder {
    pub(super) fn header(&mut self, header: Header) -> Vec<u8> {
        let bytes = encode_header(header).to_vec();
        self.count(&bytes);
        bytes
    }

    /// The next block.
    pub(super) fn block(&mut self, rows: &Rows) -> Vec<u8> {
        self.rows += rows.count;
        self.seal(ROWS, &rows.payload)
    }

    /// The last one.
    pub(super) fn trailer(&mut self) -> Vec<u8> {
        let numbers = [self.rows, self.bytes, self.hash.digest()];
        self.seal(TRAILER, &numbers.map(u64::to_be_bytes).concat())
    }

    fn seal(&mut self, kind: u8, payload: &[u8]) -> Vec<u8> {
        let counted = u32::try_from(payload.len() + COUNTED).expect("blocks are small");
        let mut block = Vec::with_capacity(BLOCK_BYTES + payload.len());
        block.extend_from_slice(&counted.to_be_bytes());
        block.extend_from_slice(&[0; 4]);
        block.extend_from_slice(&self.number.to_be_bytes());
        block.push(kind);
        block.extend_from_slice(payload);
        let crc = checksum(&block);
        block[4..8].copy_from_slice(&crc.to_be_bytes());
        self.number = self.number.checked_add(1).expect("fewer than 2^32 blocks: a petabyte");
        self.count(&block);
        block
    }

    fn count(&mut self, bytes: &[u8]) {
        self.bytes += length(bytes.len());
        self.hash.update(bytes);
    }
}

impl Rows {
    pub(super) fn of(tree: &str) -> Self {
        let mut payload = Vec::new();
        put_bytes(&mut payload, tree.as_bytes());
        let empty = payload.len();
        Self { payload, count: 0, empty }
    }

    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        put_bytes(&mut self.payload, key);
        put_bytes(&mut self.payload, value);
        self.count += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.payload.len() >= PAYLOAD_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn clear(&mut self) {
        self.payload.truncate(self.empty);
        self.count = 0;
    }
}

impl Block {
    /// From a payload of rows.
    pub(super) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input::new(payload);
        let tree = input.text()?.to_owned();
        let mut rows = Vec::new();
        while !input.is_empty() {
            let key = input.sized()?;
            let value = input.sized()?;
            rows.push((payload[key].to_vec(), payload[value].to_vec()));
        }
        Ok(Self { tree, rows })
    }
}

impl<R: Read> Decoder<R> {
    pub(super) fn new(mut from: R) -> Result<Self, Flaw> {
        let mut bytes = Vec::new();
        from.by_ref().take(length(HEADER_BYTES)).read_to_end(&mut bytes).map_err(Flaw::Io)?;
        if !bytes.starts_with(&MAGIC) {
            return Err(Flaw::Foreign);
        }
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(Flaw::Damaged { offset: length(bytes.len()), reason: "it ends in its header" });
        };
        let header = decode_header(header)?;
        let mut hash = Xxh3::new();
        hash.update(&bytes);
        let offset = length(HEADER_BYTES);
        Ok(Self { from, header, offset, number: 0, rows: 0, hash, ended: false })
    }

    /// Where the next block begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next rows; none at the end, which is then known to be the end of a whole file.
    pub(super) fn next(&mut self) -> Result<Option<Block>, Flaw> {
        if self.ended {
            return Ok(None);
        }
        let damaged = |offset, reason| Flaw::Damaged { offset, reason };
        let offset = self.offset;
        let block = self.read(offset)?;
        let mut input = Input::new(&block[8..]);
        let torn = |_| damaged(offset, "a block is too short");
        let (number, kind) = (input.u32().map_err(torn)?, input.u8().map_err(torn)?);
        if number != self.number {
            return Err(damaged(offset, "a block is missing or in the wrong place"));
        }
        self.number += 1;
        let payload = &block[BLOCK_BYTES..];
        match kind {
            ROWS => {
                let block_of_rows = Block::decode(payload)
                    .map_err(|_| damaged(offset, "a block holds no rows that can be read"))?;
                self.rows += length(block_of_rows.rows.len());
                self.offset += length(block.len());
                self.hash.update(&block);
                Ok(Some(block_of_rows))
            }
            TRAILER => {
                let expected = [self.rows, offset, self.hash.digest()].map(u64::to_be_bytes).concat();
                if payload != expected {
                    return Err(damaged(offset, "the trailer is not that of what comes before it"));
                }
                self.offset += length(block.len());
                let mut more = [0];
                if self.from.read(&mut more).map_err(Flaw::Io)? > 0 {
                    return Err(damaged(self.offset, "it goes on after its trailer"));
                }
                self.ended = true;
                Ok(None)
            }
            _ => Err(damaged(offset, "a block is of no known kind")),
        }
    }

    /// A whole block with the checksum that it should have.
    fn read(&mut self, offset: u64) -> Result<Vec<u8>, Flaw> {
        let short = Flaw::Damaged { offset, reason: "it ends here without its trailer" };
        let mut block = Vec::new();
        self.from.by_ref().take(8).read_to_end(&mut block).map_err(Flaw::Io)?;
        let Some(&[a, b, c, d]) = block.first_chunk() else { return Err(short) };
        let counted = size(u32::from_be_bytes([a, b, c, d]).into());
        if !(COUNTED..=PAYLOAD_MAX + COUNTED).contains(&counted) {
            return Err(Flaw::Damaged { offset, reason: "a block has an impossible length" });
        }
        self.from.by_ref().take(length(counted)).read_to_end(&mut block).map_err(Flaw::Io)?;
        if block.len() < 8 + counted {
            return Err(short);
        }
        if block[4..8] != checksum(&block).to_be_bytes() {
            return Err(Flaw::Damaged { offset, reason: "the checksum of a block does not match" });
        }
        Ok(block)
    }
}

/// Over the length, and what follows the checksum.
fn checksum(block: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&block[..4]);
    crc.update(&block[8..]);
    crc.finalize()
}

fn encode_header(header: Header) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_be_bytes());
    let numbers = [header.made_at.0, header.applied.term, header.applied.index];
    bytes[12..36].copy_from_slice(&numbers.map(u64::to_be_bytes).concat());
    let crc = crc32fast::hash(&bytes[..36]);
    bytes[36..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn decode_header(bytes: &[u8; HEADER_BYTES]) -> Result<Header, Flaw> {
    let mut input = Input::new(&bytes[8..]);
    let damaged = |_| Flaw::Damaged { offset: 0, reason: "its header is too short" };
    let version = input.u32().map_err(damaged)?;
    let mut number = || input.u64().map_err(damaged);
    let made_at = Timestamp(number()?);
    let header = Header { made_at, applied: LogId { term: number()?, index: number()? } };
    if bytes[36..] != crc32fast::hash(&bytes[..36]).to_be_bytes() {
        return Err(Flaw::Damaged { offset: 0, reason: "the checksum of its header does not match" });
    }
    if version > VERSION {
        return Err(Flaw::Newer(version));
    }
    Ok(header)
}

#[cfg(test)]
mod tests;
