//! A file of the platter: what is shown of it, what is on the disk, and what of that is still to be written there.
//!
//! After a sync that failed, what it should have stored passes for stored, as the kernel has it: it is still shown, the next sync
//! does not store it, and some day what is on the disk is shown instead.

use std::ops::Range;

use rand::RngExt as _;
use rand::rngs::SmallRng;

const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
    dirty: Vec<Range<usize>>,
    /// Something is shown that passes for synced, and may not be there.
    lost: bool,
}

impl Inode {
    /// A file with all its bytes on the disk.
    pub(super) fn lasting(bytes: Vec<u8>) -> Self {
        Self { now: bytes.clone(), synced: bytes, dirty: Vec::new(), lost: false }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.now
    }

    pub(super) fn empty(&mut self) {
        self.now.clear();
        self.dirty.clear();
    }

    pub(super) fn write(&mut self, bytes: &[u8], at: usize) {
        let end = at + bytes.len();
        self.grow(end);
        self.now[at..end].copy_from_slice(bytes);
        self.dirty.push(at..end);
    }

    /// Fills it up with zeros that need no sync.
    pub(super) fn grow(&mut self, bytes: usize) {
        if self.now.len() < bytes {
            self.now.resize(bytes, 0);
        }
    }

    pub(super) fn resize(&mut self, bytes: usize) {
        let old = self.now.len();
        self.now.resize(bytes, 0);
        self.dirty.push(old.min(bytes)..old.max(bytes));
    }

    pub(super) fn sync(&mut self) {
        self.synced.resize(self.now.len(), 0);
        for range in self.dirty.drain(..) {
            let end = range.end.min(self.now.len());
            if range.start < end {
                self.synced[range.start..end].copy_from_slice(&self.now[range.start..end]);
            }
        }
    }

    /// A sync that fails: some of it arrived, and nothing is left to be written.
    pub(super) fn lose(&mut self, rng: &mut SmallRng) {
        let keeps = draw_share(rng);
        self.synced = self.torn(rng, keeps);
        self.dirty.clear();
        self.lost = true;
    }

    /// What is on the disk when only some of what was not synced arrived.
    pub(super) fn torn(&self, rng: &mut SmallRng, keeps: f64) -> Vec<u8> {
        let mut left = self.synced.clone();
        if rng.random_bool(0.5) {
            left.resize(self.now.len(), 0);
        }
        for sector in self.dirty.iter().flat_map(|range| sectors(range.clone(), self.now.len())) {
            if rng.random_bool(keeps) {
                if left.len() < sector.end {
                    left.resize(sector.end, 0);
                }
                left[sector.clone()].copy_from_slice(&self.now[sector]);
            }
        }
        left
    }

    /// Somebody else reads it later: what passes for synced is still shown, or what is on the disk instead.
    pub(super) fn read_again(&mut self, rng: &mut SmallRng) {
        if !self.lost {
            return;
        }
        let mut disk = self.synced.clone();
        disk.resize(self.now.len(), 0);
        for sector in self.dirty.iter().flat_map(|range| sectors(range.clone(), self.now.len())) {
            disk[sector.clone()].copy_from_slice(&self.now[sector]);
        }
        let shows = draw_share(rng);
        for sector in sectors(0..self.now.len(), self.now.len()) {
            if self.now[sector.clone()] != disk[sector.clone()] && !rng.random_bool(shows) {
                self.now[sector.clone()].copy_from_slice(&disk[sector]);
            }
        }
    }
}

/// How likely a sector arrives: sometimes all do, sometimes none, mostly some.
pub(super) fn draw_share(rng: &mut SmallRng) -> f64 {
    [0.0, 0.2, 0.5, 0.9, 1.0][rng.random_range(0..5)]
}

/// The parts of a range that are in one sector each, up to the end of a file.
fn sectors(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end.min(length);
    let mut at = range.start;
    std::iter::from_fn(move || {
        let begin = at;
        at = (begin / SECTOR * SECTOR + SECTOR).min(end);
        (begin < end).then_some(begin..at)
    })
}
