//! The transport: gRPC over HTTP/3 and HTTP/2, generic over one tower service.
//!
//! It decides how bytes become calls and when a call has ended. It never knows a queue, an RPC's name or a message.
//!
//! Always true:
//! - a call whose client is gone (cancelled, reset, connection lost or closed) is dropped at once, idle or not: its
//!   handler's future and its response body; that is what releases leases;
//! - an upload that was cut short never looks complete;
//! - every task belongs to a tracker that a drain waits for;
//! - every buffer, queue and wait has a bound, named in the settings.
//!
//! | module | holds |
//! |---|---|
//! | [`bind`] | sockets: one port number for UDP and TCP |
//! | [`tls`] | the certificate of both listeners, made, loaded and reloaded |
//! | [`quic`] | quinn's settings, and h3's transport traits over quinn |
//! | [`h3`] | calls over HTTP/3 |
//! | [`h2`] | calls over HTTP/2, with TLS or on loopback and unix sockets without |
//! | [`http1`] | what operators ask, over plain HTTP/1.1 |
//! | [`descriptors`] | how many connections there can be |
//! | [`drain`] | the signal that ends both, and the tasks it waits for |
//! | [`peer`] | who is calling |
//! | [`observer`] | counts of connections and streams, for metrics |

mod accept;
pub mod bind;
pub mod descriptors;
pub mod drain;
mod early_cancels;
pub(crate) mod fuzzing;
mod grpc;
pub mod h2;
pub mod h3;
pub mod http1;
pub mod observer;
pub mod peer;
mod places;
pub mod quic;
pub mod tls;

pub use bind::{BindError, BoundPair, bind_pair};
pub use drain::Drain;
pub use observer::{TransportObserver, Unobserved};
pub use peer::{PeerCertificate, PeerInfo, Transport};

/// Any error, as tower services return them.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
