//! The files of the platter.

use std::collections::BTreeSet;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use bbq::store::host::{Disk, DiskFile};
use rand::{Rng as _, RngExt as _};

use super::{Fault, Inode, Kind, Platter, State, Target};

/// A file that is open for writing.
#[derive(Debug)]
struct Open {
    platter: Platter,
    inode: u64,
}

/// How much of something is done, in thousandths.
#[derive(Clone, Copy)]
struct Part(usize);

const ALL: Part = Part(1000);

fn missing() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Disk for Platter {
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let inside = |path: &&PathBuf| path.parent() == Some(directory);
        self.with(|state| Ok(state.names.keys().filter(inside).cloned().collect()))
    }

    fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        self.with(|state| {
            state.names.get(file).map(|inode| state.inodes[inode].bytes().to_vec()).ok_or_else(missing)
        })
    }

    fn reader(&self, file: &Path, from: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut cursor = Cursor::new(self.read(file)?);
        cursor.set_position(from);
        Ok(Box::new(cursor))
    }

    fn write(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        self.create(file)?.write_all_at(bytes, 0)
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.with(|state| {
            let refused = state.begin(Kind::Create, 0, Target::Name(file.to_owned()));
            if refused.is_err() && state.rng.random_bool(0.5) {
                return refused.map(|()| 0);
            }
            let inode = state.made(file);
            refused.map(|()| inode)
        })?;
        Ok(Box::new(Open { platter: self.clone(), inode }))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.with(|state| state.names.get(file).copied()).ok_or_else(missing)?;
        Ok(Box::new(Open { platter: self.clone(), inode }))
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        self.with(|state| {
            let refused = state.begin(Kind::Remove, 0, Target::Name(file.to_owned()));
            if refused.is_ok() || state.rng.random_bool(0.5) {
                state.names.remove(file).ok_or_else(missing)?;
            }
            refused
        })
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.with(|state| {
            let refused = state.begin(Kind::SyncDirectory, 0, Target::Directory(directory.to_owned()));
            if state.fault != Some(Fault::NoDirectorySync) {
                state.sync_names(directory, refused.is_err());
            }
            refused
        })
    }

    fn salt(&self) -> u64 {
        self.with(|state| state.rng.next_u64())
    }
}

impl State {
    /// A file that is empty.
    fn made(&mut self, file: &Path) -> u64 {
        if let Some(&inode) = self.names.get(file) {
            self.inodes.entry(inode).or_default().empty();
            return inode;
        }
        let inode = self.inode(Inode::default());
        self.names.insert(file.to_owned(), inode);
        inode
    }

    /// Makes the names of a directory last, or only some of them.
    fn sync_names(&mut self, directory: &Path, some: bool) {
        let both = self.names.keys().chain(self.lasting_names.keys());
        let inside: BTreeSet<_> = both.filter(|path| path.parent() == Some(directory)).cloned().collect();
        for path in inside {
            if some && self.rng.random_bool(0.5) {
                continue;
            }
            match self.names.get(&path) {
                Some(&inode) => _ = self.lasting_names.insert(path, inode),
                None => _ = self.lasting_names.remove(&path),
            }
        }
    }
}

impl Open {
    /// Changes the file; if that is refused, as far as the seed has it.
    fn change(&self, kind: Kind, what: u64, change: impl FnOnce(&mut Inode, Part)) -> io::Result<()> {
        self.platter.with(|state| {
            let refused = state.begin(kind, what, Target::File(self.inode));
            let part = if refused.is_ok() { ALL } else { Part(state.rng.random_range(0..=1000)) };
            state.inodes.get_mut(&self.inode).map(|inode| change(inode, part)).ok_or_else(missing)?;
            state.told(kind, refused)
        })
    }

    fn sync(&self, kind: Kind) -> io::Result<()> {
        self.platter.with(|state| {
            let refused = state.begin(kind, 0, Target::File(self.inode));
            if refused.is_err() {
                let State { inodes, rng, .. } = state;
                inodes.get_mut(&self.inode).ok_or_else(missing)?.lose(rng);
                return state.told(kind, refused);
            }
            match state.fault {
                Some(Fault::NoJournalSync) if kind == Kind::SyncData => {}
                Some(Fault::LateJournalSync) if kind == Kind::SyncData => {
                    let at = state.operations + state.rng.random_range(1..6);
                    state.late.push((at, self.inode));
                }
                _ => state.sync(self.inode),
            }
            Ok(())
        })
    }
}

impl Part {
    fn of(self, number: usize) -> usize {
        number * self.0 / ALL.0
    }
}

impl DiskFile for Open {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let sum =
            bytes.iter().fold(at as u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        self.change(Kind::Write, sum, |inode, part| inode.write(&bytes[..part.of(bytes.len())], at))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(Kind::SyncData)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(Kind::SyncAll)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        self.change(Kind::Resize, 0, |inode, part| {
            if part.0 > ALL.0 / 2 {
                inode.resize(bytes);
            }
        })
    }

    fn length(&self) -> io::Result<u64> {
        let length = self.platter.with(|state| state.inodes[&self.inode].bytes().len());
        u64::try_from(length).map_err(io::Error::other)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        self.change(Kind::Resize, 1, |inode, part| inode.grow(part.of(bytes)))
    }
}
