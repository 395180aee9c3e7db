//! `bbq redrive QUEUE`: dead letters go back, and what stays is told with the reason.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use bbq_client::{Client, Error, PageRequest, proto};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::Global;
use super::argument::whole;
use super::connection::with_client;
use super::output::Output;
use super::record::{counted, object, were};

/// Which attribute says where a dead letter comes from.
const SOURCE: &str = "bbq-dead-letter-queue";
/// How many of the messages that stay are looked at for the reason.
const LOOKED_AT: u32 = 1000;

#[derive(Debug, Args)]
pub(super) struct Redrive {
    /// The dead-letter queue
    queue: String,
    /// The most messages to move [default: all]
    #[arg(long, value_name = "COUNT", value_parser = whole::<u64>(1..=u64::MAX), allow_negative_numbers = true)]
    count: Option<u64>,
    /// Only messages that came from this queue
    #[arg(long, value_name = "QUEUE", default_value = "", hide_default_value = true)]
    source: String,
    /// Where to move them [default: where each came from]
    #[arg(long, value_name = "QUEUE", default_value = "", hide_default_value = true)]
    target: String,
}

/// What is still in the dead-letter queue.
#[derive(Debug, Default, PartialEq, Eq)]
struct Staying {
    ready: u64,
    /// Leased, delayed, or behind such a message of their key.
    busy: u64,
    /// Those that were looked at, by the queue that they came from; without one they were published there directly.
    by_source: BTreeMap<Option<String>, Origin>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Origin {
    count: u64,
    is_gone: bool,
}

impl Redrive {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        with_client(global, async |client| {
            let moved = self.redrive(&client).await?;
            let queue = &self.queue;
            // Whoever wanted so many and got them is told nothing of the rest.
            let staying = match self.count {
                Some(count) if moved >= count => None,
                Some(_) | None => Some(self.staying(&client).await?),
            };
            let left = staying.as_ref().map(Staying::left);
            let json =
                object([("queue", queue.as_str().into()), ("moved", moved.into()), ("left", left.into())]);
            let text = format!("{} moved out of {queue}", counted(moved, "message"));
            Output::new(global).record(text, &json.into())?;
            let reasons = staying.map(|staying| staying.reasons(&self.source, &self.target));
            reasons.iter().flatten().for_each(|reason| eprintln!("{reason}"));
            Ok(())
        })
        .await
    }

    /// How many messages it moved.
    async fn redrive(&self, client: &Client) -> Result<u64> {
        let request = proto::RedriveMessagesRequest {
            queue: self.queue.clone(),
            max_messages: self.count.unwrap_or_default(),
            source_queue: self.source.clone(),
            target_queue: self.target.clone(),
        };
        let mut answers = client.redrive(request).await?;
        // Drawn on standard error, if that is a terminal.
        let bar = ProgressBar::no_length().with_style(ProgressStyle::default_bar());
        let mut moved = 0;
        while let Some(progress) = answers.next().await.with_context(|| were_moved(moved))? {
            moved = progress.moved;
            bar.set_length(progress.moved.saturating_add(progress.remaining));
            bar.set_position(progress.moved);
        }
        bar.finish_and_clear();
        Ok(moved)
    }

    async fn staying(&self, client: &Client) -> Result<Staying> {
        let stats = client.get_queue(&self.queue).await?.stats.unwrap_or_default();
        let busy = stats.leased + stats.delayed + stats.parked;
        let mut staying = Staying { ready: stats.ready, busy, by_source: BTreeMap::new() };
        if staying.ready == 0 {
            return Ok(staying);
        }
        let page = PageRequest { size: LOOKED_AT, token: String::new() };
        for peeked in client.peek(&self.queue, proto::MessageState::Ready, page).await?.items {
            let source = peeked.message.and_then(|mut message| message.attributes.remove(SOURCE));
            staying.by_source.entry(source).or_default().count += 1;
        }
        for (source, origin) in &mut staying.by_source {
            if let Some(source) = source {
                // Whoever may not ask is told no reason that may be wrong.
                origin.is_gone = matches!(client.get_queue(source).await, Err(Error::NotFound(_)));
            }
        }
        Ok(staying)
    }
}

impl Staying {
    fn left(&self) -> u64 {
        self.ready + self.busy
    }
    /// A line for each reason, and one before them; none if nothing stays.
    fn reasons(&self, wanted: &str, target: &str) -> Vec<String> {
        if self.left() == 0 {
            return Vec::new();
        }
        let looked_at: u64 = self.by_source.values().map(|origin| origin.count).sum();
        let among =
            if looked_at < self.ready { format!("; of the first {looked_at}") } else { String::new() };
        let mut lines = vec![format!("{} left there{among}:", were(self.left(), "message"))];
        if self.busy > 0 {
            lines.push(format!("  {} leased or delayed; redrive again when they are ready", self.busy));
        }
        for (source, Origin { count, is_gone }) in &self.by_source {
            let why = match source {
                None if wanted.is_empty() && target.is_empty() => {
                    "published there directly; --target QUEUE moves them".to_owned()
                }
                None => "published there directly".to_owned(),
                Some(source) if !wanted.is_empty() && source != wanted => {
                    format!("from {source}, and --source is {wanted}")
                }
                Some(source) if *is_gone && target.is_empty() => {
                    format!(
                        "from {source}, which is gone; --target QUEUE moves them elsewhere, or create it again"
                    )
                }
                Some(source) => format!("from {source}, come in or given back meanwhile; redrive again"),
            };
            lines.push(format!("  {count} {why}"));
        }
        lines
    }
}

/// What was done before it failed.
fn were_moved(moved: u64) -> String {
    format!("{} moved", were(moved, "message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_has_a_reason_and_a_way_out() {
        let origin = |count, is_gone| Origin { count, is_gone };
        let by_source = [
            (None, origin(1, false)),
            (Some("gone".to_owned()), origin(2, true)),
            (Some("jobs".to_owned()), origin(3, false)),
        ];
        let staying = Staying { ready: 6, busy: 4, by_source: by_source.into() };
        let expected = [
            "10 messages were left there:",
            "  4 leased or delayed; redrive again when they are ready",
            "  1 published there directly; --target QUEUE moves them",
            "  2 from gone, which is gone; --target QUEUE moves them elsewhere, or create it again",
            "  3 from jobs, come in or given back meanwhile; redrive again",
        ];
        assert_eq!(staying.reasons("", ""), expected);
        let mistyped = staying.reasons("jbos", "");
        assert_eq!(mistyped[4], "  3 from jobs, and --source is jbos");
        let more = Staying { ready: 9, ..staying };
        assert_eq!(more.reasons("", "")[0], "13 messages were left there; of the first 6:");
        assert_eq!(Staying::default().reasons("", ""), [""; 0]);
    }
}
