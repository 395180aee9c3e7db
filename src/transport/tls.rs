//! The certificate that both listeners show, and whose certificates they accept.
//!
//! It never decides what a verified client may do. Errors name the file and what is wrong with it.
//!
//! Always true:
//! - a certificate that is in use matches its key;
//! - a certificate of a set that the server made has the signature that it was given, whenever it is read;
//! - a failed reload changes nothing: the old certificate stays in use;
//! - private keys are readable by their owner alone.

mod generate;
mod pem;
mod resolver;
mod signature;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};

pub use generate::{GENERATED_ADVICE, GeneratedFiles, generate_if_absent, verify_generated};
pub use resolver::ReloadingResolver;

/// A certificate, key or directory of them cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file is not there.
    #[error("{path}: no such file; name another one, or let the server make its own certificate")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is there and cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not PEM, or its base64 is damaged.
    #[error("{path}: not a PEM file ({reason}); it must hold `-----BEGIN ...-----` sections")]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// The file is PEM and holds no certificate.
    #[error("{path}: holds no certificate; it must have a `-----BEGIN CERTIFICATE-----` section")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file is PEM and holds no private key.
    #[error("{path}: holds no private key; it must have a `-----BEGIN PRIVATE KEY-----` section")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The certificate or key does not parse, or its kind is not supported.
    #[error("{path}: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// The key belongs to another certificate.
    #[error("{key}: is not the key of the first certificate in {certificate}")]
    KeyMismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// Part of a generated set is missing, and making it anew would overwrite the rest.
    #[error(
        "{directory}: has {present} but not {absent}; restore it, or move the others away to have all made anew"
    )]
    Incomplete {
        /// The directory.
        directory: PathBuf,
        /// The first file that is there.
        present: &'static str,
        /// The first file that is not.
        absent: &'static str,
    },
    /// Part of a generated set is not as it was made.
    #[error("{reason}; {GENERATED_ADVICE}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it. Names the file.
        reason: String,
    },
    /// A certificate could not be made.
    #[error("a certificate cannot be made: {0}")]
    Generate(String),
}

/// Where the server's certificate is, and who may sign those of clients.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// PEM: the server's certificate first, then its intermediates.
    pub certificate: PathBuf,
    /// PEM: the private key of the first certificate.
    pub key: PathBuf,
    /// PEM: the CAs that sign client certificates. With it, clients may present one, and a presented one must verify;
    /// a client without one connects and is unknown.
    pub client_ca: Option<PathBuf>,
    /// PEM: the CA that signed the certificate, if this server made both. Then they are used only as they were made, and
    /// that is looked at whenever they are read.
    pub made_by: Option<PathBuf>,
}

/// The server's certificate and the client CAs, ready for both listeners. Clones share the certificate.
#[derive(Clone, Debug)]
pub struct ServerIdentity {
    resolver: Arc<ReloadingResolver>,
    client_verifier: Option<Arc<dyn ClientCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerIdentity {
    /// Loads and checks all files.
    ///
    /// # Errors
    /// See [`IdentityError`]: it names the file.
    pub fn load(files: &CertificateFiles) -> Result<Self, IdentityError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client_verifier = match &files.client_ca {
            Some(path) => Some(client_verifier(path, &provider)?),
            None => None,
        };
        let resolver = ReloadingResolver::load(files, Arc::clone(&provider))?;
        Ok(Self { resolver: Arc::new(resolver), client_verifier, provider })
    }

    /// Reads the certificate and the key again. Connections that stand keep what they have; new ones get the new
    /// certificate. The client CAs are read at start only.
    ///
    /// # Errors
    /// See [`IdentityError`]; the old certificate stays in use.
    pub fn reload(&self) -> Result<(), IdentityError> {
        self.resolver.reload()
    }

    /// The resolver behind this identity.
    #[must_use]
    pub fn resolver(&self) -> &Arc<ReloadingResolver> {
        &self.resolver
    }

    /// The TLS side of QUIC: TLS 1.3 alone, `h3`, no early data.
    pub(super) fn quic_config(&self) -> Result<rustls::ServerConfig, rustls::Error> {
        self.config(&[&TLS13], b"h3")
    }

    /// The TLS side of TCP: TLS 1.2 and 1.3, `h2`.
    pub(super) fn tcp_config(&self) -> Result<rustls::ServerConfig, rustls::Error> {
        self.config(&[&TLS13, &TLS12], b"h2")
    }

    fn config(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[u8],
    ) -> Result<rustls::ServerConfig, rustls::Error> {
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions)?;
        let builder = match &self.client_verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&self.resolver) as _);
        config.alpn_protocols = vec![alpn.to_vec()];
        // A replayed Publish would be a duplicate, so no early data.
        config.max_early_data_size = 0;
        Ok(config)
    }
}

fn client_verifier(
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, IdentityError> {
    let unusable = |reason: String| IdentityError::Unusable { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    Ok(verifier)
}
