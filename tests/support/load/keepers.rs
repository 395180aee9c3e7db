//! Those who look after queues: they make, fill, purge, pause and delete them, move dead letters, and take backups.

use std::time::Duration;

use bbq_client::{Client, Error, Message, Profile, Transport, proto};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;

use super::queues::{DEAD, PAUSED, PURGED, REVIVED};
use super::{Load, now, over, pause};
use crate::history::Event;

/// Messages of a queue that is about to be deleted: enough that their removal goes on after the checkpoint.
const SCRATCH_MESSAGES: usize = 300;

impl Load {
    /// One of each, and two that tidy up. One process has them.
    pub fn start_keepers(&self, profile: &Profile, rng: &mut StdRng, tasks: &mut JoinSet<()>) {
        let mut next = || StdRng::seed_from_u64(rng.random());
        for transport in [Transport::Http3, Transport::Http2] {
            tasks.spawn(self.clone().tidy(over(profile, transport), next()));
        }
        tasks.spawn(self.clone().purge(over(profile, Transport::Http2), next()));
        tasks.spawn(self.clone().stop_and_go(over(profile, Transport::Http3), next()));
        tasks.spawn(redrive(over(profile, Transport::Http2), next()));
        tasks.spawn(self.clone().back_up(over(profile, Transport::Http2), next()));
    }

    /// Makes queues, fills them, purges and deletes them.
    async fn tidy(self, client: Client, mut rng: StdRng) {
        loop {
            let name = format!("scratch-{:x}", rng.random::<u64>());
            if client.create_queue(&name, proto::QueueSettings::default()).await.is_err() {
                pause(&mut rng).await;
                continue;
            }
            let messages = || (0..SCRATCH_MESSAGES).map(|_| Message::new(vec![b'x'; 200])).collect();
            let filled = client.publish_all(&name, messages()).await;
            let taken = client.receive(&name, 20, Duration::ZERO, None).await;
            if rng.random() {
                _ = client.purge_queue(&name).await;
                _ = client.publish_all(&name, messages()).await;
            }
            drop((filled, taken));
            pause(&mut rng).await;
            if client.delete_queue(&name).await.is_ok() {
                self.deleted.lock().unwrap().push(name);
            }
        }
    }

    async fn purge(self, client: Client, mut rng: StdRng) {
        loop {
            tokio::time::sleep(Duration::from_millis(rng.random_range(50..400))).await;
            self.witness.record(Event::Purging { queue: PURGED });
            if client.purge_queue(PURGED).await.is_ok() {
                self.witness.record(Event::Purged { queue: PURGED, at: now() });
            }
        }
    }

    /// Pauses a queue and lets it go on, again and again.
    async fn stop_and_go(self, client: Client, mut rng: StdRng) {
        loop {
            // It may have been paused in an earlier life.
            if self.resume(&client).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(rng.random_range(20..300))).await;
                if set_paused(&client, true).await.is_ok() {
                    self.witness.record(Event::Paused { queue: PAUSED, at: now() });
                }
            }
            // Long enough that what is handed out meanwhile is no question of clocks.
            tokio::time::sleep(Duration::from_millis(rng.random_range(20..900))).await;
        }
    }

    /// Lets the queue go on that is paused now and then.
    pub async fn resume(&self, client: &Client) -> Result<(), Error> {
        self.witness.record(Event::Resuming { queue: PAUSED, at: now() });
        set_paused(client, false).await
    }

    /// Takes backups. Each that is whole replaces the one before.
    async fn back_up(self, client: Client, mut rng: StdRng) {
        loop {
            tokio::time::sleep(Duration::from_millis(rng.random_range(20..500))).await;
            let copy = self.copies.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.witness.record(Event::Copying { copy });
            if let Ok(bytes) = taken(&client).await {
                self.witness.record(Event::Copied { copy });
                let path = self.directory.join(format!("{copy}.bbq"));
                std::fs::write(&path, bytes).expect("there is room");
                if let Some((_, old)) = self.copy.lock().unwrap().replace((copy, path)) {
                    std::fs::remove_file(old).expect("it was written");
                }
            }
        }
    }
}

/// Moves some dead letters now and then.
async fn redrive(client: Client, mut rng: StdRng) {
    loop {
        tokio::time::sleep(Duration::from_millis(rng.random_range(20..300))).await;
        let request = proto::RedriveMessagesRequest {
            queue: DEAD.to_owned(),
            max_messages: rng.random_range(1..20),
            source_queue: String::new(),
            target_queue: REVIVED.to_owned(),
        };
        if let Ok(mut steps) = client.redrive(request).await {
            while let Ok(Some(_)) = steps.next().await {}
        }
    }
}

async fn set_paused(client: &Client, paused: bool) -> Result<(), Error> {
    let settings = proto::QueueSettings { paused, ..proto::QueueSettings::default() };
    client.update_queue(PAUSED, settings, vec!["paused".to_owned()]).await.map(drop)
}

async fn taken(client: &Client) -> Result<Vec<u8>, Error> {
    let (mut pieces, mut bytes) = (client.backup().await?, Vec::new());
    while let Some(piece) = pieces.next().await? {
        bytes.extend_from_slice(&piece.data);
    }
    Ok(bytes)
}
