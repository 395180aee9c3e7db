//! Subscribe, Receive, Ack, Nack, Extend.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use tonic::{Response, Status};

use super::Services;
use super::access::{Caller, Permission};
use super::handover::Handover;
use super::proto::{
    AckRequest, ExtendRequest, NackRequest, ReceiptFailure, ReceiveRequest, ReceiveResponse,
    SubscribeRequest, SubscribeResponse,
};
use super::status::Invalid;
use super::{check, retry, wire};
use crate::broker::{Credit, Delivery, Settlement, Subscription, Terms};
use crate::types::{Consumer, Duration};

/// The most messages that a stream holds unless it says otherwise.
const IN_FLIGHT_MESSAGES: u32 = 100;
/// The most bytes that a stream holds unless it says otherwise.
const IN_FLIGHT_BYTES: u64 = 16 << 20;
/// The most messages that a Receive returns.
const RECEIVE_MESSAGES_MAX: u32 = 1000;
/// The longest that a Receive waits.
const RECEIVE_WAIT_MAX: Duration = Duration::seconds(60);
/// An answer takes no more deliveries beyond this size, so that it stays below the 4 MiB of stock clients.
const ANSWER_BYTES: u64 = (4 << 20) - (64 << 10);
/// What a delivery has besides its message, at most, encoded.
const DELIVERY_OVERHEAD: u64 = 128;

/// A Subscribe stream. Dropping it gives back what it holds.
pub struct Deliveries {
    subscription: Subscription,
    waiting: VecDeque<Delivery>,
}

impl Services {
    pub(super) async fn open_stream(
        &self,
        caller: &Caller,
        request: SubscribeRequest,
    ) -> Result<Deliveries, Status> {
        let queue = check::queue_name("queue", &request.queue)?;
        caller.may(&[Permission::Consume], &queue)?;
        let limits = &self.limits;
        let credit = Credit {
            messages: check::bounded(
                "max_in_flight",
                request.max_in_flight,
                IN_FLIGHT_MESSAGES,
                limits.in_flight_messages,
            )?,
            bytes: check::bounded(
                "max_in_flight_bytes",
                request.max_in_flight_bytes,
                IN_FLIGHT_BYTES,
                limits.in_flight_bytes,
            )?,
        };
        let terms = terms(caller, credit, request.lease_duration, request.consumer_name)?;
        let subscription = self.broker.subscribe(queue, terms).await?;
        Ok(Deliveries { subscription, waiting: VecDeque::new() })
    }

    pub(super) async fn long_poll(
        &self,
        caller: &Caller,
        request: ReceiveRequest,
    ) -> Result<Response<ReceiveResponse>, Status> {
        let queue = check::queue_name("queue", &request.queue)?;
        caller.may(&[Permission::Consume], &queue)?;
        let messages = check::bounded("max_messages", request.max_messages, 1, RECEIVE_MESSAGES_MAX)?;
        let wait = request.wait.map_or(Ok(Duration(0)), |wait| check::duration("wait", wait))?;
        if wait > RECEIVE_WAIT_MAX {
            let problem = format!("{wait} is more than 60s; call again when it comes back empty");
            return Err(Invalid::new("wait", problem).into());
        }
        let overhead = u64::from(messages) * DELIVERY_OVERHEAD;
        let credit = Credit { messages, bytes: ANSWER_BYTES - overhead };
        let terms = terms(caller, credit, request.lease_duration, request.consumer_name)?;
        let enough = async move {
            if wait > Duration(0) {
                tokio::time::sleep(wait.into()).await;
            }
        };
        let (deliveries, handout) = self.broker.receive(queue, terms, enough).await?;
        let deliveries = deliveries.into_iter().map(wire::delivery).collect();
        let mut response = Response::new(ReceiveResponse { deliveries });
        response.extensions_mut().insert(Handover::new(handout));
        Ok(response)
    }

    pub(super) async fn ack_all(
        &self,
        caller: &Caller,
        request: AckRequest,
    ) -> Result<Vec<ReceiptFailure>, Status> {
        self.settle(caller, &request.queue, &request.receipts, Settlement::Ack).await
    }

    pub(super) async fn nack_all(
        &self,
        caller: &Caller,
        request: NackRequest,
    ) -> Result<Vec<ReceiptFailure>, Status> {
        let what = retry::nack(&request)?;
        self.settle(caller, &request.queue, &request.receipts, what).await
    }

    pub(super) async fn extend_all(
        &self,
        caller: &Caller,
        request: ExtendRequest,
    ) -> Result<Vec<ReceiptFailure>, Status> {
        let duration = check::lease_duration("lease_duration", request.lease_duration)?;
        self.settle(caller, &request.queue, &request.receipts, Settlement::Extend(duration)).await
    }

    async fn settle(
        &self,
        caller: &Caller,
        queue: &str,
        receipts: &[String],
        what: Settlement,
    ) -> Result<Vec<ReceiptFailure>, Status> {
        let queue = check::queue_name("queue", queue)?;
        caller.may(&[Permission::Consume], &queue)?;
        let checked = check::receipts(receipts, &self.limits)?;
        let refused = self.broker.settle(queue, checked, what).await?;
        Ok(wire::failures(&refused, receipts))
    }
}

fn terms(
    caller: &Caller,
    credit: Credit,
    lease_duration: Option<prost_types::Duration>,
    consumer_name: String,
) -> Result<Terms, Invalid> {
    let consumer = Consumer {
        name: check::consumer_name(consumer_name)?,
        peer: caller.peer.clone(),
        transport: caller.transport.to_owned(),
    };
    let lease_duration = check::lease_duration("lease_duration", lease_duration)?;
    Ok(Terms { credit, lease_duration, consumer: Arc::new(consumer) })
}

impl Deliveries {
    /// As many of those that wait as fit into one answer; at least one.
    fn answer(&mut self) -> SubscribeResponse {
        let mut deliveries = Vec::with_capacity(self.waiting.len());
        let mut bytes = 0;
        while let Some(next) = self.waiting.front() {
            bytes += u64::from(next.message.content.size()) + DELIVERY_OVERHEAD;
            if bytes > ANSWER_BYTES && !deliveries.is_empty() {
                break;
            }
            deliveries.extend(self.waiting.pop_front().map(wire::delivery));
        }
        SubscribeResponse { deliveries }
    }
}

impl Stream for Deliveries {
    type Item = Result<SubscribeResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.waiting.is_empty() {
            match Pin::new(&mut self.subscription).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(why))) => return Poll::Ready(Some(Err(why.into()))),
                Poll::Ready(Some(Ok(deliveries))) => self.waiting = deliveries.into(),
            }
        }
        Poll::Ready(Some(Ok(self.answer())))
    }
}
