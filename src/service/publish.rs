//! Publish, and the data plane's list of calls.

use tonic::{Request, Response, Status};

use super::Services;
use super::access::{Caller, Permission};
use super::check;
use super::consume::Deliveries;
use super::proto::publish_request::Target;
use super::proto::queue_service_server::QueueService;
use super::proto::{
    AckRequest, AckResponse, ExtendRequest, ExtendResponse, NackRequest, NackResponse, PublishRequest,
    PublishResponse, PublishResult, ReceiveRequest, ReceiveResponse, SubscribeRequest, TransactRequest,
    TransactResponse,
};
use super::status::{self, Invalid};

impl Services {
    async fn publish_to_queue(
        &self,
        caller: &Caller,
        request: PublishRequest,
    ) -> Result<PublishResponse, Status> {
        let PublishRequest { target, routing_key, messages } = request;
        let queue = match target {
            Some(Target::Queue(queue)) => check::queue_name("queue", &queue)?,
            Some(Target::Topic(topic)) => {
                return self.publish_to_topic(caller, &topic, &routing_key, &messages).await;
            }
            None => return Err(Invalid::new("queue", "name the queue or the topic to publish to").into()),
        };
        if !routing_key.is_empty() {
            return Err(Invalid::new("routing_key", "it is for topics only; leave it unset").into());
        }
        caller.may(&[Permission::Publish], &queue)?;
        let (messages, facts) = check::messages(&messages, &self.limits)?;
        let count = messages.len();
        let published = self.broker.publish(queue, messages, facts).await?;
        let results = published
            .sequences(count)
            .map(|(sequence, duplicate)| PublishResult {
                sequence: sequence.0,
                duplicate,
                ..PublishResult::default()
            })
            .collect();
        Ok(PublishResponse { results })
    }
}

#[tonic::async_trait]
impl QueueService for Services {
    type SubscribeStream = Deliveries;

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        let caller = Caller::of(&request)?;
        self.publish_to_queue(&caller, request.into_inner()).await.map(Response::new)
    }

    async fn subscribe(&self, request: Request<SubscribeRequest>) -> Result<Response<Deliveries>, Status> {
        let caller = Caller::of(&request)?;
        self.open_stream(&caller, request.into_inner()).await.map(Response::new)
    }

    async fn receive(&self, request: Request<ReceiveRequest>) -> Result<Response<ReceiveResponse>, Status> {
        let caller = Caller::of(&request)?;
        self.long_poll(&caller, request.into_inner()).await
    }

    async fn ack(&self, request: Request<AckRequest>) -> Result<Response<AckResponse>, Status> {
        let caller = Caller::of(&request)?;
        let failures = self.ack_all(&caller, request.into_inner()).await?;
        Ok(Response::new(AckResponse { failures }))
    }

    async fn nack(&self, request: Request<NackRequest>) -> Result<Response<NackResponse>, Status> {
        let caller = Caller::of(&request)?;
        let failures = self.nack_all(&caller, request.into_inner()).await?;
        Ok(Response::new(NackResponse { failures }))
    }

    async fn extend(&self, request: Request<ExtendRequest>) -> Result<Response<ExtendResponse>, Status> {
        let caller = Caller::of(&request)?;
        let failures = self.extend_all(&caller, request.into_inner()).await?;
        Ok(Response::new(ExtendResponse { failures }))
    }

    async fn transact(&self, _: Request<TransactRequest>) -> Result<Response<TransactResponse>, Status> {
        Err(status::not_built("Transact"))
    }
}
