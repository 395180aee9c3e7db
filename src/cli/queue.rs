//! `bbq queue create|show|list|watch|update|pause|resume|delete|purge`.

use std::time::Duration;

use anyhow::{Result, bail};
use bbq_client::{Client, proto};
use clap::{Args, Subcommand, ValueEnum};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::Global;
use super::argument::{duration, wire};
use super::connection::with_client;
use super::output::Output;
use super::record::{object, wire_length, wire_time, word};

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
pub(super) struct Create {
    /// 1 to 128 letters, digits, '.', '_' and '-', optionally NAMESPACE/NAME
    name: String,
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

#[derive(Debug, Args)]
struct Settings {
    /// Which order the queue promises
    #[arg(long, value_enum)]
    ordering: Option<Ordering>,
    /// How often a message may be delivered
    #[arg(long, value_enum)]
    delivery: Option<Delivery>,
    /// What a confirmed publish has survived: a power cut, or a kill of the server
    #[arg(long, value_enum)]
    durability: Option<Durability>,
    /// How long a lease lasts, 1s to 12h [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    lease_duration: Option<Duration>,
    /// Dead-letter or drop a message after so many attempts; 0 for no limit
    #[arg(long, value_name = "COUNT")]
    max_attempts: Option<u32>,
    /// The delay before the second attempt; 0s for none [default: none]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    retry_initial: Option<Duration>,
    /// By how much each further delay grows
    #[arg(long, value_name = "FACTOR", requires = "retry_initial")]
    retry_multiplier: Option<f64>,
    /// No delay is longer than this
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "retry_initial")]
    retry_max: Option<Duration>,
    /// The queue that takes what could not be handled; '' for none
    #[arg(long, value_name = "QUEUE")]
    dead_letter_queue: Option<String>,
    /// How long a message may wait
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    time_to_live: Option<Duration>,
    /// The most messages the queue may hold; 0 for no limit
    #[arg(long, value_name = "COUNT")]
    max_messages: Option<u64>,
    /// The most bytes the queue may hold; 0 for no limit
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<u64>,
    /// What happens to a publish beyond a limit
    #[arg(long, value_enum)]
    overflow: Option<Overflow>,
    /// For how long deduplication ids are remembered, at most 24h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    deduplication_window: Option<Duration>,
    /// One consumer at a time; the others wait for their turn
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    single_active_consumer: Option<bool>,
    /// Publishes go in, nothing goes out
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    paused: Option<bool>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ordering {
    Unordered,
    Fifo,
    ByKey,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Delivery {
    AtLeastOnce,
    AtMostOnce,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Durability {
    Synced,
    Buffered,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Overflow {
    Reject,
    DropOldest,
}

impl Queue {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        if let Self::Watch(watch) = self {
            return watch.run(global).await;
        }
        let mut output = Output::new(global);
        with_client(global, async |client| match self {
            Self::Create(Create { name, settings }) => {
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
                let titles = ["NAME", "READY", "DELAYED", "LEASED", "CONSUMERS", "SIZE"];
                output.rows(titles, &rows, "no queues; `bbq queue create NAME` makes one")
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
                output.record(format_args!("queue {name} goes on"), &json(&queue))
            }
            Self::Delete { name } => {
                client.delete_queue(&name).await?;
                output.record(format_args!("queue {name} is deleted"), &json!({"deleted": name}))
            }
            Self::Purge { name } => {
                let purged = client.purge_queue(&name).await?;
                let json = json!({"queue": name, "purged": purged});
                output.record(format_args!("{purged} messages removed from {name}"), &json)
            }
        })
        .await
    }
}

async fn update(client: &Client, name: &str, settings: Settings, output: &mut Output) -> Result<()> {
    let mask = settings.named();
    if mask.is_empty() {
        bail!("nothing to change; name a setting, such as --max-attempts 5 (`bbq queue update --help`)");
    }
    let queue = client.update_queue(name, settings.into(), mask).await?;
    output.record(format_args!("queue {name} is changed"), &json(&queue))
}

impl Settings {
    /// The names of those that were given.
    fn named(&self) -> Vec<String> {
        let given = [
            ("ordering", self.ordering.is_some()),
            ("delivery", self.delivery.is_some()),
            ("durability", self.durability.is_some()),
            ("lease_duration", self.lease_duration.is_some()),
            ("max_attempts", self.max_attempts.is_some()),
            ("retry_backoff", self.retry_initial.is_some()),
            ("dead_letter_queue", self.dead_letter_queue.is_some()),
            ("time_to_live", self.time_to_live.is_some()),
            ("max_messages", self.max_messages.is_some()),
            ("max_bytes", self.max_bytes.is_some()),
            ("overflow", self.overflow.is_some()),
            ("deduplication_window", self.deduplication_window.is_some()),
            ("single_active_consumer", self.single_active_consumer.is_some()),
            ("paused", self.paused.is_some()),
        ];
        given.into_iter().filter(|&(_, given)| given).map(|(name, _)| name.to_owned()).collect()
    }
}

impl From<Settings> for proto::QueueSettings {
    fn from(settings: Settings) -> Self {
        let ordering = match settings.ordering {
            None => proto::Ordering::Unspecified,
            Some(Ordering::Unordered) => proto::Ordering::Unordered,
            Some(Ordering::Fifo) => proto::Ordering::Fifo,
            Some(Ordering::ByKey) => proto::Ordering::ByKey,
        };
        let delivery = match settings.delivery {
            None => proto::DeliveryMode::Unspecified,
            Some(Delivery::AtLeastOnce) => proto::DeliveryMode::AtLeastOnce,
            Some(Delivery::AtMostOnce) => proto::DeliveryMode::AtMostOnce,
        };
        let durability = match settings.durability {
            None => proto::Durability::Unspecified,
            Some(Durability::Synced) => proto::Durability::Synced,
            Some(Durability::Buffered) => proto::Durability::Buffered,
        };
        let overflow = match settings.overflow {
            None => proto::Overflow::Unspecified,
            Some(Overflow::Reject) => proto::Overflow::Reject,
            Some(Overflow::DropOldest) => proto::Overflow::DropOldest,
        };
        let retry_initial = settings.retry_initial.filter(|initial| !initial.is_zero());
        let retry_backoff = retry_initial.map(|initial| proto::RetryBackoff {
            initial: Some(wire(initial)),
            multiplier: settings.retry_multiplier.unwrap_or(1.0),
            max: settings.retry_max.map(wire),
        });
        Self {
            ordering: ordering.into(),
            delivery: delivery.into(),
            durability: durability.into(),
            lease_duration: settings.lease_duration.map(wire),
            max_attempts: settings.max_attempts.unwrap_or_default(),
            retry_backoff,
            dead_letter_queue: settings.dead_letter_queue.unwrap_or_default(),
            time_to_live: settings.time_to_live.map(wire),
            max_messages: settings.max_messages.unwrap_or_default(),
            max_bytes: settings.max_bytes.unwrap_or_default(),
            overflow: overflow.into(),
            deduplication_window: settings.deduplication_window.map(wire),
            single_active_consumer: settings.single_active_consumer.unwrap_or_default(),
            paused: settings.paused.unwrap_or_default(),
        }
    }
}

/// The settings that are set, by their names.
fn settings(settings: &proto::QueueSettings) -> serde_json::Map<String, Value> {
    let count = |count: u64| if count == 0 { Value::Null } else { count.into() };
    let choice = |name: &str, prefix| match word(name, prefix).as_str() {
        "unspecified" => Value::Null,
        word => word.into(),
    };
    let flag = |flag: bool| if flag { Value::Bool(true) } else { Value::Null };
    let queue = settings.dead_letter_queue.as_str();
    let backoff = settings.retry_backoff.as_ref().map(|backoff| {
        let RetryTexts { initial, max } = RetryTexts::of(backoff);
        object([("initial", initial.into()), ("multiplier", backoff.multiplier.into()), ("max", max.into())])
    });
    object([
        ("ordering", choice(settings.ordering().as_str_name(), "ORDERING_")),
        ("delivery", choice(settings.delivery().as_str_name(), "DELIVERY_MODE_")),
        ("durability", choice(settings.durability().as_str_name(), "DURABILITY_")),
        ("lease_duration", wire_length(settings.lease_duration).into()),
        ("max_attempts", count(settings.max_attempts.into())),
        ("retry_backoff", backoff.into()),
        ("dead_letter_queue", if queue.is_empty() { Value::Null } else { queue.into() }),
        ("time_to_live", wire_length(settings.time_to_live).into()),
        ("max_messages", count(settings.max_messages)),
        ("max_bytes", count(settings.max_bytes)),
        ("overflow", choice(settings.overflow().as_str_name(), "OVERFLOW_")),
        ("deduplication_window", wire_length(settings.deduplication_window).into()),
        ("single_active_consumer", flag(settings.single_active_consumer)),
        ("paused", flag(settings.paused)),
    ])
}

struct RetryTexts {
    initial: Option<String>,
    max: Option<String>,
}

impl RetryTexts {
    fn of(backoff: &proto::RetryBackoff) -> Self {
        Self { initial: wire_length(backoff.initial), max: wire_length(backoff.max) }
    }
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
        ("bytes", stats.bytes.into()),
        ("consumers", stats.consumers.into()),
        ("oldest_published_at", wire_time(stats.oldest_published_at).into()),
    ])
    .into()
}

fn cells(queue: &proto::Queue) -> [String; 6] {
    let stats = queue.stats.unwrap_or_default();
    let [ready, delayed, leased, consumers] =
        [stats.ready, stats.delayed, stats.leased, stats.consumers].map(|count| count.to_string());
    [queue.name.clone(), ready, delayed, leased, consumers, HumanBytes(stats.bytes).to_string()]
}

/// One fact a line; the same facts, under the same names, as in JSON.
fn text(queue: &proto::Queue) -> String {
    let mut lines = Vec::new();
    let Value::Object(facts) = json(queue) else { return queue.name.clone() };
    for (key, value) in &facts {
        match value {
            Value::Object(settings) => lines.extend(settings.iter().map(|(key, value)| fact(key, value))),
            value => lines.push(fact(key, value)),
        }
    }
    lines.join("\n")
}

fn fact(key: &str, value: &Value) -> String {
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("{key:<24}{value}")
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
        assert_eq!(cells(&queue), ["jobs", "7", "0", "0", "0", "2.00 KiB"]);
        let text = text(&queue);
        assert!(text.contains("delivery                at-most-once"), "{text}");
        assert!(text.contains("ready                   7"), "{text}");
    }
}
