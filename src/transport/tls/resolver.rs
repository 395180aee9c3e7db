//! The certificate in use, exchangeable while the server runs.
//!
//! Always true: what is in use was complete and matched its key when it was read, and was as it was made if the server made it.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{CertificateFiles, GeneratedFiles, IdentityError, pem};

/// Answers each handshake with the certificate read last.
#[derive(Debug)]
pub struct ReloadingResolver {
    files: CertificateFiles,
    provider: Arc<CryptoProvider>,
    in_use: RwLock<Arc<CertifiedKey>>,
}

impl ReloadingResolver {
    /// Reads both files and checks that they belong together.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn load(files: &CertificateFiles, provider: Arc<CryptoProvider>) -> Result<Self, IdentityError> {
        let in_use = RwLock::new(read(files, &provider)?);
        Ok(Self { files: files.clone(), provider, in_use })
    }

    /// Reads both files again and uses them from the next handshake on.
    ///
    /// # Errors
    /// See [`IdentityError`]; what was in use stays in use.
    pub fn reload(&self) -> Result<(), IdentityError> {
        let fresh = read(&self.files, &self.provider)?;
        *self.in_use.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The certificate and key in use.
    #[must_use]
    pub fn in_use(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.in_use.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for ReloadingResolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.in_use())
    }
}

fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, IdentityError> {
    match GeneratedFiles::behind(files) {
        Some(made) => made.read(provider),
        None => certified(pem::certificates(&files.certificate)?, &files.certificate, &files.key, provider),
    }
}

/// A certificate that was read from one file, with its key from another.
pub(super) fn certified(
    chain: Vec<CertificateDer<'static>>,
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, IdentityError> {
    let unusable = |path: &Path, error: rustls::Error| IdentityError::Unusable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let signer =
        provider.key_provider.load_private_key(pem::key(key)?).map_err(|error| unusable(key, error))?;
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(Arc::new(certified))
        }
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(IdentityError::KeyMismatch { certificate: certificate.to_owned(), key: key.to_owned() })
        }
        Err(error) => Err(unusable(certificate, error)),
    }
}
