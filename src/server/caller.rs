//! Who calls, from what the middleware learned to what the service asks.

use std::sync::Arc;

use http::Request;
use tonic::body::Body;

use crate::middleware::identity::{self, Identity};
use crate::middleware::peer::Peer;
use crate::service::{Authority, Caller, Permission};
use crate::transport::PeerInfo;

/// What a bearer may do.
struct Bearer(Arc<Identity>);

impl Authority for Bearer {
    fn allows(&self, permission: Permission, queue: Option<&str>) -> bool {
        let wanted = match permission {
            Permission::Publish => identity::Permission::Publish,
            Permission::Consume => identity::Permission::Consume,
            Permission::Manage => identity::Permission::Manage,
            Permission::Admin => identity::Permission::Admin,
        };
        queue.map_or_else(|| self.0.is_admin(), |queue| self.0.allows(wanted, queue))
    }

    fn name(&self) -> &str {
        &self.0.name
    }
}

/// The other end of the connection, as the middleware calls it.
pub(super) fn peer(request: &Request<Body>) -> Option<Peer> {
    let info = request.extensions().get::<PeerInfo>()?;
    let address = info.address.map_or_else(|| "unix".to_owned(), |address| address.to_string());
    Some(Peer { address, transport: info.transport.as_str() })
}

/// Names the caller of a request that has passed authentication.
pub(super) fn name(mut request: Request<Body>) -> Request<Body> {
    let extensions = request.extensions_mut();
    if let (Some(identity), Some(peer)) = (extensions.get::<Arc<Identity>>(), extensions.get::<Peer>()) {
        let caller = Caller {
            authority: Arc::new(Bearer(Arc::clone(identity))),
            peer: peer.address.clone(),
            transport: peer.transport,
        };
        extensions.insert(caller);
    }
    request
}
