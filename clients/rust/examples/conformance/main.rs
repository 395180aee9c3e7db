//! The runner of `clients/conformance/scenarios.md` for this client.
//!
//! It decides nothing: the page says what each scenario does and expects, under the same name.

#![allow(clippy::unwrap_used, reason = "a scenario ends where something is not as it must be")]

mod bodies;
mod choosing;
mod consuming;
mod errors;
mod host;
mod leases;
mod world;

use std::process::ExitCode;

use host::Host;
use world::World;

/// Why a scenario failed.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome = Result<(), Failure>;

#[tokio::main]
async fn main() -> ExitCode {
    let (scenario, world) = match World::of_arguments().await {
        Ok(given) => given,
        Err(error) => return Host::failed(&*error),
    };
    let outcome = match scenario.as_str() {
        "publish-consume" => consuming::publish_consume(&world).await,
        "cancel" => consuming::cancel(&world).await,
        "restart" => consuming::outlived(&world, "restart").await,
        "kill" => consuming::outlived(&world, "kill").await,
        "idle" => consuming::idle(&world).await,
        "lease-expiry" => leases::expiry(&world).await,
        "lease-extension" => leases::extension(&world).await,
        "stale-receipt" => leases::stale(&world).await,
        "handler" => leases::handler(&world).await,
        "refusals" => errors::refusals(&world).await,
        "errors" => errors::table(&world).await,
        "deadline" => errors::deadline(&world).await,
        "large-body" => bodies::large(&world).await,
        "binary-bodies" => bodies::binary(&world).await,
        "unicode" => bodies::unicode(&world).await,
        "auto" => choosing::auto(&world).await,
        other => Err(format!("no scenario {other}").into()),
    };
    world.client.close().await;
    match outcome {
        Ok(()) => Host::passed(),
        Err(error) => Host::failed(&*error),
    }
}
