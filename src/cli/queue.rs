//! `bbq queue create|show|list|watch|update|pause|resume|delete|purge`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use bbq_client::{Client, proto};
use clap::{ArgGroup, Args, Subcommand};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::Global;
use super::connection::with_client;
use super::declaration::{Declaration, DeclaredQueue};
use super::output::Output;
use super::record::{counted, none_of, object, wire_time, word_of};
use super::settings::{Settings, as_flags, keep_backoff, settings};
use super::table::Column::{self, Number, Text};

/// Of a list. The last ones of the counts are shown where some queue has such messages.
const COLUMNS: [Column; 9] = [
    Text("NAME"),
    Number("READY"),
    Number("DELAYED"),
    Number("LEASED"),
    Number("PARKED"),
    Number("DEAD"),
    Number("CONSUMERS"),
    Number("SIZE"),
    Text("STATE"),
];
/// The order in which one queue's facts are shown: who it is, what is in it, how it is set.
const FACTS: [&str; 26] = [
    "name",
    "paused",
    "ready",
    "delayed",
    "leased",
    "parked",
    "dead",
    "bytes",
    "consumers",
    "oldest_published_at",
    "created_at",
    "ordering",
    "delivery",
    "durability",
    "lease_duration",
    "max_attempts",
    "retry_initial",
    "retry_multiplier",
    "retry_max",
    "dead_letter_queue",
    "time_to_live",
    "max_messages",
    "max_bytes",
    "overflow",
    "deduplication_window",
    "single_active_consumer",
];

#[derive(Debug, Subcommand)]
pub(super) enum Queue {
    /// Make a queue; one that is there with the same settings is a success
    Create(Create),
    /// Show a queue's settings and what is in it
    Show {
        /// The queue
        name: String,
    },
    /// List queues and what is in them
    List {
        /// Only queues whose name begins so
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
    },
    /// Show what queues hold and do, again and again
    Watch(super::watch::Watch),
    /// Change settings of a queue in use; those that are not named stay as they are
    Update(Update),
    /// Let publishes in and nothing out
    Pause {
        /// The queue
        name: String,
    },
    /// Let messages out again
    Resume {
        /// The queue
        name: String,
    },
    /// Remove a queue and all that is in it
    Delete {
        /// The queue
        name: String,
    },
    /// Remove all messages that nobody holds
    Purge {
        /// The queue
        name: String,
    },
}

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true),
    // A new queue has no delay that these could change.
    mut_arg("retry_multiplier", |arg| arg.requires("retry_initial")),
    mut_arg("retry_max", |arg| arg.requires("retry_initial")),
)]
pub(super) struct Create {
    /// 1 to 128 letters, digits, '.', '_' and '-', optionally NAMESPACE/NAME
    #[arg(group = "what")]
    name: Option<String>,
    /// Make all queues that a file declares, see `bbq apply`, and none of its topics; one that is there with other settings is an error
    #[arg(long, value_name = "FILE", group = "what", conflicts_with = "Settings")]
    from: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// The queue
    name: String,
    #[command(flatten)]
    settings: Settings,
}

impl Queue {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        if let Self::Watch(watch) = self {
            return watch.run(global).await;
        }
        let mut output = Output::new(global);
        with_client(global, async |client| match self {
            Self::Create(Create { from: Some(file), .. }) => create_all(&client, &file, &mut output).await,
            Self::Create(Create { name, settings, from: None }) => {
                let name = name.unwrap_or_default();
                let queue = client.create_queue(&name, settings.into()).await?;
                output.record(format_args!("queue {name} is there"), &json(&queue))
            }
            Self::Show { name } => {
                let queue = client.get_queue(&name).await?;
                output.record(text(&queue), &json(&queue))
            }
            Self::List { prefix } => {
                let queues = client.all_queues(&prefix).await?;
                let rows = queues.iter().map(|queue| (cells(queue), json(queue))).collect::<Vec<_>>();
                output.rows(COLUMNS, &rows, &none_of(&prefix, "queue"))
            }
            Self::Watch(_) => Ok(()),
            Self::Update(Update { name, settings }) => update(&client, &name, settings, &mut output).await,
            Self::Pause { name } => {
                let settings = proto::QueueSettings { paused: true, ..Default::default() };
                let queue = client.update_queue(&name, settings, vec!["paused".to_owned()]).await?;
                output.record(format_args!("queue {name} is paused"), &json(&queue))
            }
            Self::Resume { name } => {
                let settings = proto::QueueSettings::default();
                let queue = client.update_queue(&name, settings, vec!["paused".to_owned()]).await?;
                output.record(format_args!("queue {name} is resumed"), &json(&queue))
            }
            Self::Delete { name } => {
                client.delete_queue(&name).await?;
                output.record(format_args!("queue {name} is deleted"), &json!({"deleted": name}))
            }
            Self::Purge { name } => {
                let purged = client.purge_queue(&name).await?;
                let json = json!({"queue": name, "purged": purged});
                output.record(format_args!("{} removed from {name}", counted(purged, "message")), &json)
            }
        })
        .await
    }
}

async fn create_all(client: &Client, file: &Path, output: &mut Output) -> Result<()> {
    let Declaration { queues, topics } = Declaration::read(file)?;
    for DeclaredQueue { name, settings, .. } in queues {
        let queue = client.create_queue(&name, settings).await?;
        output.record(format_args!("queue {name} is there"), &json(&queue))?;
    }
    if !topics.is_empty() {
        let file = file.display();
        eprintln!(
            "{} of {file} left out; `bbq apply -f {file}` makes topics too",
            counted(topics.len(), "topic")
        );
    }
    Ok(())
}

