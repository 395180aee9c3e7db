//! `bbq publish`: from the command line, from standard input, or a message a line.
//!
//! Always true: what is said to be published is confirmed. One failure ends the command and says how far it came.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bbq_client::{Client, Message, Published};
use bytes::Bytes;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde_json::json;
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::argument::{attribute, duration, whole};
use super::connection::with_client;
use super::output::Output;
use super::publish_to_topic::TopicTarget;
use super::record::{counted, object, were};
use super::{Cli, Global};

/// No server takes a larger message; a file without line breaks must not fill the memory.
const BODY_BYTES_MAX: u64 = 256 << 20;
/// How many confirmations may be awaited: as many as the client lets be unconfirmed.
const UNCONFIRMED_MAX: usize = 10_000;

#[derive(Debug, Args)]
pub(super) struct Publish {
    /// The queue; left out with --topic
    #[arg(required_unless_present = "topic", value_name = "QUEUE")]
    queue: Option<OsString>,
    /// Publish to a topic: every queue that is bound to it gets what its binding matches
    #[arg(long)]
    topic: Option<String>,
    /// What the topic's bindings match: words joined by dots
    #[arg(long, value_name = "KEY", default_value = "", hide_default_value = true, requires = "topic")]
    routing_key: String,
    /// One message each [default: all of standard input as one message]
    #[arg(value_name = "BODY")]
    bodies: Vec<OsString>,
    /// Publish each line of a file as a message; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bodies", "count"])]
    lines: Option<PathBuf>,
    /// Publish so often
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = whole::<u64>(1..=u64::MAX),
        allow_negative_numbers = true)]
    count: u64,
    #[command(flatten)]
    properties: Properties,
}

/// What goes with each body.
#[derive(Debug, Args)]
struct Properties {
    /// A small fact about each message; may be given more than once
    #[arg(long = "attr", value_name = "KEY=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// Messages of one key keep their order in a by-key queue
    #[arg(long, visible_alias = "key", value_name = "KEY", default_value = "", hide_default_value = true)]
    ordering_key: String,
    /// 0 to 9; higher goes first
    #[arg(long, default_value_t = 0, value_parser = whole::<u32>(0..=9), allow_negative_numbers = true)]
    priority: u32,
    /// How long each message waits before it can be delivered
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    delay: Option<Duration>,
    /// How long each message may wait to be delivered
    #[arg(long, visible_alias = "ttl", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    time_to_live: Option<Duration>,
    /// The same id within the queue's deduplication window is stored once; for one message
    #[arg(
        long,
        visible_alias = "dedup-id",
        value_name = "ID",
        default_value = "",
        hide_default_value = true,
        conflicts_with = "lines"
    )]
    deduplication_id: String,
}

impl Properties {
    fn message(&self, body: Bytes) -> Message {
        Message {
            body,
            attributes: self.attributes.iter().cloned().collect(),
            ordering_key: self.ordering_key.clone(),
            priority: self.priority,
            delay: self.delay,
            time_to_live: self.time_to_live,
            deduplication_id: self.deduplication_id.clone(),
        }
    }
}

impl Publish {
    pub(super) async fn run(mut self, global: &Global) -> Result<()> {
        self.refuse_one_id_for_many()?;
        if let Some(topic) = self.topic.take() {
            return self.publish_to_topic(topic, global).await;
        }
        if let Some(path) = self.lines.take() {
            return with_client(global, async |client| self.lines(client, &path, global).await).await;
        }
        let bodies = if self.bodies.is_empty() { vec![standard_input().await?] } else { self.given() };
        with_client(global, async |client| match self.count {
            1 => self.once(client, &bodies, global).await,
            _ => self.repeated(client, &bodies, global).await,
        })
        .await
    }

    /// All but the first would be duplicates, which the server confirms and does not store.
    fn refuse_one_id_for_many(&self) -> Result<()> {
        let firsts = usize::from(self.topic.is_some() && self.queue.is_some());
        if self.properties.deduplication_id.is_empty() || self.count == 1 && self.bodies.len() + firsts <= 1 {
            return Ok(());
        }
        let other = if self.count == 1 { "several bodies" } else { "'--count <COUNT>'" };
        let message = format!(
            "the argument '--deduplication-id <ID>' cannot be used with {other}: only the first message would be stored; \
             publish each with an id of its own"
        );
        Err(usage_error(ErrorKind::ArgumentConflict, message).into())
    }

