//! Counts of connections and streams for whoever keeps metrics.
//!
//! It never decides anything: an observer is told, and must not block.
//!
//! Always true: each `opened` is followed by exactly one `closed`, however the connection or stream ends.

use std::sync::Arc;

use crate::transport::peer::Transport;

/// Told of every connection and stream. All methods do nothing by default and must return at once.
pub trait TransportObserver: Send + Sync + 'static {
    /// A connection has finished its handshake.
    fn connection_opened(&self, transport: Transport) {
        let _ = transport;
    }

    /// A connection is over.
    fn connection_closed(&self, transport: Transport) {
        let _ = transport;
    }

    /// A stream carries a call from here on.
    fn stream_opened(&self, transport: Transport) {
        let _ = transport;
    }

    /// A call is over: its handler and its response body are dropped.
    fn stream_closed(&self, transport: Transport) {
        let _ = transport;
    }
}

/// The observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl TransportObserver for Unobserved {}

/// Counts a connection for as long as it lives.
pub(super) struct ConnectionCount(Arc<dyn TransportObserver>, Transport);

impl ConnectionCount {
    pub(super) fn open(observer: &Arc<dyn TransportObserver>, transport: Transport) -> Self {
        observer.connection_opened(transport);
        Self(Arc::clone(observer), transport)
    }
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.0.connection_closed(self.1);
    }
}

/// Counts a stream for as long as it lives.
pub(super) struct StreamCount(Arc<dyn TransportObserver>, Transport);

impl StreamCount {
    pub(super) fn open(observer: &Arc<dyn TransportObserver>, transport: Transport) -> Self {
        observer.stream_opened(transport);
        Self(Arc::clone(observer), transport)
    }
}

impl Drop for StreamCount {
    fn drop(&mut self) {
        self.0.stream_closed(self.1);
    }
}
