//! Journals as a kill, a power cut or a bad disk leave them.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::store::host::{Operation, Watched};
use crate::store::{Awaited, EntryBuilder};
use crate::types::{Command, Timestamp};

use super::*;

const SEGMENT: u64 = 64 << 10;

struct Fixture {
    directory: TempDir,
}

struct Running {
    found: Found,
    events: UnboundedReceiver<StoreEvent>,
    next: u64,
}

fn command(index: u64) -> Command {
    Command::Expire { limit: u32::try_from(index).unwrap() }
}

impl Fixture {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn open(&self, applied: u64) -> Result<Running, OpenError> {
        let (sender, events) = unbounded_channel();
        let applied = LogId { term: u64::from(applied > 0), index: applied };
        let machine: (Arc<dyn Disk>, Arc<dyn Threads>) = (Arc::new(Machine), Arc::new(Machine));
        let found = open((&machine.0, &machine.1), self.path(), SEGMENT, applied, sender)?;
        let next = found.last.index + 1;
        Ok(Running { found, events, next })
    }

    /// A journal of entries 1 to `count`, each written in a batch of its own.
    fn with(count: u64) -> Self {
        let fixture = Self::new();
        fixture.open(0).unwrap().append(count);
        fixture
    }

    fn copy(&self) -> Self {
        let copy = Self::new();
        for entry in fs::read_dir(self.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        copy
    }

    fn segments(&self) -> Vec<PathBuf> {
        segment::list(&Machine, self.path()).unwrap().into_iter().map(|(_, path)| path).collect()
    }

    fn overwrite(&self, segment: usize, at: usize, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(&self.segments()[segment]).unwrap();
        file.write_all_at(bytes, at.try_into().unwrap()).unwrap();
    }

    fn torn_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut torn: Vec<_> = entries.filter(|path| path.to_string_lossy().contains("torn-")).collect();
        torn.sort();
        torn
    }

    /// How many entries opening finds; entries are what was written, and the journal goes on behind them.
    fn entries(&self) -> Result<u64, OpenError> {
        self.open(0).map(|running| self.check_all(running))
    }

    fn check_all(&self, running: Running) -> u64 {
        let count = running.check(1);
        assert_eq!(running.found.last.index, count);
        running.append(1);
        let again = self.open(0).unwrap().check(1);
        assert_eq!(again, count + 1, "what was appended behind the salvaged part reads back");
        count
    }
}

impl Running {
    /// Appends entries, waiting for each; then stops.
    fn append(mut self, count: u64) {
        for _ in 0..count {
            let mut entry = EntryBuilder::new(Timestamp(self.next));
            entry.push(&command(self.next));
            self.found.journal.append(
                LogId { term: 1, index: self.next },
                entry.into_record(),
                Awaited::Written,
            );
            loop {
                match self.events.blocking_recv().unwrap() {
                    StoreEvent::Durable { index, .. } if index == self.next => break,
                    StoreEvent::Failed { what } => panic!("{what}"),
                    _ => {}
                }
            }
            self.next += 1;
        }
    }

    /// Reads the entries, which must begin with `first`; how many there are.
    fn check(&self, first: u64) -> u64 {
        let replay =
            Replay::new(Arc::new(Machine), self.found.replay.remaining(), self.found.replay.applied());
        let mut count = 0;
        for (entry, index) in replay.zip(first..) {
            let entry = entry.unwrap();
            assert_eq!(entry.id, LogId { term: 1, index });
            assert_eq!((entry.now, entry.commands), (Timestamp(index), vec![command(index)]));
            count += 1;
        }
        count
    }
}

/// Where the records of a segment begin, and where the last ends.
fn bounds(path: &Path) -> Vec<usize> {
    let bytes = fs::read(path).unwrap();
    let salt = segment::Header::decode(&bytes).unwrap().salt;
    let mut bounds = vec![segment::HEADER_BYTES];
    while let Some(header) = record::whole(&bytes[bounds[bounds.len() - 1]..], salt) {
        bounds.push(bounds[bounds.len() - 1] + record::HEADER_BYTES + header.payload);
    }
    bounds
}

fn assert_corrupt(outcome: Result<u64, OpenError>, at: usize) {
    match outcome {
        Err(OpenError::Corrupt { offset, .. }) => assert_eq!(offset, u64::try_from(at).unwrap()),
        other => panic!("opened, or failed otherwise: {other:?}"),
    }
}

