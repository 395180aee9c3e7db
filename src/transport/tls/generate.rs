//! A CA and a server certificate of our own, made once.
//!
//! The CA's key is never written: it signs one certificate and is forgotten, so that nobody can sign another.
//!
//! Always true:
//! - existing files are never overwritten;
//! - a file that is there is complete;
//! - a set that is used is as it was made: each certificate has the signature that it was given, and the key is that of the server's;
//! - a power cut at any moment leaves a directory in which the next call makes, or finishes, a set of three that belong together.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;

use super::resolver::certified;
use super::{CertificateFiles, IdentityError, pem, signature};

const CA: &str = "ca.pem";
const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";
/// All three in one file, from before the first gets its name until all have theirs.
const UNFINISHED: &str = "tls.unfinished";

/// What to do about a set that is not as it was made.
pub const GENERATED_ADVICE: &str = "the server made that file: put a copy of it back, or move ca.pem, server.pem and server.key away, \
    then the next start makes new ones, and clients need the new ca.pem; a certificate of your own goes into tls.certificate and tls.key";

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
        CertificateFiles {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            client_ca: None,
            made_by: Some(self.ca.clone()),
        }
    }

    /// The set that these are of, if the server made it.
    pub(super) fn behind(files: &CertificateFiles) -> Option<Self> {
        let ca = files.made_by.clone()?;
        Some(Self { ca, certificate: files.certificate.clone(), key: files.key.clone() })
    }

    fn of(directory: &Path) -> Self {
        Self { ca: directory.join(CA), certificate: directory.join(CERTIFICATE), key: directory.join(KEY) }
    }

    /// Reads all three files, and looks whether they are as they were made. The certificates have signatures; the key has none, but
    /// one that has changed is no longer that of the certificate.
    pub(super) fn read(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, IdentityError> {
        let damaged = |path: &Path, reason: String| IdentityError::Damaged { path: path.to_owned(), reason };
        let read = |path: &Path| pem::certificates(path).map_err(|error| damaged(path, error.to_string()));
        let (ca, certificate) = (read(&self.ca)?, read(&self.certificate)?);
        for (path, signed, by) in
            [(&self.ca, &ca, "by itself"), (&self.certificate, &certificate, "by ca.pem")]
        {
            signature::verify(&signed[0], &ca[0]).map_err(|error| {
                damaged(path, format!("{}: is not as it was signed {by} ({error})", path.display()))
            })?;
        }
        certified(certificate, &self.certificate, &self.key, provider)
            .map_err(|error| damaged(&self.key, error.to_string()))
    }

    fn verify(&self) -> Result<(), IdentityError> {
        self.read(&rustls::crypto::ring::default_provider()).map(drop)
    }

    /// The first file that is there, and the first that is not.
    fn missing(&self) -> (Option<&'static str>, Option<&'static str>) {
        let all = [(CA, &self.ca), (CERTIFICATE, &self.certificate), (KEY, &self.key)];
        let first = |there: bool| all.iter().find(|(_, path)| path.exists() == there).map(|(name, _)| *name);
        (first(true), first(false))
    }

    /// What goes where: name, path, text and mode.
    fn each<'a>(&'a self, made: &'a Made) -> [(&'static str, &'a Path, &'a str, u32); 3] {
        [
            (KEY, &self.key, &made.key, 0o600),
            (CA, &self.ca, &made.ca, 0o644),
            (CERTIFICATE, &self.certificate, &made.certificate, 0o644),
        ]
    }
}

/// Makes a CA and a server certificate in `directory`, unless all three files are there already; then they must be as they were made.
///
/// The certificate is valid for localhost, 127.0.0.1, ::1 and `names` (host names or addresses). It does not expire:
/// a private CA that signed one certificate has nothing to gain from a date on which the queue stops.
///
/// # Errors
/// When the directory cannot be written, when a name is neither a host name nor an address, and when some of the three
/// files are there and others are not, or one is damaged.
pub fn generate_if_absent(directory: &Path, names: &[String]) -> Result<GeneratedFiles, IdentityError> {
    let files = GeneratedFiles::of(directory);
    complete(directory, names, &files)?;
    files.verify()?;
    Ok(files)
}

