//! Receiving by long poll, and settling by receipt, one call at a time.
//!
//! It decides how many receipts go into one call. It extends nothing by itself: a message that was received is leased
//! by deadline alone, whoever holds its receipt.

use std::{sync::Arc, time::Duration};

use crate::{
    Client, Delivery, Error, Nack, ReceiptFailure, delivery::Origin, message::wire_duration, proto,
    retry::Repeat,
};

/// The most receipts of one Ack, Nack or Extend.
pub(crate) const RECEIPTS_MAX: usize = 10_000;

/// One receipt that settled, or extended, nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedReceipt {
    /// The receipt as it was sent.
    pub receipt: String,
    /// Why.
    pub why: ReceiptFailure,
}

impl Client {
    /// Waits up to `wait` (60 s at most) for messages and returns at most `max` (1,000 at most) of them, none if none
    /// came. Each is leased for `lease`, or for what the queue says.
    ///
    /// Not cancel safe: messages of an answer that is lost come back when their lease ends. Safe to repeat, with the
    /// same effect.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a queue, and those of any call.
    pub async fn receive(
        &self,
        queue: &str,
        max: u32,
        wait: Duration,
        lease: Option<Duration>,
    ) -> Result<Vec<Delivery>, Error> {
        let request = proto::ReceiveRequest {
            queue: queue.to_owned(),
            max_messages: max,
            wait: Some(wire_duration(wait)),
            lease_duration: lease.map(wire_duration),
            consumer_name: self.consumer_name().to_owned(),
        };
        let patient = self.with_deadline(self.deadline() + wait);
        let response = patient
            .queue_call(Repeat::Unprocessed, request, |mut calls, request| async move {
                calls.receive(request).await
            })
            .await?;
        if response.deliveries.is_empty() {
            return Ok(Vec::new());
        }
        let origin = Arc::new(Origin::new(self.clone(), queue));
        let delivery = |delivery| Delivery::new(Arc::clone(&origin), delivery, None);
        Ok(response.deliveries.into_iter().map(delivery).collect())
    }

    /// Settles messages for good. Returns the receipts that settled nothing; the others did.
    ///
    /// Cancel safe, in that a dropped call can be made again. Safe to repeat: acking what is acked counts as acked.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a queue, and those of any call.
    pub async fn ack<S: AsRef<str>>(&self, queue: &str, receipts: &[S]) -> Result<Vec<FailedReceipt>, Error> {
        let mut failed = Vec::new();
        for receipts in receipts.chunks(RECEIPTS_MAX) {
            let request = proto::AckRequest { queue: queue.to_owned(), receipts: owned(receipts) };
            let response =
                self.queue_call(Repeat::Anytime, request, |mut calls, request| async move {
                    calls.ack(request).await
                })
                .await?;
            failed.extend(response.failures.into_iter().map(FailedReceipt::from));
        }
        Ok(failed)
    }

    /// Gives messages back for another attempt. Returns the receipts that gave nothing back; the others did.
    ///
    /// Cancel safe, in that a dropped call can be made again. Safe to repeat: a receipt gives back once.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a queue, and those of any call.
    pub async fn nack<S: AsRef<str>>(
        &self,
        queue: &str,
        receipts: &[S],
        how: &Nack,
    ) -> Result<Vec<FailedReceipt>, Error> {
        let mut failed = Vec::new();
        for receipts in receipts.chunks(RECEIPTS_MAX) {
            let request = proto::NackRequest {
                queue: queue.to_owned(),
                receipts: owned(receipts),
                delay: how.delay.map(wire_duration),
                dead_letter: how.dead_letter,
                reason: how.reason.clone(),
            };
            let response = self
                .queue_call(Repeat::Anytime, request, |mut calls, request| async move {
                    calls.nack(request).await
                })
                .await?;
            failed.extend(response.failures.into_iter().map(FailedReceipt::from));
        }
        Ok(failed)
    }

    /// Moves the end of leases to `lease` from now, or to what the queue says. Returns the receipts that extended
    /// nothing; the others did.
    ///
    /// Cancel safe, in that a dropped call can be made again. Safe to repeat.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a queue, and those of any call.
    pub async fn extend<S: AsRef<str>>(
        &self,
        queue: &str,
        receipts: &[S],
        lease: Option<Duration>,
    ) -> Result<Vec<FailedReceipt>, Error> {
        let mut failed = Vec::new();
        for receipts in receipts.chunks(RECEIPTS_MAX) {
            let request = proto::ExtendRequest {
                queue: queue.to_owned(),
                receipts: owned(receipts),
                lease_duration: lease.map(wire_duration),
            };
            let response = self
                .queue_call(Repeat::Anytime, request, |mut calls, request| async move {
                    calls.extend(request).await
                })
                .await?;
            failed.extend(response.failures.into_iter().map(FailedReceipt::from));
        }
        Ok(failed)
    }
}

impl From<proto::ReceiptFailure> for FailedReceipt {
    fn from(failure: proto::ReceiptFailure) -> Self {
        Self { why: failure.reason().into(), receipt: failure.receipt }
    }
}

fn owned<S: AsRef<str>>(receipts: &[S]) -> Vec<String> {
    receipts.iter().map(|receipt| receipt.as_ref().to_owned()).collect()
}