    /// With a topic, what stands in the queue's place is the first message.
    async fn publish_to_topic(mut self, topic: String, global: &Global) -> Result<()> {
        self.bodies.splice(0..0, self.queue.take());
        if self.lines.is_some() && !self.bodies.is_empty() {
            let message = "the argument '--lines <FILE>' cannot be used with '[BODY]...'";
            return Err(usage_error(ErrorKind::ArgumentConflict, message).into());
        }
        let target = TopicTarget { topic, routing_key: std::mem::take(&mut self.routing_key) };
        if let Some(path) = self.lines.take() {
            let mut reader = source(&path).await?;
            let next = async || Ok(line(&mut reader).await?.map(|body| self.properties.message(body)));
            return with_client(global, async |client| target.many(client, next, global).await).await;
        }
        let bodies = if self.bodies.is_empty() { vec![standard_input().await?] } else { self.given() };
        let messages = bodies.into_iter().map(|body| self.properties.message(body)).collect::<Vec<_>>();
        with_client(global, async |client| match self.count {
            1 => target.once(client, messages, global).await,
            count => {
                let mut coming = (0..count).flat_map(|_| messages.iter().cloned());
                target.many(client, async || Ok(coming.next()), global).await
            }
        })
        .await
    }

    /// The queue's name, which a command line without a topic has.
    fn queue(&self) -> String {
        self.queue.as_ref().map(|queue| queue.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn given(&mut self) -> Vec<Bytes> {
        self.bodies.drain(..).map(|body| body.into_vec().into()).collect()
    }

    /// All in one call: all or none.
    async fn once(&self, client: Client, bodies: &[Bytes], global: &Global) -> Result<()> {
        let messages = bodies.iter().map(|body| self.properties.message(body.clone())).collect();
        let mut output = Output::new(global);
        let queue = self.queue();
        for Published { sequence, duplicate } in client.publish_all(&queue, messages).await? {
            let note = if duplicate { " (a duplicate)" } else { "" };
            let json = json!({"queue": queue, "sequence": sequence, "duplicate": duplicate});
            output.record(format_args!("{sequence}{note}"), &json)?;
        }
        Ok(())
    }

    async fn repeated(&self, client: Client, bodies: &[Bytes], global: &Global) -> Result<()> {
        let total = self.count.saturating_mul(u64::try_from(bodies.len()).unwrap_or(u64::MAX));
        let mut coming = (0..self.count).flat_map(|_| bodies).cloned();
        let next = async || Ok(coming.next());
        self.many(client, next, ProgressBar::new(total), global).await
    }

    async fn lines(&self, client: Client, path: &Path, global: &Global) -> Result<()> {
        let mut reader = source(path).await?;
        let next = async || line(&mut reader).await;
        self.many(client, next, ProgressBar::no_length(), global).await
    }

    /// Publishes what `next` gives until it gives nothing.
    async fn many(
        &self,
        client: Client,
        mut next: impl AsyncFnMut() -> Result<Option<Bytes>>,
        progress: ProgressBar,
        global: &Global,
    ) -> Result<()> {
        let begun = Instant::now();
        progress.set_style(style(&progress));
        let publisher = client.publisher(self.queue());
        let (sent, mut unconfirmed) = mpsc::channel(UNCONFIRMED_MAX);
        let feed = async move {
            while let Some(body) = next().await? {
                let confirmation = publisher.publish(self.properties.message(body)).await;
                if sent.send(confirmation).await.is_err() {
                    break;
                }
            }
            Ok::<(), anyhow::Error>(())
        };
        let mut tally = Tally::default();
        let collect = async {
            while let Some(confirmation) = unconfirmed.recv().await {
                tally.add(confirmation.await)?;
                progress.set_position(tally.published);
            }
            Ok::<(), anyhow::Error>(())
        };
        let outcome = both(feed, collect).await;
        progress.finish_and_clear();
        outcome.map_err(|error| {
            anyhow!("{error:#}; {} published before it", were(tally.published, "message"))
        })?;
        tally.print(&self.queue(), begun.elapsed(), global)
    }
}

/// What clap would say, had it seen it: with the usage of this command.
fn usage_error(kind: ErrorKind, message: impl fmt::Display) -> clap::Error {
    let mut all = Cli::command();
    all.build();
    match all.find_subcommand_mut("publish") {
        Some(publish) => publish.error(kind, message),
        None => all.error(kind, message),
    }
}

/// Ends with what was collected of all that was fed, or at once if collecting fails.
async fn both(
    feed: impl Future<Output = Result<()>>,
    collect: impl Future<Output = Result<()>>,
) -> Result<()> {
    tokio::pin!(feed, collect);
    tokio::select! {
        biased;
        collected = &mut collect => collected,
        fed = &mut feed => collect.await.and(fed),
    }
}

/// What was confirmed so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    published: u64,
    duplicates: u64,
    first: Option<u64>,
    last: Option<u64>,
}

impl Tally {
    fn add(&mut self, published: Result<Published, bbq_client::Error>) -> Result<()> {
        let Published { sequence, duplicate } =
            published.with_context(|| format!("message {}", self.published + 1))?;
        self.published += 1;
        self.duplicates += u64::from(duplicate);
        self.first = self.first.min(Some(sequence)).or(Some(sequence));
        self.last = self.last.max(Some(sequence));
        Ok(())
    }