#[test]
fn entries_read_back_after_a_stop() {
    let fixture = Fixture::with(3);
    fixture.open(0).unwrap().append(2);
    assert_eq!(fixture.entries().unwrap(), 5);
    assert_eq!(fixture.open(4).unwrap().check(5), 2, "entries of the checkpoint are passed over");
    assert!(fixture.torn_files().is_empty());
}

/// A power cut may leave any part of the last, unsynced write.
#[test]
fn a_record_cut_anywhere_leaves_those_before_it() {
    let fixture = Fixture::with(4);
    let bounds = bounds(&fixture.segments()[0]);
    for cut in bounds[3]..bounds[4] {
        let short = fixture.copy();
        let file = OpenOptions::new().write(true).open(&short.segments()[0]).unwrap();
        file.set_len(cut.try_into().unwrap()).unwrap();
        assert_eq!(short.entries().unwrap(), 3, "file cut at {cut}");
        let zeros = fixture.copy();
        zeros.overwrite(0, cut, &vec![0; bounds[4] - cut]);
        let expected = if fs::read(&fixture.segments()[0]).unwrap()[cut..bounds[4]].iter().all(|&b| b == 0) {
            4
        } else {
            3
        };
        assert_eq!(zeros.entries().unwrap(), expected, "zeros from {cut}");
        let garbage = fixture.copy();
        garbage.overwrite(0, cut, &vec![0xa5; bounds[4] - cut + 700]);
        assert_eq!(garbage.entries().unwrap(), 3, "garbage from {cut}");
        assert_eq!(garbage.torn_files().len(), 1);
    }
}

#[test]
fn a_flipped_bit_in_the_last_record_takes_that_record_only() {
    let fixture = Fixture::with(3);
    let bounds = bounds(&fixture.segments()[0]);
    let bytes = fs::read(&fixture.segments()[0]).unwrap();
    for (at, byte) in bytes.iter().enumerate().take(bounds[3]).skip(bounds[2]) {
        let flipped = fixture.copy();
        flipped.overwrite(0, at, &[byte ^ 0x10]);
        assert_eq!(flipped.entries().unwrap(), 2, "byte {at}");
    }
}

/// The last sector of a write may arrive without those before it.
#[test]
fn a_torn_write_of_several_records_keeps_the_whole_ones_before_the_hole() {
    let fixture = Fixture::with(3);
    let bounds = bounds(&fixture.segments()[0]);
    // Entries 4 to 6 in one write that was never synced: all say that entry 3 was the last that was.
    let path = &fixture.segments()[0];
    let salt = segment::Header::read(&Machine, path).unwrap().unwrap().salt;
    let mut at = bounds[3];
    let mut starts = Vec::new();
    for index in 4..=6 {
        let mut entry = EntryBuilder::new(Timestamp(index));
        entry.push(&command(index));
        let mut bytes = entry.into_record();
        record::seal(&mut bytes, salt, LogId { term: 1, index }, 3);
        fixture.overwrite(0, at, &bytes);
        starts.push(at);
        at += bytes.len();
    }
    assert_eq!(fixture.copy().entries().unwrap(), 6);
    let hole = fixture.copy();
    hole.overwrite(0, starts[1], &vec![0; starts[2] - starts[1]]);
    assert_eq!(hole.entries().unwrap(), 4, "entry 6 must not come back behind a new entry 5");
    let hole = fixture.copy();
    // A byte of the checksum, which is another one each time.
    let other = !fs::read(&hole.segments()[0]).unwrap()[starts[0] + 5];
    hole.overwrite(0, starts[0] + 5, &[other]);
    assert_eq!(hole.entries().unwrap(), 3);
}

#[test]
fn a_broken_record_that_a_later_one_proves_is_corruption() {
    let fixture = Fixture::with(4);
    let bounds = bounds(&fixture.segments()[0]);
    let bytes = fs::read(&fixture.segments()[0]).unwrap();
    for (at, byte) in bytes.iter().enumerate().take(bounds[2]).skip(bounds[1]) {
        let flipped = fixture.copy();
        flipped.overwrite(0, at, &[byte ^ 1]);
        let before = fs::read(&flipped.segments()[0]).unwrap();
        assert_corrupt(flipped.entries(), bounds[1]);
        assert_eq!(fs::read(&flipped.segments()[0]).unwrap(), before, "nothing is changed");
    }
    let zeroed = fixture.copy();
    zeroed.overwrite(0, bounds[1], &vec![0; bounds[3] - bounds[1]]);
    assert_corrupt(zeroed.entries(), bounds[1]);
}

