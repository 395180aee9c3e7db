//! Ports that stay free while a server that had one is being started again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below those that Linux gives to connections and to whoever asks for port 0 (from 32,768 on), and above the well-known.
const UNASKED: std::ops::Range<u16> = 15_000..32_000;

/// How many were given out, from a place on that differs from process to process: no two tests look at one before either has it.
static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(rand::random()));

/// An address of loopback with a port that is free over TCP and UDP, and that nobody gets without naming it.
///
/// Port 0 would do for a server that starts once. One that starts again on its port may find a connection of another
/// test there.
pub fn lasting_address() -> SocketAddr {
    let span = UNASKED.end - UNASKED.start;
    let port = || UNASKED.start + NEXT.fetch_add(1, Ordering::Relaxed) % span;
    let address = || SocketAddr::from((Ipv4Addr::LOCALHOST, port()));
    let free = |address: &SocketAddr| TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok();
    std::iter::repeat_with(address).take(1000).find(free).expect("a free port")
}
