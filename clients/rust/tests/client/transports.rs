//! Which HTTP a client speaks.

use std::{net::UdpSocket, time::Duration};

use bbq_client::{Client, Error, Pem, Profile, Protocol, Transport, proto::AckResponse};
use tokio::{net::TcpListener, time::Instant};

use crate::{
    fake::{Certificate, Fake, published},
    within,
};

/// HTTP/3 is the first choice.
#[tokio::test]
async fn auto_prefers_http3() {
    let fake = Fake::start().await;
    assert_eq!(fake.client(Transport::Auto).await.protocol(), Some(Protocol::Http3));
    assert_eq!(fake.client(Transport::Http2).await.protocol(), Some(Protocol::Http2));
}

/// Where UDP vanishes, HTTP/2 takes over.
#[tokio::test]
async fn auto_falls_back_where_udp_is_dead() {
    let mut fake = Fake::start().await;
    fake.close_udp().await;
    // Takes all that comes and never answers.
    let _hole = UdpSocket::bind(fake.address).unwrap();
    let client = within(async {
        loop {
            let start = Instant::now();
            let client = fake.client(Transport::Auto).await;
            assert_eq!(client.protocol(), Some(Protocol::Http2));
            // An attempt over UDP gives up after five seconds, and one that waited for it never takes less. A busy machine may
            // take that long without waiting, but not each time.
            if start.elapsed() < Duration::from_secs(5) {
                break client;
            }
        }
    })
    .await;
    let publish = tokio::spawn(async move { client.publish("q", "a").await });
    fake.publish().await.answer(published(1, 1));
    assert_eq!(within(publish).await.unwrap(), Ok(1));
}

/// That HTTP/2 took over once says nothing about the next connection: HTTP/3 has its head start again.
#[tokio::test]
async fn auto_prefers_http3_again_after_falling_back() {
    let mut fake = Fake::start().await;
    fake.close_udp().await;
    let client = fake.client(Transport::Auto).await;
    assert_eq!(client.protocol(), Some(Protocol::Http2));
    within(async {
        // A busy machine may use the head start up, but not each time.
        while client.protocol() != Some(Protocol::Http3) {
            fake = fake.restart().await;
            let ack = tokio::spawn({
                let client = client.clone();
                async move { client.ack("q", &["r1"]).await }
            });
            fake.ack().await.answer(Ok(AckResponse::default()));
            assert_eq!(ack.await.unwrap(), Ok(Vec::new()));
        }
    })
    .await;
}

/// A call that the server did not take over HTTP/2 is made again, even a publish. (Over HTTP/3: `raw`.)
#[tokio::test]
async fn refused_publish_is_repeated_over_http2() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::connect_lazily(&Profile::new(format!("http://{}", listener.local_addr().unwrap())));
    let client = client.unwrap();
    let publish = tokio::spawn(async move { client.publish("q", "a").await });
    let mut reasons =
        [h2::Reason::REFUSED_STREAM, h2::Reason::REFUSED_STREAM, h2::Reason::INTERNAL_ERROR].into_iter();
    let serve = async {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(tcp).await.unwrap();
            while let Some(Ok((_request, mut respond))) = connection.accept().await {
                respond.send_reset(reasons.next().expect("no more tries than that"));
            }
        }
    };
    let error = tokio::select! {
        published = within(publish) => published.unwrap().unwrap_err(),
        () = serve => unreachable!(),
    };
    assert!(matches!(error, Error::Internal(_)), "{error:?}");
    assert_eq!(reasons.next(), None);
}

/// Nobody there: the message names the place, the reason and the way out.
#[tokio::test]
async fn refused_connection_says_what_to_do() {
    let mut fake = Fake::start().await;
    let profile = fake.profile(Transport::Auto);
    let address = fake.address;
    fake.stop().await;
    let error = within(Client::connect(profile)).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot reach https://{address}: connection refused; is the server running? start it with `bbq serve`"
        )
    );
    assert!(error.is_retryable() && error.is_unprocessed());
}

/// A server with another certificate is not trusted, over either transport, and the message blames `ca`.
#[tokio::test]
async fn foreign_certificate_is_refused() {
    let fake = Fake::start().await;
    for transport in [Transport::Http3, Transport::Http2, Transport::Auto] {
        let profile = Profile { ca: Some(Pem::Inline(Certificate::new().pem)), ..fake.profile(transport) };
        let error = within(Client::connect(profile)).await.err().unwrap();
        assert!(matches!(&error, Error::Certificate { reason, .. } if reason.contains("`ca`")), "{error}");
    }
}

/// A Unix socket and loopback without TLS speak HTTP/2.
#[tokio::test]
async fn plain_transports_speak_http2() {
    let mut fake = Fake::start().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bbq.sock");
    let tcp = fake.serve_plain(&path).await;
    for url in [format!("unix:{}", path.display()), format!("http://{tcp}")] {
        let client = within(Client::connect(Profile::new(url))).await.unwrap();
        assert_eq!(client.protocol(), Some(Protocol::Http2));
        let publish = tokio::spawn(async move { client.publish("q", "a").await });
        fake.publish().await.answer(published(1, 1));
        assert_eq!(within(publish).await.unwrap(), Ok(1));
    }
}