/// Entry 3 proves that entry 2 was synced, not that entry 3 was.
#[test]
fn a_record_does_not_prove_itself() {
    let fixture = Fixture::with(3);
    let bounds = bounds(&fixture.segments()[0]);
    fixture.overwrite(0, bounds[2] + 40, &[0xff; 2]);
    assert_eq!(fixture.entries().unwrap(), 2);
}

/// Whoever publishes a copy of a journal does not keep the server from starting.
#[test]
fn a_payload_that_looks_like_a_record_proves_nothing() {
    let other = Fixture::with(9);
    let disguise = fs::read(&other.segments()[0]).unwrap()[segment::HEADER_BYTES..2000].to_vec();
    let fixture = Fixture::with(2);
    let end = bounds(&fixture.segments()[0])[2];
    fixture.overwrite(0, end, &[0xff; 64]);
    fixture.overwrite(0, end + 64, &disguise);
    assert_eq!(fixture.entries().unwrap(), 2);
}

fn append_large(running: &mut Running, bytes: usize) {
    let mut record = EntryBuilder::new(Timestamp(running.next)).into_record();
    record.resize(record.len() + bytes, 0xee);
    running.found.journal.append(LogId { term: 1, index: running.next }, record, Awaited::Written);
    running.next += 1;
}

/// Each of these entries takes more than half a segment; the last takes more than one.
fn many_segments() -> Fixture {
    let fixture = Fixture::new();
    let mut running = fixture.open(0).unwrap();
    for bytes in [40_000, 40_000, 40_000, 100_000] {
        append_large(&mut running, bytes);
    }
    drop(running);
    fixture
}

#[test]
fn the_journal_goes_on_in_further_segments() {
    let fixture = many_segments();
    let names: Vec<_> = fixture.segments().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, (1..=4).map(|n| format!("{n:020}.seg").into()).collect::<Vec<std::ffi::OsString>>());
    let scan = scan::scan(&Machine, fixture.path(), 0).unwrap();
    assert_eq!((scan.segments.len(), scan.last.index), (4, 4));
}

#[test]
fn purging_removes_whole_segments_below_the_checkpoint() {
    let fixture = many_segments();
    assert_eq!(purge(&Machine, fixture.path(), 0, u64::MAX).unwrap(), 0);
    assert_eq!(purge(&Machine, fixture.path(), 2, u64::MAX).unwrap(), 2);
    assert_eq!(fixture.segments().len(), 2);
    assert!(fixture.open(1).is_err(), "entry 2 is missing");
    let running = fixture.open(2).unwrap();
    assert_eq!(running.found.last.index, 4);
    drop(running);
    assert_eq!(purge(&Machine, fixture.path(), 4, u64::MAX).unwrap(), 1, "the last stays");
    let running = fixture.open(4).unwrap();
    assert_eq!(running.found.last.index, 4);
    running.append(1);
    assert_eq!(fixture.open(4).unwrap().check(5), 1);
}

#[test]
fn opening_removes_what_a_purge_left() {
    let fixture = many_segments();
    drop(fixture.open(3).unwrap());
    assert_eq!(fixture.segments().len(), 1);
}

#[test]
fn a_missing_or_cut_segment_is_corruption() {
    for broken in 0..3 {
        let fixture = many_segments();
        let end = bounds(&fixture.segments()[broken])[1];
        fixture.overwrite(broken, end - 1, &[0]);
        assert_corrupt(fixture.entries(), segment::HEADER_BYTES);
    }
    let fixture = many_segments();
    let before = bounds(&fixture.segments()[0])[1];
    fs::remove_file(&fixture.segments()[1]).unwrap();
    assert_corrupt(fixture.entries(), before);
}

#[test]
fn a_segment_that_was_being_made_is_made_again() {
    for header in [&[][..], &[0; 100], b"BBQJRNL\0\0\0"] {
        let fixture = Fixture::with(2);
        fs::write(segment::path(fixture.path(), 3), header).unwrap();
        assert_eq!(fixture.entries().unwrap(), 2);
        assert_eq!(
            fixture.segments().len(),
            1,
            "a nameless one would break the row when further ones follow"
        );
        let only = Fixture::new();
        fs::write(segment::path(only.path(), 1), header).unwrap();
        assert_eq!(only.entries().unwrap(), 0);
    }
}

