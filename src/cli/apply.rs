//! `bbq apply`: makes queues, topics and bindings what a file says.
//!
//! It creates what is missing and changes what differs, and never removes anything. Applying a file a second time does nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use bbq_client::{Client, Error, proto};
use clap::Args;
use serde_json::{Map, Value, json};

use super::Global;
use super::connection::with_client;
use super::declaration::{Declaration, DeclaredQueue, DeclaredTopic};
use super::feasible::feasible;
use super::output::Output;
use super::record::word_of;
use super::settings::{keep_backoff, settings as shown};

/// With `--dry-run`, something is not as the file says. Exit code 3, and no line on standard error.
#[derive(Debug, thiserror::Error)]
#[error("something is not as declared")]
pub struct Differs;

#[derive(Debug, Args)]
pub(super) struct Apply {
    /// What there should be: TOML with [queues.NAME] and [topics.NAME]
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Show what differs and change nothing; exit code 3 if something does
    ///
    /// What contradicts itself is refused with or without it; what a setting may be is looked at when it is applied.
    #[arg(long)]
    dry_run: bool,
}

/// One thing that is declared, and what it takes to have it.
struct Step {
    kind: &'static str,
    name: String,
    work: Work,
    /// Field, what it is, what it should be.
    changes: Vec<(String, Value, Value)>,
}

/// Settings that are on or off.
const FLAGS: [&str; 2] = ["single_active_consumer", "paused"];

enum Work {
    Nothing,
    CreateQueue(proto::QueueSettings),
    UpdateQueue(proto::QueueSettings),
    CreateTopic,
    Bind(proto::Binding),
}

impl Apply {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let declaration = Declaration::read(&self.file)?;
        with_client(global, async |client| {
            let mut output = Output::new(global);
            let mut differs = false;
            // What is to come is looked at before anything is changed.
            let steps = plan(&client, declaration).await?;
            let count = steps.len();
            for (done, step) in steps.into_iter().enumerate() {
                differs |= !matches!(step.work, Work::Nothing);
                if !self.dry_run {
                    let failed = || {
                        let left = count - done;
                        format!("{done} of {count} steps are done, {left} are not; mend this and apply the file again: {} {}", step.kind, step.name)
                    };
                    step.carry_out(&client).await.with_context(failed)?;
                }
                output.record(step.text(), &step.json(self.dry_run))?;
            }
            if self.dry_run && differs { Err(Differs.into()) } else { Ok(()) }
        })
        .await
    }
}

async fn plan(client: &Client, declaration: Declaration) -> Result<Vec<Step>> {
    feasible(&declaration, &client.all_queues("").await?)?;
    let Declaration { queues, topics } = declaration;
    let mut steps = Vec::new();
    for queue in queues {
        let there = match client.get_queue(&queue.name).await {
            Ok(there) => Some(there.settings.unwrap_or_default()),
            Err(Error::NotFound(_)) => None,
            Err(error) => return Err(error).context(format!("queue {}", queue.name)),
        };
        steps.push(queue_step(queue, there.as_ref()));
    }
    if !topics.is_empty() {
        let there = client.all_topics().await?;
        for topic in topics {
            let known = there.iter().find(|known| known.name == topic.name);
            steps.extend(topic_steps(topic, known));
        }
    }
    Ok(steps)
}

fn queue_step(declared: DeclaredQueue, there: Option<&proto::QueueSettings>) -> Step {
    let DeclaredQueue { name, mut settings, fields } = declared;
    if let Some(there) = there {
        keep_backoff(&mut settings, there);
    }
    let (wanted, has) = (shown(&settings), there.map(shown).unwrap_or_default());
    let mut changes = Vec::new();
    for field in fields {
        // A flag that is off is off, and not unset.
        let unset = if FLAGS.contains(&field.as_str()) { Value::Bool(false) } else { Value::Null };
        let of = |settings: &Map<String, Value>| settings.get(&field).cloned().unwrap_or(unset.clone());
        let (is, should) = (of(&has), of(&wanted));
        if !agrees(&is, &should) {
            changes.push((field, is, should));
        }
    }
    let work = match there {
        None => Work::CreateQueue(settings),
        Some(_) if changes.is_empty() => Work::Nothing,
        Some(_) => Work::UpdateQueue(settings),
    };
    Step { kind: "queue", name, work, changes }
}

