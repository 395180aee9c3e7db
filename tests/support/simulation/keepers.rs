//! Those who look after queues: they make, purge, pause, watch and delete them, move dead letters, and take backups.

use std::sync::atomic::Ordering;

use bbq::broker::{Backup, BrokerError, MessageState, Patch, Peeked, Relocation, Window};
use bbq::types::{QueueSettings, Sequence, SettingsField};
use rand::RngExt as _;

use super::clients::Client;
use super::queues::{DEAD, OTHERS, PAUSED, PURGED, REVIVED, name, other_settings, settings};
use crate::history::Event;

impl Client {
    /// Purges, pauses, peeks, makes and removes queues that nobody keeps account of.
    pub(super) async fn administer(self) {
        for round in 0_u64.. {
            self.pause(300).await;
            let queue = OTHERS[self.draw(|rng| rng.random_range(0..OTHERS.len()))];
            let act = self.draw(|rng| rng.random_range(0..6));
            let doing = async {
                match act {
                    0 => self.handle.purge(name(queue)).await.unwrap_or_default(),
                    1 | 2 => {
                        let window = Window { from: Sequence(0), count: 20 };
                        let peeked = self.handle.peek(name(queue), window, None, 10_000).await;
                        peeked.map_or(0, |page| page.items.len() as u64)
                    }
                    3 => {
                        for paused in [true, false] {
                            let _ = self.set_paused(queue, paused).await;
                            self.pause(50).await;
                        }
                        0
                    }
                    4 => self.handle.delete(name("dropped")).await.unwrap_or_default(),
                    _ => {
                        let passing = name(&format!("passing-{}", round % 7));
                        let _ = self.handle.create(passing.clone(), QueueSettings::default()).await;
                        let bodies = self.nameless(20);
                        let _ = self.handle.publish(passing.clone(), bodies, Vec::new()).await;
                        let _ = self.handle.create(name("dropped"), other_settings("dropped")).await;
                        self.handle.delete(passing).await.unwrap_or_default()
                    }
                }
            };
            if let Some(done) = self.schedule.unless_cancelled(doing).await {
                self.seen(done);
            }
        }
    }

    async fn set_paused(&self, queue: &str, paused: bool) -> Result<(), BrokerError> {
        let settings = QueueSettings { paused, ..QueueSettings::default() };
        let patch = Patch { fields: vec![SettingsField::Paused], settings };
        self.handle.update(name(queue), patch).await.map(drop)
    }

    /// Watches statistics now and then.
    pub(super) async fn watch(self) {
        loop {
            self.pause(500).await;
            if let Ok(mut watch) = self.handle.watch().await
                && let Some(Ok(board)) = self.schedule.unless_cancelled(watch.board(None)).await
            {
                self.seen(board.at.0);
                if let Err(why) = self.clocks.server_shows(board.at.0) {
                    self.complain(why);
                }
            }
        }
    }

    pub(super) async fn purge(self) {
        loop {
            self.pause(600).await;
            self.record(Event::Purging { queue: PURGED });
            let purging = self.handle.purge(name(PURGED));
            if let Some(Ok(gone)) = self.schedule.unless_cancelled(purging).await {
                self.seen(gone);
                self.record(Event::Purged { queue: PURGED, at: self.now() });
            }
        }
    }

    /// Pauses a queue and lets it go on, again and again.
    pub(super) async fn stop_and_go(self) {
        loop {
            // It may have been paused in an earlier life.
            if self.resume().await.is_ok() {
                self.pause(400).await;
                if self.set_paused(PAUSED, true).await.is_ok() {
                    self.record(Event::Paused { queue: PAUSED, at: self.now() });
                }
            }
            // Long enough that what is handed out meanwhile is no question of clocks.
            self.pause(1200).await;
        }
    }

    /// Lets the queue go on that is paused now and then.
    pub(super) async fn resume(&self) -> Result<(), BrokerError> {
        self.record(Event::Resuming { queue: PAUSED, at: self.now() });
        self.set_paused(PAUSED, false).await
    }

    /// Moves some dead letters now and then.
    pub(super) async fn redrive(self) {
        let _ = self.handle.create(name(REVIVED), settings(REVIVED)).await;
        loop {
            self.pause(300).await;
            let window = Window { from: Sequence(0), count: self.draw(|rng| rng.random_range(1..10)) };
            let ready = Some(MessageState::Ready);
            let Ok(page) = self.handle.peek(name(DEAD), window, ready, 100_000).await else { continue };
            let moved = |Peeked { message, priority, .. }: Peeked| Relocation {
                sequence: message.sequence,
                size: message.content.size(),
                priority,
                key: None,
                to: Some((name(REVIVED), message.content)),
            };
            let relocating = self.handle.relocate(name(DEAD), page.items.into_iter().map(moved).collect());
            if let Some(Ok(moved)) = self.schedule.unless_cancelled(relocating).await {
                self.seen(moved.messages);
            }
        }
    }

    /// Takes backups, and gives some of them up. Each that is whole replaces the one before.
    pub(super) async fn back_up(self) {
        let mut given_up = false;
        loop {
            self.pause(800).await;
            let copy = self.crowd.copies.fetch_add(1, Ordering::Relaxed);
            self.record(Event::Copying { copy });
            let taking = self.handle.backup();
            match self.schedule.unless_cancelled(taking).await {
                Some(Ok(backup)) => {
                    given_up = false;
                    self.read_whole(copy, backup).await;
                }
                Some(Err(BrokerError::Backup)) => self.is_spoiled(),
                Some(Err(BrokerError::BackupRunning)) if !given_up => {
                    self.complain("a backup that has ended is in the way of the next".to_owned());
                }
                Some(Err(_)) => {}
                // It may still be begun.
                None => given_up = true,
            }
        }
    }

    async fn read_whole(&self, copy: u64, mut backup: Backup) {
        let mut bytes = Vec::new();
        loop {
            match backup.next_piece() {
                Ok(Some(piece)) => bytes.extend_from_slice(&piece),
                Ok(None) => break,
                Err(_) => return self.is_spoiled(),
            }
            // Others go on meanwhile, and so do checkpoints.
            self.pause(100).await;
            if self.draw(|rng| rng.random_ratio(1, 20)) {
                return;
            }
        }
        self.seen(bytes.len() as u64);
        self.record(Event::Copied { copy });
        *self.crowd.copy.lock().unwrap() = Some((copy, bytes));
    }

    fn is_spoiled(&self) {
        self.crowd.spoiled.fetch_add(1, Ordering::Relaxed);
    }
}