#[test]
fn a_broken_header_before_records_is_corruption() {
    let fixture = Fixture::with(2);
    fixture.overwrite(0, 13, &[9]);
    assert_corrupt(fixture.entries(), 0);
    let fixture = many_segments();
    fixture.overwrite(1, 0, &[9]);
    assert_corrupt(fixture.entries(), 0);
    let fixture = Fixture::with(2);
    fs::rename(&fixture.segments()[0], segment::path(fixture.path(), 2)).unwrap();
    assert_corrupt(fixture.entries(), 12);
}

#[test]
fn few_torn_tails_are_kept() {
    let fixture = Fixture::with(1);
    for round in 0..20 {
        let end = *bounds(&fixture.segments()[0]).last().unwrap();
        fixture.overwrite(0, end, &[0xff, round, 0xff]);
        fixture.open(0).unwrap().append(1);
        let torn = fixture.torn_files();
        assert!(torn.len() <= TORN_MAX);
        assert_eq!(fs::read(torn.last().unwrap()).unwrap(), [0xff, round, 0xff]);
    }
}

/// A power cut between the two must not take both.
#[test]
fn a_torn_tail_is_kept_on_disk_before_the_original_is_cut_off() {
    let fixture = Fixture::with(1);
    let end = *bounds(&fixture.segments()[0]).last().unwrap();
    fixture.overwrite(0, end, b"torn");
    let watched = Watched::default();
    let (sender, _events) = unbounded_channel();
    let machine: (Arc<dyn Disk>, Arc<dyn Threads>) = (Arc::new(watched.clone()), Arc::new(Machine));
    drop(open((&machine.0, &machine.1), fixture.path(), SEGMENT, LogId::default(), sender).unwrap());
    let done = watched.done();
    let at = |operation, path: &Path| {
        let wanted = (operation, path.to_owned());
        done.iter()
            .position(|one| *one == wanted)
            .unwrap_or_else(|| panic!("{wanted:?} is not among {done:?}"))
    };
    let kept = at(Operation::SyncAll, &fixture.torn_files()[0]);
    let named = at(Operation::SyncDirectory, fixture.path());
    let cut = at(Operation::SetLength, &fixture.segments()[0]);
    assert!(kept < named && named < cut, "{done:?}");
}

/// The directory may still lose the name of the last segment, but not the removal of the one before.
#[test]
fn a_segment_whose_name_is_not_on_disk_keeps_the_one_before_it() {
    let fixture = Fixture::new();
    let watched = Watched::default();
    let (sender, mut events) = unbounded_channel();
    let machine: (Arc<dyn Disk>, Arc<dyn Threads>) = (Arc::new(watched.clone()), Arc::new(Machine));
    let found = open((&machine.0, &machine.1), fixture.path(), SEGMENT, LogId::default(), sender).unwrap();
    let mut running = Running { found, events: unbounded_channel().1, next: 1 };
    append_large(&mut running, 40_000);
    append_large(&mut running, 40_000);
    while !matches!(events.blocking_recv().unwrap(), StoreEvent::Durable { index: 2, .. }) {}
    let progress = running.found.journal.progress.clone();
    assert_eq!(progress.newest(), 2);
    watched.fail_next(Operation::SyncDirectory);
    append_large(&mut running, 40_000);
    while !matches!(events.blocking_recv().unwrap(), StoreEvent::Failed { .. }) {}
    assert_eq!((fixture.segments().len(), progress.newest()), (3, 2));
    assert_eq!(purge(&Machine, fixture.path(), 2, progress.newest()).unwrap(), 1);
    assert_eq!(fixture.segments()[0], segment::path(fixture.path(), 2));
}

/// A checkpoint waits for its entries to be durable: a journal that ends before it has lost some since.
#[test]
fn a_journal_that_ends_before_the_checkpoint_is_refused() {
    let fixture = Fixture::with(3);
    assert!(matches!(fixture.open(4), Err(OpenError::Corrupt { .. })));
    fixture.open(3).unwrap().append(1);
    assert_eq!(fixture.open(3).unwrap().check(4), 1);
}

