//! A CA and a server certificate of our own, made once.
//!
//! The CA's key is never written: it signs one certificate and is forgotten, so that nobody can sign another.
//!
//! Always true: existing files are never overwritten; a file that is there is complete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::{CertificateFiles, IdentityError};

const CA: &str = "ca.pem";
const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";

/// Names that every generated certificate has.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Where the generated files are.
#[derive(Clone, Debug)]
pub struct GeneratedFiles {
    /// The CA's certificate, for clients to trust.
    pub ca: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The server's private key.
    pub key: PathBuf,
}

impl GeneratedFiles {
    /// What [`ServerIdentity::load`](super::ServerIdentity::load) takes, without client certificates.
    #[must_use]
    pub fn server_files(&self) -> CertificateFiles {
        CertificateFiles { certificate: self.certificate.clone(), key: self.key.clone(), client_ca: None }
    }
}

/// Makes a CA and a server certificate in `directory`, unless all three files are there already.
///
/// The certificate is valid for localhost, 127.0.0.1, ::1 and `names` (host names or addresses). It does not expire:
/// a private CA that signed one certificate has nothing to gain from a date on which the queue stops.
///
/// # Errors
/// When the directory cannot be written, when a name is neither a host name nor an address, and when some of the three
/// files are there and others are not.
pub fn generate_if_absent(directory: &Path, names: &[String]) -> Result<GeneratedFiles, IdentityError> {
    let files = GeneratedFiles {
        ca: directory.join(CA),
        certificate: directory.join(CERTIFICATE),
        key: directory.join(KEY),
    };
    let all = [(CA, &files.ca), (CERTIFICATE, &files.certificate), (KEY, &files.key)];
    let present = all.iter().find(|(_, path)| path.exists());
    let absent = all.iter().find(|(_, path)| !path.exists());
    match (present, absent) {
        (_, None) => return Ok(files),
        (Some((present, _)), Some((absent, _))) => {
            return Err(IdentityError::Incomplete { directory: directory.to_owned(), present, absent });
        }
        (None, Some(_)) => {}
    }
    let made = make(names).map_err(|error| IdentityError::Generate(error.to_string()))?;
    let write = || -> io::Result<()> {
        fs::create_dir_all(directory)?;
        // All three are on disk before the first gets its name: a crash between them is a matter of microseconds.
        let staged = [
            (stage(directory, KEY, &made.key, 0o600)?, &files.key),
            (stage(directory, CA, &made.ca, 0o644)?, &files.ca),
            (stage(directory, CERTIFICATE, &made.certificate, 0o644)?, &files.certificate),
        ];
        for (from, to) in staged {
            fs::rename(from, to)?;
        }
        File::open(directory)?.sync_all()
    };
    write().map_err(|source| IdentityError::Io { path: directory.to_owned(), source })?;
    Ok(files)
}

struct Made {
    ca: String,
    certificate: String,
    key: String,
}

fn make(names: &[String]) -> Result<Made, rcgen::Error> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name.push(DnType::CommonName, "BBQ local CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

    let mut all: Vec<String> = LOCAL_NAMES.iter().map(|name| (*name).to_owned()).collect();
    all.extend(names.iter().filter(|name| !LOCAL_NAMES.contains(&name.as_str())).cloned());
    let mut server = CertificateParams::new(all)?;
    server.distinguished_name.push(DnType::CommonName, "BBQ server");
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &ca)?;
    Ok(Made { ca: ca.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
}

fn stage(directory: &Path, name: &str, text: &str, mode: u32) -> io::Result<PathBuf> {
    let path = directory.join(format!(".{name}.new"));
    // A leftover of a crash may have wider permissions than we ask for.
    match fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(path)
}
