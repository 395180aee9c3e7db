//! The client: one connection, a deadline, and the way that every call is made.
//!
//! It decides deadlines and which calls are repeated after which failures. What calls there are, `publish`, `receive`
//! and `admin` say.
//!
//! Always true:
//! - a call that would do its work twice is repeated only if the server certainly did nothing;
//! - nothing is sent once the client is closed.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use crate::{
    Error, Profile, Protocol,
    connect::Wire,
    proto::{admin_service_client::AdminServiceClient, queue_service_client::QueueServiceClient},
    retry::{Backoff, Repeat},
    settle::Settlers,
};

/// How long a call may take unless the client is told otherwise.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The largest answer that is read. A server's answers stay below 4 MiB unless a single message is larger.
const RESPONSE_MAX: usize = 64 * 1024 * 1024;

/// How long [`Client::close`] waits for what publishers took: losing that loses messages.
const CLOSE_PUBLISHERS: Duration = Duration::from_secs(10);
/// How long it waits for settlements: losing one only brings its message again.
const CLOSE_SETTLERS: Duration = Duration::from_secs(1);

/// How often a call is tried.
const TRIES: u32 = 6;

/// A client of one server. Clones are cheap and share the connection, and its end.
///
/// Each call may take [`DEADLINE`], or what [`Client::with_deadline`] says. A call that failed because the server was
/// not reached, or said that it did nothing, is repeated within that time with backoff and jitter; those that do their
/// work only once however often they are made (all but publishing, receiving and transactions) also after a lost
/// connection.
#[derive(Clone)]
pub struct Client {
    wire: Wire,
    deadline: Duration,
    consumer_name: Arc<str>,
    pub(crate) settlers: Settlers,
    /// What publishers took and is not answered.
    pub(crate) messages: TaskTracker,
}

impl Client {
    /// Connects to the server that the profile names.
    ///
    /// The connection is made again whenever it is lost; calls wait for that within their deadline.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Error::Profile`] if the profile cannot be used, [`Error::Connect`] if the server cannot be reached,
    /// [`Error::Certificate`] if its certificate is not accepted.
    pub async fn connect(profile: Profile) -> Result<Self, Error> {
        let client = Self::connect_lazily(&profile)?;
        client.wire.connect().await?;
        Ok(client)
    }

    /// Like [`Client::connect`], but connects with the first call.
    ///
    /// # Errors
    /// [`Error::Profile`] if the profile cannot be used.
    pub fn connect_lazily(profile: &Profile) -> Result<Self, Error> {
        Ok(Self {
            wire: Wire::new(profile)?,
            deadline: DEADLINE,
            consumer_name: "".into(),
            settlers: Settlers::default(),
            messages: TaskTracker::new(),
        })
    }

    /// A client on the same connection whose calls may take so long.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// A client on the same connection whose consumers `bbq leases` shows under this name, unless a subscription has its
    /// own; at most 128 bytes.
    #[must_use]
    pub fn with_consumer_name(&self, name: &str) -> Self {
        Self { consumer_name: name.into(), ..self.clone() }
    }

    /// The name of this client's consumers.
    pub(crate) fn consumer_name(&self) -> &str {
        &self.consumer_name
    }

    /// Where this client connects to, as the profile has it.
    #[must_use]
    pub fn url(&self) -> &str {
        self.wire.url()
    }

