//! What every call passes through before it reaches a service: tower layers, one a file.
//!
//! A layer knows nothing of queues, of RPCs, or of the transport below it. It refuses by answering: every refusal is
//! made in [`refusal`], so nothing outside has to map an error. What a layer holds for a call (a permit, a gauge, a
//! timer) travels in the response's body, so that a stream counts until it ends.
//!
//! Meant to be stacked, outermost first: [`peer`] (names the caller), [`metrics`] (counts refusals too), [`deadline`],
//! [`shed`], [`auth`].

pub mod auth;
pub mod deadline;
pub mod held;
pub mod identity;
pub mod metrics;
pub mod peer;
pub mod refusal;
pub mod shed;
pub mod tokens;

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use http::Request;
    use tonic::body::Body;
    use tower::{ServiceBuilder, ServiceExt as _};

    use super::identity::{Grant, Permission, QueuePattern};
    use super::testing::{answering, call, ok, read};
    use super::tokens::{Authority, TokenTable};
    use super::{auth, deadline, metrics, peer, shed};

    /// The whole stack, as a server would build it, and a call through all of it.
    #[tokio::test]
    async fn the_layers_stack() {
        let directory = tempfile::tempdir().unwrap();
        let table = Arc::new(TokenTable::open(&directory.path().join("tokens.json")).unwrap());
        let grant = Grant { permission: Permission::Publish, queues: QueuePattern::All };
        let (_, secret) = table.create("test", vec![grant], None, SystemTime::UNIX_EPOCH).unwrap();
        let stack = ServiceBuilder::new()
            .layer(peer::layer(|_: &Request<Body>| None))
            .layer(metrics::layer(&["/a/B"]))
            .layer(deadline::layer())
            .layer(shed::layer(10, "limits.calls"))
            .layer(auth::layer(Arc::new(Authority::new(table, || SystemTime::UNIX_EPOCH)), &[]))
            .service(answering(|_| ok()));
        let request = call("/a/B").header("grpc-timeout", "1H");
        let authorized = request.header("authorization", format!("Bearer {}", secret.expose()));
        let response = stack.clone().oneshot(authorized.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(&read(response).await.0[..], b"hello");
        let refused = stack.oneshot(call("/a/B").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(refused.headers()["grpc-status"], "16");
    }
}
