//! HTTP/2 by the byte over TLS: resets, header bombs, and connections on which nothing comes.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::{Server, within};
use crate::{attack, frames, scale};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;
pub const END_HEADERS: u8 = 4;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// A TLS connection to the port of the calls.
pub async fn tls(server: &Server, alpn: &[u8]) -> TlsStream<TcpStream> {
    within("a handshake", try_tls(server, alpn)).await.unwrap()
}

/// The same, if the server lets us.
pub async fn try_tls(server: &Server, alpn: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.data().join("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let tcp = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector.connect(name, tcp).await
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literals, as HPACK writes them.
pub fn hpack(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            out.push(u8::try_from(text.len()).unwrap());
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// A connection after both prefaces.
pub async fn connect(server: &Server) -> TlsStream<TcpStream> {
    let mut tls = tls(server, b"h2").await;
    tls.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    tls
}

/// Reads up to GOAWAY or the end: the code, if there was one.
pub async fn goaway(tls: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<u32> {
    let read = async {
        loop {
            let mut head = [0; 9];
            tls.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            tls.read_exact(&mut payload).await.ok()?;
            if head[3] == GOAWAY {
                return payload[4..].first_chunk().map(|code| u32::from_be_bytes(*code));
            }
        }
    };
    within("the end of the connection", read).await
}

/// Writes until the server lets go of the connection, and says how it did.
async fn until_cut(tls: TlsStream<TcpStream>, mut next: impl FnMut() -> Vec<u8>) -> Option<u32> {
    let (mut read, mut write) = tokio::io::split(tls);
    let writing = async {
        loop {
            let bytes = next();
            if bytes.is_empty() || write.write_all(&bytes).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        code = goaway(&mut read) => code,
        () = writing => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_over_http_2_end_the_connection() {
    attack("rapid resets, HTTP/2", &[], async |server: &Server| {
        let token = format!("Bearer {}", server.profile().token.unwrap());
        let fields =
            [frames::fields("/bbq.v1.QueueService/Publish"), vec![("authorization", token.as_str())]]
                .concat();
        let block = hpack(&fields);
        for _ in 0..4 * scale() {
            let mut stream = 1;
            let storm = || {
                let mut bytes = Vec::new();
                for _ in 0..16 {
                    bytes.extend(frame(HEADERS, END_HEADERS, stream, &block));
                    bytes.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
                    stream += 2;
                }
                bytes
            };
            // It is told, if all of them come at once; else only cut.
            let code = until_cut(connect(server).await, storm).await;
            assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_continuations_is_cut() {
    attack("header bombs, HTTP/2", &[], async |server: &Server| {
        for _ in 0..4 * scale() {
            let mut begun = false;
            let flood = || {
                let kind = if std::mem::replace(&mut begun, true) { CONTINUATION } else { HEADERS };
                frame(kind, 0, 1, &hpack(&[("name", &"v".repeat(100))]).repeat(100))
            };
            let code = until_cut(connect(server).await, flood).await;
            assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_small_frames_hold_up_nobody() {
    attack("floods of small frames, HTTP/2", &[], async |server: &Server| {
        let floods: [Vec<u8>; 3] = [
            frame(PING, 0, 0, &[0; 8]),
            frame(SETTINGS, 0, 0, &[]),
            // An empty DATA frame of a stream that is not there.
            frame(DATA, 0, 1, &[]),
        ];
        for small in floods {
            let many = small.repeat(1000);
            let mut left = 20 * scale();
            let flood = until_cut(connect(server).await, move || {
                left = left.saturating_sub(1);
                if left == 0 { Vec::new() } else { many.clone() }
            });
            // It may be cut or not: what it is not, is a burden.
            let _ = tokio::time::timeout(Duration::from_secs(2), flood).await;
        }
    })
    .await;
}

/// Connections to open at once: 10,000 in the long run, if this process may have so many files open.
fn as_many_as_can_be() -> usize {
    const OTHER_FILES: usize = 500;
    (1000 * scale()).min(bbq::transport::descriptors::raise().saturating_sub(OTHER_FILES))
}

/// Connections without TLS, with half of it, and with nothing but TLS: none keeps others out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_connections_that_say_nothing_are_given_up() {
    let args = ["--set", "http2.handshake_timeout_ms=3000"];
    attack("half-open handshakes, TCP", &args, async |server: &Server| {
        let mut half_open = Vec::new();
        for n in 0..as_many_as_can_be() {
            let mut tcp = TcpStream::connect(server.address).await.unwrap();
            if n % 2 == 0 {
                // The beginning of a ClientHello.
                let _ = tcp.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).await;
            }
            half_open.push(tcp);
        }
        let mut silent = Vec::new();
        for _ in 0..20 {
            silent.push(tls(server, b"h2").await);
        }
        for mut tcp in half_open {
            let mut bytes = Vec::new();
            // Closed or reset, but over.
            let _ = within("the server gives it up", tcp.read_to_end(&mut bytes)).await;
        }
        for mut tls in silent {
            let mut bytes = Vec::new();
            let _ = within("the server gives it up", tls.read_to_end(&mut bytes)).await;
        }
    })
    .await;
}