/// A kill between making a segment and writing into it, when a checkpoint has removed those before it.
#[test]
fn a_journal_without_entries_goes_on_after_the_checkpoint() {
    let check = |fixture: Fixture| {
        assert!(matches!(fixture.open(4), Err(OpenError::Corrupt { .. })));
        fixture.open(3).unwrap().append(1);
        assert_eq!(fixture.open(3).unwrap().check(4), 1);
    };
    for remove in [false, true] {
        let fixture = Fixture::with(3);
        let before = fixture.segments();
        let header = segment::Header { first: 4, salt: 9 };
        drop(segment::create(&Machine, fixture.path(), header, SEGMENT).unwrap());
        before.iter().filter(|_| remove).for_each(|path| fs::remove_file(path).unwrap());
        check(fixture);
        for header in [&[][..], &[0; 100], b"BBQJRNL\0\0\0"] {
            let fixture = Fixture::with(3);
            let before = fixture.segments();
            fs::write(segment::path(fixture.path(), 4), header).unwrap();
            before.iter().filter(|_| remove).for_each(|path| fs::remove_file(path).unwrap());
            check(fixture);
        }
    }
}

#[test]
fn a_batch_is_reported_written_before_durable_and_in_order() {
    let fixture = Fixture::new();
    let mut running = fixture.open(0).unwrap();
    for _ in 0..50 {
        append_large(&mut running, 10);
    }
    let Running { found, mut events, .. } = running;
    drop(found);
    let (mut written, mut durable) = (0, 0);
    while let Some(event) = events.blocking_recv() {
        match event {
            StoreEvent::Written { index } => {
                assert!(index > written);
                written = index;
            }
            StoreEvent::Durable { index, .. } => {
                assert!(index > durable && index <= written);
                durable = index;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((written, durable), (50, 50), "stopping waits for what was appended");
}

/// A full disk is reported once; nothing is reported durable after it.
#[test]
fn a_failed_write_is_final() {
    let directory = tempfile::tempdir().unwrap();
    let (events, mut reported) = unbounded_channel();
    let progress = Progress::starting_at(0, 1);
    let writer = writer::Writer {
        disk: Arc::new(Machine),
        threads: Arc::new(Machine),
        directory: directory.path().to_owned(),
        segment_bytes: SEGMENT,
        file: Box::new(OpenOptions::new().write(true).open("/dev/full").unwrap()),
        path: "/dev/full".into(),
        salt: 1,
        end: segment::HEADER_BYTES,
        written: 0,
        durable: 0,
        progress: progress.clone(),
        events,
    };
    let (sender, receiver) = unbounded_channel();
    let thread = Machine.run("journal", Box::pin(writer.run(receiver))).unwrap().unwrap();
    for index in 1..=3 {
        let record = EntryBuilder::new(Timestamp(1)).into_record();
        _ = sender.send(writer::Append { id: LogId { term: 1, index }, record, awaited: Awaited::Durable });
    }
    thread.join().unwrap();
    let Some(StoreEvent::Failed { what }) = reported.blocking_recv() else { panic!("no failure") };
    assert!(what.contains("/dev/full"), "{what}");
    assert_eq!(reported.blocking_recv(), None);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(!runtime.block_on(progress.wait(1)), "nobody waits for what will not come");
}

#[test]
fn scanning_takes_any_bytes() {
    let fixture = Fixture::with(2);
    let end = *bounds(&fixture.segments()[0]).last().unwrap();
    for seed in 0..200_u64 {
        let random = |n: u64| xxhash_rust::xxh3::xxh3_64_with_seed(&n.to_be_bytes(), seed).to_be_bytes();
        let bytes: Vec<u8> = (0..40).flat_map(random).collect();
        fixture.overwrite(0, end, &bytes);
        assert_eq!(scan::scan(&Machine, fixture.path(), 0).unwrap().last.index, 2);
    }
}

/// A start that is cut short behind any of its operations leaves a journal with which the next one goes on, also where the one
/// before it was cut short while it made a segment and nothing else of the journal was needed any more.
#[test]
fn a_start_that_is_cut_short_leaves_a_journal() {
    for header in [&[][..], &[0; 100]] {
        let mut good = 0;
        loop {
            let fixture = Fixture::with(3);
            fs::write(segment::path(fixture.path(), 4), header).unwrap();
            let watched = Watched::failing_after(good);
            let (sender, _events) = unbounded_channel();
            let disk: (Arc<dyn Disk>, Arc<dyn Threads>) = (Arc::new(watched), Arc::new(Machine));
            let applied = LogId { term: 1, index: 3 };
            let whole = open((&disk.0, &disk.1), fixture.path(), SEGMENT, applied, sender).is_ok();
            fixture.open(3).unwrap_or_else(|error| panic!("after {good} operations: {error}")).append(1);
            assert_eq!(fixture.open(3).unwrap().check(4), 1);
            if whole {
                break;
            }
            good += 1;
        }
        assert!(good > 5, "it was cut short {good} times");
    }
}