async fn update(client: &Client, name: &str, settings: Settings, output: &mut Output) -> Result<()> {
    let mask = settings.named();
    if mask.is_empty() {
        bail!("nothing to change; name a setting, such as --max-attempts 5 (`bbq queue update --help`)");
    }
    let mut settings = proto::QueueSettings::from(settings);
    if settings.retry_backoff.is_some() {
        keep_backoff(&mut settings, &client.get_queue(name).await?.settings.unwrap_or_default());
    }
    if settings.retry_backoff.is_some_and(|backoff| backoff.initial.is_none()) {
        bail!(
            "queue {name} has no delay before the second attempt that could grow; give --retry-initial too"
        );
    }
    let queue = client.update_queue(name, settings, mask).await?;
    output.record(format_args!("queue {name} is changed"), &json(&queue))
}

fn json(queue: &proto::Queue) -> Value {
    let stats = queue.stats.unwrap_or_default();
    object([
        ("name", queue.name.clone().into()),
        ("created_at", wire_time(queue.created_at).into()),
        ("settings", queue.settings.as_ref().map(settings).into()),
        ("ready", stats.ready.into()),
        ("delayed", stats.delayed.into()),
        ("leased", stats.leased.into()),
        ("dead", if stats.dead == 0 { Value::Null } else { stats.dead.into() }),
        ("parked", if stats.parked == 0 { Value::Null } else { stats.parked.into() }),
        ("bytes", stats.bytes.into()),
        ("consumers", stats.consumers.into()),
        ("oldest_published_at", wire_time(stats.oldest_published_at).into()),
    ])
    .into()
}

fn cells(queue: &proto::Queue) -> [String; 9] {
    let stats = queue.stats.unwrap_or_default();
    let [ready, delayed, leased, consumers] =
        [stats.ready, stats.delayed, stats.leased, stats.consumers].map(|count| count.to_string());
    let [parked, dead] =
        [stats.parked, stats.dead].map(|count| if count == 0 { String::new() } else { count.to_string() });
    let is_paused = queue.settings.as_ref().is_some_and(|settings| settings.paused);
    let state = if is_paused { "paused".to_owned() } else { String::new() };
    let size = HumanBytes(stats.bytes).to_string();
    [queue.name.clone(), ready, delayed, leased, parked, dead, consumers, size, state]
}

/// One fact a line; the same facts as in JSON, settings under the names of their flags.
fn text(queue: &proto::Queue) -> String {
    let Value::Object(mut facts) = json(queue) else { return queue.name.clone() };
    if let Some(Value::Object(settings)) = facts.remove("settings") {
        facts.extend(settings.into_iter().flat_map(as_flags));
    }
    let mut lines = Vec::new();
    for key in FACTS {
        lines.extend(facts.remove(key).map(|value| fact(key, &value)));
    }
    // None is left, unless somebody forgot to say where a new one belongs.
    lines.extend(facts.iter().map(|(key, value)| fact(key, value)));
    lines.join("\n")
}

fn fact(key: &str, value: &Value) -> String {
    format!("{key:<24}{}", word_of(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_shows_what_is_set() {
        let queue = proto::Queue {
            name: "jobs".into(),
            settings: Some(proto::QueueSettings {
                delivery: proto::DeliveryMode::AtMostOnce.into(),
                lease_duration: Some(prost_types::Duration { seconds: 90, nanos: 0 }),
                max_attempts: 3,
                ..Default::default()
            }),
            created_at: None,
            stats: Some(proto::QueueStats { ready: 7, bytes: 2048, ..Default::default() }),
        };
        let expected = json!({
            "name": "jobs", "ready": 7, "delayed": 0, "leased": 0, "bytes": 2048, "consumers": 0,
            "settings": {"delivery": "at-most-once", "lease_duration": "1m 30s", "max_attempts": 3},
        });
        assert_eq!(json(&queue), expected);
        assert_eq!(cells(&queue), ["jobs", "7", "0", "0", "", "", "0", "2.00 KiB", ""]);
        let text = text(&queue);
        assert!(text.contains("delivery                at-most-once"), "{text}");
        assert!(text.contains("ready                   7"), "{text}");
        assert!(text.starts_with("name                    jobs\nready "), "{text}");
    }
    /// Whoever set them finds them under the names that they typed.
    #[test]
    fn every_fact_has_its_place() {
        let length = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let settings = proto::QueueSettings {
            ordering: 1,
            delivery: 1,
            durability: 1,
            lease_duration: length(30),
            max_attempts: 3,
            retry_backoff: Some(proto::RetryBackoff { initial: length(1), multiplier: 2.0, max: length(60) }),
            dead_letter_queue: "dead".into(),
            time_to_live: length(60),
            max_messages: 1,
            max_bytes: 1,
            overflow: 1,
            deduplication_window: length(60),
            single_active_consumer: true,
            paused: true,
        };
        let at = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
        let stats = proto::QueueStats { dead: 1, parked: 1, oldest_published_at: at, ..Default::default() };
        let queue = proto::Queue {
            name: "jobs".into(),
            settings: Some(settings),
            created_at: at,
            stats: Some(stats),
        };
        let text = text(&queue);
        let names: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(names, FACTS);
        assert!(text.contains("retry_initial           1s\nretry_multiplier        2.0\n"), "{text}");
        assert_eq!(cells(&queue)[4..], ["1", "1", "0", "0 B", "paused"]);
    }
}
