//! `bbq redrive QUEUE`: dead letters go back.

use anyhow::Result;
use bbq_client::proto;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::Global;
use super::connection::with_client;
use super::output::Output;

#[derive(Debug, Args)]
pub(super) struct Redrive {
    /// The dead-letter queue
    queue: String,
    /// The most messages to move; 0 for all
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    count: u64,
    /// Only messages that came from this queue
    #[arg(long, value_name = "QUEUE", default_value = "", hide_default_value = true)]
    source: String,
    /// Where to move them [default: where each came from]
    #[arg(long, value_name = "QUEUE", default_value = "", hide_default_value = true)]
    target: String,
}

impl Redrive {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let Self { queue, count, source, target } = self;
        let request = proto::RedriveMessagesRequest {
            queue: queue.clone(),
            max_messages: count,
            source_queue: source,
            target_queue: target,
        };
        with_client(global, async |client| {
            let mut answers = client.redrive(request).await?;
            // Drawn on standard error, if that is a terminal.
            let bar = ProgressBar::no_length().with_style(ProgressStyle::default_bar());
            let mut moved = 0;
            while let Some(progress) = answers.next().await? {
                moved = progress.moved;
                bar.set_length(progress.moved.saturating_add(progress.remaining));
                bar.set_position(progress.moved);
            }
            bar.finish_and_clear();
            let json = json!({"queue": queue, "moved": moved});
            Output::new(global).record(format_args!("{moved} messages moved out of {queue}"), &json)
        })
        .await
    }
}
