//! A disk whose power can go: files and directories in memory, as they are seen and as they would be found again.
//!
//! Always true: only what was synced is certain to be found, a file's data by an fsync of the file, a name by an fsync of its
//! directory. All else is found or not by chance, and one seed always gives the same chance.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};

use fuser::Errno;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::fault::{Call, Fault, Plant, Which};
use super::file::File;

/// The directory that everything is in.
pub const ROOT: u64 = 1;
/// How much later than asked the state files are synced by [`Plant::PurgedTooEarly`], in operations.
const LATE: u64 = 40;

/// See above.
#[derive(Debug)]
pub struct Disk {
    nodes: HashMap<u64, Node>,
    last_node: u64,
    /// Operations that changed or synced something.
    operations: u64,
    off: bool,
    cut_at: Option<u64>,
    pub faults: Vec<Fault>,
    pub plant: Plant,
    /// Syncs that were promised and not made: when to make them, of what, how far.
    late: Vec<(u64, u64, u64)>,
    /// What happened, for whoever asks why.
    pub tally: Tally,
}

/// How often what was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub writes: u64,
    pub syncs: u64,
    pub names: u64,
    pub faults: u64,
}

/// A file or a directory.
#[derive(Clone, Debug)]
pub struct Node {
    pub mode: u16,
    name: OsString,
    pub kind: Kind,
}

/// See [`Node`].
#[derive(Clone, Debug)]
pub enum Kind {
    File(File),
    Directory(Directory),
}

type Names = BTreeMap<OsString, u64>;

/// Names, as they are seen and as they would be found.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    pub seen: Names,
    kept: Names,
    pending: Vec<Naming>,
}

/// A change of names that is not yet certain to last.
#[derive(Clone, Debug)]
enum Naming {
    Add(OsString, u64),
    Remove(OsString),
    Rename(OsString, OsString, u64),
}

impl Naming {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Add(name, node) => _ = names.insert(name.clone(), *node),
            Self::Remove(name) => _ = names.remove(name),
            Self::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

impl Directory {
    fn change(&mut self, naming: Naming) {
        naming.apply(&mut self.seen);
        self.pending.push(naming);
    }

    fn sync(&mut self) {
        self.kept.clone_from(&self.seen);
        self.pending.clear();
    }

    fn remains(&self, rng: &mut StdRng) -> Names {
        let mut left = self.kept.clone();
        let count = self.pending.len();
        let kind = rng.random_range(0..4);
        let until = if kind == 1 { count } else { rng.random_range(0..=count) };
        for (number, naming) in self.pending.iter().enumerate() {
            let kept = match kind {
                0 => false,
                1 | 2 => number < until,
                _ => rng.random(),
            };
            if kept {
                naming.apply(&mut left);
            }
        }
        left
    }
}

impl Default for Disk {
    fn default() -> Self {
        let root = Node { mode: 0o755, name: OsString::new(), kind: Kind::Directory(Directory::default()) };
        Self {
            nodes: HashMap::from([(ROOT, root)]),
            last_node: ROOT,
            operations: 0,
            off: false,
            cut_at: None,
            faults: Vec::new(),
            plant: Plant::Nothing,
            late: Vec::new(),
            tally: Tally::default(),
        }
    }
}

impl Disk {
    /// The power goes after so many more operations.
    pub fn cut_after(&mut self, operations: u64) {
        self.cut_at = Some(self.operations + operations);
    }

    /// The power goes now.
    pub fn cut(&mut self) {
        self.off = true;
    }

    pub fn is_off(&self) -> bool {
        self.off
    }

    /// What is found when the power is back.
    pub fn remains(&self, rng: &mut StdRng) -> Self {
        let mut left = Self { last_node: self.last_node, ..Self::default() };
        left.nodes.clear();
        let mut found = HashSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(number) = open.pop() {
            let Node { mode, name, kind } = &self.nodes[&number];
            let kind = match kind {
                Kind::File(file) => Kind::File(File::old(file.remains(rng))),
                Kind::Directory(directory) => {
                    let names = directory.remains(rng);
                    // What has two names after a rename that was cut in half has one node.
                    open.extend(names.values().filter(|node| found.insert(**node)));
                    Kind::Directory(Directory { seen: names.clone(), kept: names, pending: Vec::new() })
                }
            };
            left.nodes.insert(number, Node { mode: *mode, name: name.clone(), kind });
        }
        left
    }

    pub fn node(&self, number: u64) -> Result<&Node, Errno> {
        self.nodes.get(&number).ok_or(Errno::ENOENT)
    }

    pub fn lookup(&self, parent: u64, name: &OsStr) -> Result<u64, Errno> {
        self.directory(parent)?.seen.get(name).copied().ok_or(Errno::ENOENT)
    }

