//! The scenario of the choice between two transports.

use std::time::Duration;

use bbq_client::proto::QueueSettings;
use bbq_client::{Client, Error, PageRequest, Profile, Transport};
use tokio::time::Instant;

use crate::host::Host;
use crate::world::{AT_ONCE, BOUND, LONG_LEASE, World, next, same};
use crate::{Failure, Outcome};

pub async fn auto(world: &World) -> Outcome {
    world.create(QueueSettings::default()).await?;
    let answer = Host::ask("port").await?;
    let path = answer["profile"].as_str().ok_or("no profile")?;
    let profile = Profile { transport: Transport::Auto, ..Profile::load(path)? };
    let failed = connect(&profile).await?;
    same("connecting to nobody", matches!(failed, Err(Error::Connect { .. })), true)?;
    Host::ask("open-port").await?;
    let connecting = async {
        // A busy machine may need another try, but what waits for UDP first takes longer each time.
        loop {
            let (spoken, took) = spoken(world, &profile).await?;
            same("where UDP is blocked", spoken.as_str(), "h2")?;
            if took < AT_ONCE {
                return Ok::<_, Failure>(());
            }
        }
    };
    tokio::time::timeout(BOUND, connecting).await.map_err(|_| "HTTP/2 waits for HTTP/3")??;
    let own = Profile { transport: Transport::Auto, ..world.profile.clone() };
    let winning = async {
        // HTTP/3 has a head start only, which a busy machine may use up.
        while spoken(world, &own).await?.0 != "h3" {}
        Ok(())
    };
    tokio::time::timeout(BOUND, winning).await.unwrap_or_else(|_| Err("HTTP/3 never wins".into()))
}

async fn connect(profile: &Profile) -> Result<Result<Client, Error>, Failure> {
    let connecting = tokio::time::timeout(BOUND, Client::connect(profile.clone())).await;
    connecting.map_err(|_| format!("neither connected nor failed within {BOUND:?}").into())
}

/// Publishes and takes a message over a connection of its own, and returns what that speaks and how long connecting took.
async fn spoken(world: &World, profile: &Profile) -> Result<(String, Duration), Failure> {
    let since = Instant::now();
    let client = connect(profile).await??;
    let took = since.elapsed();
    client.publish(&world.queue, "x").await?;
    let mut subscription = client.subscribe(&world.queue).lease_duration(LONG_LEASE).start().await?;
    let delivery = next(&mut subscription).await?;
    let leases = client.leases(&world.queue, PageRequest::default()).await?;
    delivery.ack().await?;
    subscription.close().await;
    client.close().await;
    let [lease] = &leases.items[..] else { return Err("not one lease".into()) };
    Ok((lease.transport.clone(), took))
}
