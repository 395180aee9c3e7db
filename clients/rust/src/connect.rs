//! The wire: what the generated clients send calls on.
//!
//! It decides which HTTP a connection speaks and when another one is made. It never repeats a call that may have
//! reached the server.
//!
//! Always true:
//! - at most one attempt to connect runs; all callers wait for the same one, and it goes on if they leave;
//! - HTTP/3 is tried first each time, where the profile leaves the choice;
//! - once it is closed no connection is made and no call goes on, whichever HTTP it speaks.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use http::{Request, Response, header::AUTHORIZATION};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};

use crate::{
    Error, Profile, Transport,
    closing::UntilClosed,
    h2,
    h3::{self, Unsent},
    target::{Place, Target},
};

/// How long HTTP/3 may take before HTTP/2 is tried beside it.
const HEAD_START: Duration = Duration::from_millis(300);
/// How long HTTP/3 may still take once HTTP/2 was refused: a server that listens answers well within it.
const LAST_CHANCE: Duration = Duration::from_secs(1);
/// How long one attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends calls to the server over whichever connection there is. Clones share the connection.
#[derive(Clone)]
pub(crate) struct Wire {
    shared: Arc<State>,
}

struct State {
    target: Target,
    slot: Mutex<Slot>,
    /// Ends the calls under way, and refuses those that come after.
    closed: CancellationToken,
}

/// The one connection.
enum Slot {
    Empty,
    Connecting(Attempt),
    Linked(Link),
}

type Attempt = Shared<BoxFuture<'static, Result<Link, Error>>>;

/// An HTTP that works here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/3 over QUIC.
    Http3,
    /// HTTP/2 over TCP.
    Http2,
}

#[derive(Clone)]
enum Link {
    Http3(h3::Link),
    Http2(h2::Link),
}

impl Link {
    fn is_alive(&self) -> bool {
        match self {
            Self::Http3(link) => link.is_alive(),
            Self::Http2(link) => link.is_alive(),
        }
    }

    fn protocol(&self) -> Protocol {
        match self {
            Self::Http3(_) => Protocol::Http3,
            Self::Http2(_) => Protocol::Http2,
        }
    }

    /// Makes one call.
    ///
    /// Cancel safe: dropping the future cancels the call on the wire.
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Unsent> {
        match self {
            Self::Http3(link) => link.send(request).await,
            Self::Http2(link) => link.send(request).await.map_err(Unsent::Failed),
        }
    }
}

impl Wire {
    /// A wire to where the profile points; connects when it is first used.
    pub(crate) fn new(profile: &Profile) -> Result<Self, Error> {
        let target = Target::new(profile)?;
        let slot = Mutex::new(Slot::Empty);
        Ok(Self { shared: Arc::new(State { target, slot, closed: CancellationToken::new() }) })
    }

    /// Connects if there is no connection.
    pub(crate) async fn connect(&self) -> Result<(), Error> {
        self.link().await.map(drop)
    }

    /// What the connection speaks; none if there is none.
    pub(crate) fn protocol(&self) -> Option<Protocol> {
        match &*self.slot() {
            Slot::Linked(link) if link.is_alive() => Some(link.protocol()),
            Slot::Linked(_) | Slot::Empty | Slot::Connecting(_) => None,
        }
    }

    /// Where this leads, as the profile has it.
    pub(crate) fn url(&self) -> &str {
        &self.shared.target.url
    }

    /// Closes the connection, if there is one, for good, and waits briefly until the server knows.
    ///
    /// Cancel safe: it is closed at the first poll.
    pub(crate) async fn close(&self) {
        self.shared.closed.cancel();
        let slot = std::mem::replace(&mut *self.slot(), Slot::Empty);
        if let Slot::Linked(Link::Http3(link)) = slot {
            link.close().await;
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        // Nothing in here can panic halfway.
        self.shared.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the future comes to; none if this is closed first.
    pub(crate) async fn until_closed<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            // First, so that what it breaks is never told as a lost connection.
            biased;
            () = self.shared.closed.cancelled() => None,
            outcome = future => Some(outcome),
        }
    }

    /// A connection that is alive: the one there is, or a new one.
    async fn link(&self) -> Result<Link, Error> {
        let attempt = {
            let mut slot = self.slot();
            // Closing empties the slot after this is set, so that nothing stays in it.
            if self.shared.closed.is_cancelled() {
                return Err(Error::closed());
            }
            match &*slot {
                Slot::Linked(link) if link.is_alive() => return Ok(link.clone()),
                Slot::Connecting(attempt) => attempt.clone(),
                Slot::Linked(_) | Slot::Empty => {
                    let attempt = start(Arc::clone(&self.shared));
                    *slot = Slot::Connecting(attempt.clone());
                    attempt
                }
            }
        };
        let Some(result) = self.until_closed(attempt.clone()).await else {
            return Err(Error::closed());
        };
        let mut slot = self.slot();
        if matches!(&*slot, Slot::Connecting(current) if current.ptr_eq(&attempt)) {
            *slot = match &result {
                Ok(link) => {
                    tracing::debug!(url = self.url(), protocol = ?link.protocol(), "connected");
                    Slot::Linked(link.clone())
                }
                Err(_) => Slot::Empty,
            };
        }
        result
    }

    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, Error> {
        if let Some(authorization) = &self.shared.target.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        // A connection that retired between the look and the call gives the request back untouched.
        for _ in 0..3 {
            let link = self.link().await?;
            let sent = self.until_closed(link.send(request)).await;
            request = match sent.ok_or_else(Error::cut_by_closing)? {
                Ok(response) => {
                    return Ok(response.map(|body| Body::new(UntilClosed::new(body, &self.shared.closed))));
                }
                Err(Unsent::Failed(error)) => return Err(error),
                Err(Unsent::Retired(request)) => request,
            };
        }
        Err(Error::unprocessed(format!(
            "{} closes each connection at once; it is probably going away",
            self.url()
        )))
    }
}