    /// What the connection speaks; none while there is no connection.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        self.wire.protocol()
    }

    /// Waits for what publishers took, for 10 s at most, and for settlements on their way, for 1 s; then closes the client
    /// and waits, for a second at most, until the server knows. A process that exits without it may lose what is
    /// on its way, and leave its leases to the server's idle timeout.
    ///
    /// From then on all calls and subscriptions of the client and its clones end with [`Error::Closed`], those under way too.
    /// What became of a message its [`Confirmation`](crate::Confirmation) tells.
    ///
    /// Cancel safe: dropped early, it may have closed nothing.
    pub async fn close(&self) {
        self.close_within(CLOSE_PUBLISHERS, CLOSE_SETTLERS).await;
    }

    /// Closes the client as [`Client::close`] does, but waits so long at most for what publishers took, and for settlements.
    ///
    /// Cancel safe: dropped early, it may have closed nothing.
    pub async fn close_within(&self, publishers: Duration, settlements: Duration) {
        let _: (Result<(), _>, Result<(), _>) = tokio::join!(
            tokio::time::timeout(publishers, empty(&self.messages)),
            tokio::time::timeout(settlements, empty(&self.settlers.on_their_way)),
        );
        self.wire.close().await;
    }

    /// How long each call may take.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The generated client of the data plane.
    pub(crate) fn queue_service(&self) -> QueueServiceClient<Wire> {
        QueueServiceClient::new(self.wire.clone()).max_decoding_message_size(RESPONSE_MAX)
    }

    /// The generated client of the control plane.
    pub(crate) fn admin_service(&self) -> AdminServiceClient<Wire> {
        AdminServiceClient::new(self.wire.clone()).max_decoding_message_size(RESPONSE_MAX)
    }

    /// Makes a call of the data plane, again where `repeat` allows it.
    pub(crate) async fn queue_call<M, R, F, Fut>(
        &self,
        repeat: Repeat,
        message: M,
        call: F,
    ) -> Result<R, Error>
    where
        M: Clone,
        F: Fn(QueueServiceClient<Wire>, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        self.repeated(repeat, message, |request| call(self.queue_service(), request)).await
    }

    /// Makes a call of the control plane, again where `repeat` allows it.
    pub(crate) async fn admin_call<M, R, F, Fut>(
        &self,
        repeat: Repeat,
        message: M,
        call: F,
    ) -> Result<R, Error>
    where
        M: Clone,
        F: Fn(AdminServiceClient<Wire>, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        self.repeated(repeat, message, |request| call(self.admin_service(), request)).await
    }

    async fn repeated<M, R, F, Fut>(&self, repeat: Repeat, message: M, call: F) -> Result<R, Error>
    where
        M: Clone,
        F: Fn(Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        let end = Instant::now() + self.deadline;
        let mut backoff = Backoff::new();
        let mut tries = 0;
        let mut before = None;
        loop {
            tries += 1;
            let mut request = Request::new(message.clone());
            request.set_timeout(end.saturating_duration_since(Instant::now()));
            let error = match tokio::time::timeout_at(end, call(request)).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => Error::from(status),
                Err(_) => Error::deadline(self.deadline),
            };
            // That this try did nothing says nothing about the one before.
            if let (Error::Closed(_), Some(before)) = (&error, before) {
                return Err(before);
            }
            let delay = backoff.delay(&error);
            if tries == TRIES || !repeat.allows(&error) || Instant::now() + delay >= end {
                return Err(error);
            }
            tracing::debug!(%error, ?delay, "trying again");
            self.pause(delay).await;
            before = Some(error);
        }
    }

    /// Waits so long, or until the client is closed: the next call says so.
    pub(crate) async fn pause(&self, delay: Duration) {
        self.wire.until_closed(tokio::time::sleep(delay)).await;
    }

    /// Opens a stream, waiting for its beginning no longer than for a call.
    pub(crate) async fn open<R>(
        &self,
        opening: impl Future<Output = Result<Response<tonic::Streaming<R>>, Status>>,
    ) -> Result<tonic::Streaming<R>, Error> {
        match tokio::time::timeout(self.deadline, opening).await {
            Ok(opened) => Ok(opened?.into_inner()),
            Err(_) => Err(Error::deadline(self.deadline)),
        }
    }
}

/// Waits until nothing is on its way any more. What begins later is not waited for, once there was a moment without.
async fn empty(on_their_way: &TaskTracker) {
    on_their_way.close();
    on_their_way.wait().await;
}
