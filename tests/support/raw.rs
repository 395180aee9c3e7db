//! Calls as the wire has them: the generated clients over a bare HTTP/2 channel, without `bbq-client` around them.

use bbq_client::Profile;
use bbq_client::proto::admin_service_client::AdminServiceClient;
use bbq_client::proto::queue_service_client::QueueServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::server::Server;
use super::waiting::within;

/// Sends a token with each call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

/// A channel whose calls carry a token.
pub type Wire = InterceptedService<Channel, Bearer>;

/// Both services of one server.
pub struct Raw {
    pub queues: QueueServiceClient<Wire>,
    pub admin: AdminServiceClient<Wire>,
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// HTTP/2 over TLS, without a token.
pub async fn channel(server: &Server) -> Channel {
    let ca = std::fs::read(server.data().join("ca.pem")).expect("the server made an authority");
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://{}", server.address)).expect("an address is a URL");
    let endpoint = endpoint.tls_config(tls).expect("the authority can be used");
    within("a connection", endpoint.connect()).await.expect("the server takes connections")
}

impl Raw {
    /// With the admin's token.
    pub async fn connect(server: &Server) -> Self {
        let Profile { token, .. } = server.profile();
        let value = format!("Bearer {}", token.expect("the admin has a token"));
        let bearer = Bearer(Some(value.parse().expect("a token is ASCII")));
        let channel = channel(server).await;
        let wire = || InterceptedService::new(channel.clone(), bearer.clone());
        Self { queues: QueueServiceClient::new(wire()), admin: AdminServiceClient::new(wire()) }
    }
}

/// A refusal: its code, its stable reason, and the bad field if it names one.
#[track_caller]
pub fn refusal<T>(outcome: Result<T, Status>) -> (Code, String, String, String) {
    let Err(status) = outcome else { panic!("the call succeeded") };
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    let field = details.bad_request().and_then(|bad| bad.field_violations.first());
    let field = field.map(|violation| violation.field.clone()).unwrap_or_default();
    (status.code(), reason, field, status.message().to_owned())
}

/// Insists that a field was refused: by INVALID_ARGUMENT, in the details and in the message.
#[track_caller]
pub fn refuses_field<T>(outcome: Result<T, Status>, expected: &str) {
    let (code, reason, field, message) = refusal(outcome);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{expected}: {message}");
    assert_eq!(field, expected, "{message}");
    assert!(message.starts_with(expected), "{message}");
}