impl tower_service::Service<Request<Body>> for Wire {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let wire = self.clone();
        Box::pin(async move { wire.send(request).await.map_err(Error::into_status) })
    }
}

/// Starts one attempt on a task of its own, bounded by its timeouts.
fn start(state: Arc<State>) -> Attempt {
    let task = tokio::spawn(async move {
        let target = &state.target;
        match (&target.place, target.transport) {
            (Place::Plain { .. }, _) | (_, Transport::Http2) => http2(target).await,
            (Place::Secure { .. }, Transport::Http3) => http3(target).await,
            (Place::Secure { .. }, Transport::Auto) => race(target).await,
        }
    });
    task.map(|end| end.unwrap_or_else(|panic| Err(Error::internal(panic.to_string())))).boxed().shared()
}

async fn http2(target: &Target) -> Result<Link, Error> {
    bounded(target, "TCP", h2::Link::connect(target)).await.map(Link::Http2)
}

async fn http3(target: &Target) -> Result<Link, Error> {
    let Place::Secure { host, port, quic, .. } = &target.place else {
        return Err(Error::Profile(format!("{} cannot speak HTTP/3", target.url)));
    };
    bounded(target, "UDP", h3::Link::connect(target, host, *port, Arc::clone(quic))).await.map(Link::Http3)
}

/// Both, HTTP/3 with a head start; the first to connect wins.
///
/// HTTP/3 has it each time: that HTTP/2 was quicker once, in a busy moment or on another network, says little about the next time.
async fn race(target: &Target) -> Result<Link, Error> {
    let (mut http3, mut http2) = (http3(target).boxed(), http2(target).boxed());
    let first = tokio::select! {
        result = &mut http3 => Some(result),
        () = tokio::time::sleep(HEAD_START) => None,
    };
    let refused = match first {
        Some(Ok(link)) => return Ok(link),
        // TCP knows why: a refusal comes at once, while UDP is silent where nobody listens.
        Some(Err(_)) => return http2.await,
        None => tokio::select! {
            result = &mut http3 => match result {
                Ok(link) => return Ok(link),
                Err(_) => return http2.await,
            },
            result = &mut http2 => match result {
                Ok(link) => return Ok(link),
                Err(error) => error,
            },
        },
    };
    let last = tokio::time::timeout(LAST_CHANCE, http3).await;
    last.ok().and_then(Result::ok).ok_or(refused)
}

/// Gives an attempt its time, and its failure a way out.
async fn bounded<T>(
    target: &Target,
    over: &str,
    attempt: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let result = tokio::time::timeout(CONNECT_TIMEOUT, attempt).await.unwrap_or_else(|_| {
        Err(Error::Connect {
            url: target.url.clone(),
            reason: format!("no answer over {over} within {} s", CONNECT_TIMEOUT.as_secs()),
        })
    });
    result.map_err(|error| match error {
        Error::Connect { url, reason } => {
            let hinted = with_hint(&reason, over);
            if is_certificate(&reason) {
                Error::Certificate { url, reason: hinted }
            } else {
                Error::Connect { url, reason: hinted }
            }
        }
        error => error,
    })
}

/// Whether it is that the server's certificate was not accepted.
fn is_certificate(reason: &str) -> bool {
    let lower = reason.to_lowercase();
    ["certificate", "unknownissuer", "unknown issuer"].iter().any(|word| lower.contains(word))
}

fn with_hint(reason: &str, over: &str) -> String {
    let lower = reason.to_lowercase();
    if lower.contains("refused") || lower.contains("no such file") {
        let what = if lower.contains("refused") { "connection refused" } else { "there is no such socket" };
        format!("{what}; is the server running? start it with `bbq serve`")
    } else if is_certificate(reason) {
        format!(
            "{reason}; the profile's `ca` is not what signed this server's certificate, or the host is not in it"
        )
    } else if lower.contains("no answer") && over == "UDP" {
        format!("{reason}; is UDP blocked? transport = \"auto\" in the profile falls back to HTTP/2")
    } else if lower.contains("no answer") {
        format!("{reason}; is the server running there?")
    } else {
        reason.to_owned()
    }
}

#[cfg(test)]
mod tests;