/// Whether a value is as it should be; of an object, only what is named counts.
fn agrees(is: &Value, should: &Value) -> bool {
    match (is, should) {
        (Value::Object(is), Value::Object(should)) => {
            should.iter().all(|(key, value)| is.get(key) == Some(value))
        }
        // So a setting is taken away.
        (Value::Null, Value::String(none)) if none == "0s" => true,
        (is, should) => is == should,
    }
}

fn topic_steps(declared: DeclaredTopic, there: Option<&proto::Topic>) -> Vec<Step> {
    let DeclaredTopic { name, bindings } = declared;
    let work = if there.is_some() { Work::Nothing } else { Work::CreateTopic };
    let mut steps = vec![Step { kind: "topic", name: name.clone(), work, changes: Vec::new() }];
    for binding in bindings {
        let bound = there.is_some_and(|topic| topic.bindings.contains(&binding));
        let should = json!({
            "queue": binding.queue, "pattern": binding.pattern, "attributes": binding.attributes,
        });
        let is = if bound { should.clone() } else { Value::Null };
        let changes = if bound { Vec::new() } else { vec![("binding".to_owned(), is, should)] };
        let work = if bound { Work::Nothing } else { Work::Bind(binding.clone()) };
        let name = format!("{name} to {}", binding.queue);
        steps.push(Step { kind: "binding", name, work, changes });
    }
    steps
}

impl Step {
    async fn carry_out(&self, client: &Client) -> Result<(), Error> {
        match &self.work {
            Work::Nothing => Ok(()),
            Work::CreateQueue(settings) => client.create_queue(&self.name, settings.clone()).await.map(drop),
            Work::UpdateQueue(settings) => {
                let mask = self.changes.iter().map(|(field, ..)| field.clone()).collect();
                client.update_queue(&self.name, settings.clone(), mask).await.map(drop)
            }
            Work::CreateTopic => client.create_topic(&self.name).await.map(drop),
            Work::Bind(binding) => {
                let topic = self.name.split(' ').next().unwrap_or_default();
                client.bind(topic, binding.clone()).await
            }
        }
    }

    fn action(&self) -> &'static str {
        match self.work {
            Work::Nothing => "none",
            Work::CreateQueue(_) | Work::CreateTopic | Work::Bind(_) => "create",
            Work::UpdateQueue(_) => "update",
        }
    }

    fn text(&self) -> String {
        let sign = match self.action() {
            "create" => '+',
            "update" => '~',
            _ => '=',
        };
        let mut text = format!("{sign} {} {}", self.kind, self.name);
        for (field, is, should) in &self.changes {
            for (name, is, should) in parts(field, is, should) {
                text += &match self.action() {
                    "create" => format!("\n    {name}: {}", shown_value(&should)),
                    _ => format!("\n    {name}: {} -> {}", shown_value(&is), shown_value(&should)),
                };
            }
        }
        text
    }

    fn json(&self, dry_run: bool) -> Value {
        let change = |(field, is, should): &(String, Value, Value)| {
            (field.clone(), json!({"from": is.clone(), "to": should.clone()}))
        };
        let changes: Map<String, Value> = self.changes.iter().map(change).collect();
        let done = !dry_run && !matches!(self.work, Work::Nothing);
        json!({"kind": self.kind, "name": self.name, "action": self.action(), "changes": changes, "done": done})
    }
}

/// What people get to see of one change: what has parts, part by part, without those that stay or are not there.
fn parts(field: &str, is: &Value, should: &Value) -> Vec<(String, Value, Value)> {
    let none = Map::new();
    let (before, after) = match (is, should) {
        (Value::Object(is), Value::Object(should)) => (is, should),
        (Value::Null, Value::Object(should)) => (&none, should),
        (Value::Object(is), Value::Null) => (is, &none),
        _ => return vec![(field.to_owned(), is.clone(), should.clone())],
    };
    // Where a binding leads is in its name.
    let is_told = |name: &&String| field == "binding" && name.as_str() == "queue";
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).filter(|name| !is_told(name)).collect();
    let of = |parts: &Map<String, Value>, name: &str| parts.get(name).cloned().unwrap_or_default();
    let changed = names.into_iter().map(|name| (name, of(before, name), of(after, name)));
    let prefix = if field == "retry_backoff" { "retry_" } else { "" };
    changed
        .filter(|(_, is, should)| is != should && !is_empty(should))
        .map(|(name, is, should)| (format!("{prefix}{name}"), is, should))
        .collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Object(parts) => parts.is_empty(),
        _ => false,
    }
}

