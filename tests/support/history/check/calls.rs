//! Who can have been given messages, and when.

use std::collections::HashMap;

use super::super::{Call, Kind, Queue};

#[derive(Default)]
pub(super) struct Calls {
    all: HashMap<Call, Open>,
    of: HashMap<Queue, Vec<Call>>,
    /// Not yet certainly over.
    open: Vec<Call>,
}

/// A call, with the places in the history that say how long it lasted.
pub(super) struct Open {
    pub(super) kind: Kind,
    /// How long it leases, in milliseconds.
    pub(super) lease: u64,
    pub(super) at: usize,
    /// Since then by its consumer. The server may not have noticed.
    pub(super) ended: Option<usize>,
    /// From here on it certainly got nothing more.
    over: Option<usize>,
}

impl Open {
    /// Whether its leases can have ended with it, before an event.
    pub(super) fn let_go_before(&self, at: usize) -> bool {
        self.kind == Kind::Stream && self.ended.into_iter().chain(self.over).any(|ended| ended < at)
    }
}

impl Calls {
    pub(super) fn opened(&mut self, at: usize, call: Call, queue: Queue, kind: Kind, lease: u64) {
        self.all.insert(call, Open { kind, lease, at, ended: None, over: None });
        self.of.entry(queue).or_default().push(call);
        self.open.push(call);
    }

    pub(super) fn get(&self, call: Call) -> &Open {
        self.all.get(&call).expect("a call is opened first")
    }

    pub(super) fn ended(&mut self, at: usize, call: Call) {
        self.all.get_mut(&call).expect("a call is opened first").ended.get_or_insert(at);
    }

    /// Of a process.
    pub(super) fn end_all_of(&mut self, at: usize, process: u32) {
        for call in self.open.iter().filter(|call| call.0 >> 32 == u64::from(process)) {
            self.all.get_mut(call).expect("a call is opened first").ended.get_or_insert(at);
        }
    }

    pub(super) fn over(&mut self, at: usize, call: Call) {
        self.all.get_mut(&call).expect("a call is opened first").over = Some(at);
        self.open.retain(|open| *open != call);
    }

    pub(super) fn all_over(&mut self, at: usize) {
        for call in std::mem::take(&mut self.open) {
            self.over(at, call);
        }
    }

    /// How many calls of a queue can have got something since an event, until another one.
    pub(super) fn between(&self, queue: Queue, from: usize, until: usize) -> usize {
        let lasted = |call: &&Call| {
            let open = self.get(**call);
            open.at < until && open.over.is_none_or(|over| over > from)
        };
        self.of.get(queue).map_or(0, |calls| calls.iter().filter(lasted).count())
    }
}
