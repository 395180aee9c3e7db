//! `bbq apply`: makes queues, topics and bindings what a file says.
//!
//! It creates what is missing and changes what differs, and never removes anything. Applying a file a second time does nothing.

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
use super::settings::settings as shown;

/// With `--dry-run`, something is not as the file says. Exit code 3, and no line on standard error.
#[derive(Debug, thiserror::Error)]
#[error("something is not as declared")]
pub struct Differs;

#[derive(Debug, Args)]
pub(super) struct Apply {
    /// What there should be: TOML with [queues.NAME] and [topics.NAME]
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Show what differs and change nothing; exit code 3 if something does. What contradicts itself is refused either way, what a
    /// setting may be only by the server when it is applied
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
    let DeclaredQueue { name, settings, fields } = declared;
    let (wanted, has) = (shown(&settings), there.map(shown).unwrap_or_default());
    let mut changes = Vec::new();
    for field in fields {
        let of = |settings: &Map<String, Value>| settings.get(&field).cloned().unwrap_or_default();
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
            let shown = |value: &Value| match value {
                Value::Null => "none".to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            text += &match is {
                Value::Null if self.action() == "create" => format!("\n    {field}: {}", shown(should)),
                is => format!("\n    {field}: {} -> {}", shown(is), shown(should)),
            };
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
        let other = step(Some(&settings(3, 1.5, None)));
        assert_eq!(
            other.changes.iter().map(|(field, ..)| field.as_str()).collect::<Vec<_>>(),
            ["retry_backoff"]
        );
    }
}
