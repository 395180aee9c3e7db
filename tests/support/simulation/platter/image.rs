//! What is left of a platter when a life is over, and what the next one finds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::inode::{Inode, draw_share};
use super::{End, State, Trees, carry_out};
use rand::RngExt as _;

/// What survives: after a kill with all that the kernel has still to write.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pub(super) names: BTreeMap<PathBuf, u64>,
    pub(super) lasting_names: BTreeMap<PathBuf, u64>,
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) rows: Trees,
}

impl State {
    pub(super) fn left_by(&mut self, how: End) -> Image {
        match how {
            End::Kill => {
                // The start has what is shown of the rows stored before it reads them.
                let kept = self.rng.random_range(self.flushed..=self.log.len());
                let rows = self.rows_after(kept);
                let (names, lasting_names) = (self.names.clone(), self.lasting_names.clone());
                let named: BTreeSet<_> = names.values().chain(lasting_names.values()).collect();
                let mut inodes = self.inodes.clone();
                inodes.retain(|inode, _| named.contains(inode));
                inodes.values_mut().for_each(|inode| inode.read_again(&mut self.rng));
                Image { names, lasting_names, inodes, rows }
            }
            End::PowerCut => {
                let kept = self.rng.random_range(0..=self.log.len());
                let rows = self.rows_after(kept);
                let keeps = draw_share(&mut self.rng);
                let paths: BTreeSet<_> =
                    self.names.keys().chain(self.lasting_names.keys()).cloned().collect();
                let mut image = Image { rows, ..Image::default() };
                for (number, path) in (1..).zip(paths) {
                    let (now, lasting) = (self.names.get(&path), self.lasting_names.get(&path));
                    let chosen = if self.rng.random_bool(0.5) { now } else { lasting };
                    if let Some(inode) = chosen {
                        let left = self.inodes[inode].torn(&mut self.rng, keeps);
                        image.inodes.insert(number, Inode::lasting(left));
                        image.names.insert(path, number);
                    }
                }
                image.lasting_names.clone_from(&image.names);
                image
            }
        }
    }

    fn rows_after(&self, kept: usize) -> Trees {
        let mut rows = self.persisted.clone();
        for change in self.log[..kept].iter().flatten() {
            carry_out(&mut rows, change);
        }
        rows
    }
}
