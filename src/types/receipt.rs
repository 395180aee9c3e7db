//! Receipts: fencing tokens that name one attempt at one message.
//!
//! As text: `queue.sequence.attempt.epoch`, each in lower-case hexadecimal without leading zeros, such as `1.2a.1.3`.
//! A text is a receipt in one way only: what parses prints as it was.

use std::fmt;
use std::str::FromStr;

use super::{Attempt, Epoch, QueueId, Sequence};

/// Names one attempt at one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The queue.
    pub queue: QueueId,
    /// The message.
    pub sequence: Sequence,
    /// The attempt.
    pub attempt: Attempt,
    /// The epoch that granted it.
    pub epoch: Epoch,
}

/// Why a receipt settled nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReceiptFailure {
    /// A later attempt holds, or held, the message.
    Superseded,
    /// The lease ended and the message waits for its next delivery.
    Expired,
    /// The message has been settled or removed.
    Gone,
    /// It is not a receipt that this queue ever gave.
    Unknown,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queue, sequence, attempt, epoch } = self;
        write!(f, "{:x}.{:x}.{:x}.{:x}", queue.0, sequence.0, attempt.0, epoch.0)
    }
}

impl FromStr for Receipt {
    type Err = ReceiptFailure;

    fn from_str(text: &str) -> Result<Self, ReceiptFailure> {
        let mut parts = text.split('.').map(hexadecimal);
        let mut next = || parts.next().flatten().ok_or(ReceiptFailure::Unknown);
        let queue = next()?;
        let sequence = next()?;
        let attempt = next()?;
        let epoch = next()?;
        if parts.next().is_some() {
            return Err(ReceiptFailure::Unknown);
        }
        let narrow = |n: u64| u32::try_from(n).map_err(|_| ReceiptFailure::Unknown);
        Ok(Self {
            queue: QueueId(narrow(queue)?),
            sequence: Sequence(sequence),
            attempt: Attempt(narrow(attempt)?),
            epoch: Epoch(narrow(epoch)?),
        })
    }
}

fn hexadecimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let canonical = text == "0" || !text.starts_with('0');
    (digits && canonical).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_reads_back_as_it_was() {
        let receipt = Receipt {
            queue: QueueId(1),
            sequence: Sequence(u64::MAX),
            attempt: Attempt(10),
            epoch: Epoch(0),
        };
        assert_eq!(receipt.to_string(), "1.ffffffffffffffff.a.0");
        assert_eq!("1.ffffffffffffffff.a.0".parse(), Ok(receipt));
    }

    #[test]
    fn a_receipt_has_one_spelling() {
        for bad in [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "+1.2.3.4",
            "1.2.3.A",
            "1..3.4",
            "1ffffffff.1.1.1",
            "é.1.1.1",
        ] {
            assert_eq!(bad.parse::<Receipt>(), Err(ReceiptFailure::Unknown), "{bad:?}");
        }
    }
}
