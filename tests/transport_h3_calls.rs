//! Calls over HTTP/3: what a well-behaved client sees.

#[path = "support/transport/mod.rs"]
mod support;

use support::client::{Client, Raw, response_frames};
use support::frames::{self, HEADERS};
use support::{Server, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_comes_back_with_trailers() {
    let (server, _events) = Server::start();
    let mut client = Client::connect(&server).await;
    for size in [0, 5, 100_000, 3_000_000] {
        let answer = client.call("/t/Echo", &vec![7; size]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "application/grpc");
        assert_eq!(answer.body, vec![7; size]);
        assert_eq!(answer.trailers["grpc-status"], "0");
        assert!(answer.headers.get("alt-svc").is_none(), "HTTP/3 has nothing to announce");
    }
}
