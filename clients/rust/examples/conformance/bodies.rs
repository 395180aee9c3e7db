//! Scenarios of what a message carries: it arrives as it was sent.

use std::collections::HashMap;
use std::time::Duration;

use bbq_client::proto::QueueSettings;
use bbq_client::{Error, Message};

use crate::Outcome;
use crate::world::{World, next, same};

/// The largest body that a server takes by default.
const BODY_MAX: u32 = 4 * 1024 * 1024;

fn body(length: u32) -> Vec<u8> {
    (0..u64::from(length)).map(|k| u8::try_from(k * 31 % 251).unwrap()).collect()
}

pub async fn large(world: &World) -> Outcome {
    world.create(QueueSettings::default()).await?;
    let (client, queue) = (&world.client, &world.queue);
    client.publish(queue, body(BODY_MAX)).await?;
    let mut subscription = world.subscribe().start().await?;
    let delivery = next(&mut subscription).await?;
    same("whether the body is the same", delivery.body() == &body(BODY_MAX), true)?;
    subscription.close().await;
    delivery.nack().await.or_else(|error| match error {
        // Closing the subscription may have given it back already.
        Error::Receipt { .. } => Ok(()),
        other => Err(other),
    })?;
    let received = client.receive(queue, 1, Duration::from_secs(10), None).await?;
    let delivery = received.into_iter().next().ok_or("nothing came")?;
    same("whether the body is the same again", delivery.body() == &body(BODY_MAX), true)?;
    delivery.ack().await?;

    match client.publish(queue, body(BODY_MAX + 1)).await {
        Err(error @ Error::ResourceExhausted(_)) => {
            same("the reason", error.reason(), Some("LIMIT_EXCEEDED"))?;
        }
        other => return Err(format!("a body above the limit: {other:?}").into()),
    }
    client.publish(queue, "after").await?;
    let delivery = next(&mut world.subscribe().start().await?).await?;
    same("the body", delivery.body().as_ref(), b"after".as_slice())?;
    Ok(delivery.ack().await?)
}

pub async fn binary(world: &World) -> Outcome {
    world.create(QueueSettings::default()).await?;
    let bodies: [Vec<u8>; 5] = [
        vec![],
        (0..=255).collect(),
        vec![0; 1000],
        vec![0xff, 0xfe, 0xc3, 0x28],
        vec![0x0d, 0x0a, 0x0d, 0x0a],
    ];
    let messages = bodies.iter().cloned().map(Message::from).collect();
    world.client.publish_all(&world.queue, messages).await?;
    let mut subscription = world.subscribe().start().await?;
    for body in bodies {
        let delivery = next(&mut subscription).await?;
        same("the body", delivery.body().as_ref(), body.as_slice())?;
        delivery.ack().await?;
    }
    Ok(())
}

pub async fn unicode(world: &World) -> Outcome {
    world.create(QueueSettings::default()).await?;
    let attributes: HashMap<String, String> = [
        ("ключ", "значение"),
        ("emoji", "🔥🍖"),
        ("combining", "e\u{301}"),
        ("empty", ""),
        ("rtl", "שלום"),
        ("nul", "a\0b"),
        ("漢字 and spaces", "値\n2"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let message = Message { attributes: attributes.clone(), ..Message::new("🔥") };
    world.client.publish(&world.queue, message).await?;
    let mut subscription = world.subscribe().start().await?;
    let delivery = next(&mut subscription).await?;
    same("the body", delivery.body().as_ref(), "🔥".as_bytes())?;
    same("the attributes", delivery.attributes(), &attributes)?;
    Ok(delivery.ack().await?)
}
