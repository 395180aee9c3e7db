//! What every call leaves behind in the metrics: how many, how they ended, how long they took, how many are open.
//!
//! | metric | labels |
//! |---|---|
//! | `bbq_calls_total` | method, transport, code |
//! | `bbq_calls_in_flight` | method, transport |
//! | `bbq_call_duration_seconds` | method, transport |
//!
//! The labels come from closed lists, so that no caller can make the server remember what it was asked: a path that is
//! not on the list counts as `other`. A stream is open, and its time runs, until its body ends. The recorder must be
//! installed before [`layer`] is called.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tonic::body::Body;
use tower::{Layer, Service};

use super::peer::Peer;
use super::refusal::Outcome;

/// The histogram that needs buckets.
pub const DURATION: &str = "bbq_call_duration_seconds";

const OTHER: &str = "other";
const TRANSPORTS: [&str; 4] = ["h3", "h2", "h2c", OTHER];

/// Counts calls.
#[derive(Clone)]
pub struct MetricsLayer {
    methods: Arc<Methods>,
}

/// See [`MetricsLayer`].
#[derive(Clone)]
pub struct Metrics<S> {
    inner: S,
    methods: Arc<Methods>,
}

/// Counts calls; those whose path is in `known_paths` each under their own path.
#[must_use]
pub fn layer(known_paths: &[&'static str]) -> MetricsLayer {
    ::metrics::describe_counter!("bbq_calls_total", "Calls that have ended, by how they ended");
    ::metrics::describe_gauge!("bbq_calls_in_flight", "Calls that have not ended, streams included");
    ::metrics::describe_histogram!(DURATION, ::metrics::Unit::Seconds, "From the head of a call to its end");
    let known = known_paths.iter().map(|&path| (path, ByTransport::new(path))).collect();
    MetricsLayer { methods: Arc::new(Methods { known, other: ByTransport::new(OTHER) }) }
}

struct Methods {
    known: HashMap<&'static str, ByTransport>,
    other: ByTransport,
}

struct ByTransport([Arc<Series>; TRANSPORTS.len()]);

/// The metrics of one method on one transport, registered when first needed: most pairs never meet.
struct Series {
    method: &'static str,
    transport: &'static str,
    live: OnceLock<(Gauge, Histogram)>,
    ended: [OnceLock<Counter>; Outcome::COUNT],
}

impl Methods {
    fn series(&self, request: &Request<Body>) -> &Arc<Series> {
        let transport = request.extensions().get::<Peer>().map_or(OTHER, |peer| peer.transport);
        let ByTransport(series) = self.known.get(request.uri().path()).unwrap_or(&self.other);
        let [.., other] = series;
        series.iter().find(|series| series.transport == transport).unwrap_or(other)
    }
}

impl ByTransport {
    fn new(method: &'static str) -> Self {
        Self(TRANSPORTS.map(|transport| {
            let ended = [const { OnceLock::new() }; Outcome::COUNT];
            Arc::new(Series { method, transport, live: OnceLock::new(), ended })
        }))
    }
}

impl Series {
    fn live(&self) -> &(Gauge, Histogram) {
        let Self { method, transport, .. } = *self;
        self.live.get_or_init(|| {
            let labels = [("method", method), ("transport", transport)];
            (gauge!("bbq_calls_in_flight", &labels), histogram!(DURATION, &labels))
        })
    }

    fn ended(&self, outcome: Outcome) -> Option<&Counter> {
        let Self { method, transport, .. } = *self;
        let counter = self.ended.get(outcome.index())?;
        Some(counter.get_or_init(|| {
            let labels = [("method", method), ("transport", transport), ("code", outcome.name())];
            counter!("bbq_calls_total", &labels)
        }))
    }
}

/// One open call. Its end is counted when this is dropped, wherever that happens.
struct OpenCall {
    series: Arc<Series>,
    begun: Instant,
    outcome: Outcome,
}

impl OpenCall {
    fn new(series: &Arc<Series>) -> Self {
        series.live().0.increment(1.0);
        // Who drops a call before its end has cancelled it.
        Self { series: Arc::clone(series), begun: Instant::now(), outcome: Outcome::CANCELLED }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let (in_flight, duration) = self.series.live();
        in_flight.decrement(1.0);
        duration.record(self.begun.elapsed().as_secs_f64());
        if let Some(counter) = self.series.ended(self.outcome) {
            counter.increment(1);
        }
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Metrics<S>;

    fn layer(&self, inner: S) -> Metrics<S> {
        Metrics { inner, methods: Arc::clone(&self.methods) }
    }
}

impl<S> Service<Request<Body>> for Metrics<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Measured<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let open = OpenCall::new(self.methods.series(&request));
        Measured { future: self.inner.call(request), open: Some(open) }
    }
}

