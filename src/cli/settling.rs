//! Settlements on their way: sent at once, answered beside everything else.

use bbq_client::Settlement;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Waits for settlements beside everything else, and tells of those that failed.
pub(super) struct Settling {
    settlements: mpsc::UnboundedSender<Settlement>,
    task: JoinHandle<u64>,
}

impl Settling {
    pub(super) fn start() -> Self {
        // Bounded by the deliveries in flight, which are bounded by credit.
        let (settlements, mut inbox) = mpsc::unbounded_channel::<Settlement>();
        let task = tokio::spawn(async move {
            let (mut failed, mut told) = (0, String::new());
            while let Some(settlement) = inbox.recv().await {
                if let Err(error) = settlement.await {
                    let why = error.to_string();
                    // Many fail together, for one reason.
                    if why != told {
                        eprintln!("warning: {why}");
                        told = why;
                    }
                    failed += 1;
                }
            }
            failed
        });
        Self { settlements, task }
    }

    pub(super) fn send(&self, settlement: Settlement) {
        // The task lives until `finish`.
        self.settlements.send(settlement).ok();
    }

    /// How many settlements failed, once all are answered.
    pub(super) async fn finish(self) -> u64 {
        drop(self.settlements);
        self.task.await.unwrap_or_default()
    }
}
