//! A server with a service that tells what happens to its calls, and clients that speak HTTP/3 by the byte.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(
    unused_imports,
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

pub mod client;
pub mod frames;
pub mod probe;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::time::Duration;

use bbq::transport::h2::H2Settings;
use bbq::transport::h3::H3Settings;
use bbq::transport::quic::{self, QuicSettings};
use bbq::transport::tls::{CertificateFiles, ServerIdentity, generate_if_absent};
use bbq::transport::{Drain, Transport, TransportObserver, bind_pair, h2, h3};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub use probe::{Event, Events, Probe};

/// Nothing that works takes so long; it is only how a broken test ends.
pub const LONG: Duration = Duration::from_secs(20);

#[derive(Default)]
pub struct Counts {
    pub connections: AtomicIsize,
    pub streams: AtomicIsize,
    pub streams_opened: AtomicUsize,
}

impl TransportObserver for Counts {
    fn connection_opened(&self, _transport: Transport) {
        self.connections.fetch_add(1, Ordering::SeqCst);
    }

    fn connection_closed(&self, _transport: Transport) {
        self.connections.fetch_sub(1, Ordering::SeqCst);
    }

    fn stream_opened(&self, _transport: Transport) {
        self.streams.fetch_add(1, Ordering::SeqCst);
        self.streams_opened.fetch_add(1, Ordering::SeqCst);
    }

    fn stream_closed(&self, _transport: Transport) {
        self.streams.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Counts {
    pub fn open_streams(&self) -> isize {
        self.streams.load(Ordering::SeqCst)
    }

    pub fn open_connections(&self) -> isize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Settings of a test server; both transports are served on one port number.
#[derive(Clone, Default)]
pub struct Setup {
    pub quic: QuicSettings,
    pub h3: H3Settings,
    pub h2: H2Settings,
    pub client_ca: Option<std::path::PathBuf>,
}

pub struct Server {
    pub address: SocketAddr,
    pub ca: CertificateDer<'static>,
    pub files: CertificateFiles,
    pub identity: ServerIdentity,
    pub drain: Drain,
    pub counts: Arc<Counts>,
    pub probe: Probe,
    pub endpoint: quinn::Endpoint,
    pub served: JoinHandle<()>,
    pub directory: TempDir,
}

pub fn ca_of(directory: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(directory.join("ca.pem")).unwrap()
}

impl Server {
    pub fn start() -> (Self, Events) {
        Self::with(Setup::default())
    }

    pub fn with(setup: Setup) -> (Self, Events) {
        let directory = tempfile::tempdir().unwrap();
        let generated = generate_if_absent(directory.path(), &[]).unwrap();
        let files = CertificateFiles { client_ca: setup.client_ca, ..generated.server_files() };
        let identity = ServerIdentity::load(&files).unwrap();
        let pair = bind_pair("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = pair.address().unwrap();
        let endpoint = quic::endpoint(pair.udp, &identity, &setup.quic).unwrap();
        let (probe, events) = Probe::new();
        let drain = Drain::new();
        let counts = Arc::new(Counts::default());
        let over_h3 = h3::serve(endpoint.clone(), probe.clone(), setup.h3, drain.clone(), counts.clone());
        let over_h2 = h2::serve_tls(
            pair.tcp,
            &identity,
            probe.clone(),
            setup.h2,
            Some(address.port()),
            drain.clone(),
            counts.clone(),
        )
        .unwrap();
        let served = tokio::spawn(async move {
            tokio::join!(over_h3, over_h2);
        });
        let ca = ca_of(directory.path());
        let server = Self { address, ca, files, identity, drain, counts, probe, endpoint, served, directory };
        (server, events)
    }
}

/// Waits until `fact` holds, or panics.
pub async fn eventually(what: &str, fact: impl Fn() -> bool) {
    let waited = tokio::time::timeout(LONG, async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}

/// Waits for `future`, or panics.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(LONG, future).await {
        Ok(output) => output,
        Err(_) => panic!("never: {what}"),
    }
}

/// This process's resident memory.
pub fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
