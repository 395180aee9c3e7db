//! Bits that change while the server is stopped: it does not open, or it drops what is torn at the journal's end and says so, or
//! nothing is missing. What it gives is what was stored.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::crash::copy;
use super::model::{Harness, Model, Queue, choice, content, expected, frontier, options};
use crate::store::check::{Report, check};
use crate::store::directory::Directory;
use crate::store::host::Machine;
use crate::store::rows::Tree;
use crate::store::state::State;
use crate::store::{Lookup, OpenError, open};
use crate::types::{Change, DeduplicationId, QueueId, Sequence, Timestamp};

const SEED: u64 = 7;

/// What comes of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// It does not open, or reading a message fails, with these words.
    Refused(String),
    /// A message that should be there is not found; the broker stops at that.
    Missing,
    /// A message has another body.
    Wrong,
    /// Entries at the journal's end are gone, and opening says so.
    Torn,
    /// All is there.
    Whole,
}

/// A directory after so many entries, with checkpoints in between and entries behind the last one.
fn directory(path: &Path, entries: u64, reopened: bool) {
    let mut harness = Harness::open(path, SEED);
    for entry in 1..=entries {
        harness.step();
        if entry % 97 == 0 {
            harness.checkpoint();
        }
        if reopened && entry == entries / 2 {
            drop(harness);
            harness = Harness::open(path, SEED);
        }
    }
    harness.synced();
}

/// Opens it and reads everything.
fn outcome(path: &Path, entries: u64) -> Outcome {
    let opened = match open(path, &options()) {
        Ok(opened) => opened,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let harness = Harness::of(opened, SEED);
    let last = harness.last.index;
    assert_eq!(harness.model, expected(SEED, last), "the state is not that of entry {last}");
    let read = read(&harness, &harness.model);
    if last < entries {
        let torn = harness.store.torn().expect("what was cut off is told");
        assert_eq!(torn.last, last);
        assert!(torn.kept.is_file() && torn.bytes > 0);
        return read.err().unwrap_or(Outcome::Torn);
    }
    read.err().unwrap_or(Outcome::Whole)
}

/// Every message that should be there.
fn read(harness: &Harness, model: &Model) -> Result<(), Outcome> {
    for (&id, Queue { record, touched }) in &model.queues {
        let untouched = (frontier(record).0..record.next_sequence.0).map(Sequence);
        for sequence in touched.keys().copied().chain(untouched) {
            let message = match harness.store.lookup(id, sequence) {
                Lookup::Hot(message) => Some(message),
                Lookup::Gone => None,
                Lookup::Cold => {
                    let read = harness.store.reader().messages(id, &[sequence]);
                    read.map_err(|error| Outcome::Refused(error.to_string()))?.remove(0)
                }
            };
            let message = message.ok_or(Outcome::Missing)?;
            if (message.sequence, &message.content) != (sequence, &content(id, sequence)) {
                return Err(Outcome::Wrong);
            }
        }
    }
    Ok(())
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.join("FORMAT")];
    for part in ["journal", "state"] {
        let entries = fs::read_dir(path.join(part)).unwrap().map(|entry| entry.unwrap().path());
        found.extend(entries.filter(|path| path.is_file()));
    }
    found.sort_unstable();
    found
}

/// Where to flip: everywhere in what is short; as often as `many` says in what is long, mostly where something is.
fn places(bytes: &[u8], many: u64) -> Vec<usize> {
    if bytes.len() < 100 {
        return (0..bytes.len()).collect();
    }
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap_or(0) + 1;
    let place = |n| usize::try_from(choice(SEED, n, 20, u64::try_from(end).unwrap())).unwrap();
    let behind = (end + 40).min(bytes.len() - 1);
    (0..many).map(place).chain([0, end - 1, behind]).collect()
}

/// What the check says; of what it takes for a directory of a newer program, nothing.
fn checked(path: &Path) -> Report {
    match check(path, |_, _| {}) {
        Ok(report) => report,
        Err(OpenError::Newer { .. }) => Report::default(),
        Err(error) => panic!("{error}"),
    }
}

