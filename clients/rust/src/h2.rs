//! HTTP/2: tonic's channel, set up for long streams that must notice a dead peer.
//!
//! It decides the settings. It never chooses between HTTP/2 and HTTP/3.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use tonic::{
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::ServiceExt;

use crate::{
    Error,
    error::root,
    target::{Place, Target, bracketed},
    tcp,
};

/// A silent connection is checked so often, and lost if the answer takes longer than the second figure.
const PING: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(7));
/// What one stream may have unread.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
/// What all streams may have unread.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

/// Cancelled streams that are remembered, so that what still comes for them is ignored without an answer.
const RESET_STREAMS: usize = 1024;

/// A connection that calls can be made on.
#[derive(Clone)]
pub(crate) struct Link {
    channel: Channel,
    /// Set when the connection is gone.
    lost: Arc<AtomicBool>,
}

impl Link {
    /// Connects. The caller bounds the time.
    pub(crate) async fn connect(target: &Target) -> Result<Self, Error> {
        let failed =
            |error: tonic::transport::Error| Error::Connect { url: target.url.clone(), reason: root(&error) };
        let lost = Arc::<AtomicBool>::default();
        let channel = match &target.place {
            Place::Secure { host, port, tls, .. } => {
                let endpoint = Endpoint::from_shared(format!("https://{}:{port}", bracketed(host)));
                let endpoint =
                    endpoint.and_then(|endpoint| endpoint.tls_config((**tls).clone())).map_err(failed)?;
                // The next connection may be of HTTP/3, so it is not for the channel to make.
                settings(endpoint).connect_with_connector(tcp::once(host, *port, &lost)).await
            }
            Place::Plain { endpoint } => {
                settings(Endpoint::from_shared(endpoint.clone()).map_err(failed)?).connect().await
            }
        };
        Ok(Self { channel: channel.map_err(failed)?, lost })
    }

    /// Whether another call may be made here.
    pub(crate) fn is_alive(&self) -> bool {
        !self.lost.load(Ordering::Relaxed)
    }

    /// Makes one call.
    ///
    /// Cancel safe: dropping the future cancels the call on the wire.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Error> {
        self.channel.clone().oneshot(request).await.map_err(|error| {
            // An answer of the server's is no error here, whatever its status: the connection itself has failed.
            self.lost.store(true, Ordering::Relaxed);
            Error::from(tonic::Status::from_error(error.into()))
        })
    }
}

fn settings(endpoint: Endpoint) -> Endpoint {
    endpoint
        .http2_keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // What the server had sent on a stream before it saw that it was cancelled is no fault of its own; by default
        // the 1024th such frame closes the connection, with all its subscriptions.
        .http2_max_concurrent_reset_streams(RESET_STREAMS)
        .http2_max_local_error_reset_streams(None)
}
