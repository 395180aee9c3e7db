//! The scenario of the choice between two transports.

use std::time::Duration;

use bbq_client::proto::QueueSettings;
use bbq_client::{Client, Error, PageRequest, Profile, Transport};

use crate::host::Host;
use crate::world::{BOUND, LONG_LEASE, World, next, same};
use crate::{Failure, Outcome};

pub async fn auto(world: &World) -> Outcome {
    world.create(QueueSettings::default()).await?;
    let answer = Host::ask("port").await?;
    let path = answer["profile"].as_str().ok_or("no profile")?;
    let profile = Profile { transport: Transport::Auto, ..Profile::load(path)? };
    let failed = within(Duration::from_secs(10), &profile).await?;
    same("connecting to nobody", matches!(failed, Err(Error::Connect { .. })), true)?;
    Host::ask("open-port").await?;
    same("where UDP is blocked", spoken(world, &profile).await?.as_str(), "h2")?;
    let own = Profile { transport: Transport::Auto, ..world.profile.clone() };
    let winning = async {
        // HTTP/3 has a head start only, which a busy machine may use up.
        while spoken(world, &own).await? != "h3" {}
        Ok(())
    };
    tokio::time::timeout(BOUND, winning).await.unwrap_or_else(|_| Err("HTTP/3 never wins".into()))
}

async fn within(bound: Duration, profile: &Profile) -> Result<Result<Client, Error>, Failure> {
    let connecting = tokio::time::timeout(bound, Client::connect(profile.clone())).await;
    connecting.map_err(|_| format!("neither connected nor failed within {bound:?}").into())
}

/// Publishes and takes a message over a connection of its own, and returns what that speaks.
async fn spoken(world: &World, profile: &Profile) -> Result<String, Failure> {
    let client = within(Duration::from_secs(5), profile).await??;
    client.publish(&world.queue, "x").await?;
    let mut subscription = client.subscribe(&world.queue).lease_duration(LONG_LEASE).start().await?;
    let delivery = next(&mut subscription).await?;
    let leases = client.leases(&world.queue, PageRequest::default()).await?;
    delivery.ack().await?;
    subscription.close().await;
    client.close().await;
    let [lease] = &leases.items[..] else { return Err("not one lease".into()) };
    Ok(lease.transport.clone())
}
