//! Scenarios of what is refused, and of what takes too long.

use std::time::Duration;

use bbq_client::proto::{Grant, Ordering, Permission, QueueSettings};
use bbq_client::{Client, Error, Message, Profile};
use serde_json::Value;
use tokio::time::Instant;

use crate::host::Host;
use crate::world::{World, same};
use crate::{Failure, Outcome};

/// The code of an error, by the variant that stands for it.
fn code(error: &Error) -> &'static str {
    match error {
        Error::NotFound(_) => "NOT_FOUND",
        Error::AlreadyExists(_) => "ALREADY_EXISTS",
        Error::InvalidArgument(_) => "INVALID_ARGUMENT",
        Error::FailedPrecondition(_) => "FAILED_PRECONDITION",
        Error::Aborted(_) => "ABORTED",
        Error::ResourceExhausted(_) => "RESOURCE_EXHAUSTED",
        Error::Unauthenticated(_) => "UNAUTHENTICATED",
        Error::PermissionDenied(_) => "PERMISSION_DENIED",
        Error::Unavailable(_) => "UNAVAILABLE",
        Error::DeadlineExceeded(_) => "DEADLINE_EXCEEDED",
        Error::Unimplemented(_) => "UNIMPLEMENTED",
        Error::Internal(_) => "INTERNAL",
        _ => "none of the table's",
    }
}

fn refused<T>(call: &str, result: Result<T, Error>, as_code: &str, reason: &str) -> Outcome {
    let error = result.err().ok_or_else(|| format!("{call} is not refused"))?;
    same(call, (code(&error), error.reason()), (as_code, Some(reason)))
}

async fn client_of(world: &World, token: Option<&str>) -> Result<Client, Failure> {
    let profile = Profile { token: token.map(ToOwned::to_owned), ..world.profile.clone() };
    Ok(Client::connect(profile).await?)
}

pub async fn refusals(world: &World) -> Outcome {
    let (client, queue) = (&world.client, &world.queue);
    world.create(QueueSettings { max_messages: 1, ..QueueSettings::default() }).await?;
    let none = format!("{queue}-none");
    refused("publish to none", client.publish(&none, "x").await, "NOT_FOUND", "QUEUE_NOT_FOUND")?;
    // Over HTTP/3 the refusal is the first item.
    let subscribed = match client.subscribe(&none).start().await {
        Ok(mut subscription) => subscription.next().await.ok_or("it ended without an error")?.map(drop),
        Err(error) => Err(error),
    };
    refused("subscribe to none", subscribed, "NOT_FOUND", "QUEUE_NOT_FOUND")?;
    let other = client.create_queue(queue, QueueSettings::default()).await;
    refused("other settings", other, "ALREADY_EXISTS", "QUEUE_EXISTS")?;
    let bad = client.create_queue("bad name", QueueSettings::default()).await;
    refused("a bad name", bad, "INVALID_ARGUMENT", "INVALID_FIELD")?;
    let fifo = format!("{queue}-fifo");
    let settings = QueueSettings { ordering: Ordering::Fifo.into(), ..QueueSettings::default() };
    client.create_queue(&fifo, settings).await?;
    let urgent = client.publish(&fifo, Message::new("x").priority(5)).await;
    refused("a priority", urgent, "FAILED_PRECONDITION", "PRIORITY_IN_FIFO")?;
    let twice = client.publish(queue, Message::new("x").deduplication_id("x")).await;
    refused("a deduplication id", twice, "FAILED_PRECONDITION", "DEDUPLICATION_OFF")?;
    let two = client.publish_all(queue, vec!["1".into(), "2".into()]).await;
    refused("two messages", two, "RESOURCE_EXHAUSTED", "QUEUE_FULL")?;

    let wrong = client_of(world, Some("wrong")).await?.get_queue(queue).await;
    refused("a wrong token", wrong, "UNAUTHENTICATED", "BAD_TOKEN")?;
    let without = client_of(world, None).await?.get_queue(queue).await;
    refused("no token", without, "UNAUTHENTICATED", "NO_TOKEN")?;
    let grant = Grant { permission: Permission::Consume.into(), queues: queue.clone() };
    let (_, secret) = client.create_token(queue, vec![grant], None).await?;
    let consumer = client_of(world, Some(&secret)).await?.publish(queue, "x").await;
    refused("a consumer's publish", consumer, "PERMISSION_DENIED", "PERMISSION_MISSING")
}

pub async fn table(world: &World) -> Outcome {
    let answer = Host::ask("errors").await?;
    let profile = answer["profile"].as_str().ok_or("no profile")?;
    let profile = Profile { transport: world.profile.transport, ..Profile::load(profile)? };
    let client = Client::connect(profile).await?.with_deadline(Duration::from_secs(20));
    let cases = answer["cases"].as_array().ok_or("no cases")?;
    same("whether there are cases", cases.len() >= 12, true)?;
    for case in cases {
        let queue = case["queue"].as_str().ok_or("no queue")?;
        let error =
            client.publish(queue, "x").await.err().ok_or_else(|| format!("{queue} is not refused"))?;
        let retry_ms = error.retry_after().map(|delay| u64::try_from(delay.as_millis())).transpose()?;
        let got = (Value::from(code(&error)), Value::from(error.reason()), Value::from(retry_ms));
        same(queue, got, (case["code"].clone(), case["reason"].clone(), case["retry_ms"].clone()))?;
    }
    client.close().await;
    Ok(())
}

pub async fn deadline(world: &World) -> Outcome {
    world.create(QueueSettings::default()).await?;
    world.client.publish(&world.queue, "before").await?;
    Host::ask("pause").await?;
    let began = Instant::now();
    let published =
        world.client.with_deadline(Duration::from_secs(1)).publish(&world.queue, "never confirmed").await;
    let took = began.elapsed();
    Host::ask("resume").await?;
    let error = published.err().ok_or("a server that stands still confirmed")?;
    same("the code", code(&error), "DEADLINE_EXCEEDED")?;
    let bounds = Duration::from_millis(900)..=Duration::from_secs(25);
    same(&format!("whether {took:?} is about the deadline"), bounds.contains(&took), true)?;
    world.client.get_queue(&world.queue).await?;
    Ok(())
}
