//! Counts of connections and streams, as metrics.

use std::sync::Arc;

use crate::transport::{Transport, TransportObserver};

struct Gauges;

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