    fn print(&self, queue: &str, took: Duration, global: &Global) -> Result<()> {
        let seconds = took.as_secs_f64();
        let json = object([
            ("queue", queue.into()),
            ("published", self.published.into()),
            ("duplicates", self.duplicates.into()),
            ("first_sequence", self.first.into()),
            ("last_sequence", self.last.into()),
            ("seconds", seconds.into()),
        ]);
        let text = self.text(queue, seconds);
        Output::new(global).record(text, &json.into())
    }

    fn text(&self, queue: &str, seconds: f64) -> String {
        let published = counted(self.published, "message");
        let text = format!("{published} published to {queue} in {seconds:.1} s");
        match self.duplicates {
            0 => text,
            duplicates => {
                let stored = self.published.saturating_sub(duplicates);
                format!("{text}: {stored} stored, {}", counted(duplicates, "duplicate"))
            }
        }
    }
}

fn style(progress: &ProgressBar) -> ProgressStyle {
    let template = match progress.length() {
        Some(_) => "{wide_bar} {human_pos} of {human_len} messages, {rate}, {eta} to go",
        None => "{spinner} {human_pos} messages, {rate}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("rate", |state: &ProgressState, line: &mut dyn fmt::Write| {
        // A line that can't be drawn is no reason to stop.
        let _ = line.write_str(&rate(state.per_sec()));
    })
}

/// Messages a second, whole ones where there are many.
fn rate(per_second: f64) -> String {
    if per_second < 10.0 { format!("{per_second:.1}/s") } else { format!("{per_second:.0}/s") }
}

/// A file of lines, or standard input.
async fn source(path: &Path) -> Result<BufReader<Box<dyn AsyncRead + Send + Unpin>>> {
    let source: Box<dyn AsyncRead + Send + Unpin> = if path == Path::new("-") {
        Box::new(tokio::io::stdin())
    } else {
        let file = File::open(path).await;
        Box::new(file.with_context(|| format!("{} can't be read", path.display()))?)
    };
    Ok(BufReader::new(source))
}

async fn standard_input() -> Result<Bytes> {
    if io::stdin().is_terminal() {
        let message = "nothing to publish: give BODY or --lines, or pipe one message into it";
        return Err(usage_error(ErrorKind::MissingRequiredArgument, message).into());
    }
    let mut body = Vec::new();
    let mut input = tokio::io::stdin().take(BODY_BYTES_MAX + 1);
    input.read_to_end(&mut body).await.context("standard input can't be read")?;
    if u64::try_from(body.len()).is_ok_and(|length| length > BODY_BYTES_MAX) {
        bail!("standard input is longer than {BODY_BYTES_MAX} bytes, which no server takes as one message");
    }
    Ok(body.into())
}

/// The next line without its line break; nothing at the end. A last line needs no break.
async fn line(reader: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Bytes>> {
    let mut line = Vec::new();
    let mut limited = reader.take(BODY_BYTES_MAX + 1);
    let read = limited.read_until(b'\n', &mut line).await.context("lines can't be read")?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if u64::try_from(line.len()).is_ok_and(|length| length > BODY_BYTES_MAX) {
        bail!("a line is longer than {BODY_BYTES_MAX} bytes, which no server takes as one message");
    }
    Ok(Some(line.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_line_is_a_message() {
        for (text, expected) in [
            ("", vec![]),
            ("a\nb\n", vec!["a", "b"]),
            ("a\n\nb", vec!["a", "", "b"]),
            ("\n", vec![""]),
            ("a\r\n", vec!["a\r"]),
        ] {
            let mut reader = text.as_bytes();
            let mut lines = Vec::new();
            while let Some(line) = line(&mut reader).await.unwrap() {
                lines.push(String::from_utf8(line.to_vec()).unwrap());
            }
            assert_eq!(lines, expected, "{text:?}");
        }
    }

    #[test]
    fn the_tally_names_the_message_that_failed() {
        let mut tally = Tally::default();
        for sequence in [5, 6, 4] {
            tally.add(Ok(Published { sequence, duplicate: sequence == 4 })).unwrap();
        }
        assert_eq!(tally, Tally { published: 3, duplicates: 1, first: Some(4), last: Some(6) });
        assert_eq!(tally.text("q", 0.04), "3 messages published to q in 0.0 s: 2 stored, 1 duplicate");
        let error = tally.add(Err(bbq_client::Error::Profile("no".into()))).unwrap_err();
        assert_eq!(format!("{error:#}"), "message 4: no");
    }

    #[test]
    fn a_rate_has_no_more_digits_than_it_means() {
        assert_eq!([0.0, 3.26, 1055.3235].map(rate), ["0.0/s", "3.3/s", "1055/s"]);
    }
}
