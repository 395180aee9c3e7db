//! Topics: made, bound, listed, and published to.

use bytes::Bytes;
use prost::Message as _;
use tonic::Status;

use super::access::{Caller, Permission, SEE};
use super::admin::{PAGE, PAGE_BYTES, PAGE_MAX};
use super::status::Invalid;
use super::{Services, check, proto, wire};
use crate::broker::{NamedBinding, Routable, Routed, TopicResult, TopicView, Window};
use crate::types::{Attributes, RoutingKey, RoutingPattern, TopicName};

/// The most attributes that a binding wants.
const BINDING_ATTRIBUTES_MAX: usize = 16;
/// The most bytes of all of them, keys and values.
const BINDING_BYTES_MAX: usize = 4 << 10;
/// How many topics one look at the broker lists.
const LIST_STEP: usize = 100;

/// What routing looks at of a message.
#[derive(Clone, PartialEq, prost::Message)]
struct Attributed {
    #[prost(btree_map = "string, string", tag = "2")]
    attributes: Attributes,
}

impl Services {
    pub(super) async fn publish_to_topic(
        &self,
        caller: &Caller,
        topic: &str,
        routing_key: &str,
        messages: &[Bytes],
    ) -> Result<proto::PublishResponse, Status> {
        let topic = topic_name("topic", topic)?;
        let key = key("routing_key", routing_key)?;
        caller.may_at(&[Permission::Publish], "topic", topic.as_str())?;
        let (messages, facts) = check::messages(messages, &self.limits)?;
        let attributes = messages.iter().map(|content| attributes_of(&content.0)).collect();
        let routable = Routable { messages, facts, attributes };
        let results = self.broker.publish_to_topic(topic, key, routable).await?;
        Ok(proto::PublishResponse { results: results.into_iter().map(result).collect() })
    }

    pub(super) async fn make_topic(
        &self,
        caller: &Caller,
        request: &proto::CreateTopicRequest,
    ) -> Result<proto::CreateTopicResponse, Status> {
        let name = topic_name("name", &request.name)?;
        caller.may_at(&[Permission::Manage], "topic", name.as_str())?;
        let view = self.broker.create_topic(name).await?;
        Ok(proto::CreateTopicResponse { topic: Some(shown(caller, view)) })
    }

    pub(super) async fn remove_topic(
        &self,
        caller: &Caller,
        request: &proto::DeleteTopicRequest,
    ) -> Result<proto::DeleteTopicResponse, Status> {
        let name = topic_name("name", &request.name)?;
        caller.may_at(&[Permission::Manage], "topic", name.as_str())?;
        self.broker.delete_topic(name).await?;
        Ok(proto::DeleteTopicResponse {})
    }

    /// A page of those that the caller may see: no more than asked for, and than fit into an answer.
    pub(super) async fn topics(
        &self,
        caller: &Caller,
        request: proto::ListTopicsRequest,
    ) -> Result<proto::ListTopicsResponse, Status> {
        let count = check::bounded("page_size", request.page_size, PAGE, PAGE_MAX)?;
        let count = usize::try_from(count).unwrap_or(1);
        if !request.page_token.is_empty() {
            topic_name("page_token", &request.page_token)?;
        }
        let mut from = if request.page_token.is_empty() { String::new() } else { request.page_token + "\0" };
        let (mut topics, mut bytes) = (Vec::<proto::Topic>::new(), 0);
        loop {
            let page = self.broker.topics(Window { from, count: LIST_STEP }).await?;
            for view in page.items.into_iter().filter(|view| sees(caller, view.name.as_str())) {
                let topic = shown(caller, view);
                bytes += topic.encoded_len();
                if topics.len() == count || (bytes > PAGE_BYTES && !topics.is_empty()) {
                    let next_page_token = topics.last().map(|topic| topic.name.clone()).unwrap_or_default();
                    return Ok(proto::ListTopicsResponse { topics, next_page_token });
                }
                topics.push(topic);
            }
            match page.next {
                Some(next) => from = next.to_string(),
                None => return Ok(proto::ListTopicsResponse { topics, next_page_token: String::new() }),
            }
        }
    }
}