/// What one flipped bit leads to, and what is wrong with that.
fn judged(what: &str, damaged: &Path, entries: u64, flip: impl Fn()) -> (&'static str, Vec<String>) {
    flip();
    let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| outcome(damaged, entries))) else {
        return ("wrong", vec![format!("{what}: see above")]);
    };
    flip();
    let Ok(report) = catch_unwind(|| checked(damaged)) else {
        return ("wrong", vec![format!("{what}: the check, see above")]);
    };
    let mut wrong = Vec::new();
    let mut demand = |holds: bool, rule: &str| {
        if !holds {
            wrong.push(format!("{what}: {outcome:?}: {rule}: {report:?}"));
        }
    };
    let kind = match &outcome {
        Outcome::Refused(words) => {
            let named = [
                "FORMAT",
                "journal",
                "/state",
                "conf",
                "snap.",
                "chunks",
                "parts",
                "db is damaged",
                "has format",
            ];
            demand(named.iter().any(|name| words.contains(name)), "the words name the place");
            let way_out = ["estore a backup", "it must be the line", "use a newer program"];
            demand(way_out.iter().any(|way| words.contains(way)), "the words name the way out");
            demand(report.damage.count > 0 || words.contains("has format"), "the check finds damage");
            "refused"
        }
        Outcome::Missing => {
            demand(report.damage.count > 0, "the check finds damage");
            "missing"
        }
        Outcome::Torn => {
            demand(report.leftovers.count > 0, "the check tells of it");
            "torn"
        }
        Outcome::Wrong => {
            demand(false, "no wrong body is ever given");
            "wrong"
        }
        Outcome::Whole => "whole",
    };
    (kind, wrong)
}

/// Flips bits in every file of a directory, one at a time, and looks what comes of it.
fn flips(
    entries: u64,
    reopened: bool,
    many: u64,
    only: &str,
) -> BTreeMap<String, BTreeMap<&'static str, u64>> {
    let home = tempfile::tempdir().unwrap();
    let (whole, damaged) = (home.path().join("whole"), home.path().join("damaged"));
    directory(&whole, entries, reopened);
    let report = checked(&whole);
    assert_eq!(report.damage.first, [], "of what is whole");
    assert_eq!((report.last.index, report.applied.index), (entries, entries / 97 * 97));
    let mut tallies: BTreeMap<String, BTreeMap<&'static str, u64>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for file in files(&whole) {
        let name = file.strip_prefix(&whole).unwrap().to_str().unwrap().to_owned();
        if !name.contains(only) {
            continue;
        }
        let bytes = fs::read(&file).unwrap();
        for (n, place) in places(&bytes, many).into_iter().enumerate() {
            let bit = choice(SEED, u64::try_from(n).unwrap(), 21, 8);
            let flip = || {
                let _ = fs::remove_dir_all(&damaged);
                copy(&whole, &damaged);
                let mut bytes = bytes.clone();
                bytes[place] ^= 1 << bit;
                fs::write(damaged.join(&name), bytes).unwrap();
            };
            let (kind, more) = judged(&format!("{name}, byte {place}, bit {bit}"), &damaged, entries, flip);
            wrong.extend(more);
            *tallies.entry(name.clone()).or_default().entry(kind).or_default() += 1;
        }
    }
    println!("{tallies:#?}");
    for (name, kinds) in &tallies {
        // They are verified whole.
        let whole = ["state/conf", "state/snap."].iter().any(|begin| name.starts_with(begin));
        assert!(!whole || kinds.keys().all(|kind| *kind == "refused"), "{name}: {kinds:?}");
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    tallies
}

#[test]
fn a_flipped_bit_is_never_served() {
    flips(400, false, 40, "");
}

#[test]
fn a_flipped_bit_is_never_served_after_a_restart() {
    flips(400, true, 40, "");
}

/// Where sled's log has several segments, it takes what follows a damaged place in an earlier one for what is left of a segment
/// that it was about to use again, and goes on behind it.
#[test]
fn a_flipped_bit_in_the_middle_of_the_state_is_never_served() {
    let tallies = flips(1600, false, 60, "state/db");
    assert!(tallies["state/db"]["refused"] > 0);
}

/// What no checksum of a page tells: a row that is whole, and of an earlier checkpoint.
#[test]
fn rows_of_an_earlier_checkpoint_are_noticed() {
    let home = tempfile::tempdir().unwrap();
    let (early, late) = (home.path().join("early"), home.path().join("late"));
    directory(&early, 194, false);
    directory(&late, 400, false);
    let state = |path: &Path| {
        State::open(Directory::open(Arc::new(Machine), path, 4 << 20).unwrap(), &options()).unwrap()
    };
    let rows = |tree: &Tree| tree.iter().map(Result::unwrap).collect::<Vec<_>>();
    let early = state(&early);
    for name in ["queues", "records"] {
        let pick =
            |state: &State| if name == "queues" { state.queues.clone() } else { state.records.clone() };
        let path = home.path().join(name);
        copy(&late, &path);
        let damaged = state(&path);
        let now: BTreeMap<_, _> = rows(&pick(&damaged)).into_iter().collect();
        let changed = |(key, old): &(sled::IVec, sled::IVec)| now.get(key).is_some_and(|now| now != old);
        let (key, old) = rows(&pick(&early)).into_iter().find(changed).unwrap();
        pick(&damaged).insert(key, old).unwrap();
        damaged.persist().unwrap();
        drop(damaged);
        let why = open(&path, &options()).unwrap_err().to_string();
        assert!(why.contains(name) && why.contains("older"), "{why}");
        assert_eq!(outcome(&late, 400), Outcome::Whole);
    }
}

