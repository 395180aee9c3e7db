//! Scenarios of leases and receipts.

use std::time::Duration;

use bbq_client::proto::{AckRequest, QueueSettings, TransactRequest};
use bbq_client::{Delivery, Error, FailedReceipt, Nack, ReceiptFailure};
use tokio::time::Instant;

use crate::world::{World, next, same};
use crate::{Failure, Outcome};

fn lasting(lease: Duration) -> QueueSettings {
    QueueSettings { lease_duration: lease.try_into().ok(), ..QueueSettings::default() }
}

async fn receive(world: &World) -> Result<Delivery, Failure> {
    let received = world.client.receive(&world.queue, 1, Duration::from_secs(10), None).await?;
    received.into_iter().next().ok_or_else(|| "nothing came".into())
}

/// Why one receipt failed; none if it did what it should.
fn why(failed: &[FailedReceipt]) -> Option<ReceiptFailure> {
    failed.first().map(|failed| failed.why)
}

pub async fn expiry(world: &World) -> Outcome {
    world.create(lasting(Duration::from_secs(1))).await?;
    let (client, queue) = (&world.client, &world.queue);
    client.publish(queue, "late").await?;
    let first = receive(world).await?;
    let since = Instant::now();
    let second = receive(world).await?;
    same("what comes back", (second.sequence(), second.attempt()), (first.sequence(), 2))?;
    same("whether the lease lasted", since.elapsed() >= Duration::from_millis(900), true)?;
    let old = [first.receipt()];
    let superseded = Some(ReceiptFailure::Superseded);
    same("the nack", why(&client.nack(queue, &old, &Nack::new()).await?), superseded)?;
    same("the extension", why(&client.extend(queue, &old, None).await?), superseded)?;
    same("the ack", why(&client.ack(queue, &old).await?), superseded)?;
    same("the second ack", why(&client.ack(queue, &[second.receipt()]).await?), None)?;

    client.publish(queue, "later").await?;
    let third = receive(world).await?;
    let paused = QueueSettings { paused: true, ..QueueSettings::default() };
    client.update_queue(queue, paused, vec!["paused".to_owned()]).await?;
    world.counts(1, 0).await?;
    let receipt = [third.receipt()];
    same(
        "the late extension",
        why(&client.extend(queue, &receipt, None).await?),
        Some(ReceiptFailure::Expired),
    )?;
    same("the late ack", why(&client.ack(queue, &receipt).await?), None)?;
    world.counts(0, 0).await
}

pub async fn extension(world: &World) -> Outcome {
    world.create(lasting(Duration::from_secs(20))).await?;
    world.client.publish(&world.queue, "slow").await?;
    let mut subscription = world.client.subscribe(&world.queue).start().await?;
    let delivery = next(&mut subscription).await?;
    let again = tokio::time::timeout(Duration::from_secs(35), subscription.next()).await;
    same("whether it came again", again.is_ok(), false)?;
    world.counts(0, 1).await?;
    Ok(delivery.ack().await?)
}

/// This client has no handlers: settling a delivery consumes it, so that nothing can settle it again.
pub async fn handler(world: &World) -> Outcome {
    world.create(QueueSettings::default()).await?;
    world.publish_numbers(1).await?;
    let mut subscription = world.subscribe().start().await?;
    let first = next(&mut subscription).await?;
    let since = Instant::now();
    first.nack_with(Nack::after(Duration::from_secs(1))).await?;
    let second = next(&mut subscription).await?;
    same("what comes back", (second.sequence(), second.attempt()), (1, 2))?;
    same("whether the delay lasted", since.elapsed() >= Duration::from_millis(900), true)?;
    second.ack().await?;
    world.counts(0, 0).await?;
    subscription.close().await;
    Ok(())
}

pub async fn stale(world: &World) -> Outcome {
    world.create(QueueSettings::default()).await?;
    let (client, queue) = (&world.client, &world.queue);
    let other = format!("{queue}-2");
    client.create_queue(&other, QueueSettings::default()).await?;
    world.publish_numbers(2).await?;
    let mut subscription = world.subscribe().start().await?;
    let first = next(&mut subscription).await?;
    let acked = [first.receipt().to_owned()];
    let second = next(&mut subscription).await?;
    let old = [second.receipt().to_owned()];
    first.ack().await?;
    same("the second ack", why(&client.ack(queue, &acked).await?), None)?;
    let gone = Some(ReceiptFailure::Gone);
    same("a nack of what is gone", why(&client.nack(queue, &acked, &Nack::new()).await?), gone)?;
    same("an extension of what is gone", why(&client.extend(queue, &acked, None).await?), gone)?;
    let unknown = Some(ReceiptFailure::Unknown);
    same("an ack of nothing", why(&client.ack(queue, &["not-a-receipt"]).await?), unknown)?;
    same("an ack elsewhere", why(&client.ack(&other, &old).await?), unknown)?;

    subscription.close().await;
    let mut subscription = world.subscribe().start().await?;
    let current = next(&mut subscription).await?;
    match second.ack().await {
        Err(Error::Receipt { receipt, why: ReceiptFailure::Superseded }) => {
            same("the receipt", &receipt, &old[0])?;
        }
        other => return Err(format!("an ack of what somebody else has: {other:?}").into()),
    }
    let ack = AckRequest { queue: queue.clone(), receipts: old.to_vec() };
    let transaction = TransactRequest { acks: vec![ack], ..TransactRequest::default() };
    match client.transact(transaction).await {
        Err(error @ Error::Aborted(_)) => same("the reason", error.reason(), Some("STALE_RECEIPT"))?,
        other => return Err(format!("a transaction with a stale receipt: {other:?}").into()),
    }
    Ok(current.ack().await?)
}
