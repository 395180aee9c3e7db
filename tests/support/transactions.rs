//! Transactions in histories: what the model says of them, and lines about them.
//!
//! The model does it all to a copy of itself and keeps the copy if all of it could be done.

use rand::RngExt;

use super::model::{Claim, Coming, Model, State, list};
use super::random_history::{History, words};
use crate::shadow::Keep;

/// What a transaction asks for.
#[derive(Debug, Default)]
struct Parts {
    /// By queue: claims, as they are and as they are written.
    acks: Vec<(usize, Vec<(Claim, String)>)>,
    publishes: Vec<(String, Vec<Coming>)>,
}

impl Model {
    fn transact(&mut self, id: &str, text: &str, parts: &Parts) -> String {
        self.freed.clear();
        if let Some((_, asked, reply)) = self.transactions.iter().find(|(known, ..)| known == id) {
            return if asked == text { format!("again {reply}") } else { "other".to_owned() };
        }
        for (queue, claims) in &parts.acks {
            for (claim, spelled) in claims {
                let there = if self.queues[*queue].alive { Ok(()) } else { Err("gone") };
                if let Err(why) = there.and_then(|()| self.standing(*queue, *claim)) {
                    return format!("stale {spelled} {why}");
                }
            }
        }
        let mut trial = self.clone();
        for (queue, claims) in &parts.acks {
            for (Claim { sequence, .. }, _) in claims {
                trial.end(*queue, sequence - 1, State::Gone);
            }
        }
        if parts.publishes.iter().any(|(queue, _)| trial.alive(queue).is_none()) {
            return "no-queue".to_owned();
        }
        let (mut stored, mut known) = (Vec::new(), Vec::new());
        for (queue, coming) in &parts.publishes {
            let at = trial.alive(queue).expect("it was looked for");
            let suffixed = |one: &Coming| Coming { label: format!("{}.{queue}", one.label), ..one.clone() };
            let coming: Vec<_> = coming.iter().map(suffixed).collect();
            let Some(taken) = trial.take(at, &coming) else { return "full".to_owned() };
            let duplicates = trial.store(at, taken);
            for Coming { label, .. } in coming {
                let duplicate = duplicates.iter().find(|text| text.starts_with(&format!("{label}=")));
                let first = duplicate.and_then(|text| Some(text.split_once('=')?.1.to_owned()));
                known.push(first.unwrap_or_else(|| label.clone()));
                stored.push(duplicate.cloned().unwrap_or(label));
            }
        }
        *self = trial;
        if id != "-" {
            self.transactions.push((id.to_owned(), text.to_owned(), list(&known)));
        }
        list(&stored)
    }
}

impl<K: Keep> History<K> {
    pub(super) fn transact(&mut self) {
        if !self.transacted.is_empty() && self.rng.random_ratio(1, 5) {
            // Somebody got no answer. What was refused the first time would name its messages twice.
            let (id, text) = self.transacted[self.rng.random_range(0..self.transacted.len())].clone();
            let expected = self.model.transact(&id, &text, &Parts::default());
            return self.say(&format!("transact {id} {text}"), &expected);
        }
        let mut parts = Parts::default();
        let mut text = String::new();
        for _ in 0..self.rng.random_range(0..=2) {
            let queue = self.rng.random_range(0..self.model.queues.len());
            let mut claims = Vec::new();
            for _ in 0..self.rng.random_range(1..=2) {
                if let Some(claim) = self.receipt(queue) {
                    claims.push((claim, self.spell(queue, claim)));
                }
            }
            if !claims.is_empty() {
                text.push_str(" ack");
                claims.iter().for_each(|(_, spelled)| text.push_str(&format!(" {spelled}")));
                parts.acks.push((queue, claims));
            }
        }
        for _ in 0..self.rng.random_range(1..=2) {
            let (queue, coming) = (self.name(), self.messages());
            text.push_str(&format!(" publish {queue}{}", words(&coming)));
            parts.publishes.push((queue, coming));
        }
        let id = if self.rng.random_bool(0.5) { "-".to_owned() } else { format!("x{}", self.published) };
        let expected = self.model.transact(&id, &text, &parts);
        self.say(&format!("transact {id}{text}"), &expected);
        if self.model.transactions.iter().any(|(known, ..)| *known == id) {
            self.transacted.push((id, text.clone()));
        }
    }
}