fn shown_value(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Object(parts) => {
            let pairs: Vec<_> =
                parts.iter().map(|(key, value)| format!("{key}={}", word_of(value))).collect();
            pairs.join(" ")
        }
        value => word_of(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(max_attempts: u32, multiplier: f64, max: Option<i64>) -> proto::QueueSettings {
        let seconds = |seconds| prost_types::Duration { seconds, nanos: 0 };
        let backoff = proto::RetryBackoff { initial: Some(seconds(1)), multiplier, max: max.map(seconds) };
        proto::QueueSettings {
            max_attempts,
            retry_backoff: Some(backoff),
            paused: true,
            ..Default::default()
        }
    }

    fn step(there: Option<&proto::QueueSettings>) -> Step {
        let fields = ["max_attempts", "retry_backoff"].map(str::to_owned).to_vec();
        queue_step(DeclaredQueue { name: "q".into(), settings: settings(3, 2.0, None), fields }, there)
    }

    #[test]
    fn only_what_is_declared_and_differs_is_changed() {
        assert_eq!(step(None).action(), "create");
        let same = proto::QueueSettings { paused: false, ..settings(3, 2.0, Some(60)) };
        assert_eq!(step(Some(&same)).action(), "none", "what the file does not name is left alone");
        let update = step(Some(&settings(5, 2.0, None)));
        assert_eq!(update.text(), "~ queue q\n    max_attempts: 5 -> 3");
        assert_eq!(update.json(true)["changes"], json!({"max_attempts": {"from": 5, "to": 3}}));
        let off = DeclaredQueue {
            name: "q".into(),
            settings: proto::QueueSettings::default(),
            fields: vec!["paused".to_owned()],
        };
        let off = queue_step(off, Some(&settings(3, 2.0, None)));
        assert_eq!(off.text(), "~ queue q\n    paused: true -> false");
        let other = step(Some(&settings(3, 1.5, None)));
        assert_eq!(
            other.changes.iter().map(|(field, ..)| field.as_str()).collect::<Vec<_>>(),
            ["retry_backoff"]
        );
    }

    /// To the server a backoff is one setting; to a file it is three.
    #[test]
    fn of_a_backoff_what_is_not_named_stays_and_what_changes_is_shown() {
        let backoff = |initial, multiplier, max| {
            let seconds = |seconds| prost_types::Duration { seconds, nanos: 0 };
            let (initial, max) = (Some(seconds(initial)), Option::map(max, seconds));
            let retry_backoff = Some(proto::RetryBackoff { initial, multiplier, max });
            proto::QueueSettings { retry_backoff, ..Default::default() }
        };
        let there = backoff(1, 3.0, Some(10));
        let changed = |settings| {
            let fields = vec!["retry_backoff".to_owned()];
            queue_step(DeclaredQueue { name: "q".into(), settings, fields }, Some(&there))
        };
        assert_eq!(changed(backoff(1, 0.0, None)).action(), "none");
        let step = changed(backoff(2, 0.0, None));
        assert_eq!(step.text(), "~ queue q\n    retry_initial: 1s -> 2s");
        let Work::UpdateQueue(settings) = step.work else { panic!("it differs") };
        assert_eq!(settings, backoff(2, 3.0, Some(10)));
        let none = changed(proto::QueueSettings::default());
        let gone = "~ queue q\n    retry_initial: 1s -> none\n    retry_max: 10s -> none\n    retry_multiplier: 3.0 -> none";
        assert_eq!(none.text(), gone);
    }

    #[test]
    fn a_binding_is_shown_without_what_it_does_not_say() {
        let binding = proto::Binding {
            queue: "q".into(),
            pattern: String::new(),
            attributes: [("kind".to_owned(), "order".to_owned())].into(),
        };
        let topic = DeclaredTopic { name: "t".into(), bindings: vec![binding] };
        let steps = topic_steps(topic, None);
        assert_eq!(steps[1].text(), "+ binding t to q\n    attributes: kind=order");
    }
}
