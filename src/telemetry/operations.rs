//! The operations listener: `/healthz`, `/readyz` and `/metrics` over plain HTTP.
//!
//! Healthy means that the process lives and answers; ready means that it takes calls, and else one word says why not.
//! Metrics name queues' totals but no message, token or certificate; still, the listener belongs on an address that only
//! operators reach.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Whether the server takes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It reads its data.
    Starting,
    /// It takes calls.
    Ready,
    /// It finishes what is in flight and takes nothing new.
    Draining,
    /// Its store has failed; it will exit.
    Failed,
}

impl Phase {
    /// The word that `/readyz` says.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Failed => "failed",
        }
    }
}

/// The switch that `/readyz` shows. Clones are the same switch.
#[derive(Clone, Debug)]
pub struct Readiness(watch::Sender<Phase>);

impl Readiness {
    /// A switch that says `starting`.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(Phase::Starting))
    }

    /// Sets the phase. There is no way back from `Failed`.
    pub fn set(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let changes = *current != Phase::Failed && *current != phase;
            if changes {
                *current = phase;
            }
            changes
        });
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Follows the phase, for who mirrors it elsewhere, such as in gRPC's health service.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.0.subscribe()
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

/// Why the listener can't be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "operations can't listen on {address}: {error}; set operations_listen (BBQ_OPERATIONS_LISTEN, \
     --operations-listen) to a free address, or to nothing to do without"
)]
pub struct BindError {
    /// Where it should have listened.
    pub address: SocketAddr,
    /// What went wrong.
    pub error: io::Error,
}

/// What `/metrics` shows.
#[derive(Clone)]
pub struct Exported {
    /// What was recorded.
    pub recorded: PrometheusHandle,
    /// What follows it, in the same format: things that come and go, which a recorder would keep for ever.
    pub more: Arc<dyn Fn() -> String + Send + Sync>,
}

/// The listener, bound but not yet served.
#[derive(Debug)]
pub struct Operations {
    listener: TcpListener,
    address: SocketAddr,
}

impl Operations {
    /// Takes the address. Cancel safe.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let failed = |error| BindError { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens; says the port even if 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The listener, for whoever serves [`router`] on it.
    #[must_use]
    pub fn into_listener(self) -> TcpListener {
        self.listener
    }
}

/// What is answered.
pub fn router(readiness: Readiness, metrics: Exported) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(exported).with_state(metrics))
}

async fn ready(State(readiness): State<Readiness>) -> impl IntoResponse {
    let phase = readiness.phase();
    let code = match phase {
        Phase::Ready => StatusCode::OK,
        Phase::Starting | Phase::Draining | Phase::Failed => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, format!("{}\n", phase.word()))
}

async fn exported(State(metrics): State<Exported>) -> impl IntoResponse {
    let text = metrics.recorded.render() + &(metrics.more)();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower::ServiceExt as _;

    use super::*;

    async fn fetch(router: &Router, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn an_operator_sees_health_readiness_and_metrics() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || metrics::counter!("things_total").increment(3));
        let readiness = Readiness::new();
        let more = Arc::new(|| "other_things 4\n".to_owned());
        let exported = Exported { recorded: recorder.handle(), more };
        let router = router(readiness.clone(), exported);

        assert_eq!(fetch(&router, "/healthz").await, (200, "ok\n".into()));
        for (phase, expected) in [
            (Phase::Starting, (503, "starting\n".to_owned())),
            (Phase::Ready, (200, "ready\n".to_owned())),
            (Phase::Draining, (503, "draining\n".to_owned())),
            (Phase::Failed, (503, "failed\n".to_owned())),
            (Phase::Ready, (503, "failed\n".to_owned())),
        ] {
            readiness.set(phase);
            assert_eq!(fetch(&router, "/readyz").await, expected);
        }
        let (code, text) = fetch(&router, "/metrics").await;
        assert_eq!(code, 200);
        for expected in ["things_total 3", "other_things 4"] {
            assert!(text.lines().any(|line| line == expected), "{text}");
        }
        assert_eq!(fetch(&router, "/other").await.0, 404);
    }

    #[tokio::test]
    async fn a_taken_address_is_named_with_the_way_out() {
        let taken = Operations::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let error = Operations::bind(taken.address()).await.unwrap_err().to_string();
        assert!(error.contains(&taken.address().to_string()), "{error}");
        assert!(error.contains("operations_listen"), "{error}");
    }
}
