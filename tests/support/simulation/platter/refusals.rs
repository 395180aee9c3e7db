//! What the disk refuses: one operation, or all from one on.
//!
//! What was refused is partly done, as the seed has it. Nobody may try it again: that is noted.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use super::Kind;

/// An operation that is refused.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// Of which kind it is, or of any.
    pub of: Option<Kind>,
    /// The how many-th of these, from one on.
    pub at: u64,
    /// Whether all that come later are refused too.
    pub lasting: bool,
    /// What is said.
    pub cause: Cause,
}

/// Why a disk refuses something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// ENOSPC.
    Full,
    /// EIO.
    Broken,
}

/// What was refused first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub kind: Kind,
    pub place: PathBuf,
    pub cause: Cause,
}

/// What an operation is done to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    File(u64),
    Directory(PathBuf),
    /// A name is made or removed: others in the directory are another matter.
    Name(PathBuf),
    Rows,
}

#[derive(Debug, Default)]
pub(super) struct Refusals {
    due: Option<Refusal>,
    first: Option<Refused>,
    /// What must be left alone, as something that was done to it failed.
    given_up: BTreeSet<Target>,
    again: Option<String>,
}

impl Cause {
    pub fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Self::Full => 28,
            Self::Broken => 5,
        })
    }
}

impl Refused {
    /// Whether an error says where it comes from, and why.
    pub fn is_told_by(&self, error: &str) -> bool {
        let why = self.cause.error().to_string();
        let place = if self.kind == Kind::SyncDirectory { Some(&*self.place) } else { self.place.parent() };
        error.contains(&why) && place.is_some_and(|place| error.contains(&*place.to_string_lossy()))
    }
}

impl Refusals {
    pub(super) fn plan(&mut self, refusal: Refusal) {
        self.due = Some(refusal);
    }

    pub(super) fn first(&self) -> Option<&Refused> {
        self.first.as_ref()
    }

    /// What was tried again though it had failed.
    pub(super) fn again(&self) -> Option<&String> {
        self.again.as_ref()
    }

    /// Whether an operation is refused, and why.
    pub(super) fn judge(&mut self, kind: Kind, target: &Target) -> Option<Cause> {
        if self.given_up.contains(target) && self.again.is_none() {
            self.again = Some(format!("{kind:?} of {target:?}, where something had failed"));
        }
        let refusal = self.due.as_mut().filter(|refusal| refusal.of.is_none_or(|of| of == kind))?;
        refusal.at = refusal.at.saturating_sub(1);
        if refusal.at > 0 {
            return None;
        }
        let Refusal { lasting, cause, .. } = *refusal;
        self.due = lasting.then_some(Refusal { of: None, at: 0, lasting, cause });
        Some(cause)
    }

    /// Something was refused, and that is known.
    pub(super) fn note(&mut self, target: Target, refused: Refused) {
        // Another name in the same directory is no second try.
        if !matches!(target, Target::Name(_)) {
            self.given_up.insert(target);
        }
        self.first.get_or_insert(refused);
    }
}
