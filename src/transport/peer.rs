//! Who is calling: the address, the transport and the client certificate of a connection.
//!
//! It never decides who may do what. A [`PeerInfo`] is in the extensions of every request; so is tonic's
//! `TcpConnectInfo` where there is an address, so that `Request::remote_addr` works.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use tonic::transport::server::TcpConnectInfo;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// How a call came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// HTTP/3 over QUIC.
    H3,
    /// HTTP/2 over TCP and TLS.
    H2,
    /// HTTP/2 without TLS, on loopback or a unix socket.
    H2c,
}

impl Transport {
    /// The name used in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H3 => "h3",
            Self::H2 => "h2",
            Self::H2c => "h2c",
        }
    }
}

/// A client certificate that was verified against the client CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The subject's distinguished name, such as `CN=orders, O=Example`.
    pub subject: String,
    /// The subject's common name, if it has one.
    pub common_name: Option<String>,
    /// SHA-256 of the certificate's DER, in lower-case hex.
    pub fingerprint: String,
}

impl PeerCertificate {
    /// Reads the leaf of a verified chain; `None` if the chain is empty or the leaf is not X.509.
    pub(super) fn from_chain(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let leaf = chain.first()?;
        let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
        let common_name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let mut fingerprint = String::with_capacity(64);
        for byte in Sha256::digest(leaf) {
            // Writing to a String cannot fail.
            let _ = write!(fingerprint, "{byte:02x}");
        }
        Some(Self {
            subject: parsed.subject().to_string(),
            common_name: common_name.map(str::to_owned),
            fingerprint,
        })
    }
}

/// The peer of a call, in the extensions of its request. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The peer's address when the connection was made; `None` on a unix socket.
    pub address: Option<SocketAddr>,
    /// How the call came in.
    pub transport: Transport,
    /// The peer's verified certificate, if it presented one.
    pub certificate: Option<Arc<PeerCertificate>>,
}

impl PeerInfo {
    pub(super) fn insert_into(&self, extensions: &mut http::Extensions) {
        if self.address.is_some() {
            extensions.insert(TcpConnectInfo { local_addr: None, remote_addr: self.address });
        }
        extensions.insert(self.clone());
    }
}
