//! Certificates and ports: what is shown, what is verified, what is taken.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/transport/mod.rs"]
mod support;

use std::net::SocketAddr;

use bbq::transport::quic::{self, QuicSettings};
use bbq::transport::tls::generate_if_absent;
use bbq::transport::{bind, bind_pair};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use support::client::{Client, Identity};
use support::probe::{Event, until};
use support::{Server, Setup, within};

fn shown(connection: &quinn::Connection) -> CertificateDer<'static> {
    let chain = connection.peer_identity().unwrap().downcast::<Vec<CertificateDer<'static>>>().unwrap();
    chain[0].clone()
}

#[tokio::test]
async fn a_reload_shows_the_new_certificate_and_loses_no_connection() {
    let (mut server, mut events) = Server::start();
    let mut old = Client::connect(&server).await;
    let mut idle = old.sender.send_request(Client::request("/t/Idle")).await.unwrap();
    idle.finish().await.unwrap();
    within("headers", idle.recv_response()).await.unwrap();

    let fresh = tempfile::tempdir().unwrap();
    let files = generate_if_absent(fresh.path(), &[]).unwrap();
    std::fs::copy(&files.ca, server.files.certificate.with_file_name("ca.pem")).unwrap();
    std::fs::copy(&files.certificate, &server.files.certificate).unwrap();
    std::fs::copy(&files.key, &server.files.key).unwrap();
    server.identity.reload().unwrap();

    assert_eq!(old.call("/t/Echo", b"old").await.body, b"old");
    server.ca = support::ca_of(fresh.path());
    let new = Client::connect(&server).await;
    assert_ne!(shown(&new.connection), shown(&old.connection));
    assert_eq!(shown(&new.connection), CertificateDer::from_pem_file(&files.certificate).unwrap());
    let tcp = support::client::tls(&server.ca, b"h2", None);
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tcp));
    let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let tls = within("TCP shows the new one too", connector.connect("localhost".try_into().unwrap(), stream));
    tls.await.unwrap();

    // The old stream still stands.
    idle.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
    until(&mut events, &Event::BodyDropped("/t/Idle".to_owned())).await;
}

/// A call in early data could be sent again by whoever recorded it: a client that comes back is offered none.
#[tokio::test]
async fn a_resumed_session_sends_nothing_early() {
    let (server, _events) = Server::start();
    let mut tls = support::client::tls(&server.ca, b"h3", None);
    tls.enable_early_data = true;
    let endpoint = support::client::endpoint_with(tls);
    // Its session's ticket is there before the answer is.
    let mut first = Client::with(endpoint.clone(), server.address).await;
    assert_eq!(first.call("/t/Echo", b"first").await.body, b"first");
    let again = endpoint.connect(server.address, "localhost").unwrap().into_0rtt();
    let again = again.map(|_| ()).expect_err("early data");
    within("a connection", again).await.unwrap();
}

fn client_ca(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn client_identity(ca: &CertifiedIssuer<'static, KeyPair>, name: &str) -> Identity {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    Identity {
        chain: vec![certificate.der().clone()],
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    }
}

#[tokio::test]
async fn client_certificates_are_verified_named_and_optional() {
    let ca = client_ca("orders CA");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clients.pem");
    std::fs::write(&path, ca.pem()).unwrap();
    let (server, _events) = Server::with(Setup { client_ca: Some(path), ..Setup::default() });

    let endpoint = support::client::endpoint(&server, Some(client_identity(&ca, "orders")));
    let mut known = Client::with(endpoint, server.address).await;
    let answer = known.call("/t/Peer", b"").await;
    assert_eq!(answer.headers["subject"], "CN=orders");
    assert_eq!(answer.headers["common-name"], "orders");
    assert_eq!(answer.headers["fingerprint"].len(), 64);

    let mut unknown = Client::connect(&server).await;
    assert!(unknown.call("/t/Peer", b"").await.headers.get("subject").is_none());

    let stranger = client_identity(&client_ca("another CA"), "orders");
    let endpoint = support::client::endpoint(&server, Some(stranger));
    let connecting = within("an end", endpoint.connect(server.address, "localhost").unwrap()).await;
    // The client may think that it is connected until the server's verdict arrives.
    if let Ok(connection) = connecting {
        let error = within("the refusal", connection.closed()).await;
        assert!(matches!(error, quinn::ConnectionError::ConnectionClosed(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_a_way_out() {
    let (server, _events) = Server::start();
    let taken = server.address;
    let udp = quic::bind(taken, &server.identity, &QuicSettings::default()).unwrap_err().to_string();
    assert_eq!(
        udp,
        format!(
            "UDP {taken} is in use: another server may be running there; stop it, or choose another address"
        )
    );
    let tcp = bind::bind_tcp(taken).unwrap_err().to_string();
    assert!(tcp.starts_with(&format!("TCP {taken} is in use")), "{tcp}");
    let foreign: SocketAddr = "203.0.113.1:0".parse().unwrap();
    let message = bind_pair(foreign).unwrap_err().to_string();
    assert!(message.contains("203.0.113.1:0 is not an address of this machine"), "{message}");
}

#[tokio::test]
async fn a_pair_has_one_port_number() {
    let pairs: Vec<_> = (0..20).map(|_| bind_pair("127.0.0.1:0".parse().unwrap()).unwrap()).collect();
    for pair in &pairs {
        assert_eq!(pair.udp.local_addr().unwrap(), pair.tcp.local_addr().unwrap());
    }
}

#[tokio::test]
async fn ipv6_loopback_works() {
    let Ok(pair) = bind_pair("[::1]:0".parse().unwrap()) else { return };
    assert_eq!(pair.udp.local_addr().unwrap().port(), pair.address().unwrap().port());
}
