//! Sockets: UDP and TCP on the same port number.
//!
//! It never serves anything. An error names the address, what is wrong with it and the way out.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// How often port 0 may give a TCP port whose UDP twin is taken before we give up.
const PAIR_TRIES: usize = 64;

/// Connections that wait in the kernel for `accept`.
const TCP_BACKLOG: i32 = 1024;

/// A socket could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process, or another listener of this one, has the port.
    #[error(
        "{protocol} {address} is in use: another server may be running there; stop it, or choose another address"
    )]
    InUse {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address is not one of this machine's.
    #[error("{protocol} {address} is not an address of this machine; listen on one that is, or on 0.0.0.0")]
    NotLocal {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// The address asked for.
        address: SocketAddr,
    },
    /// The operating system does not let us have this port.
    #[error("{protocol} {address} is not permitted: ports below 1024 need a privilege; choose a higher port")]
    NotPermitted {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// The address asked for.
        address: SocketAddr,
    },
    /// Anything else the operating system said.
    #[error("{protocol} {address} cannot be bound: {source}")]
    Io {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// No port number was free on both UDP and TCP.
    #[error("no port of {address} is free on both UDP and TCP after {PAIR_TRIES} tries; name a port")]
    NoPair {
        /// The address asked for, with port 0.
        address: SocketAddr,
    },
    /// Plain HTTP/2 was asked for on an address that others can reach.
    #[error("{address} is not a loopback address: HTTP/2 without TLS is for loopback and unix sockets only")]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// A unix socket could not be made.
    #[error("unix socket {path} cannot be bound: {source}")]
    Unix {
        /// The path asked for.
        path: std::path::PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The TLS settings do not fit QUIC.
    #[error("QUIC cannot use this TLS configuration: {0}")]
    Tls(String),
}

impl BindError {
    pub(super) fn new(protocol: &'static str, address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { protocol, address },
            io::ErrorKind::AddrNotAvailable => Self::NotLocal { protocol, address },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { protocol, address },
            _ => Self::Io { protocol, address, source },
        }
    }
}

/// A UDP and a TCP socket on the same port number, both non-blocking.
#[derive(Debug)]
pub struct BoundPair {
    /// For [`quic::endpoint`](crate::transport::quic::endpoint).
    pub udp: UdpSocket,
    /// For [`h2::serve_tls`](crate::transport::h2::serve_tls), listening already.
    pub tcp: TcpListener,
}

impl BoundPair {
    /// The address that both have.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Binds UDP and TCP to the same address; port 0 means any port that is free on both.
///
/// # Errors
/// See [`BindError`]: it names the protocol whose port is taken.
pub fn bind_pair(address: SocketAddr) -> Result<BoundPair, BindError> {
    if address.port() != 0 {
        return Ok(BoundPair { udp: bind_udp(address)?, tcp: bind_tcp(address)? });
    }
    for _ in 0..PAIR_TRIES {
        let tcp = bind_tcp(address)?;
        let chosen = tcp.local_addr().map_err(|error| BindError::new("TCP", address, error))?;
        match bind_udp(chosen) {
            Ok(udp) => return Ok(BoundPair { udp, tcp }),
            Err(BindError::InUse { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(BindError::NoPair { address })
}

/// Binds a non-blocking TCP listener.
///
/// # Errors
/// See [`BindError`].
pub fn bind_tcp(address: SocketAddr) -> Result<TcpListener, BindError> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        // A restarted server must not wait for its old connections' TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(TCP_BACKLOG)?;
        Ok(socket.into())
    };
    listen().map_err(|error| BindError::new("TCP", address, error))
}

/// Binds a non-blocking UDP socket; its buffers are set by [`quic::endpoint`](crate::transport::quic::endpoint).
///
/// # Errors
/// See [`BindError`].
pub fn bind_udp(address: SocketAddr) -> Result<UdpSocket, BindError> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    bind().map_err(|error| BindError::new("UDP", address, error))
}