pin_project! {
    /// A call whose end will be counted.
    pub struct Measured<F> {
        #[pin]
        future: F,
        open: Option<OpenCall>,
    }
}

impl<F, E> Future for Measured<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.future.poll(context).map(|answer| {
            let mut open = this.open.take();
            let response = answer.inspect_err(|_| settle(&mut open, Outcome::UNKNOWN))?;
            let outcome = Outcome::of_headers(response.headers());
            if response.body().is_end_stream() || outcome.is_some() {
                settle(&mut open, outcome.unwrap_or(Outcome::UNKNOWN));
                return Ok(response);
            }
            Ok(response.map(|inner| Body::new(MeasuredBody { inner, open })))
        })
    }
}

/// Counts the call as ended so, unless its end was counted before.
fn settle(open: &mut Option<OpenCall>, outcome: Outcome) {
    if let Some(mut call) = open.take() {
        call.outcome = outcome;
    }
}

struct MeasuredBody {
    inner: Body,
    open: Option<OpenCall>,
}

impl HttpBody for MeasuredBody {
    type Data = Bytes;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { inner, open } = self.get_mut();
        let polled = Pin::new(inner).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    settle(open, Outcome::of_headers(trailers).unwrap_or(Outcome::UNKNOWN));
                }
            }
            Poll::Ready(Some(Err(error))) => settle(open, Outcome::of_error(error)),
            Poll::Ready(None) => settle(open, Outcome::UNKNOWN),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower::ServiceExt as _;

    use super::super::refusal::Refusal;
    use super::super::testing::{answering, call, endless, ok, read};
    use super::*;

    const KNOWN: &str = "/bbq.v1.QueueService/Ack";

    fn request(path: &str) -> Request<Body> {
        let peer = Peer { address: "192.0.2.1:5".into(), transport: "h3" };
        call(path).extension(peer).body(Body::empty()).unwrap()
    }

    /// The exported lines that hold `part`, without the histogram's buckets.
    fn lines(exported: &str, part: &str) -> Vec<String> {
        let wanted =
            |line: &&str| line.contains(part) && !line.starts_with('#') && !line.contains("quantile");
        exported.lines().filter(wanted).map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn calls_are_counted_by_how_they_ended() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _guard = ::metrics::set_default_local_recorder(&recorder);
        let service = layer(&[KNOWN]).layer(answering(|request| match request.uri().query() {
            None => ok(),
            Some("refused") => Refusal::NoToken.response(),
            Some(_) => endless(),
        }));
        read(service.clone().oneshot(request(KNOWN)).await.unwrap()).await;
        read(service.clone().oneshot(request(&format!("{KNOWN}?refused"))).await.unwrap()).await;
        drop(service.clone().oneshot(request(&format!("{KNOWN}?endless"))).await.unwrap());
        for path in ["/made/up", "/made/up2"] {
            read(service.clone().oneshot(request(path)).await.unwrap()).await;
        }
        let mut found = lines(&recorder.handle().render(), "bbq_calls_total");
        found.sort();
        let label =
            |method, code| format!("bbq_calls_total{{method=\"{method}\",transport=\"h3\",code=\"{code}\"}}");
        let expected = [
            format!("{} 1", label(KNOWN, "CANCELLED")),
            format!("{} 1", label(KNOWN, "OK")),
            format!("{} 1", label(KNOWN, "UNAUTHENTICATED")),
            format!("{} 2", label("other", "OK")),
        ];
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn a_stream_is_in_flight_until_it_ends() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _guard = ::metrics::set_default_local_recorder(&recorder);
        let service = layer(&[KNOWN]).layer(answering(|_| endless()));
        let in_flight = || lines(&recorder.handle().render(), "bbq_calls_in_flight").concat();
        let stream = service.oneshot(request(KNOWN)).await.unwrap();
        assert!(in_flight().ends_with(" 1"), "{}", in_flight());
        drop(stream);
        assert!(in_flight().ends_with(" 0"), "{}", in_flight());
        let counted = lines(&recorder.handle().render(), &format!("{DURATION}_count")).concat();
        assert!(counted.ends_with(" 1"), "{counted}");
    }
}
