//! Listeners without TLS: loopback TCP and unix sockets, where nobody else can listen in.
//!
//! Always true: a unix socket is its owner's alone, and is removed when its listener is dropped.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as ProbeStream;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::transport::bind::{BindError, bind_tcp};

/// A listener for HTTP/2 without TLS.
#[derive(Debug)]
pub struct PlainListener(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf },
}

impl PlainListener {
    /// Listens on a loopback address. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the address is not a loopback address, or cannot be bound.
    pub fn tcp(address: SocketAddr) -> Result<Self, BindError> {
        if !address.ip().is_loopback() {
            return Err(BindError::NotLoopback { address });
        }
        let listener = TcpListener::from_std(bind_tcp(address)?)
            .map_err(|source| BindError::new("TCP", address, source))?;
        Ok(Self(Kind::Tcp(listener)))
    }

    /// Listens on a unix socket that only this user may use. The socket of a server that is gone is replaced. Must be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// When a server listens there, when the path is something else than a socket, or cannot be made.
    pub fn unix(path: &Path) -> Result<Self, BindError> {
        let failed = |source| BindError::Unix { path: path.to_owned(), source };
        let bind = || {
            match fs::symlink_metadata(path) {
                Ok(found) if found.file_type().is_socket() => {
                    if ProbeStream::connect(path).is_ok() {
                        return Err(io::Error::new(
                            io::ErrorKind::AddrInUse,
                            "another server listens there; stop it, or choose another path",
                        ));
                    }
                    fs::remove_file(path)?;
                }
                Ok(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::AlreadyExists,
                        "the path exists and is not a socket; choose another one",
                    ));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        let listener = bind().map_err(failed)?;
        Ok(Self(Kind::Unix { listener, path: path.to_owned() }))
    }

    /// The address of a TCP listener; `None` for a unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Tcp(listener) => listener.local_addr().ok(),
            Kind::Unix { .. } => None,
        }
    }

    /// The next connection and its address. Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<(PlainStream, Option<SocketAddr>)> {
        match &self.0 {
            Kind::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // It fails if the peer is gone again, which shows when it is read.
                let _ = stream.set_nodelay(true);
                Ok((PlainStream::Tcp(stream), Some(address)))
            }
            Kind::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((PlainStream::Unix(stream), None))
            }
        }
    }
}

impl Drop for PlainListener {
    fn drop(&mut self) {
        if let Kind::Unix { path, .. } = &self.0 {
            // A socket that stays behind is replaced by the next server.
            let _ = fs::remove_file(path);
        }
    }
}

/// A connection without TLS.
#[derive(Debug)]
pub(super) enum PlainStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncRead for PlainStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for PlainStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, data),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, data),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
