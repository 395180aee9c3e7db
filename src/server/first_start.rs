//! What the first start makes: certificates, the admin token, and the profile with which the commands find the server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use bbq_client::{Pem, Profile};

use super::tokens::now;
use crate::config::Config;
use crate::middleware::identity::{Grant, Permission, QueuePattern};
use crate::middleware::tokens::TokenTable;
use crate::transport::tls::{CertificateFiles, ServerIdentity, generate_if_absent};

/// The file that the commands look for.
pub(super) const PROFILE: &str = "client.toml";
/// The file of the tokens' hashes.
pub(super) const TOKENS: &str = "tokens.json";

/// The certificate of both listeners: what is configured, or what the first start made. Says which authority clients
/// must trust, if it is the server's own.
pub(super) fn identity(config: &Config) -> anyhow::Result<(ServerIdentity, Option<Pem>)> {
    let (mut files, ca) = match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (certificate.clone(), key.clone());
            (CertificateFiles { certificate, key, client_ca: None, made_by: None }, None)
        }
        _ => {
            let made = generate_if_absent(&config.data_dir, &config.tls.names)?;
            (made.server_files(), Some(Pem::File(made.ca)))
        }
    };
    files.client_ca.clone_from(&config.tls.client_ca);
    Ok((ServerIdentity::load(&files)?, ca))
}

/// The tokens. Without a profile there is nobody who could call, so one is made, with an admin token of its own.
pub(super) fn tokens(
    config: &Config,
    address: SocketAddr,
    ca: Option<Pem>,
) -> anyhow::Result<Arc<TokenTable>> {
    let table = Arc::new(TokenTable::open(&config.data_dir.join(TOKENS))?);
    let path = config.data_dir.join(PROFILE);
    let profile = if path.exists() {
        let mut profile = Profile::load(&path)?;
        profile.url = url(address);
        profile
    } else {
        let grant = Grant { permission: Permission::Admin, queues: QueuePattern::All };
        let (token, secret) = table.create("admin", vec![grant], None, now())?;
        tracing::info!(id = token.id, profile = %path.display(), "made an admin token and a profile that holds it");
        Profile { ca, token: Some(secret.expose().to_owned()), ..Profile::new(url(address)) }
    };
    save(&profile, &path)?;
    Ok(table)
}

fn save(profile: &Profile, path: &Path) -> anyhow::Result<()> {
    profile.save(path).with_context(|| format!("the profile {} could not be written", path.display()))
}

/// How a client on this machine reaches an address.
fn url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("https://{}", SocketAddr::new(ip, address.port()))
}
