//! The HTTP/3 side of the tests' server: ready-made parts, no cancellation.

use bytes::{Buf, Bytes};
use h3::server::RequestResolver;
use http_body_util::{BodyExt, Full};
use tonic::{body::Body, service::Routes};
use tower::ServiceExt;

/// Serves until the endpoint is closed.
pub async fn serve(endpoint: quinn::Endpoint, routes: Routes) {
    while let Some(incoming) = endpoint.accept().await {
        let routes = routes.clone();
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            let Ok(mut connection) = h3::server::builder()
                .send_grease(false)
                .build::<_, Bytes>(h3_quinn::Connection::new(connection))
                .await
            else {
                return;
            };
            while let Ok(Some(resolver)) = connection.accept().await {
                tokio::spawn(answer(resolver, routes.clone()));
            }
        });
    }
}

async fn answer(resolver: RequestResolver<h3_quinn::Connection, Bytes>, routes: Routes) -> Option<()> {
    let (request, mut stream) = resolver.resolve_request().await.ok()?;
    let mut body = Vec::new();
    while let Some(mut data) = stream.recv_data().await.ok()? {
        body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    let request = request.map(|()| Body::new(Full::new(Bytes::from(body))));
    let (head, mut body) = routes.oneshot(request).await.ok()?.into_parts();
    stream.send_response(http::Response::from_parts(head, ())).await.ok()?;
    while let Some(frame) = body.frame().await {
        match frame.ok()?.into_data() {
            Ok(data) => stream.send_data(data).await.ok()?,
            Err(frame) => stream.send_trailers(frame.into_trailers().ok()?).await.ok()?,
        }
    }
    stream.finish().await.ok()
}
