//! Whose turn it is: what a pause, an order and a single active consumer leave of «whoever has credit».
//!
//! A BY_KEY queue has an order for each key, and any number of holders: see `keys`. In a FIFO queue what is leased was granted in order and to one holder, so it is the first that is alive, and only that
//! holder may get the next.

use super::settle::holder_key;
use super::{Among, Dispatch, Queue};
use crate::types::{Epoch, HolderId, Lease, Ordering, OrderingKey, Priority, Sequence};

/// Who may get the next message of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Whoever has credit.
    Anyone,
    /// Nobody but this holder.
    Only(Epoch, HolderId),
    /// Nobody, until something else happens.
    Nobody,
}

/// Deals the messages of one pass over a queue, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Dealer {
    among: Option<Among>,
    /// Whoever has got one gets the next.
    in_order: bool,
}

impl Dealer {
    /// For a pass over `queue` in `epoch`.
    #[must_use]
    pub fn new(queue: &Queue, epoch: Epoch) -> Self {
        let among = match queue.turn() {
            Turn::Anyone if queue.settings().single_active_consumer => Some(Among::Oldest),
            Turn::Anyone => Some(Among::All),
            Turn::Only(of, holder) if of == epoch => Some(Among::One(holder)),
            Turn::Only(..) | Turn::Nobody => None,
        };
        Self { among, in_order: queue.in_order() && !queue.at_most_once() }
    }

    /// Whether there is anyone to deal to.
    #[must_use]
    pub fn hungry(&self, dispatch: &Dispatch) -> bool {
        self.among.is_some_and(|among| dispatch.hungry(among))
    }

    /// Whether this holder gets a message of `size` bytes that nobody else may get; then it counts as held from now on.
    #[must_use]
    pub fn deal_to(self, dispatch: &mut Dispatch, holder: HolderId, size: u32) -> bool {
        self.among.is_some() && dispatch.take_among(Among::One(holder), size).is_some()
    }

    /// Who gets the next message, of `size` bytes; it counts as held from now on.
    pub fn deal(&mut self, dispatch: &mut Dispatch, size: u32) -> Option<HolderId> {
        let holder = dispatch.take_among(self.among?, size)?;
        if self.in_order {
            self.among = Some(Among::One(holder));
        }
        Some(holder)
    }
}

impl Queue {
    /// Who may get the next message.
    #[must_use]
    pub fn turn(&self) -> Turn {
        if self.settings().paused {
            return Turn::Nobody;
        }
        if !self.in_order() {
            return Turn::Anyone;
        }
        match self.holder() {
            Some((epoch, holder)) => Turn::Only(epoch, holder),
            None => Turn::Anyone,
        }
    }

    /// In a FIFO queue, the first message that waits for its time: those behind it wait, too.
    #[must_use]
    pub fn barrier(&self) -> Option<Sequence> {
        self.delayed().next().filter(|_| self.in_order())
    }

    /// In a FIFO queue, where all is of one priority and without gaps, the message that goes next.
    fn first(&self) -> Option<Sequence> {
        let lane = self.lane(Priority::default());
        let returned = self.returned().map(|(_, sequence)| sequence).next();
        let first = returned.or((lane.messages > 0).then_some(lane.frontier))?;
        self.barrier().is_none_or(|barrier| first < barrier).then_some(first)
    }

    /// Whether a message may be granted for this lease now. Its key counts if it is untouched.
    pub(super) fn may_go(&self, sequence: Sequence, key: Option<OrderingKey>, lease: &Lease) -> bool {
        if self.settings().paused {
            return false;
        }
        match self.settings().ordering {
            Ordering::Unordered => true,
            Ordering::Fifo => {
                self.first() == Some(sequence)
                    && self.holder().is_none_or(|holder| holder == holder_key(lease))
            }
            Ordering::ByKey => {
                let key = self.key_of(sequence).or(key);
                match key.map_or(Turn::Anyone, |key| self.turn_of(key, sequence)) {
                    Turn::Anyone => true,
                    Turn::Only(epoch, holder) => (epoch, holder) == holder_key(lease),
                    Turn::Nobody => false,
                }
            }
        }
    }

    /// Which of its queue's orders a message is in, if it is in one. A FIFO queue has a single one.
    pub(super) fn order_of(&self, sequence: Sequence) -> Option<Option<OrderingKey>> {
        match self.settings().ordering {
            Ordering::Unordered => None,
            Ordering::Fifo => Some(None),
            Ordering::ByKey => self.key_of(sequence).map(Some),
        }
    }

    /// What was leased after a message and has to go back with it.
    pub(super) fn leased_after(&self, sequence: Sequence) -> Vec<Sequence> {
        match self.settings().ordering {
            Ordering::Unordered => Vec::new(),
            Ordering::Fifo => self.leased_from(sequence.next()).collect(),
            Ordering::ByKey => {
                self.key_of(sequence).map_or_else(Vec::new, |key| self.leased_behind(key, sequence))
            }
        }
    }

    /// Who holds what is leased in a FIFO queue.
    fn holder(&self) -> Option<(Epoch, HolderId)> {
        let first = self.leased_from(Sequence(0)).next()?;
        self.touch(first)?.lease().map(holder_key)
    }

    /// Checks what must always be true of a FIFO queue.
    pub(super) fn verify_order(&self) {
        if !self.in_order() {
            return;
        }
        let mut alive = self.touched().filter(|(_, touch)| !touch.is_dead()).peekable();
        let holder = alive.peek().and_then(|(_, touch)| touch.lease().map(holder_key));
        let mut leased = alive.by_ref().map_while(|(_, touch)| touch.lease().map(holder_key));
        assert!(leased.all(|other| Some(other) == holder), "two hold messages of a FIFO queue");
        assert!(alive.all(|(_, touch)| touch.lease().is_none()), "a message is leased before its turn");
    }
}
