//! PEM files: certificates and private keys, with errors that name the file.

use std::fs;
use std::io;
use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};

use super::IdentityError;

/// All certificates of a file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let text = read(path)?;
    let parsed: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = parsed.map_err(|error| not_pem(path, &error))?;
    if certificates.is_empty() {
        return Err(IdentityError::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}

/// The first private key of a file.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => IdentityError::NoKey { path: path.to_owned() },
        other => not_pem(path, &other),
    })
}

/// Reads a file that must have at least one PEM section.
fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let text = fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => IdentityError::Missing { path: path.to_owned() },
        _ => IdentityError::Io { path: path.to_owned(), source },
    })?;
    let marker = b"-----BEGIN ";
    if !text.windows(marker.len()).any(|window| window == marker) {
        return Err(IdentityError::NotPem { path: path.to_owned(), reason: "no section found".to_owned() });
    }
    Ok(text)
}

fn not_pem(path: &Path, error: &pem::Error) -> IdentityError {
    IdentityError::NotPem { path: path.to_owned(), reason: error.to_string() }
}
