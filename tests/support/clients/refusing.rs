//! A server that refuses every Publish with the row of the error table in `docs/PROTOCOL.md` that the queue's name asks for.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bbq::service::proto::publish_request::Target;
use bbq::service::proto::queue_service_server::{QueueService, QueueServiceServer};
use bbq::service::proto::{
    AckRequest, AckResponse, ExtendRequest, ExtendResponse, NackRequest, NackResponse, PublishRequest,
    PublishResponse, ReceiveRequest, ReceiveResponse, SubscribeRequest, SubscribeResponse, TransactRequest,
    TransactResponse,
};
use bbq::transport::h2::{self, H2Settings};
use bbq::transport::h3::{self, H3Settings};
use bbq::transport::quic::{self, QuicSettings};
use bbq::transport::tls::{ServerIdentity, generate_if_absent};
use bbq::transport::{Drain, Unobserved, bind_pair};
use bbq_client::Profile;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::root;

/// What a row with RetryInfo asks to wait: longer than the deadline of the calls, so that none is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// The server. Dropping it ends it.
pub struct Refusing {
    directory: TempDir,
    _serving: JoinSet<()>,
}

/// One row.
#[derive(Clone)]
struct Row {
    code: Code,
    code_name: String,
    reason: Option<String>,
    retry: Option<Duration>,
}

impl Refusing {
    /// Starts it on a free port, over both transports.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = generate_if_absent(directory.path(), &[]).expect("certificates").server_files();
        let identity = ServerIdentity::load(&files).expect("they are good");
        let pair = bind_pair("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let address = pair.address().expect("it is bound");
        let endpoint = quic::endpoint(pair.udp, &identity, &QuicSettings::default()).expect("an endpoint");
        let routes = Routes::new(QueueServiceServer::new(Rows(by_queue()))).prepare();
        let drain = Drain::new();
        let over_h2 = h2::serve_tls(
            pair.tcp,
            &identity,
            routes.clone(),
            H2Settings::default(),
            Some(address.port()),
            drain.clone(),
            Arc::new(Unobserved),
        )
        .expect("it serves");
        let mut serving = JoinSet::new();
        serving.spawn(h3::serve(endpoint, routes, H3Settings::default(), drain, Arc::new(Unobserved)));
        serving.spawn(over_h2);
        let mut profile = Profile::new(format!("https://{address}"));
        profile.ca = Some(directory.path().join("ca.pem").into());
        let refusing = Self { directory, _serving: serving };
        profile.save(refusing.profile_path()).expect("the directory can be written");
        refusing
    }

    pub fn profile_path(&self) -> PathBuf {
        self.directory.path().join("client.toml")
    }

    /// What a runner is to try.
    pub fn cases(&self) -> Value {
        let case = |row: Row| {
            json!({
                "queue": row.queue(),
                "code": row.code_name,
                "reason": row.reason,
                "retry_ms": row.retry.map(|retry| u64::try_from(retry.as_millis()).expect("it fits")),
            })
        };
        rows().into_iter().map(case).collect()
    }
}

impl Row {
    fn queue(&self) -> String {
        format!("{}.{}", self.code_name, self.reason.as_deref().unwrap_or("none"))
    }

    fn status(&self) -> Status {
        let message = format!("refused as {}", self.queue());
        let Some(reason) = &self.reason else { return Status::new(self.code, message) };
        let mut details = ErrorDetails::with_error_info(reason, "bbq.v1", HashMap::new());
        if self.retry.is_some() {
            details.set_retry_info(self.retry);
        }
        Status::with_error_details(self.code, message, details)
    }
}

fn by_queue() -> HashMap<String, Row> {
    rows().into_iter().map(|row| (row.queue(), row)).collect()
}

/// The rows of the table. One that can't be read is an error, so that none is lost.
fn rows() -> Vec<Row> {
    let page = std::fs::read_to_string(root().join("docs/PROTOCOL.md")).expect("the page is there");
    let (_, table) =
        page.split_once("| code | reason | when | details |\n|---|---|---|---|\n").expect("the table");
    let mut last = String::new();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, code, reason, _, details, _] = cells[..] else { panic!("not a row: {line}") };
        if !code.is_empty() {
            code.clone_into(&mut last);
        }
        let reason = match reason.split('`').nth(1) {
            Some(word) => Some(word.to_owned()),
            None if reason == "none" => None,
            None => panic!("no reason: {line}"),
        };
        let retry = details.contains("RetryInfo").then_some(RETRY);
        Row { code: code_of(&last), code_name: last.clone(), reason, retry }
    };
    let rows: Vec<Row> = table.lines().take_while(|line| line.starts_with('|')).map(row).collect();
    let codes: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.code_name.as_str()).collect();
    assert_eq!(codes.len(), 12, "scenarios.md says how many codes the table has: {codes:?}");
    rows
}

fn code_of(name: &str) -> Code {
    let all = (0..=16).map(Code::from_i32);
    let wanted = name.replace('_', "").to_lowercase();
    let mut found = all.filter(|code| format!("{code:?}").to_lowercase() == wanted);
    found.next().unwrap_or_else(|| panic!("{name} is no code of gRPC"))
}

struct Rows(HashMap<String, Row>);

#[tonic::async_trait]
impl QueueService for Rows {
    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        let Some(Target::Queue(queue)) = request.into_inner().target else {
            return Err(Status::internal("no queue"));
        };
        let row = self.0.get(&*queue);
        Err(row.map_or_else(|| Status::internal(format!("no case {queue}")), Row::status))
    }

    type SubscribeStream = tokio_stream::Empty<Result<SubscribeResponse, Status>>;

    async fn subscribe(
        &self,
        _: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        Err(Status::unimplemented("this server refuses publishes"))
    }

    async fn receive(&self, _: Request<ReceiveRequest>) -> Result<Response<ReceiveResponse>, Status> {
        Err(Status::unimplemented("this server refuses publishes"))
    }

    async fn ack(&self, _: Request<AckRequest>) -> Result<Response<AckResponse>, Status> {
        Err(Status::unimplemented("this server refuses publishes"))
    }

    async fn nack(&self, _: Request<NackRequest>) -> Result<Response<NackResponse>, Status> {
        Err(Status::unimplemented("this server refuses publishes"))
    }

    async fn extend(&self, _: Request<ExtendRequest>) -> Result<Response<ExtendResponse>, Status> {
        Err(Status::unimplemented("this server refuses publishes"))
    }

    async fn transact(&self, _: Request<TransactRequest>) -> Result<Response<TransactResponse>, Status> {
        Err(Status::unimplemented("this server refuses publishes"))
    }
}
