//! `bbq topic create|list|delete|bind|unbind`.

use anyhow::Result;
use bbq_client::proto;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Global;
use super::argument::attribute;
use super::connection::with_client;
use super::output::Output;
use super::record::{none_of, object, wire_time};
use super::table::Column;

#[derive(Debug, Subcommand)]
pub(super) enum Topic {
    /// Make a topic; one that is there is a success
    Create {
        /// 1 to 128 letters, digits, '.', '_' and '-', optionally NAMESPACE/NAME
        name: String,
    },
    /// List topics and their bindings
    List {
        /// Only topics whose name begins so
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
    },
    /// Remove a topic and its bindings
    Delete {
        /// The topic
        name: String,
    },
    /// Let a queue take what is published to a topic
    Bind(Binding),
    /// Take a binding back, exactly as it was bound
    Unbind(Binding),
}

#[derive(Debug, Args)]
pub(super) struct Binding {
    /// The topic
    topic: String,
    /// The queue, of the same namespace
    queue: String,
    /// Words joined by dots: * stands for one, # for any number [default: all routing keys match]
    #[arg(long, value_name = "PATTERN", default_value = "", hide_default_value = true)]
    pattern: String,
    /// An attribute that a message must have; may be given more than once
    #[arg(long = "attr", value_name = "KEY=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
}

impl Topic {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let mut output = Output::new(global);
        with_client(global, async |client| match self {
            Self::Create { name } => {
                let topic = client.create_topic(&name).await?;
                output.record(format_args!("topic {name} is there"), &shown(&topic))
            }
            Self::List { prefix } => {
                let mut topics = client.all_topics().await?;
                topics.retain(|topic| topic.name.starts_with(&prefix));
                let rows: Vec<_> = topics.iter().flat_map(rows).collect();
                let columns = ["TOPIC", "QUEUE", "PATTERN", "ATTRIBUTES"].map(Column::Text);
                output.rows(columns, &rows, &none_of(&prefix, "topic"))
            }
            Self::Delete { name } => {
                client.delete_topic(&name).await?;
                output.record(format_args!("topic {name} is deleted"), &json!({"deleted": name}))
            }
            Self::Bind(binding) => {
                let (topic, queue, wire) = binding.parts();
                client.bind(&topic, wire.clone()).await?;
                output.record(format_args!("queue {queue} is bound to {topic}"), &one(&topic, &wire))
            }
            Self::Unbind(binding) => {
                let (topic, queue, wire) = binding.parts();
                client.unbind(&topic, wire.clone()).await?;
                let json = json!({"unbound": one(&topic, &wire)});
                output.record(format_args!("queue {queue} is unbound from {topic}"), &json)
            }
        })
        .await
    }
}

impl Binding {
    fn parts(self) -> (String, String, proto::Binding) {
        let Self { topic, queue, pattern, attributes } = self;
        let attributes = attributes.into_iter().collect();
        (topic, queue.clone(), proto::Binding { queue, pattern, attributes })
    }
}

fn attributes(binding: &proto::Binding) -> Value {
    if binding.attributes.is_empty() { Value::Null } else { json!(binding.attributes) }
}

fn one(topic: &str, binding: &proto::Binding) -> Value {
    let proto::Binding { queue, pattern, .. } = binding;
    object([
        ("topic", topic.into()),
        ("queue", queue.as_str().into()),
        ("pattern", pattern.as_str().into()),
        ("attributes", attributes(binding)),
    ])
    .into()
}

fn shown(topic: &proto::Topic) -> Value {
    let binding = |binding: &proto::Binding| {
        object([
            ("queue", binding.queue.as_str().into()),
            ("pattern", binding.pattern.as_str().into()),
            ("attributes", attributes(binding)),
        ])
    };
    let bindings: Vec<_> = topic.bindings.iter().map(binding).collect();
    object([
        ("name", topic.name.as_str().into()),
        ("created_at", wire_time(topic.created_at).into()),
        ("bindings", json!(bindings)),
    ])
    .into()
}

/// A row for each binding, and one for a topic without.
fn rows(topic: &proto::Topic) -> Vec<([String; 4], Value)> {
    let name = &topic.name;
    if topic.bindings.is_empty() {
        return vec![([name.clone(), String::new(), String::new(), String::new()], json!({"topic": name}))];
    }
    let row = |binding: &proto::Binding| {
        let proto::Binding { queue, pattern, attributes } = binding;
        let mut pairs: Vec<_> = attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.sort();
        ([name.clone(), queue.clone(), pattern.clone(), pairs.join(" ")], one(name, binding))
    };
    topic.bindings.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_binding_is_a_row_and_so_is_a_topic_without() {
        let binding = proto::Binding {
            queue: "q".into(),
            pattern: "a.#".into(),
            attributes: [("k".to_owned(), "v".to_owned()), ("b".to_owned(), "w".to_owned())].into(),
        };
        let topic = proto::Topic { name: "t".into(), bindings: vec![binding], created_at: None };
        let [(cells, json)] = rows(&topic).try_into().unwrap();
        assert_eq!(cells, ["t", "q", "a.#", "b=w k=v"]);
        assert_eq!(
            json,
            json!({"topic": "t", "queue": "q", "pattern": "a.#", "attributes": {"k": "v", "b": "w"}})
        );
        let [(cells, json)] = rows(&proto::Topic { bindings: Vec::new(), ..topic }).try_into().unwrap();
        assert_eq!((cells[0].as_str(), json), ("t", json!({"topic": "t"})));
    }
}
