//! Transact: acks and publishes over queues and topics of one namespace, all of it or nothing.

use prost::Message as _;
use tonic::Status;
use xxhash_rust::xxh3::Xxh3;

use super::access::{Caller, Permission};
use super::proto::publish_request::Target as WireTarget;
use super::proto::{AckRequest, PublishRequest, PublishResponse, TransactRequest, TransactResponse};
use super::status::{self, Invalid};
use super::{Services, check, publish, topics};
use crate::broker::{BrokerError, Routable, Target, TransactionResult, Transactional};
use crate::types::{QueueName, Receipt, ReceiptFailure, TransactionId};

/// The longest id of a transaction.
const TRANSACTION_ID_MAX: usize = 256;

/// Acks of a queue, checked.
type Acks = (QueueName, Vec<Result<Receipt, ReceiptFailure>>);

impl Services {
    pub(super) async fn transact_all(
        &self,
        caller: &Caller,
        request: TransactRequest,
    ) -> Result<TransactResponse, Status> {
        let TransactRequest { acks, publishes, transaction_id } = request;
        self.bounded(&acks, &publishes, &transaction_id)?;
        let mut namespace = Namespace(None);
        let mut hasher = Xxh3::new();
        let mut checked = Vec::with_capacity(acks.len());
        for (place, ack) in acks.iter().enumerate() {
            hasher.update(&ack.encode_to_vec());
            checked.push(self.checked_ack(caller, place, ack, &mut namespace)?);
        }
        let mut routable = Vec::with_capacity(publishes.len());
        for (place, publish) in publishes.iter().enumerate() {
            digest(&mut hasher, publish);
            routable.push(self.checked_publish(caller, place, publish, &mut namespace)?);
        }
        let id = (!transaction_id.is_empty()).then(|| TransactionId {
            namespace: namespace.0.clone().unwrap_or_default(),
            id: transaction_id,
            request: halves(hasher.digest128()),
        });
        let transactional = Transactional { id, acks: checked, publishes: routable };
        let results = self.broker.transact(transactional).await.map_err(|error| named(&error, &acks))?;
        Ok(TransactResponse { publishes: results.into_iter().map(response).collect() })
    }

    /// The limits of one call hold for all of it together.
    fn bounded(&self, acks: &[AckRequest], publishes: &[PublishRequest], id: &str) -> Result<(), Invalid> {
        if acks.is_empty() && publishes.is_empty() {
            return Err(Invalid::new("publishes", "there must be at least one, or at least one of acks"));
        }
        if id.len() > TRANSACTION_ID_MAX {
            let problem = format!("it is {} bytes, the limit is {TRANSACTION_ID_MAX}", id.len());
            return Err(Invalid::new("transaction_id", problem));
        }
        let receipts: usize = acks.iter().map(|ack| ack.receipts.len()).sum();
        let messages: usize = publishes.iter().map(|publish| publish.messages.len()).sum();
        let (items, limit) = (receipts + messages, self.limits.batch_items);
        if items > limit {
            let problem = format!(
                "{messages} messages and {receipts} receipts are {items}, the limit is {limit} (limits.batch_items); \
                 send smaller transactions"
            );
            return Err(Invalid::over_limit("publishes", problem));
        }
        Ok(())
    }

    fn checked_ack(
        &self,
        caller: &Caller,
        place: usize,
        ack: &AckRequest,
        namespace: &mut Namespace,
    ) -> Result<Acks, Status> {
        let within = |invalid: Invalid| invalid.within(&format!("acks[{place}]"));
        let queue = check::queue_name("queue", &ack.queue).map_err(within)?;
        namespace.holds(queue.namespace(), queue.as_str(), &format!("acks[{place}].queue"))?;
        caller.may(&[Permission::Consume], &queue)?;
        let receipts = check::receipts(&ack.receipts, &self.limits).map_err(within)?;
        Ok((queue, receipts))
    }

    fn checked_publish(
        &self,
        caller: &Caller,
        place: usize,
        publish: &PublishRequest,
        namespace: &mut Namespace,
    ) -> Result<(Target, Routable), Status> {
        let within = |invalid: Invalid| invalid.within(&format!("publishes[{place}]"));
        let PublishRequest { target, routing_key, messages } = publish;
        let target = match target {
            Some(WireTarget::Queue(queue)) => {
                let queue = publish::to_queue(queue, routing_key).map_err(within)?;
                namespace.holds(queue.namespace(), queue.as_str(), &format!("publishes[{place}].queue"))?;
                caller.may(&[Permission::Publish], &queue)?;
                Target::Queue(queue)
            }
            Some(WireTarget::Topic(topic)) => {
                let topic = topics::topic_name("topic", topic).map_err(within)?;
                namespace.holds(topic.namespace(), topic.as_str(), &format!("publishes[{place}].topic"))?;
                let key = topics::key("routing_key", routing_key).map_err(within)?;
                caller.may_at(&[Permission::Publish], "topic", topic.as_str())?;
                Target::Topic(topic, key)
            }
            None => return Err(within(publish::no_target()).into()),
        };
        let (messages, facts) = check::messages(messages, &self.limits).map_err(within)?;
        let attributes = match &target {
            Target::Queue(_) => Vec::new(),
            Target::Topic(..) => messages.iter().map(|content| topics::attributes_of(&content.0)).collect(),
        };
        Ok((target, Routable { messages, facts, attributes }))
    }
}

/// The one namespace of a transaction, once it is known.
struct Namespace(Option<String>);

impl Namespace {
    fn holds(&mut self, namespace: &str, name: &str, field: &str) -> Result<(), Invalid> {
        let own = self.0.get_or_insert_with(|| namespace.to_owned());
        if own == namespace {
            return Ok(());
        }
        let shown = |namespace: &str| match namespace {
            "" => "the default namespace".to_owned(),
            namespace => format!("namespace {namespace}"),
        };
        let problem = format!(
            "{name} is in {}, what comes before it in {}; a transaction stays in one namespace",
            shown(namespace),
            shown(own)
        );
        Err(Invalid::new(field, problem))
    }
}

/// Feeds what a publish asks for, however its maps happened to be ordered.
fn digest(hasher: &mut Xxh3, publish: &PublishRequest) {
    let PublishRequest { target, routing_key, messages } = publish;
    let shape =
        PublishRequest { target: target.clone(), routing_key: routing_key.clone(), messages: Vec::new() };
    hasher.update(&shape.encode_length_delimited_to_vec());
    for message in messages {
        hasher.update(&check::canonical(message));
    }
    hasher.update(&[0]);
}

fn halves(hash: u128) -> [u64; 2] {
    crate::types::DeduplicationId::from(hash).0
}

fn response(result: TransactionResult) -> PublishResponse {
    let results = match result {
        TransactionResult::Queue(numbered) => numbered.into_iter().map(publish::result).collect(),
        TransactionResult::Topic(results) => results.into_iter().map(topics::result).collect(),
    };
    PublishResponse { results }
}

/// An error with the receipt that it is about, as it was sent.
fn named(error: &BrokerError, acks: &[AckRequest]) -> Status {
    match error {
        BrokerError::Stale { queue, ack, receipt, why } => {
            let sent = acks.get(*ack).and_then(|ack| ack.receipts.get(*receipt)).map_or("", String::as_str);
            status::stale_receipt(queue.as_str(), sent, *why, &error.to_string())
        }
        error => error.clone().into(),
    }
}
