//! Profiles: where the server is and how to prove who is asking.
//!
//! It decides where a profile is looked for and what makes one valid. It never opens a connection. A saved profile is
//! readable by its owner alone, because it holds a token.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::Error;

/// Where `find` looks when nothing else is given: what `bbq serve` writes into its data directory.
pub const PROFILE_PATH: &str = "bbq-data/client.toml";

/// The environment variable that names a profile file.
pub const PROFILE_VARIABLE: &str = "BBQ_PROFILE";

/// How to reach a server. The fields are the keys of `client.toml`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// `https://host:port` for TLS, `http://127.0.0.1:port` for HTTP/2 without TLS on loopback, `unix:/path` for HTTP/2
    /// on a Unix socket. The port is 6789 unless given.
    pub url: String,
    /// The authority that signed the server's certificate. Needed for `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Pem>,
    /// Sent with each call as `authorization: Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The client's own certificate chain, where the server asks for one; goes with `client_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<Pem>,
    /// The key of `client_certificate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<Pem>,
    /// Which HTTP to speak.
    #[serde(default)]
    pub transport: Transport,
}

/// Which HTTP to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// HTTP/3, or HTTP/2 where UDP does not get through.
    #[default]
    Auto,
    /// HTTP/3 or nothing.
    Http3,
    /// HTTP/2 or nothing.
    Http2,
}

/// Certificates or a key, in a file or in place.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Pem {
    /// In a file; a relative path in a profile is relative to the profile's file.
    File(PathBuf),
    /// In place.
    Inline(String),
}

impl Profile {
    /// A profile with a URL and nothing else.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ca: None,
            token: None,
            client_certificate: None,
            client_key: None,
            transport: Transport::default(),
        }
    }

    /// Reads a profile from a TOML file.
    ///
    /// # Errors
    /// [`Error::Profile`] if the file cannot be read, is not TOML, lacks `url` or has a key that is not known.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|error| {
            Error::Profile(format!(
                "cannot read the profile {}: {error}; `bbq serve` writes one into its data directory",
                path.display()
            ))
        })?;
        let mut profile: Self = toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            Error::Profile(format!("{}, line {line}: {}", path.display(), error.message()))
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        for pem in [&mut profile.ca, &mut profile.client_certificate, &mut profile.client_key] {
            if let Some(Pem::File(file)) = pem {
                *file = base.join(&*file);
            }
        }
        Ok(profile)
    }

    /// Loads the profile at `explicit`, else the one that `BBQ_PROFILE` names, else `./bbq-data/client.toml`.
    ///
    /// # Errors
    /// [`Error::Profile`] if there is none, saying how to get one, or if it is wrong.
    pub fn find(explicit: Option<&Path>) -> Result<Self, Error> {
        if let Some(path) = explicit {
            return Self::load(path);
        }
        if let Some(path) = std::env::var_os(PROFILE_VARIABLE).filter(|path| !path.is_empty()) {
            return Self::load(PathBuf::from(path));
        }
        if !Path::new(PROFILE_PATH).exists() {
            return Err(Error::Profile(format!(
                "there is no profile at ./{PROFILE_PATH}; start a server here with `bbq serve`, \
                 or name a profile with --profile or {PROFILE_VARIABLE}"
            )));
        }
        Self::load(PROFILE_PATH)
    }

    /// Writes the profile as TOML, readable by its owner alone. A file that is there is replaced at once or not at all.
    /// Paths below the file's directory are written relative to it.
    ///
    /// # Errors
    /// [`Error::Profile`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let mut profile = self.clone();
        let base = path.parent().unwrap_or(Path::new(""));
        for pem in [&mut profile.ca, &mut profile.client_certificate, &mut profile.client_key] {
            if let Some(Pem::File(file)) = pem
                && !base.as_os_str().is_empty()
                && let Ok(relative) = file.strip_prefix(base)
            {
                *file = relative.to_owned();
            }
        }
        let text = toml::to_string_pretty(&profile).map_err(|error| Error::Profile(error.to_string()))?;
        write_private(path, &text)
            .map_err(|error| Error::Profile(format!("cannot write the profile {}: {error}", path.display())))
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;

    let draft = path.with_extension("toml.new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

impl Pem {
    /// The text, read from its file if it is in one.
    pub(crate) fn text(&self, key: &str) -> Result<String, Error> {
        match self {
            Self::Inline(text) => Ok(text.clone()),
            Self::File(path) => fs::read_to_string(path).map_err(|error| {
                Error::Profile(format!("cannot read `{key}` of the profile, {}: {error}", path.display()))
            }),
        }
    }
}

impl From<String> for Pem {
    fn from(text: String) -> Self {
        if text.contains("-----BEGIN") { Self::Inline(text) } else { Self::File(PathBuf::from(text)) }
    }
}

impl From<Pem> for String {
    fn from(pem: Pem) -> Self {
        match pem {
            Pem::File(path) => path.to_string_lossy().into_owned(),
            Pem::Inline(text) => text,
        }
    }
}

impl From<PathBuf> for Pem {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

/// Shows what is there, never the secret itself.
impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("url", &self.url)
            .field("ca", &self.ca)
            .field("token", &self.token.as_ref().map(|_| "..."))
            .field("client_certificate", &self.client_certificate)
            .field("client_key", &self.client_key.as_ref().map(|_| "..."))
            .field("transport", &self.transport)
            .finish()
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Inline(_) => f.write_str("Inline(...)"),
        }
    }
}

#[cfg(test)]
mod tests;
