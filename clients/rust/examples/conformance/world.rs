//! What every scenario has: a client, a queue name of its own, numbers, and waiting with a bound.

use std::time::Duration;

use bbq_client::proto::QueueSettings;
use bbq_client::{Client, Delivery, Profile, SubscribeBuilder, Subscription, Transport};

use crate::{Failure, Outcome};

/// How long to wait for what must happen.
pub const BOUND: Duration = Duration::from_secs(60);
/// What takes less did not wait for an idle timeout, or for another transport.
pub const AT_ONCE: Duration = Duration::from_secs(5);
/// A lease that ends in no scenario.
pub const LONG_LEASE: Duration = Duration::from_secs(600);

/// What a scenario is given.
pub struct World {
    pub client: Client,
    pub profile: Profile,
    pub queue: String,
    pub messages: usize,
    pub subscriptions: usize,
}

impl World {
    /// The scenario's name, and what it needs.
    pub async fn of_arguments() -> Result<(String, Self), Failure> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let value = |name: &str| {
            let at = args.iter().position(|arg| arg == name);
            at.and_then(|at| args.get(at + 1).cloned()).ok_or_else(|| format!("no {name}"))
        };
        let mut profile = Profile::find(None)?;
        profile.transport = match value("--transport")?.as_str() {
            "h3" => Transport::Http3,
            "h2" => Transport::Http2,
            other => return Err(format!("no transport {other}").into()),
        };
        let world = Self {
            client: Client::connect(profile.clone()).await?,
            profile,
            queue: value("--queue")?,
            messages: value("--messages")?.parse()?,
            subscriptions: value("--subscriptions")?.parse()?,
        };
        Ok((value("--scenario")?, world))
    }

    /// Makes the scenario's queue.
    pub async fn create(&self, settings: QueueSettings) -> Outcome {
        self.client.create_queue(&self.queue, settings).await?;
        Ok(())
    }

    /// A subscription to the scenario's queue whose leases don't end by themselves.
    pub fn subscribe(&self) -> SubscribeBuilder {
        self.client.subscribe(&self.queue).lease_duration(LONG_LEASE)
    }

    /// Publishes the numbers from 0 in one call.
    pub async fn publish_numbers(&self, count: usize) -> Outcome {
        let messages = (0..count).map(|number| number.to_string().into()).collect();
        self.client.publish_all(&self.queue, messages).await?;
        Ok(())
    }

    /// Waits until so many messages are ready and leased.
    pub async fn counts(&self, ready: u64, leased: u64) -> Outcome {
        self.until(&format!("{ready} ready, {leased} leased"), |stats| {
            stats.ready == ready && stats.leased == leased
        })
        .await
    }

    /// Waits until the queue has so many consumers.
    pub async fn consumers(&self, count: u64) -> Outcome {
        self.until(&format!("{count} consumers"), |stats| stats.consumers == count).await
    }

    async fn until(&self, what: &str, fact: impl Fn(&bbq_client::proto::QueueStats) -> bool) -> Outcome {
        let mut seen = None;
        let looking = async {
            loop {
                let queue = self.client.get_queue(&self.queue).await?;
                let stats = queue.stats.ok_or("no counts")?;
                if fact(&stats) {
                    return Ok::<_, Failure>(());
                }
                seen = Some(stats);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let looked = tokio::time::timeout(BOUND, looking).await;
        looked.unwrap_or_else(|_| Err(format!("never {what}, but {seen:?}").into()))
    }
}

/// The next delivery of a subscription.
pub async fn next(subscription: &mut Subscription) -> Result<Delivery, Failure> {
    let next = tokio::time::timeout(BOUND, subscription.next()).await;
    let next = next.map_err(|_| format!("no delivery within {BOUND:?}"))?;
    Ok(next.ok_or("the subscription has ended")??)
}

/// The next so many deliveries.
pub async fn take(subscription: &mut Subscription, count: usize) -> Result<Vec<Delivery>, Failure> {
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        deliveries.push(next(subscription).await?);
    }
    Ok(deliveries)
}

/// Fails, saying both, unless they are equal.
#[expect(clippy::needless_pass_by_value, reason = "it reads like assert_eq")]
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: T, should: T) -> Outcome {
    if is == should { Ok(()) } else { Err(format!("{what} is {is:?}, not {should:?}").into()) }
}
