//! A file: what is seen of it, and what a power cut could leave.
//!
//! A change that was not synced may be on disk or not, page by page and, where the power went in the middle of a write, sector
//! by sector. A size may be there without the data: then zeros are.

use std::collections::HashMap;
use std::ops::Range;

use rand::RngExt as _;
use rand::rngs::StdRng;

/// What a file system writes at once, or not at all.
const PAGE: usize = 4096;
/// What a disk writes at once, or not at all.
const SECTOR: usize = 512;

/// A change that is seen, and not yet certain to last.
#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Resize(usize),
}

/// See above.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// What reads get.
    seen: Vec<u8>,
    /// What lasts.
    kept: Vec<u8>,
    /// What was done since, oldest first, by the number of the operation.
    pending: Vec<(u64, Change)>,
    /// A sync has failed, and none has succeeded since.
    forgotten: bool,
}

impl File {
    /// A file that has been there for long.
    pub fn old(bytes: Vec<u8>) -> Self {
        Self { seen: bytes.clone(), kept: bytes, ..Self::default() }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.seen
    }

    pub fn write(&mut self, operation: u64, at: usize, bytes: &[u8]) {
        let change = Change::Write { at, bytes: bytes.to_vec() };
        change.apply(&mut self.seen);
        self.pending.push((operation, change));
    }

    pub fn resize(&mut self, operation: u64, size: usize) {
        let change = Change::Resize(size);
        change.apply(&mut self.seen);
        self.pending.push((operation, change));
    }

    /// What was done up to an operation lasts.
    pub fn sync(&mut self, operation: u64) {
        let until = self.pending.partition_point(|(at, _)| *at <= operation);
        for (_, change) in self.pending.drain(..until) {
            change.apply(&mut self.kept);
        }
        if std::mem::take(&mut self.forgotten) {
            let length = self.seen.len();
            self.seen.clone_from(&self.kept);
            self.seen.resize(length, 0);
            self.pending.iter().for_each(|(_, change)| change.apply(&mut self.seen));
        }
    }

    /// A sync failed: what it should have stored is still seen, and no later sync will store it. After that, when all there is is
    /// taken for stored, whoever has the kernel forget what it remembers sees what lasts.
    pub fn forget(&mut self) {
        self.pending.clear();
        self.forgotten = true;
    }

    /// What is left when the power goes.
    pub fn remains(&self, rng: &mut StdRng) -> Vec<u8> {
        let count = self.pending.len();
        match rng.random_range(0..5) {
            0 => self.kept.clone(),
            1 => self.torn(rng, |_| count),
            2 => {
                let until = rng.random_range(0..=count);
                self.torn(rng, |_| until)
            }
            3 => {
                let until = rng.random_range(0..=count);
                self.torn(rng, |rng| if rng.random() { count } else { until })
            }
            _ => self.torn(rng, |rng| match rng.random_range(0..3) {
                0 => 0,
                1 => count,
                _ => rng.random_range(0..=count),
            }),
        }
    }

    /// For each page, so many changes are there whole; of the next one, some sectors are.
    fn torn(&self, rng: &mut StdRng, mut until: impl FnMut(&mut StdRng) -> usize) -> Vec<u8> {
        let reached = until(rng);
        let sizes = self.pending[..reached].iter().map(|(_, change)| match change {
            Change::Resize(size) => (*size, true),
            Change::Write { at, bytes } => (at + bytes.len(), false),
        });
        let size = sizes.fold(self.kept.len(), |size, (new, exact)| if exact { new } else { size.max(new) });
        let mut left = self.kept.clone();
        let mut pages: HashMap<usize, usize> = HashMap::new();
        for (number, (_, change)) in self.pending.iter().enumerate() {
            match change {
                Change::Write { at, bytes } => {
                    let end = at + bytes.len();
                    left.resize(left.len().max(end), 0);
                    for part in cut(*at..end, PAGE) {
                        let until = *pages.entry(part.start / PAGE).or_insert_with(|| until(rng));
                        for sector in cut(part, SECTOR) {
                            if number < until || number == until && rng.random() {
                                left[sector.clone()]
                                    .copy_from_slice(&bytes[sector.start - at..sector.end - at]);
                            }
                        }
                    }
                }
                Change::Resize(size) if *size < left.len() => {
                    for part in cut(*size..left.len(), PAGE) {
                        let until = *pages.entry(part.start / PAGE).or_insert_with(|| until(rng));
                        if number < until {
                            left[part].fill(0);
                        }
                    }
                }
                Change::Resize(_) => {}
            }
        }
        left.resize(size, 0);
        left
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes: new } => {
                let end = at + new.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(new);
            }
            Self::Resize(size) => bytes.resize(*size, 0),
        }
    }
}

/// A range, cut where a multiple of `unit` is.
fn cut(range: Range<usize>, unit: usize) -> impl Iterator<Item = Range<usize>> {
    let mut from = range.start;
    std::iter::from_fn(move || {
        let part = from..range.end.min((from / unit + 1) * unit);
        from = part.end;
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn many(file: &File) -> Vec<Vec<u8>> {
        (0..200).map(|seed| file.remains(&mut StdRng::seed_from_u64(seed))).collect()
    }

    #[test]
    fn what_was_synced_lasts() {
        let mut file = File::default();
        file.write(1, 0, &[1; 10_000]);
        file.resize(2, 20_000);
        file.sync(2);
        file.write(3, 4096, &[2; 100]);
        for left in many(&file) {
            assert_eq!(left.len(), 20_000);
            assert_eq!((&left[..4096], &left[4608..10_000]), (&[1; 4096][..], &[1; 5392][..]));
        }
    }

    #[test]
    fn what_was_not_synced_is_there_whole_in_part_and_not_at_all() {
        let mut file = File::old(vec![1; 8192]);
        file.write(1, 0, &[2; 12_288]);
        let left = many(&file);
        assert!(left.contains(&vec![1; 8192]) && left.contains(&vec![2; 12_288]));
        let torn = |left: &Vec<u8>| left[..512] != left[512..1024];
        assert!(left.iter().any(torn), "never in the middle of a page");
        assert!(
            left.iter().any(|left| left.len() == 12_288 && left[9000] == 0),
            "a size always comes with its data"
        );
    }

    #[test]
    fn a_sync_that_failed_is_never_made_good() {
        let mut file = File::old(vec![1; 10]);
        file.write(1, 0, &[2; 10]);
        file.forget();
        assert_eq!(file.bytes(), [2; 10]);
        file.sync(9);
        assert_eq!(file.bytes(), [1; 10]);
        assert!(many(&file).iter().all(|left| left == &[1; 10]));
    }
}
