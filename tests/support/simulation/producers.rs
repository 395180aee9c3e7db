//! Producers: batches to queues, some of them again when there was no answer.

use bbq::broker::BrokerError;
use bbq::types::{self, Content, DeduplicationId, Facts, Priority};
use rand::RngExt as _;

use super::clients::Client;
use super::messages::{self, Made};
use super::queues::name;
use crate::history::{Event, Queue};

/// How many publishes without an answer are kept, to be sent again.
const AGAIN_MAX: usize = 20;

/// Whether what was asked for was certainly not done.
pub fn did_nothing(error: &BrokerError) -> bool {
    matches!(error, BrokerError::NoQueue(_) | BrokerError::NoTopic(_) | BrokerError::Full(..))
}

impl Client {
    pub(super) async fn produce(self, queue: Queue) {
        loop {
            self.pause(8).await;
            if !self.has_room(queue).await {
                self.pause(100).await;
                continue;
            }
            let again = self.unanswered(queue);
            let first = again.is_none();
            self.publish(queue, again.unwrap_or_else(|| self.batch(queue)), first).await;
        }
    }

    /// What this queue may have or not.
    fn unanswered(&self, queue: Queue) -> Option<Vec<Made>> {
        let mut again = self.crowd.again.lock().unwrap();
        let at = again.iter().position(|(to, _)| *to == queue)?;
        self.draw(|rng| rng.random_bool(0.3)).then(|| again.remove(at).1)
    }

    /// New messages, recorded as about to be sent; some can be sent twice without harm.
    fn batch(&self, queue: Queue) -> Vec<Made> {
        let count = self.draw(|rng| if rng.random() { 1 } else { rng.random_range(2..12) });
        let mut batch: Vec<_> = (0..count).map(|_| self.made(queue)).collect();
        if self.draw(|rng| rng.random_bool(0.3)) {
            batch.iter_mut().for_each(Made::remembered);
        }
        self.crowd.witness.record_all(batch.iter().map(|made| made.sending(queue, self.now())));
        batch
    }

    async fn publish(&self, queue: Queue, batch: Vec<Made>, first: bool) {
        let contents = batch.iter().map(Made::content).collect();
        let publishing = self.handle.publish(name(queue), contents, messages::facts(&batch));
        match self.schedule.unless_cancelled(publishing).await {
            Some(Ok(published)) => {
                let sequences = published.sequences(batch.len());
                let confirmed = batch.iter().zip(sequences).map(|(made, (sequence, _))| {
                    self.seen(sequence.0);
                    Event::Confirmed { queue, id: made.id, sequence: sequence.0 }
                });
                self.crowd.witness.record_all(confirmed.collect::<Vec<_>>());
            }
            Some(Err(error)) if first && did_nothing(&error) => {
                self.crowd.witness.record_all(batch.iter().map(|made| Event::Unsent { id: made.id }));
            }
            ended => {
                if let Some(Err(error @ BrokerError::Draining)) = ended {
                    self.complain(format!("a publish was told {error:?}, and nobody drains"));
                }
                let mut again = self.crowd.again.lock().unwrap();
                if batch.iter().all(Made::is_remembered) && again.len() < AGAIN_MAX {
                    again.push((queue, batch));
                }
            }
        }
    }

    /// Publishes what nobody keeps account of.
    pub(super) async fn fill(self, queue: &'static str) {
        loop {
            self.pause(60).await;
            if !self.has_room(queue).await {
                self.pause(200).await;
                continue;
            }
            let count = self.draw(|rng| rng.random_range(1_u32..8));
            let mut facts = Vec::new();
            let (id, delay, priority) =
                self.draw(|rng| (rng.random_range(0..40), rng.random_range(0..400), rng.random_range(0..3)));
            let known = match queue {
                "remembered" => Facts { deduplication: Some(DeduplicationId([1, id])), ..Facts::default() },
                "tried" => Facts { delay: types::Duration(delay), ..Facts::default() },
                _ => Facts { priority: Priority::new(priority).unwrap_or_default(), ..Facts::default() },
            };
            if !known.is_none() {
                facts.push((0, known));
            }
            let publishing = self.handle.publish(name(queue), self.nameless(count), facts);
            if let Some(Ok(published)) = self.schedule.unless_cancelled(publishing).await {
                self.seen(published.first.0);
            }
        }
    }

    /// Messages that nobody keeps account of.
    pub(super) fn nameless(&self, count: u32) -> Vec<Content> {
        let lengths = |_| self.draw(|rng| rng.random_range(0..200));
        (0..count).map(lengths).map(|length| Content(vec![b'x'; length].into())).collect()
    }
}
