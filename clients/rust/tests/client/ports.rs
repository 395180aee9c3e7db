//! Ports that stay free while a server that had one is down.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// Below those that Linux gives to connections and to whoever asks for port 0 (from 32,768 on), and above the well-known.
const UNASKED: std::ops::Range<u16> = 15_000..32_000;

/// An address of loopback with a port that is free over TCP and UDP, and that nobody gets without naming it.
///
/// Port 0 would do for a server that starts once. What starts again on its port, or expects that nobody answers there, may
/// find a connection of another test in it.
pub fn lasting_address() -> SocketAddr {
    let address = || SocketAddr::from((Ipv4Addr::LOCALHOST, rand::random_range(UNASKED)));
    let free = |address: &SocketAddr| TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok();
    std::iter::repeat_with(address).take(1000).find(free).expect("a free port")
}
