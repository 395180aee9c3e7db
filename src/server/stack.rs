//! The tower stack: what every call passes through, whichever listener it came in by.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt as _};

use super::caller;
use super::tokens::now;
use crate::config::Config;
use crate::middleware::tokens::{Authority, TokenTable};
use crate::middleware::{auth, deadline, metrics, peer, shed};
use crate::service::{Services, hand_over, proto, status};

/// A call's way through everything, to be cloned for each.
pub(super) type Stack = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// What may be asked without a token: whether the server is well, and what it offers.
const OPEN: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// The whole stack, outermost layer first.
pub(super) fn build(
    config: &Config,
    services: &Services,
    health: HealthServer<impl Health>,
    tokens: Arc<TokenTable>,
) -> anyhow::Result<Stack> {
    let authority = Arc::new(Authority::new(tokens, now));
    let request_bytes = config.limits.request_bytes;
    let stack = ServiceBuilder::new()
        // First, so that every later layer can say who called.
        .layer(peer::layer(caller::peer))
        // Before anything refuses, so that refusals count too.
        .layer(metrics::layer(&PATHS))
        // Over all that can take time, and over the stream that follows.
        .layer(deadline::layer())
        // Before the work of authentication: what is too much is refused cheaply.
        .layer(shed::layer(config.limits.calls, "limits.calls").apart(
            &OPEN,
            config.limits.open_calls,
            "limits.open_calls",
        ))
        // The last that may refuse: nothing below sees a call without an identity, but for the open paths.
        .layer(auth::layer(authority, &OPEN))
        // What a Receive took is its caller's once its answer has left through all of the above.
        .map_response(hand_over)
        // The identity in the service's own words.
        .map_request(caller::name)
        // tonic's own refusal of large requests in the words of this API.
        .map_response(move |response| refuse_oversize(response, request_bytes))
        .service(routes(services, health)?);
    Ok(BoxCloneSyncService::new(stack.map_err(|never: Infallible| never)))
}

/// All services of the server: the two of its own, health, and reflection in both versions.
fn routes(services: &Services, health: HealthServer<impl Health>) -> anyhow::Result<Routes> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // The details of errors, so that generic clients can show them.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = Routes::new(services.queue_service())
        .add_service(services.admin_service())
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok(routes.prepare())
}

fn refuse_oversize(response: Response<Body>, limit: usize) -> Response<Body> {
    // Only an answer that is a status and nothing else has it in its headers, with the message percent-encoded.
    match Status::from_header_map(response.headers()) {
        Some(refusal) if status::is_oversize(refusal.code(), refusal.message()) => {
            status::oversize(limit).into_http()
        }
        Some(_) | None => response,
    }
}

macro_rules! paths {
    ($($service:literal: $($method:literal)+;)+) => {
        [$($(concat!("/", $service, "/", $method),)+)+]
    };
}

/// The paths that metrics name. A test compares them with the descriptors.
const PATHS: [&str; 29] = paths! {
    "bbq.v1.QueueService": "Publish" "Subscribe" "Receive" "Ack" "Nack" "Extend" "Transact";
    "bbq.v1.AdminService": "CreateQueue" "GetQueue" "ListQueues" "UpdateQueue" "DeleteQueue" "PurgeQueue"
        "PeekMessages" "ListLeases" "RedriveMessages" "CreateTopic" "ListTopics" "DeleteTopic" "Bind" "Unbind"
        "WatchStats" "CreateToken" "ListTokens" "RevokeToken" "Backup";
    "grpc.health.v1.Health": "Check" "Watch" "List";
};

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn metrics_name_every_method() {
        let descriptors = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
        let services =
            descriptors.file.iter().flat_map(|file| file.service.iter().map(|s| (file.package(), s)));
        let paths = services.flat_map(|(package, service)| {
            service
                .method
                .iter()
                .map(move |method| format!("/{package}.{}/{}", service.name(), method.name()))
        });
        for path in paths {
            assert!(PATHS.contains(&path.as_str()), "{path} is not among the known paths");
        }
    }
}
