//! How many connections there can be, and counts of them and of streams, as metrics.

use std::sync::Arc;

use crate::config::Config;
use crate::transport::h2::H2Settings;
use crate::transport::{Transport, TransportObserver, descriptors};

struct Gauges;

/// The settings of HTTP/2, with no more connections than there are file descriptors for. Raises this process's limit of them
/// as far as it may.
///
/// # Errors
/// If there are too few to serve anyone.
pub(super) fn fitting(config: &Config) -> Result<H2Settings, descriptors::TooFew> {
    let limit = descriptors::raise();
    let listeners = 1 + usize::from(config.plaintext.listen.0.is_some());
    let operations = if config.operations_listen.0.is_some() { config.operations.connections_max } else { 0 };
    let each = descriptors::connections(limit, operations, listeners)?;
    let wanted = config.http2.connections_max;
    if wanted > each {
        tracing::warn!(
            "http2.connections_max is {wanted}, and is lowered to {each}: this process may have {limit} files open, of \
             which its store needs some; raise the limit (ulimit -n, LimitNOFILE= of systemd) to serve more"
        );
    }
    Ok(H2Settings { connections_max: wanted.min(each), ..config.http2.clone() })
}

/// What the listeners tell of connections and streams.
pub(super) fn observer() -> Arc<dyn TransportObserver> {
    metrics::describe_gauge!("bbq_connections", "Connections that stand, by transport");
    metrics::describe_gauge!("bbq_streams", "Calls under way, by transport");
    Arc::new(Gauges)
}

impl TransportObserver for Gauges {
    fn connection_opened(&self, transport: Transport) {
        metrics::counter!("bbq_connections_total", "transport" => transport.as_str()).increment(1);
        metrics::gauge!("bbq_connections", "transport" => transport.as_str()).increment(1.0);
    }

    fn connection_closed(&self, transport: Transport) {
        metrics::gauge!("bbq_connections", "transport" => transport.as_str()).decrement(1.0);
    }

    fn stream_opened(&self, transport: Transport) {
        metrics::gauge!("bbq_streams", "transport" => transport.as_str()).increment(1.0);
    }

    fn stream_closed(&self, transport: Transport) {
        metrics::gauge!("bbq_streams", "transport" => transport.as_str()).decrement(1.0);
    }
}
