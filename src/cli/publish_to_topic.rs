//! `bbq publish --topic`: where each message went, and a count for those that are many.

use anyhow::{Context as _, Result};
use bbq_client::{Client, Message, proto};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Global;
use super::output::Output;
use super::record::{counted, object, were};

/// How many messages one call takes, and how many bytes, of those that are many.
const CALL_MESSAGES: usize = 500;
const CALL_BYTES: usize = 1 << 20;

/// Where to publish to.
pub(super) struct TopicTarget {
    pub(super) topic: String,
    pub(super) routing_key: String,
}

impl TopicTarget {
    /// All in one call: all or none.
    pub(super) async fn once(&self, client: Client, messages: Vec<Message>, global: &Global) -> Result<()> {
        let mut output = Output::new(global);
        for routed in client.publish_all_to_topic(&self.topic, &self.routing_key, messages).await? {
            let to: Vec<_> = routed.iter().map(|one| format!("{} {}", one.queue, one.sequence)).collect();
            let text = if to.is_empty() { "no queue took it".to_owned() } else { to.join(", ") };
            let json = object([
                ("topic", self.topic.as_str().into()),
                ("routing_key", self.routing_key.as_str().into()),
                ("routed", routed.iter().map(one).collect::<Vec<_>>().into()),
            ]);
            output.record(text, &json.into())?;
        }
        Ok(())
    }

    /// Publishes what `next` gives until it gives nothing, some in each call.
    pub(super) async fn many(
        &self,
        client: Client,
        mut next: impl AsyncFnMut() -> Result<Option<Message>>,
        global: &Global,
    ) -> Result<()> {
        let begun = Instant::now();
        let (mut published, mut stored, mut unroutable) = (0_u64, 0_u64, 0_u64);
        let (mut call, mut bytes) = (Vec::new(), 0);
        loop {
            let message = next().await?;
            let last = message.is_none();
            if let Some(message) = message {
                bytes += message.body.len();
                call.push(message);
            }
            if last || call.len() >= CALL_MESSAGES || bytes >= CALL_BYTES {
                let messages = std::mem::take(&mut call);
                bytes = 0;
                let routed = client.publish_all_to_topic(&self.topic, &self.routing_key, messages).await;
                for routed in
                    routed.with_context(|| format!("{} published, then", were(published, "message")))?
                {
                    published += 1;
                    stored += u64::try_from(routed.len()).unwrap_or(u64::MAX);
                    unroutable += u64::from(routed.is_empty());
                }
            }
            if last {
                break;
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        let json = json!({
            "topic": self.topic, "published": published, "stored": stored, "unroutable": unroutable,
            "seconds": seconds,
        });
        let text = format!(
            "{} published to {} in {seconds:.1} s: {stored} stored, {unroutable} that no queue took",
            counted(published, "message"),
            self.topic
        );
        Output::new(global).record(text, &json)
    }
}

fn one(routed: &proto::RoutedMessage) -> Value {
    json!({"queue": routed.queue, "sequence": routed.sequence})
}