/// Looks whether the set in `directory` is as it was made, and changes nothing. One that a stop left unfinished, or that was never
/// begun, is for the next start.
///
/// # Errors
/// The same as a start would have.
pub fn verify_generated(directory: &Path) -> Result<(), IdentityError> {
    let files = GeneratedFiles::of(directory);
    match (files.missing(), directory.join(UNFINISHED).exists()) {
        ((_, None), false) => files.verify(),
        ((Some(present), Some(absent)), false) => Err(incomplete(directory, present, absent)),
        ((None, _), _) | (_, true) => Ok(()),
    }
}

/// Makes what is not there.
fn complete(directory: &Path, names: &[String], files: &GeneratedFiles) -> Result<(), IdentityError> {
    match (files.missing(), directory.join(UNFINISHED).exists()) {
        ((_, None), false) => return Ok(()),
        ((Some(_), _), true) => return finish(directory, files),
        ((Some(present), Some(absent)), false) => return Err(incomplete(directory, present, absent)),
        // Whatever was begun, nothing of it got its name.
        ((None, _), _) => {}
    }
    let made = make(names).map_err(|error| IdentityError::Generate(error.to_string()))?;
    let begin = || -> io::Result<()> {
        fs::create_dir_all(directory)?;
        fs::rename(stage(directory, UNFINISHED, &made.together(), 0o600)?, directory.join(UNFINISHED))?;
        sync(directory)
    };
    begin().map_err(failed(directory))?;
    finish(directory, files)
}

/// Gives the files of an unfinished set their names, those that have none. Names come to the disk one by one, in any order;
/// until all are there, the set is kept as a whole. A file that is not of the set came from somebody else: it stays, and if
/// others are missing, nobody can tell what was meant.
fn finish(directory: &Path, files: &GeneratedFiles) -> Result<(), IdentityError> {
    let unfinished = directory.join(UNFINISHED);
    let (present, absent) = files.missing();
    if let Some(absent) = absent {
        let all = fs::read_to_string(&unfinished).map_err(failed(&unfinished))?;
        let foreign = incomplete(directory, present.unwrap_or(UNFINISHED), absent);
        let Some(made) = Made::apart(&all) else { return Err(foreign) };
        for (_, path, text, _) in files.each(&made) {
            if path.exists() && fs::read_to_string(path).map_err(failed(path))? != text {
                return Err(foreign);
            }
        }
        for (name, path, text, mode) in files.each(&made) {
            if !path.exists() {
                let named = stage(directory, name, text, mode).and_then(|staged| fs::rename(staged, path));
                named.map_err(failed(path))?;
            }
        }
    }
    sync(directory).map_err(failed(directory))?;
    fs::remove_file(&unfinished).map_err(failed(&unfinished))?;
    sync(directory).map_err(failed(directory))
}

fn incomplete(directory: &Path, present: &'static str, absent: &'static str) -> IdentityError {
    IdentityError::Incomplete { directory: directory.to_owned(), present, absent }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> IdentityError {
    |source| IdentityError::Io { path: path.to_owned(), source }
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

struct Made {
    ca: String,
    certificate: String,
    key: String,
}

impl Made {
    fn together(&self) -> String {
        [self.key.as_str(), &self.ca, &self.certificate].concat()
    }

    /// The opposite of `together`; none if it is something else.
    fn apart(all: &str) -> Option<Self> {
        let mut parts = all.match_indices("-----BEGIN ").map(|(at, _)| at).collect::<Vec<_>>();
        parts.push(all.len());
        let mut parts = parts.windows(2).map(|pair| all[pair[0]..pair[1]].to_owned());
        let made = Self { key: parts.next()?, ca: parts.next()?, certificate: parts.next()? };
        parts.next().is_none().then_some(made)
    }
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
