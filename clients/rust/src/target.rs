//! The target: a profile, checked and read, ready to connect to.
//!
//! It decides what a URL means and which TLS settings go with it. It never opens a socket.

use std::{net::IpAddr, str::FromStr, sync::Arc};

use http::{HeaderValue, uri::Authority};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::{Error, Pem, Profile, Transport};

/// The port of a URL that names none.
const PORT: u16 = 6789;

/// Where to connect and how.
pub(crate) struct Target {
    /// As it stands in the profile, for messages.
    pub(crate) url: String,
    /// What it means.
    pub(crate) place: Place,
    /// Which HTTP to speak there.
    pub(crate) transport: Transport,
    /// What each call says about who is asking.
    pub(crate) authorization: Option<HeaderValue>,
}

/// What a URL means.
pub(crate) enum Place {
    /// TLS over UDP and TCP.
    Secure {
        /// Name or address, without brackets.
        host: String,
        /// The same for both protocols.
        port: u16,
        /// For HTTP/3.
        quic: Arc<quinn::crypto::rustls::QuicClientConfig>,
        /// For HTTP/2.
        tls: Box<ClientTlsConfig>,
    },
    /// HTTP/2 without TLS, on loopback or a Unix socket.
    Plain {
        /// What tonic connects to.
        endpoint: String,
    },
}

impl Target {
    /// Reads and checks all that a profile says.
    pub(crate) fn new(profile: &Profile) -> Result<Self, Error> {
        let authorization = match &profile.token {
            Some(token) => Some(bearer(token)?),
            None => None,
        };
        let place = if profile.url.starts_with("unix:") {
            plain(profile, profile.url.clone())?
        } else {
            over_the_network(profile)?
        };
        Ok(Self { url: profile.url.clone(), place, transport: profile.transport, authorization })
    }
}

fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
        Error::Profile("`token` of the profile has characters that no header may have".into())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn plain(profile: &Profile, endpoint: String) -> Result<Place, Error> {
    match profile.transport {
        Transport::Auto | Transport::Http2 => Ok(Place::Plain { endpoint }),
        Transport::Http3 => Err(Error::Profile(format!(
            "{} cannot speak HTTP/3, which needs TLS: use an https URL, or transport = \"auto\"",
            profile.url
        ))),
    }
}

fn over_the_network(profile: &Profile) -> Result<Place, Error> {
    let url = &profile.url;
    let wrong = || {
        Error::Profile(format!(
            "`url` is {url:?}; it must be https://host:port, http://127.0.0.1:port or unix:/path"
        ))
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let authority = Authority::from_str(rest.trim_end_matches('/')).map_err(|_| wrong())?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(PORT);
    match scheme {
        "https" => secure(profile, host, port),
        "http" if is_loopback(&host) => plain(profile, format!("http://{}:{port}", bracketed(&host))),
        "http" => Err(Error::Profile(format!(
            "{url} would send everything in the clear: use https, http is for loopback"
        ))),
        _ => Err(wrong()),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The host as it stands in a URL.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn secure(profile: &Profile, host: String, port: u16) -> Result<Place, Error> {
    let ca = profile.ca.as_ref().ok_or_else(|| {
        Error::Profile(format!(
            "the profile for {} lacks `ca`, the certificate to trust: `bbq serve` writes one",
            profile.url
        ))
    })?;
    let ca = ca.text("ca")?;
    let identity = identity(profile)?;

    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        let certificate = certificate.map_err(|error| bad_pem("ca", &error))?;
        roots.add(certificate).map_err(|error| bad_pem("ca", &error))?;
    }
    if roots.is_empty() {
        return Err(Error::Profile("`ca` of the profile holds no certificate".into()));
    }
    let mut tls = ClientTlsConfig::new().domain_name(host.clone()).ca_certificate(Certificate::from_pem(&ca));
    if let Some((chain, key)) = &identity {
        tls = tls.identity(Identity::from_pem(chain, key));
    }
    let quic = quic_config(roots, identity)?;
    Ok(Place::Secure { host, port, quic: Arc::new(quic), tls: Box::new(tls) })
}

fn identity(profile: &Profile) -> Result<Option<(String, String)>, Error> {
    let read = |pem: &Option<Pem>, key: &str| pem.as_ref().map(|pem| pem.text(key)).transpose();
    let chain = read(&profile.client_certificate, "client_certificate")?;
    let key = read(&profile.client_key, "client_key")?;
    match (chain, key) {
        (Some(chain), Some(key)) => Ok(Some((chain, key))),
        (None, None) => Ok(None),
        (Some(_), None) | (None, Some(_)) => {
            Err(Error::Profile("`client_certificate` and `client_key` of the profile go together".into()))
        }
    }
}

fn quic_config(
    roots: rustls::RootCertStore,
    identity: Option<(String, String)>,
) -> Result<quinn::crypto::rustls::QuicClientConfig, Error> {
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| Error::internal(error.to_string()))?
            .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| bad_pem("client_certificate", &error))?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                .map_err(|error| bad_pem("client_key", &error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| bad_pem("client_certificate", &error))?
        }
    };
    config.alpn_protocols = vec![b"h3".to_vec()];
    quinn::crypto::rustls::QuicClientConfig::try_from(config)
        .map_err(|error| Error::internal(error.to_string()))
}

fn bad_pem(key: &str, error: &dyn std::error::Error) -> Error {
    Error::Profile(format!("`{key}` of the profile cannot be used: {error}"))
}