/// A topic and a binding of it, of a caller that may manage both the topic and the queue.
pub(super) fn binding(
    caller: &Caller,
    topic: &str,
    binding: Option<proto::Binding>,
) -> Result<(TopicName, NamedBinding), Status> {
    let topic = topic_name("topic", topic)?;
    let Some(proto::Binding { queue, pattern, attributes }) = binding else {
        return Err(Invalid::new("binding", "name the queue to bind").into());
    };
    let queue = check::queue_name("binding.queue", &queue)?;
    let pattern = pattern.parse::<RoutingPattern>();
    let pattern = pattern.map_err(|error| Invalid::new("binding.pattern", error.to_string()))?;
    let attributes = wanted(attributes)?;
    if queue.namespace() != topic.namespace() {
        let problem =
            format!("{queue} is not in the namespace of topic {topic}; a topic serves its own only");
        return Err(Invalid::new("binding.queue", problem).into());
    }
    caller.may_at(&[Permission::Manage], "topic", topic.as_str())?;
    caller.may(&[Permission::Manage], &queue)?;
    Ok((topic, NamedBinding { queue, pattern, attributes }))
}

fn wanted(attributes: std::collections::HashMap<String, String>) -> Result<Attributes, Invalid> {
    let field = "binding.attributes";
    let attributes: Attributes = attributes.into_iter().collect();
    if attributes.len() > BINDING_ATTRIBUTES_MAX {
        let problem = format!("there are {}, the limit is {BINDING_ATTRIBUTES_MAX}", attributes.len());
        return Err(Invalid::new(field, problem));
    }
    let bytes: usize = attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > BINDING_BYTES_MAX {
        let problem = format!("they are {bytes} bytes, the limit is {BINDING_BYTES_MAX}");
        return Err(Invalid::new(field, problem));
    }
    check::attributes(field, &attributes)?;
    Ok(attributes)
}

/// A topic's name.
pub(super) fn topic_name(field: &str, name: &str) -> Result<TopicName, Invalid> {
    name.parse().map_err(|error: crate::types::NameError| Invalid::new(field, error.to_string()))
}

/// What a message is routed by.
pub(super) fn key(field: &str, key: &str) -> Result<RoutingKey, Invalid> {
    key.parse().map_err(|error: crate::types::RoutingError| Invalid::new(field, error.to_string()))
}

/// The attributes of a message that was checked.
pub(super) fn attributes_of(encoded: &Bytes) -> Attributes {
    Attributed::decode(encoded.clone()).map(|message| message.attributes).unwrap_or_default()
}

/// Where a message went.
pub(super) fn result(result: TopicResult) -> proto::PublishResult {
    let TopicResult { routed, duplicate } = result;
    let one =
        |Routed { queue, sequence }| proto::RoutedMessage { queue: queue.to_string(), sequence: sequence.0 };
    proto::PublishResult { routed: routed.into_iter().map(one).collect(), duplicate, ..Default::default() }
}

fn sees(caller: &Caller, name: &str) -> bool {
    SEE.iter().any(|&permission| caller.authority.allows(permission, Some(name)))
}

/// A topic with those of its bindings whose queues the caller may see.
fn shown(caller: &Caller, view: TopicView) -> proto::Topic {
    let TopicView { name, created_at, bindings } = view;
    let bindings = bindings.into_iter().filter(|binding| sees(caller, binding.queue.as_str()));
    let binding = |NamedBinding { queue, pattern, attributes }| proto::Binding {
        queue: queue.to_string(),
        pattern: pattern.to_string(),
        attributes: attributes.into_iter().collect(),
    };
    proto::Topic {
        name: name.to_string(),
        bindings: bindings.map(binding).collect(),
        created_at: Some(wire::timestamp(created_at)),
    }
}