/// A queue that remembers ids, in three checkpoints; the last one forgets some.
fn with_ids(path: &Path) -> QueueId {
    let mut harness = Harness::open(path, SEED);
    let queue = QueueId(0);
    harness.push(&[super::lifecycle::create()]);
    for round in 0..3 {
        let first = harness.model.queues[&queue].record.next_sequence.0;
        harness.push(&[super::lifecycle::publish(first, 10)]);
        harness.store.apply((first..first + 10).map(|n| Change::Remembered {
            queue,
            sequence: Sequence(n),
            id: DeduplicationId([n, 1]),
            at: Timestamp(n),
        }));
        if round == 2 {
            harness.model.queues.get_mut(&queue).unwrap().record.remembered_from = Sequence(13);
        }
        harness.checkpoint();
    }
    queue
}

/// Of what is published twice, the second would be stored again.
#[test]
fn ids_that_are_missing_or_changed_are_noticed() {
    let home = tempfile::tempdir().unwrap();
    let whole = home.path().join("whole");
    let queue = with_ids(&whole);
    let opened = open(&whole, &options()).unwrap();
    assert_eq!(opened.snapshot.remembered.len(), 18, "13 to 30");
    drop(opened.store);
    let state = |path: &Path| {
        State::open(Directory::open(Arc::new(Machine), path, 4 << 20).unwrap(), &options()).unwrap()
    };
    let key = |sequence: u64| [&queue.0.to_be_bytes()[..], &sequence.to_be_bytes()].concat();
    type Damage<'a> = &'a dyn Fn(&Tree);
    let damages: [(&str, Damage<'_>); 4] = [
        ("first", &|ids| ids.remove(key(13)).unwrap()),
        ("last", &|ids| ids.remove(key(30)).unwrap()),
        ("changed", &|ids| ids.insert(key(20), &ids.get(key(21)).unwrap().unwrap()[..]).unwrap()),
        ("more", &|ids| ids.insert(key(15), &[7; 24]).unwrap()),
    ];
    for (name, damage) in damages {
        let path = home.path().join(name);
        copy(&whole, &path);
        let damaged = state(&path);
        damage(&damaged.ids);
        damaged.persist().unwrap();
        drop(damaged);
        let why = open(&path, &options()).unwrap_err().to_string();
        assert!(why.contains("ids of queue 0") && why.contains("older"), "{name}: {why}");
        let report = check(&path, &mut |_, _| ()).unwrap();
        assert!(report.damage.first.iter().any(|finding| finding.what.contains("ids of queue 0")), "{name}");
    }
}

/// What is forgotten, what no checkpoint named, and what a program left that knew no sums does not keep a directory from opening.
#[test]
fn ids_that_do_not_count_are_in_no_sum() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let queue = with_ids(&path);
    let key = |sequence: u64| [&queue.0.to_be_bytes()[..], &sequence.to_be_bytes()].concat();
    let state = State::open(Directory::open(Arc::new(Machine), &path, 4 << 20).unwrap(), &options()).unwrap();
    for dead in [key(5), key(31), key(99)] {
        state.ids.insert(dead, &[7; 24]).unwrap();
    }
    for known in ["ids".into(), [b"ids", &queue.0.to_be_bytes()[..]].concat()] {
        assert!(state.meta.contains_key(&known).unwrap());
        state.meta.remove(&known).unwrap();
    }
    // Sums that do not count, of a queue that is none: they must not begin to when the others are given.
    state.meta.remove("sum").unwrap();
    for kind in [b"sum", b"ids"] {
        state.meta.insert([kind, &[0, 0, 0, 9][..]].concat(), &[7; 8]).unwrap();
    }
    state.persist().unwrap();
    drop(state);
    for _ in 0..2 {
        assert_eq!(open(&path, &options()).unwrap().snapshot.remembered.len(), 18);
    }
    let mut harness = Harness::open(&path, SEED);
    harness.push(&[crate::types::Command::DeleteQueue { queue }]);
    harness.checkpoint();
    drop(harness);
    assert_eq!(open(&path, &options()).unwrap().snapshot.remembered.len(), 0);
}
