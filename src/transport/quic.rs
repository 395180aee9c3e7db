//! QUIC: quinn's settings, and (in `adapter`, `control`, `codec`) h3's transport traits over quinn.
//!
//! It never knows a call. 0-RTT is off, because a replayed Publish would be a duplicate; migration is on, because a
//! consumer that changes networks keeps its streams and leases.

pub(in crate::transport) mod adapter;
pub(in crate::transport) mod codec;
mod control;
pub(in crate::transport) mod fuzzing;
pub(in crate::transport) mod varint;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use h3::error::Code;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{EndpointConfig, IdleTimeout, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use serde::{Deserialize, Serialize};
use socket2::SockRef;

use crate::transport::bind::{BindError, bind_udp};
use crate::transport::tls::ServerIdentity;

/// Unidirectional streams that a peer may open: control, two for QPACK, and a few that are reserved.
const UNI_STREAMS: u32 = 8;

/// How QUIC connections behave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuicSettings {
    /// A connection from which nothing came for so long is lost. Raising it delays the release of a dead consumer's
    /// messages.
    pub idle_timeout_ms: u64,
    /// How often an idle connection is probed; well below a third of the idle timeout. Raising it saves packets and
    /// makes a lossy path look dead sooner.
    pub keep_alive_ms: u64,
    /// Bytes that a client may send ahead on one stream. Raising it costs as much memory for every stream.
    pub stream_window_bytes: u32,
    /// Bytes that a client may send ahead on one connection. Raising it costs as much memory for every connection.
    pub connection_window_bytes: u32,
    /// Bytes sent and not yet acknowledged that we keep for one connection. Raising it costs as much memory for every
    /// connection and helps only paths with a large product of bandwidth and delay.
    pub send_window_bytes: u32,
    /// Calls that a client may always have open on one connection, and up to a seventh more. Raising it costs a task and its
    /// buffers for each.
    pub streams_max: u32,
    /// Size of the socket's send and receive buffers. Raising it costs kernel memory, once; the kernel may grant less
    /// (`net.core.rmem_max`, `net.core.wmem_max`).
    pub socket_buffer_bytes: u32,
}

impl Default for QuicSettings {
    fn default() -> Self {
        Self {
            idle_timeout_ms: 10_000,
            keep_alive_ms: 3_000,
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 16 << 20,
            send_window_bytes: 16 << 20,
            streams_max: 1024,
            socket_buffer_bytes: 4 << 20,
        }
    }
}

impl QuicSettings {
    /// The streams that QUIC grants, so that a client which holds `streams_max` of them open, less one, can go on making calls.
    ///
    /// quinn gives a client back the places of streams that have ended once they are more than an eighth of all. Until then
    /// they are missing: without those granted here besides, 1,000 subscriptions of 1,024 would leave a connection 24 calls, and
    /// then none, for ever.
    fn streams_granted(&self) -> u32 {
        self.streams_max.saturating_add(self.streams_max / 7)
    }

    fn transport(&self) -> TransportConfig {
        let mut transport = TransportConfig::default();
        // Zero would mean never, to QUIC.
        let idle = VarInt::from_u64(self.idle_timeout_ms.max(1)).unwrap_or(VarInt::MAX);
        transport
            .stream_receive_window(VarInt::from_u32(self.stream_window_bytes))
            .receive_window(VarInt::from_u32(self.connection_window_bytes))
            .send_window(u64::from(self.send_window_bytes))
            .max_concurrent_bidi_streams(VarInt::from_u32(self.streams_granted()))
            .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
            .max_idle_timeout(Some(IdleTimeout::from(idle)))
            .keep_alive_interval(Some(Duration::from_millis(self.keep_alive_ms.max(1))))
            .datagram_receive_buffer_size(None)
            // Finishing one answer after the other beats a few bytes of each in every packet.
            .send_fairness(false);
        transport
    }
}

/// Binds UDP `address` and makes a QUIC endpoint of it. Must be called within a tokio runtime.
///
/// # Errors
/// See [`BindError`]; a port in use is named with its address.
pub fn bind(
    address: SocketAddr,
    identity: &ServerIdentity,
    settings: &QuicSettings,
) -> Result<quinn::Endpoint, BindError> {
    endpoint(bind_udp(address)?, identity, settings)
}

/// Makes a QUIC endpoint of a bound socket. Must be called within a tokio runtime.
///
/// # Errors
/// See [`BindError`].
pub fn endpoint(
    socket: UdpSocket,
    identity: &ServerIdentity,
    settings: &QuicSettings,
) -> Result<quinn::Endpoint, BindError> {
    let address = socket.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    let failed = |error: io::Error| BindError::new("UDP", address, error);
    let buffer = usize::try_from(settings.socket_buffer_bytes).unwrap_or(usize::MAX);
    let reference = SockRef::from(&socket);
    // The kernel caps what it grants; less is slower, not wrong.
    let _ = reference.set_recv_buffer_size(buffer);
    let _ = reference.set_send_buffer_size(buffer);
    socket.set_nonblocking(true).map_err(failed)?;

    let tls = identity.quic_config().map_err(|error| BindError::Tls(error.to_string()))?;
    let crypto = QuicServerConfig::try_from(tls).map_err(|error| BindError::Tls(error.to_string()))?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(settings.transport()));
    config.migration(true);
    quinn::Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))
        .map_err(failed)
}

/// An HTTP/3 code as quinn takes it.
pub(in crate::transport) fn wire(code: Code) -> VarInt {
    // All codes of HTTP/3 fit.
    VarInt::from_u64(code.value()).unwrap_or(VarInt::MAX)
}
