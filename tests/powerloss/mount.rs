//! The disk as a file system of the kernel, by way of `/dev/fuse`.
//!
//! While the power is off, no call returns: whoever made it is killed, and sees nothing any more. So nobody can mistake a
//! power cut for an error.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, Session, TimeOrNow,
    WriteFlags,
};
use rand::rngs::StdRng;
use tokio::sync::watch;

use super::disk::{Disk, Kind};
use super::file::File;

/// The kernel may keep what it knows: nobody else changes it.
const TTL: Duration = Duration::from_secs(3600);
const PUNCH_HOLE: i32 = 3;
const KEEP_SIZE: i32 = 1;

/// A mounted disk. Dropping it unmounts it.
pub struct Mounted {
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
    at: std::path::PathBuf,
}

struct Shared {
    disk: Mutex<Disk>,
    /// Calls that came while the power was off.
    waiting: Mutex<Option<Vec<Fail>>>,
    off: watch::Sender<bool>,
    slow: Mutex<Duration>,
}

type Fail = Box<dyn FnOnce() + Send>;

struct Driver(Arc<Shared>);

impl Mounted {
    /// Mounts a disk, if that is allowed here.
    pub fn new(disk: Disk, at: &Path) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            disk: Mutex::new(disk),
            waiting: Mutex::new(Some(Vec::new())),
            off: watch::Sender::new(false),
            slow: Mutex::default(),
        });
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("bbq-powerloss".to_owned())];
        let session = Session::new(Driver(Arc::clone(&shared)), at, &config)?.spawn()?;
        Ok(Self { shared, session: Some(session), at: at.to_owned() })
    }

    pub fn disk(&self) -> MutexGuard<'_, Disk> {
        self.shared.disk.lock().unwrap()
    }

    /// Every sync takes so long from now on.
    pub fn slow(&self, by: Duration) {
        *self.shared.slow.lock().unwrap() = by;
    }

    /// Ends all that goes on.
    pub fn cut(&self) {
        self.disk().cut();
        self.shared.off.send_replace(true);
    }

    /// Waits for the power cut that the disk makes by itself.
    pub async fn until_cut(&self) {
        self.shared.off.subscribe().wait_for(|off| *off).await.expect("it is held here");
    }

    /// Lets go the calls that wait: whoever made them has been killed.
    pub fn let_go(&self) {
        let waiting = self.shared.waiting.lock().unwrap().take();
        waiting.into_iter().flatten().for_each(|fail| fail());
    }

    /// Unmounts it, and says what a power cut leaves of it.
    pub fn remains(mut self, rng: &mut StdRng) -> Disk {
        self.cut();
        self.let_go();
        self.unmount();
        self.disk().remains(rng)
    }

    /// Unmounts it, with all that was written.
    pub fn unmounted(mut self) -> Disk {
        self.let_go();
        self.unmount();
        std::mem::take(&mut *self.disk())
    }

    fn unmount(&mut self) {
        let Some(session) = self.session.take() else { return };
        if session.umount_and_join().is_err() {
            // A failing test may leave a server that has not quite ended.
            _ = std::process::Command::new("umount").arg("-l").arg(&self.at).output();
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.let_go();
        self.unmount();
    }
}

/// An answer that can be a refusal.
trait Refuse: Send + 'static {
    fn refuse(self, error: Errno);
}

macro_rules! refuse {
    ($($reply:ty),*) => { $(impl Refuse for $reply {
        fn refuse(self, error: Errno) {
            self.error(error);
        }
    })* };
}

refuse!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyEmpty,
    ReplyEntry,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite
);

impl Shared {
    /// Does something and answers, if there is power.
    fn with<R: Refuse, T>(
        &self,
        reply: R,
        work: impl FnOnce(&mut Disk) -> Result<T, Errno>,
        answer: impl FnOnce(R, T),
    ) {
        let mut disk = self.disk.lock().unwrap();
        let done = if disk.is_off() { Err(Errno::EIO) } else { work(&mut disk) };
        let off = disk.is_off();
        drop(disk);
        if off {
            self.off.send_replace(true);
            let mut waiting = self.waiting.lock().unwrap();
            match &mut *waiting {
                Some(waiting) => waiting.push(Box::new(move || reply.refuse(Errno::EIO))),
                None => reply.refuse(Errno::EIO),
            }
            return;
        }
        match done {
            Ok(done) => answer(reply, done),
            Err(error) => reply.refuse(error),
        }
    }

    fn sync(self: &Arc<Self>, number: u64, reply: ReplyEmpty) {
        let slow = *self.slow.lock().unwrap();
        if slow.is_zero() {
            let work = |disk: &mut Disk| disk.sync(number).and_then(|until| disk.synced(number, until));
            return self.with(reply, work, |reply, ()| reply.ok());
        }
        let shared = Arc::clone(self);
        self.with(
            reply,
            |disk| disk.sync(number),
            move |reply, until| {
                std::thread::spawn(move || {
                    std::thread::sleep(slow);
                    shared.with(reply, |disk| disk.synced(number, until), |reply, ()| reply.ok());
                });
            },
        );
    }
}

