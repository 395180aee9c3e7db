//! Where events are kept: in memory, or in a file that several processes append to.
//!
//! Always true: the order in the file is that of the recording, whichever process recorded, because the file is opened for appending
//! and each recording is one write. Each event is a line of its own that begins with its line break, so one that was cut short
//! by a kill spoils no other. What was not wholly recorded had not been begun, or is not known.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use serde::{Deserialize as _, Deserializer};

use super::{Event, Queue};

pub enum Log {
    Memory(Mutex<Vec<Event>>),
    File { path: PathBuf, file: Mutex<File> },
}

impl Default for Log {
    fn default() -> Self {
        Self::Memory(Mutex::default())
    }
}

impl Log {
    pub fn file(path: &Path) -> Self {
        let file = File::options().create(true).append(true).open(path).unwrap();
        Self::File { path: path.to_owned(), file: Mutex::new(file) }
    }

    pub fn extend(&self, events: impl IntoIterator<Item = Event>) {
        match self {
            Self::Memory(known) => known.lock().unwrap().extend(events),
            Self::File { file, .. } => {
                let mut lines = String::new();
                for event in events {
                    lines.push('\n');
                    lines += &serde_json::to_string(&event).unwrap();
                }
                file.lock().unwrap().write_all(lines.as_bytes()).unwrap();
            }
        }
    }

    pub fn events(&self) -> Vec<Event> {
        match self {
            Self::Memory(known) => known.lock().unwrap().clone(),
            Self::File { path, .. } => {
                let text = std::fs::read_to_string(path).unwrap();
                text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
            }
        }
    }
}

/// Names of queues, each kept once.
pub fn queue<'de, D: Deserializer<'de>>(from: D) -> Result<Queue, D::Error> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Queue>>> = LazyLock::new(Mutex::default);
    let name = String::deserialize(from)?;
    let mut known = KNOWN.lock().unwrap();
    Ok(known.entry(name).or_insert_with_key(|name| name.clone().leak()))
}
