//! `bbq queue create|show|list|watch|update|pause|resume|delete|purge`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use bbq_client::{Client, proto};
use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::Global;
use super::connection::with_client;
use super::declaration::Declaration;
use super::output::Output;
use super::record::{object, wire_time};
use super::settings::{Settings, settings};

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
    #[arg(required_unless_present = "from", default_value = "", hide_default_value = true)]
    name: String,
    /// Make all queues that a file declares, see `bbq apply`; one that is there with other settings is an error
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "Settings"])]
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
            Self::Create(Create { from: Some(file), .. }) => {
                for queue in Declaration::read(&file)?.queues {
                    let name = queue.name;
                    let queue = client.create_queue(&name, queue.settings).await?;
                    output.record(format_args!("queue {name} is there"), &json(&queue))?;
                }
                Ok(())
            }
            Self::Create(Create { name, settings, from: None }) => {
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
