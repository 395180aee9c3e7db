//! The scenario of the choice between two transports.

use std::time::Duration;

use bbq_client::proto::QueueSettings;
use bbq_client::{Client, Error, PageRequest, Profile, Transport};

use crate::host::Host;
use crate::world::{LONG_LEASE, World, next, same};
use crate::{Failure, Outcome};

pub async fn auto(world: &World) -> Outcome {
    world.create(QueueSettings::default()).await?;
    let answer = Host::ask("port").await?;
    let path = answer["profile"].as_str().ok_or("no profile")?;
    let profile = Profile { transport: Transport::Auto, ..Profile::load(path)? };
    let failed = within(Duration::from_secs(10), &profile).await?;
    same("connecting to nobody", matches!(failed, Err(Error::Connect { .. })), true)?;
    Host::ask("open-port").await?;
    let own = Profile { transport: Transport::Auto, ..world.profile.clone() };
    for (profile, transport) in [(profile, "h2"), (own, "h3")] {
        let client = within(Duration::from_secs(5), &profile).await??;
        over(world, &client, transport).await?;
        client.close().await;
    }
    Ok(())
}

async fn within(bound: Duration, profile: &Profile) -> Result<Result<Client, Error>, Failure> {
    let connecting = tokio::time::timeout(bound, Client::connect(profile.clone())).await;
    connecting.map_err(|_| format!("neither connected nor failed within {bound:?}").into())
}

/// Publishes and takes a message over the client's connection, and looks what that is.
async fn over(world: &World, client: &Client, transport: &str) -> Outcome {
    client.publish(&world.queue, "x").await?;
    let mut subscription = client.subscribe(&world.queue).lease_duration(LONG_LEASE).start().await?;
    let delivery = next(&mut subscription).await?;
    let leases = client.leases(&world.queue, PageRequest::default()).await?;
    let shown: Vec<&str> = leases.items.iter().map(|lease| lease.transport.as_str()).collect();
    same("the transports", shown, vec![transport])?;
    delivery.ack().await?;
    subscription.close().await;
    Ok(())
}
