//! The protobuf services: wire to broker and back, and nothing else.
//!
//! Every field is checked here, once; what is passed on is valid. A setting that does not work yet is refused, never
//! ignored.

mod access;
mod admin;
mod backup;
mod check;
mod codec;
mod consume;
pub(crate) mod fuzzing;
mod handover;
pub mod proto;
mod publish;
mod queue_settings;
mod redrive;
mod retry;
mod settings;
pub mod status;
mod tokens;
mod topics;
mod transact;
mod update;
mod watch;
mod wire;

pub use access::{Authority, Caller, Permission};
pub use handover::hand_over;
pub use settings::Limits;
pub use tokens::{NewToken, TokenError, TokenGrant, TokenRecord, Tokens};

use std::sync::Arc;

use proto::admin_service_server::AdminServiceServer;
use proto::queue_service_server::QueueServiceServer;

use crate::broker::Handle;

/// Both services over one broker.
#[derive(Clone)]
pub struct Services {
    pub(crate) broker: Handle,
    pub(crate) limits: Arc<Limits>,
    pub(crate) tokens: Arc<dyn Tokens>,
}

impl Services {
    /// Services that ask `broker`, within `limits`, and keep tokens in `tokens`.
    #[must_use]
    pub fn new(broker: Handle, limits: Limits, tokens: Arc<dyn Tokens>) -> Self {
        Self { broker, limits: Arc::new(limits), tokens }
    }

    /// The data plane.
    #[must_use]
    pub fn queue_service(&self) -> QueueServiceServer<Self> {
        QueueServiceServer::new(self.clone())
            .max_decoding_message_size(self.limits.request_bytes)
            .max_encoding_message_size(usize::MAX)
    }

    /// The control plane.
    #[must_use]
    pub fn admin_service(&self) -> AdminServiceServer<Self> {
        AdminServiceServer::new(self.clone())
            .max_decoding_message_size(self.limits.request_bytes)
            .max_encoding_message_size(usize::MAX)
    }
}
