//! Health, readiness, metrics and logs of the real server.

mod support;

use support::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_serves_is_healthy_and_ready() {
    let mut server = Server::start().await;
    assert_eq!(server.get("/healthz").await.0, 200);
    assert_eq!(server.get("/readyz").await.0, 200);
    assert_eq!(server.run(&["queue", "create", "q"]).await.code, Some(0));
    assert_eq!(server.client().await.publish("q", "a").await.unwrap(), 1);
    assert_eq!(server.stop().await.code(), Some(0));
    let server = server.restart().await;
    assert_eq!(server.run(&["queue", "show", "q", "--json"]).await.json().len(), 1);
}