    pub fn directory(&self, number: u64) -> Result<&Directory, Errno> {
        match &self.node(number)?.kind {
            Kind::Directory(directory) => Ok(directory),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    pub fn file(&self, number: u64) -> Result<&File, Errno> {
        match &self.node(number)?.kind {
            Kind::File(file) => Ok(file),
            Kind::Directory(_) => Err(Errno::EISDIR),
        }
    }

    fn directory_mut(&mut self, number: u64) -> Result<&mut Directory, Errno> {
        match self.nodes.get_mut(&number).map(|node| &mut node.kind) {
            Some(Kind::Directory(directory)) => Ok(directory),
            Some(Kind::File(_)) => Err(Errno::ENOTDIR),
            None => Err(Errno::ENOENT),
        }
    }

    fn file_mut(&mut self, number: u64) -> Result<&mut File, Errno> {
        match self.nodes.get_mut(&number).map(|node| &mut node.kind) {
            Some(Kind::File(file)) => Ok(file),
            Some(Kind::Directory(_)) => Err(Errno::EISDIR),
            None => Err(Errno::ENOENT),
        }
    }

    /// Counts an operation, which may be the one that the power goes in, or one that fails.
    fn begin(&mut self, call: Call, number: u64) -> Result<u64, Errno> {
        let which = match self.node(number)? {
            Node { kind: Kind::Directory(_), .. } => Which::Directory,
            Node { name, .. } => Which::of(name),
        };
        self.begin_with(call, which, number)
    }

    fn begin_with(&mut self, call: Call, which: Which, number: u64) -> Result<u64, Errno> {
        if self.off {
            return Err(Errno::EIO);
        }
        self.operations += 1;
        if self.cut_at.is_some_and(|at| self.operations >= at) {
            self.off = true;
            return Err(Errno::EIO);
        }
        let due = |(at, ..): &mut (u64, u64, u64)| *at <= self.operations;
        for (_, file, until) in self.late.extract_if(.., due).collect::<Vec<_>>() {
            if let Ok(file) = self.file_mut(file) {
                file.sync(until);
            }
        }
        for fault in &mut self.faults {
            if let Some(error) = fault.strikes(call, which) {
                self.tally.faults += 1;
                if call == Call::Sync
                    && let Ok(file) = self.file_mut(number)
                {
                    file.forget();
                }
                return Err(error);
            }
        }
        Ok(self.operations)
    }

    pub fn write(&mut self, number: u64, at: usize, bytes: &[u8]) -> Result<(), Errno> {
        let torn = self.cut_at.is_some_and(|at| self.operations + 1 == at);
        let begun = self.begin(Call::Write, number);
        if torn && self.off {
            // The last thing that the disk heard of; chance decides how much of it was in time.
            let operation = self.operations;
            self.file_mut(number)?.write(operation, at, bytes);
        }
        let operation = begun?;
        self.tally.writes += 1;
        self.file_mut(number)?.write(operation, at, bytes);
        Ok(())
    }

    pub fn resize(&mut self, number: u64, size: usize) -> Result<(), Errno> {
        let operation = self.begin(Call::Resize, number)?;
        self.file_mut(number)?.resize(operation, size);
        Ok(())
    }

    /// The operation up to which a sync that begins now will store, to be given to [`Self::synced`].
    pub fn sync(&mut self, number: u64) -> Result<u64, Errno> {
        let operation = self.begin(Call::Sync, number)?;
        self.tally.syncs += 1;
        Ok(operation)
    }

    /// A sync has done its work.
    pub fn synced(&mut self, number: u64, operation: u64) -> Result<(), Errno> {
        if self.off {
            return Err(Errno::EIO);
        }
        let which = Which::of(&self.node(number)?.name);
        match (self.plant, which) {
            (Plant::JournalNotSynced, Which::Journal) | (Plant::StateNotSynced, Which::State) => Ok(()),
            (Plant::PurgedTooEarly, Which::State) => {
                self.late.push((self.operations + LATE, number, operation));
                Ok(())
            }
            _ => match self.nodes.get_mut(&number).map(|node| &mut node.kind) {
                Some(Kind::File(file)) => {
                    file.sync(operation);
                    Ok(())
                }
                Some(Kind::Directory(directory)) => {
                    directory.sync();
                    Ok(())
                }
                None => Err(Errno::ENOENT),
            },
        }
    }

    fn rename_begins(&mut self, call: Call, parent: u64, name: &OsStr) -> Result<&mut Directory, Errno> {
        self.begin_with(call, Which::of(name), parent)?;
        self.tally.names += 1;
        self.directory_mut(parent)
    }

    pub fn add(&mut self, parent: u64, name: &OsStr, mode: u16, kind: Kind) -> Result<u64, Errno> {
        let number = self.last_node + 1;
        let directory = self.rename_begins(Call::Create, parent, name)?;
        if directory.seen.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        directory.change(Naming::Add(name.to_owned(), number));
        self.nodes.insert(number, Node { mode, name: name.to_owned(), kind });
        self.last_node = number;
        Ok(number)
    }

    pub fn remove(&mut self, parent: u64, name: &OsStr) -> Result<(), Errno> {
        let number = self.lookup(parent, name)?;
        if matches!(&self.node(number)?.kind, Kind::Directory(directory) if !directory.seen.is_empty()) {
            return Err(Errno::ENOTEMPTY);
        }
        let at_once = self.plant == Plant::PurgedTooEarly;
        let directory = self.rename_begins(Call::Remove, parent, name)?;
        directory.change(Naming::Remove(name.to_owned()));
        if at_once {
            directory.sync();
        }
        Ok(())
    }

    pub fn rename(&mut self, parent: u64, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        let number = self.lookup(parent, from)?;
        let directory = self.rename_begins(Call::Rename, parent, to)?;
        directory.change(Naming::Rename(from.to_owned(), to.to_owned(), number));
        if let Some(node) = self.nodes.get_mut(&number) {
            node.name = to.to_owned();
        }
        Ok(())
    }

    pub fn chmod(&mut self, number: u64, mode: u16) -> Result<(), Errno> {
        self.nodes.get_mut(&number).ok_or(Errno::ENOENT)?.mode = mode;
        Ok(())
    }
}
