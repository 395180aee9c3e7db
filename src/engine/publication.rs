//! Publications: messages that go to several queues, to all of them or to none.

use std::collections::BTreeMap;

use super::duplicate::Sifted;
use super::outcome::{Effects, Outcome};
use super::publishing::Leaving;
use super::{Engine, Queue};
use crate::types::{Content, Copies, FactsByPlace, Full, Publication, Published, QueueId, Timestamp};

/// Why a publication lands nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpublished {
    /// A queue is not, or no longer, there; or what it is to get is not.
    NoQueue,
    /// This queue has no room for its share.
    Full(QueueId, Full),
}

/// What a queue gets, as if it were published to it alone.
type Share = (Vec<Content>, FactsByPlace);

/// What goes from each queue first.
type Freed = BTreeMap<QueueId, Leaving>;

impl Publication {
    /// What each queue gets.
    fn shares(&self) -> Option<BTreeMap<QueueId, Share>> {
        let mut shares: BTreeMap<QueueId, Share> = BTreeMap::new();
        for copies in &self.copies {
            let own = copies.of(&self.messages).filter(|own| !own.is_empty())?;
            let (messages, facts) = shares.entry(copies.queue).or_default();
            let before = u32::try_from(messages.len()).ok()?;
            facts.extend(
                copies.facts_of(&self.facts).into_iter().map(|(place, facts)| (before + place, facts)),
            );
            messages.extend_from_slice(own);
        }
        Some(shares)
    }
}

impl Engine {
    /// What a publication at `now` comes to in each of its queues, once duplicates are left out.
    ///
    /// # Errors
    /// If a queue is not there, or what it is to get is not.
    pub fn sift_all(
        &self,
        publication: &Publication,
        now: Timestamp,
    ) -> Result<Vec<(&Queue, Sifted)>, Unpublished> {
        let shares = publication.shares().ok_or(Unpublished::NoQueue)?;
        let sift = |(id, (messages, facts)): (QueueId, Share)| {
            let queue = self.queues.get(&id).ok_or(Unpublished::NoQueue)?;
            Ok((queue, queue.sift(&messages, &facts, now)))
        };
        shares.into_iter().map(sift).collect()
    }

    /// Whether every queue takes what it is to get, once what is freed has gone.
    pub(super) fn takes(&self, publication: &Publication, freed: &Freed) -> Result<(), Unpublished> {
        let none = Leaving::default();
        for (queue, Sifted { messages, bytes, .. }) in self.sift_all(publication, self.record.now)? {
            let id = queue.record().id;
            if messages > 0
                && let Some(full) = queue.full(freed.get(&id).unwrap_or(&none), messages, bytes)
            {
                return Err(Unpublished::Full(id, full));
            }
        }
        Ok(())
    }

    /// Stores messages in several queues; nowhere if one of these does not take what it is to get.
    pub(super) fn publish_all(&mut self, publication: &Publication, effects: &mut Effects) -> Outcome {
        match self.takes(publication, &Freed::new()) {
            Ok(()) => Outcome::PublishedAll(self.spread(publication, effects)),
            Err(why) => Outcome::Unpublished(why),
        }
    }

    /// Stores what every queue takes.
    pub(super) fn spread(&mut self, publication: &Publication, effects: &mut Effects) -> Vec<Published> {
        let Publication { messages, facts, copies } = publication;
        let store = |copies: &Copies| {
            let own = copies.of(messages).expect("every queue takes what it is to get").to_vec();
            match self.publish(copies.queue, own, &copies.facts_of(facts), effects) {
                Outcome::Published(published) => published,
                other => unreachable!("every queue takes what it is to get: {other:?}"),
            }
        };
        copies.iter().map(store).collect()
    }
}
