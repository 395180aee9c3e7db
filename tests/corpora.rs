//! What fuzzing found so far goes through every target without harm: `fuzz/corpus/` has a directory for each.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use bbq::fuzzing::{TARGETS, Target};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// All corpora together.
const BYTES_MAX: u64 = 1 << 20;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort_unstable();
    files
}

/// Runs a target, and says of which input it broke.
fn run(target: Target, bytes: &[u8], what: &str) {
    if catch_unwind(|| target(bytes)).is_err() {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("{what}: {hex}");
    }
}

#[test]
fn every_target_takes_its_corpus() {
    let mut bytes = 0;
    for (name, target) in TARGETS {
        let files = files(&corpora().join(name));
        assert!(files.len() >= 3, "{name}: its corpus has {} inputs", files.len());
        for file in files {
            let input = fs::read(&file).unwrap();
            bytes += u64::try_from(input.len()).unwrap();
            run(target, &input, &file.display().to_string());
        }
    }
    assert!(bytes < BYTES_MAX, "the corpora have {bytes} bytes: merge them (`make fuzz`)");
}

#[test]
fn every_corpus_has_a_target() {
    let known: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let there: BTreeSet<_> =
        files(&corpora()).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(there, known);
}

/// Two thousand changed inputs for each target, as a fuzzer makes them, with a fixed seed: what a fuzzer finds in its first moments is found
/// here.
#[test]
fn every_target_takes_what_is_near_its_corpus() {
    let mut rng = SmallRng::seed_from_u64(5);
    for (name, target) in TARGETS {
        let inputs: Vec<_> =
            files(&corpora().join(name)).iter().map(|file| fs::read(file).unwrap()).collect();
        for round in 0..2000 {
            let mut input = inputs[rng.random_range(0..inputs.len())].clone();
            for _ in 0..rng.random_range(1..4) {
                mutate(&mut rng, &mut input);
            }
            run(target, &input, &format!("{name}, round {round}"));
        }
    }
}

fn mutate(rng: &mut SmallRng, input: &mut Vec<u8>) {
    if input.is_empty() {
        input.push(rng.random());
        return;
    }
    let at = rng.random_range(0..input.len());
    match rng.random_range(0..6) {
        0 => input[at] ^= 1 << rng.random_range(0..8),
        1 => input[at] = rng.random(),
        2 => input[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
        3 => input.truncate(at),
        4 => input.insert(at, rng.random()),
        _ => {
            let end = (at + rng.random_range(1..9)).min(input.len());
            let copy = input[at..end].to_vec();
            input.splice(at..at, copy);
        }
    }
}
