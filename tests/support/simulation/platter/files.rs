//! The files of the platter.

use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use bbq::store::host::{Disk, DiskFile};
use rand::{Rng as _, RngExt as _};

use super::{Fault, Inode, Kind, Platter};

/// A file that is open for writing.
#[derive(Debug)]
struct Open {
    platter: Platter,
    inode: u64,
}

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
            state.names.get(file).map(|inode| state.inodes[inode].now.clone()).ok_or_else(missing)
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
            state.begin(Kind::Create, 0);
            if let Some(&inode) = state.names.get(file) {
                let emptied = state.inodes.entry(inode).or_default();
                emptied.now.clear();
                emptied.dirty.clear();
                return inode;
            }
            let inode = state.inode(Inode::default());
            state.names.insert(file.to_owned(), inode);
            inode
        });
        Ok(Box::new(Open { platter: self.clone(), inode }))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.with(|state| state.names.get(file).copied()).ok_or_else(missing)?;
        Ok(Box::new(Open { platter: self.clone(), inode }))
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        self.with(|state| {
            state.begin(Kind::Remove, 0);
            state.names.remove(file).map(drop).ok_or_else(missing)
        })
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.with(|state| {
            state.begin(Kind::SyncDirectory, 0);
            if state.fault != Some(Fault::NoDirectorySync) {
                state.lasting_names.retain(|path, _| path.parent() != Some(directory));
                let inside = state.names.iter().filter(|(path, _)| path.parent() == Some(directory));
                let inside: Vec<_> = inside.map(|(path, inode)| (path.clone(), *inode)).collect();
                state.lasting_names.extend(inside);
            }
            Ok(())
        })
    }

    fn salt(&self) -> u64 {
        self.with(|state| state.rng.next_u64())
    }
}

impl Open {
    fn change(&self, kind: Kind, what: u64, change: impl FnOnce(&mut Inode)) -> io::Result<()> {
        self.platter.with(|state| {
            state.begin(kind, what);
            state.inodes.get_mut(&self.inode).map(change).ok_or_else(missing)
        })
    }
}

impl DiskFile for Open {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let sum =
            bytes.iter().fold(at as u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        self.change(Kind::Write, sum, |inode| {
            let end = at + bytes.len();
            if inode.now.len() < end {
                inode.now.resize(end, 0);
            }
            inode.now[at..end].copy_from_slice(bytes);
            inode.dirty.push(at..end);
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.platter.with(|state| {
            state.begin(Kind::SyncData, 0);
            match state.fault {
                Some(Fault::NoJournalSync) => {}
                Some(Fault::LateJournalSync) => {
                    let at = state.operations + state.rng.random_range(1..6);
                    state.late.push((at, self.inode));
                }
                _ => state.sync(self.inode),
            }
        });
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.platter.with(|state| {
            state.begin(Kind::SyncAll, 0);
            state.sync(self.inode);
        });
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        self.change(Kind::Resize, 0, |inode| {
            let old = inode.now.len();
            inode.now.resize(bytes, 0);
            inode.dirty.push(old.min(bytes)..old.max(bytes));
        })
    }

    fn length(&self) -> io::Result<u64> {
        let length = self.platter.with(|state| state.inodes[&self.inode].now.len());
        u64::try_from(length).map_err(io::Error::other)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        self.change(Kind::Resize, 1, |inode| {
            if inode.now.len() < bytes {
                inode.now.resize(bytes, 0);
            }
        })
    }
}
