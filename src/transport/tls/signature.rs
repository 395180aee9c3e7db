//! Whether a certificate is as it was signed, down to the last bit.
//!
//! It looks at signatures alone: names and dates are for who is shown the certificate.

use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Verifies the signature of one certificate by the key of another, or of itself; says what is wrong.
pub(super) fn verify(certificate: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> Result<(), String> {
    // The signature does not cover its own frame, of which this parser takes more than one form and clients take one.
    ParsedCertificate::try_from(certificate).map_err(|error| error.to_string())?;
    let (issued, issuer) = (parse(certificate)?, parse(issuer)?);
    issued.verify_signature(Some(issuer.public_key())).map_err(|error| error.to_string())
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) => Err("it goes on behind its end".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
