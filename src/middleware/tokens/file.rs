//! The file that keeps the tokens: JSON, readable by its owner alone.
//!
//! ```json
//! {"version": 1, "xxh3": "..", "tokens": [{"id": "..", "name": "..", "sha256": "..", "created_at_ms": 0,
//!   "expires_at_ms": null, "grants": [{"permission": "publish", "queues": "orders*"}]}]}
//! ```
//!
//! `xxh3` is the XXH3-64 of the tokens, written as JSON without spaces, in 16 hexadecimal digits: a disk that changes a hash, a
//! name or a grant is found out.
//!
//! A change writes a new file beside it, syncs that, renames it over the old one and syncs the directory: a crash leaves
//! the one or the other, whole.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::super::identity::Grant;
use super::secret::{SecretHash, is_id};
use super::{Entry, OpenError, Token, Tokens};

const VERSION: u32 = 1;
/// The end of the year 9999, the last time that the API can say.
const END_MS: u64 = 253_402_300_799_999;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    xxh3: String,
    tokens: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    name: String,
    sha256: String,
    created_at_ms: u64,
    expires_at_ms: Option<u64>,
    grants: Vec<Grant>,
}

/// What the file says; nothing if there is no file.
pub(super) fn read(path: &Path) -> Result<Tokens, OpenError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(OpenError::Read { path: path.to_owned(), error }),
    };
    parse(&text).map_err(|reason| OpenError::Corrupt { path: path.to_owned(), reason })
}

fn parse(text: &[u8]) -> Result<Tokens, String> {
    let contents: Contents = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if contents.version != VERSION {
        return Err(format!("its version is {}, this program knows {VERSION}", contents.version));
    }
    let checksum = checksum(&contents.tokens).map_err(|error| error.to_string())?;
    if contents.xxh3 != checksum {
        return Err(format!("its checksum is {checksum}, and it says {:?}", contents.xxh3));
    }
    let mut tokens = BTreeMap::new();
    for row in contents.tokens {
        let id = row.id.clone();
        let entry = row.into_entry().ok_or_else(|| format!("token {id:?} is malformed"))?;
        if tokens.insert(id.clone(), Arc::new(entry)).is_some() {
            return Err(format!("token {id:?} is there twice"));
        }
    }
    Ok(tokens)
}

/// Of what the file says, however it is laid out.
fn checksum(rows: &[Row]) -> serde_json::Result<String> {
    Ok(format!("{:016x}", xxh3_64(&serde_json::to_vec(rows)?)))
}

impl Row {
    fn of(entry: &Entry) -> Self {
        let Token { id, name, grants, created_at, expires_at } = entry.token.clone();
        Self {
            id,
            name,
            sha256: entry.hash.to_hexadecimal(),
            created_at_ms: milliseconds(created_at),
            expires_at_ms: expires_at.map(milliseconds),
            grants,
        }
    }

    fn into_entry(self) -> Option<Entry> {
        let hash = SecretHash::from_hexadecimal(&self.sha256)?;
        let created_at = time(self.created_at_ms)?;
        let expires_at = match self.expires_at_ms {
            Some(end) => Some(time(end)?),
            None => None,
        };
        let token = Token { id: self.id, name: self.name, grants: self.grants, created_at, expires_at };
        is_id(&token.id).then(|| Entry::new(token, hash))
    }
}

/// Replaces the file.
pub(super) fn write(path: &Path, tokens: &Tokens) -> io::Result<()> {
    let rows: Vec<Row> = tokens.values().map(|entry| Row::of(entry)).collect();
    let contents = Contents { version: VERSION, xxh3: checksum(&rows)?, tokens: rows };
    let mut text = serde_json::to_vec_pretty(&contents)?;
    text.push(b'\n');
    let beside = path.with_extension("json.new");
    // One that a crash left behind may have any mode.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn milliseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).map_or(END_MS, |ms| ms.min(END_MS))
}

fn time(milliseconds: u64) -> Option<SystemTime> {
    (milliseconds <= END_MS).then(|| UNIX_EPOCH + Duration::from_millis(milliseconds))
}

/// The time as the file keeps it.
pub(super) fn whole_milliseconds(at: SystemTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(milliseconds(at))
}

/// So long after `begin`, in whole milliseconds, unless that is no time at all or past what can be kept.
pub(super) fn end(begin: SystemTime, length: Duration) -> Option<SystemTime> {
    let length_ms = u64::try_from(length.as_millis()).ok()?;
    let end_ms = milliseconds(begin).checked_add(length_ms)?;
    if length_ms == 0 { None } else { time(end_ms) }
}
