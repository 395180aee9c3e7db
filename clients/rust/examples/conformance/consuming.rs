//! Scenarios of streams: everything arrives once, and what was held comes back when a stream ends, whatever ended it.

use bbq_client::proto::QueueSettings;
use bbq_client::{Client, Delivery, Error, ReceiptFailure, Subscription};
use tokio::time::Instant;

use crate::host::Host;
use crate::world::{AT_ONCE, BOUND, LONG_LEASE, World, next, same, take};
use crate::{Failure, Outcome};

fn number(delivery: &Delivery) -> Result<usize, Failure> {
    Ok(std::str::from_utf8(delivery.body())?.parse()?)
}

pub async fn publish_consume(world: &World) -> Outcome {
    world.create(QueueSettings::default()).await?;
    let publisher = world.client.publisher(&world.queue);
    let mut confirmations = Vec::new();
    for number in 0..world.messages {
        confirmations.push(publisher.publish(number.to_string()).await);
    }
    for (sequence, confirmation) in (1..).zip(confirmations) {
        same("a sequence", confirmation.await?.sequence, sequence)?;
    }

    let mut subscription = world.client.subscribe(&world.queue).max_in_flight(500).start().await?;
    let mut attempts = vec![0; world.messages];
    let mut acked = 0;
    let mut settlements = Vec::new();
    while acked < world.messages {
        let delivery = next(&mut subscription).await?;
        let number = number(&delivery)?;
        attempts[number] += 1;
        same("an attempt", delivery.attempt(), attempts[number])?;
        settlements.push(if number % 100 == 0 && delivery.attempt() == 1 {
            delivery.nack()
        } else {
            acked += 1;
            delivery.ack()
        });
    }
    for settlement in settlements {
        settlement.await?;
    }
    for (number, attempts) in attempts.into_iter().enumerate() {
        same(&format!("the attempts of {number}"), attempts, if number % 100 == 0 { 2 } else { 1 })?;
    }
    world.counts(0, 0).await?;
    subscription.close().await;
    world.consumers(0).await
}

pub async fn cancel(world: &World) -> Outcome {
    world.create(QueueSettings::default()).await?;
    world.publish_numbers(10).await?;
    let mut first = world.subscribe().max_in_flight(10).start().await?;
    let mut held = take(&mut first, 10).await?;
    for delivery in held.drain(..3) {
        delivery.ack().await?;
    }
    drop(first);

    let (other, mut second) = second_client(world).await?;
    let mut again = Vec::new();
    for sequence in 4..=10 {
        let delivery = next(&mut second).await?;
        same("what comes back", (delivery.sequence(), delivery.attempt()), (sequence, 2))?;
        again.push(delivery);
    }
    let last = again.pop();
    for delivery in again {
        delivery.ack().await?;
    }
    let tries = given_back_at_once(world, other);
    tokio::time::timeout(BOUND, tries)
        .await
        .unwrap_or_else(|_| Err("closing gives nothing back at once".into()))?;
    drop((second, last));
    world.counts(0, 0).await
}

async fn second_client(world: &World) -> Result<(Client, Subscription), Failure> {
    let other = Client::connect(world.profile.clone()).await?;
    let second = other.subscribe(&world.queue).lease_duration(LONG_LEASE).start().await?;
    Ok((other, second))
}

/// Closing the client, which holds the tenth message as attempt 2, gives it back at once; a busy machine may need another try.
async fn given_back_at_once(world: &World, mut other: Client) -> Outcome {
    let mut attempt = 2;
    let mut held = None;
    loop {
        let since = Instant::now();
        other.close().await;
        let mut third = world.subscribe().start().await?;
        let delivery = next(&mut third).await?;
        same("what comes back", (delivery.sequence(), delivery.attempt()), (10, attempt + 1))?;
        if since.elapsed() < AT_ONCE {
            return Ok(delivery.ack().await?);
        }
        third.close().await;
        let mut second;
        (other, second) = second_client(world).await?;
        attempt += 2;
        let delivery = next(&mut second).await?;
        same("what is taken again", (delivery.sequence(), delivery.attempt()), (10, attempt))?;
        // Until the client is closed, or it would be given back by this.
        drop(held.replace((second, delivery)));
    }
}

/// The server is restarted or killed while a subscription holds messages.
pub async fn outlived(world: &World, how: &str) -> Outcome {
    world.create(QueueSettings::default()).await?;
    world.publish_numbers(20).await?;
    let mut subscription = world.subscribe().max_in_flight(5).start().await?;
    let mut held = take(&mut subscription, 5).await?;
    let mut seen = [false; 20];
    for delivery in held.drain(..2) {
        seen[number(&delivery)?] = true;
        delivery.ack().await?;
    }
    Host::ask(how).await?;
    while seen.contains(&false) {
        let delivery = next(&mut subscription).await?;
        let number = number(&delivery)?;
        same(&format!("whether {number} was acked before"), seen[number], false)?;
        match delivery.ack().await {
            Ok(()) => seen[number] = true,
            // It came before the end of its stream was known, and comes again.
            Err(Error::Receipt { why: ReceiptFailure::Superseded, .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    while let Err(error) = world.client.publish(&world.queue, "after").await {
        if !matches!(error, Error::Unavailable(_)) {
            return Err(error.into());
        }
    }
    let delivery = next(&mut subscription).await?;
    same("the body", delivery.body().as_ref(), b"after".as_slice())?;
    delivery.ack().await?;
    world.counts(0, 0).await
}

pub async fn idle(world: &World) -> Outcome {
    world.create(QueueSettings::default()).await?;
    let mut subscriptions = Vec::new();
    for _ in 0..world.subscriptions {
        subscriptions.push(world.subscribe().max_in_flight(1).start().await?);
    }
    world.consumers(u64::try_from(world.subscriptions)?).await?;
    world.publish_numbers(world.subscriptions).await?;
    let mut seen = vec![false; world.subscriptions];
    let mut deliveries = Vec::new();
    for subscription in &mut subscriptions {
        let delivery = next(subscription).await?;
        let number = number(&delivery)?;
        same("whether it came twice", std::mem::replace(&mut seen[number], true), false)?;
        deliveries.push(delivery);
    }
    let settlements: Vec<_> = deliveries.into_iter().map(Delivery::ack).collect();
    for settlement in settlements {
        settlement.await?;
    }
    world.counts(0, 0).await?;
    drop(subscriptions);
    world.consumers(0).await
}