fn attributes(disk: &Disk, number: u64) -> Result<FileAttr, Errno> {
    let node = disk.node(number)?;
    let (kind, size) = match &node.kind {
        Kind::File(file) => (FileType::RegularFile, file.bytes().len()),
        Kind::Directory(_) => (FileType::Directory, 0),
    };
    let size = u64::try_from(size).map_err(|_| Errno::EFBIG)?;
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: SystemTime::UNIX_EPOCH,
        mtime: SystemTime::UNIX_EPOCH,
        ctime: SystemTime::UNIX_EPOCH,
        crtime: SystemTime::UNIX_EPOCH,
        kind,
        perm: node.mode,
        nlink: 1,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

fn place(at: u64) -> Result<usize, Errno> {
    usize::try_from(at).map_err(|_| Errno::EFBIG)
}

fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).expect("twelve bits")
}

impl Filesystem for Driver {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let work = |disk: &mut Disk| attributes(disk, disk.lookup(parent.0, name)?);
        self.0.with(reply, work, |reply, found| reply.entry(&TTL, &found, Generation(0)));
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let work = |disk: &mut Disk| attributes(disk, number.0);
        self.0.with(reply, work, |reply, found| reply.attr(&TTL, &found));
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let work = |disk: &mut Disk| {
            if let Some(mode) = mode {
                disk.chmod(number.0, permissions(mode))?;
            }
            if let Some(size) = size {
                disk.resize(number.0, place(size)?)?;
            }
            attributes(disk, number.0)
        };
        self.0.with(reply, work, |reply, found| reply.attr(&TTL, &found));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let work = |disk: &mut Disk| {
            let kind = Kind::Directory(super::disk::Directory::default());
            let number = disk.add(parent.0, name, permissions(mode & !umask), kind)?;
            attributes(disk, number)
        };
        self.0.with(reply, work, |reply, found| reply.entry(&TTL, &found, Generation(0)));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let work = |disk: &mut Disk| {
            let kind = Kind::File(File::default());
            let number = disk.add(parent.0, name, permissions(mode & !umask), kind)?;
            attributes(disk, number)
        };
        self.0.with(reply, work, |reply, found| {
            reply.created(&TTL, &found, Generation(0), FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
        });
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.0.with(reply, |disk| disk.remove(parent.0, name), |reply, ()| reply.ok());
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.0.with(reply, |disk| disk.remove(parent.0, name), |reply, ()| reply.ok());
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let work = |disk: &mut Disk| {
            if parent != new_parent {
                return Err(Errno::EXDEV);
            }
            if !flags.is_empty() {
                return Err(Errno::EINVAL);
            }
            disk.rename(parent.0, name, new_name)
        };
        self.0.with(reply, work, |reply, ()| reply.ok());
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let opened = |reply: ReplyOpen, ()| reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
        self.0.with(reply, |_| Ok(()), opened);
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        at: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let work = |disk: &mut Disk| {
            let bytes = disk.file(number.0)?.bytes();
            let from = place(at)?.min(bytes.len());
            let until = bytes.len().min(from.saturating_add(place(size.into())?));
            Ok(bytes[from..until].to_vec())
        };
        self.0.with(reply, work, |reply, bytes| reply.data(&bytes));
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        at: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let work = |disk: &mut Disk| disk.write(number.0, place(at)?, bytes);
        let length = u32::try_from(bytes.len()).expect("the kernel writes little at once");
        self.0.with(reply, work, |reply, ()| reply.written(length));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Whoever was killed closes its files.
        reply.ok();
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.0.sync(number.0, reply);
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.0.sync(number.0, reply);
    }

    fn readdir(&self, _: &Request, number: INodeNo, _: FileHandle, from: u64, reply: ReplyDirectory) {
        let work = |disk: &mut Disk| {
            let names = disk.directory(number.0)?.seen.iter().skip(place(from)?);
            let found = |(name, node): (&OsString, &u64)| Ok((name.clone(), attributes(disk, *node)?));
            names.map(found).collect::<Result<Vec<_>, Errno>>()
        };
        self.0.with(reply, work, |mut reply, found| {
            for (next, (name, attributes)) in (from + 1..).zip(found) {
                if reply.add(attributes.ino, next, attributes.kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let answer = |reply: ReplyStatfs, ()| {
            reply.statfs(1 << 20, 1 << 19, 1 << 19, 1 << 20, 1 << 19, 4096, 255, 4096);
        };
        self.0.with(reply, |_| Ok(()), answer);
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        at: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let work = |disk: &mut Disk| {
            let size = disk.file(number.0)?.bytes().len();
            let (from, until) = (place(at)?, place(at.saturating_add(length))?);
            match mode {
                0 if until > size => disk.resize(number.0, until),
                0 | KEEP_SIZE => Ok(()),
                PUNCH_HOLE if from < size => {
                    let zeros = vec![0; until.min(size) - from];
                    disk.write(number.0, from, &zeros)
                }
                PUNCH_HOLE => Ok(()),
                _ => Err(Errno::EOPNOTSUPP),
            }
        };
        self.0.with(reply, work, |reply, ()| reply.ok());
    }
}
