//! An HTTP/3 server made of bytes, for what the ready-made one cannot do or see.

use bbq_client::{Client, Error, Transport};
use quinn::VarInt;

use crate::{fake::Certificate, within};

/// HEADERS with `:status` 200, from QPACK's static table.
const HEADERS: [u8; 5] = [0x01, 0x03, 0x00, 0x00, 0xd9];
/// H3_REQUEST_CANCELLED.
const CANCELLED: u32 = 0x10c;

struct Raw {
    endpoint: quinn::Endpoint,
    certificate: Certificate,
}

/// One connection, its control stream kept open.
struct Connection {
    quic: quinn::Connection,
    control: quinn::SendStream,
}

impl Raw {
    fn start() -> Self {
        let certificate = Certificate::new();
        let endpoint = quinn::Endpoint::server(certificate.quic(), "127.0.0.1:0".parse().unwrap()).unwrap();
        Self { endpoint, certificate }
    }

    async fn connect(&self) -> (Client, Connection) {
        let profile = self.certificate.profile(self.endpoint.local_addr().unwrap(), Transport::Http3);
        let (client, connection) =
            within(async { tokio::join!(Client::connect(profile), self.accept()) }).await;
        (client.unwrap(), connection)
    }

    async fn accept(&self) -> Connection {
        let quic = self.endpoint.accept().await.unwrap().await.unwrap();
        let mut control = quic.open_uni().await.unwrap();
        // A control stream with empty SETTINGS.
        control.write_all(&[0x00, 0x04, 0x00]).await.unwrap();
        Connection { quic, control }
    }
}

impl Connection {
    /// The next request, read to its end.
    async fn request(&self) -> (quinn::SendStream, quinn::RecvStream) {
        let (send, mut recv) = within(self.quic.accept_bi()).await.unwrap();
        within(recv.read_to_end(1 << 20)).await.unwrap();
        (send, recv)
    }
}

/// Answers one publish with these bytes and the end of the stream.
async fn answered_with(bytes: &[u8]) -> (Result<u64, Error>, Client, Connection, Raw) {
    let raw = Raw::start();
    let (client, connection) = raw.connect().await;
    let publish = client.publish("q", "hello");
    let answer = async {
        let (mut send, _) = connection.request().await;
        send.write_all(bytes).await.unwrap();
        send.finish().unwrap();
    };
    let (result, ()) = within(async { tokio::join!(publish, answer) }).await;
    (result, client, connection, raw)
}

/// Resets one publish with this code.
async fn reset_with(code: u32) -> Error {
    let raw = Raw::start();
    let (client, connection) = raw.connect().await;
    let publish = client.publish("q", "hello");
    let reset = async {
        loop {
            let (mut send, _) = connection.request().await;
            send.reset(VarInt::from_u32(code)).unwrap();
        }
    };
    tokio::select! {
        result = within(publish) => result.unwrap_err(),
        () = reset => unreachable!(),
    }
}

/// A subscription that is dropped while nothing happens is cancelled on the wire at once.
#[tokio::test]
async fn dropped_idle_subscription_stops_its_stream() {
    let raw = Raw::start();
    let (client, connection) = raw.connect().await;
    let (subscription, mut send) = within(async {
        tokio::join!(client.subscribe("q").start(), async {
            let (mut send, _) = connection.request().await;
            send.write_all(&HEADERS).await.unwrap();
            send
        })
    })
    .await;
    drop(subscription.unwrap());
    assert_eq!(within(send.stopped()).await.unwrap(), Some(VarInt::from_u32(CANCELLED)));
    // The connection lives on.
    assert_eq!(connection.quic.close_reason(), None);
    let _ = send.finish();
}

/// A call that is dropped before its answer is cancelled on the wire at once.
#[tokio::test]
async fn dropped_call_stops_its_stream() {
    let raw = Raw::start();
    let (client, connection) = raw.connect().await;
    let publish = tokio::spawn({
        let client = client.clone();
        async move { client.publish("q", "hello").await }
    });
    let (send, _recv) = connection.request().await;
    publish.abort();
    assert_eq!(within(send.stopped()).await.unwrap(), Some(VarInt::from_u32(CANCELLED)));
}

/// A call that is dropped while its request is still on its way resets it: half a publish never looks whole.
#[tokio::test]
async fn dropped_upload_is_reset() {
    let raw = Raw::start();
    let (client, connection) = raw.connect().await;
    let publish = tokio::spawn({
        let client = client.clone();
        // Larger than what the server's stream window lets through unread.
        async move { client.publish("q", vec![0; 8 << 20]).await }
    });
    let (send, mut recv) = within(connection.quic.accept_bi()).await.unwrap();
    publish.abort();
    assert_eq!(within(send.stopped()).await.unwrap(), Some(VarInt::from_u32(CANCELLED)));
    let end = within(recv.read_to_end(16 << 20)).await.unwrap_err();
    assert_eq!(end, quinn::ReadToEndError::Read(quinn::ReadError::Reset(VarInt::from_u32(CANCELLED))));
}

/// What a reset says about the call, as gRPC over HTTP/3 has it.
#[tokio::test]
async fn resets_are_mapped() {
    assert!(matches!(reset_with(0x10c).await, Error::Cancelled(_)));
    assert!(matches!(reset_with(0x107).await, Error::ResourceExhausted(_)));
    assert!(matches!(reset_with(0x102).await, Error::Internal(_)));
}

/// A call that the server did not take is made again, even a publish.
#[tokio::test]
async fn rejected_publish_is_repeated() {
    let raw = Raw::start();
    let (client, connection) = raw.connect().await;
    let publish = tokio::spawn({
        let client = client.clone();
        async move { client.publish("q", "hello").await }
    });
    let (mut send, _) = connection.request().await;
    send.reset(VarInt::from_u32(0x10b)).unwrap();
    // The second try.
    let (mut send, _) = connection.request().await;
    send.reset(VarInt::from_u32(0x102)).unwrap();
    assert!(matches!(within(publish).await.unwrap(), Err(Error::Internal(_))));
}

/// A publish whose fate is not known is not made again.
#[tokio::test]
async fn lost_publish_is_not_repeated() {
    let raw = Raw::start();
    let (client, connection) = raw.connect().await;
    let publish = tokio::spawn({
        let client = client.clone();
        async move { client.publish("q", "hello").await }
    });
    let _request = connection.request().await;
    connection.quic.close(VarInt::from_u32(0x100), b"");
    let error = within(publish).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert!(!error.is_unprocessed());
}

/// After GOAWAY new calls go over a new connection, and a subscription goes on over the old one.
#[tokio::test]
async fn goaway_moves_new_calls_and_spares_old_ones() {
    let raw = Raw::start();
    let (client, mut old) = raw.connect().await;
    let (subscription, mut feed) = within(async {
        tokio::join!(client.subscribe("q").start(), async {
            let (mut send, _) = old.request().await;
            send.write_all(&HEADERS).await.unwrap();
            send
        })
    })
    .await;
    let mut subscription = subscription.unwrap();
    // GOAWAY for all from the second request on.
    old.control.write_all(&[0x07, 0x01, 0x04]).await.unwrap();
    let publish = tokio::spawn({
        let client = client.clone();
        async move { client.publish("q", "hello").await }
    });
    let new = loop {
        tokio::select! {
            new = within(raw.accept()) => break new,
            // GOAWAY was not read yet: the call is turned away, and made again.
            (mut send, _) = old.request() => send.reset(VarInt::from_u32(0x10b)).unwrap(),
        }
    };
    let (mut send, _) = new.request().await;
    send.reset(VarInt::from_u32(0x102)).unwrap();
    assert!(matches!(within(publish).await.unwrap(), Err(Error::Internal(_))));

    // DATA with one SubscribeResponse { deliveries: [Delivery { sequence: 7 }] }.
    feed.write_all(&[0x00, 0x09, 0, 0, 0, 0, 4, 0x0a, 0x02, 0x10, 0x07]).await.unwrap();
    assert_eq!(within(subscription.next()).await.unwrap().unwrap().sequence(), 7);
}

/// DATA that ends before its length is a broken answer, and neither a panic nor a clean end.
#[tokio::test]
async fn answer_cut_short_is_an_error() {
    let mut bytes = HEADERS.to_vec();
    bytes.extend([0x00, 0x10, 1, 2, 3]);
    let (result, _client, connection, _raw) = answered_with(&bytes).await;
    let error = result.unwrap_err();
    assert!(matches!(&error, Error::Internal(refusal) if refusal.message.contains("cut short")), "{error:?}");
    assert_eq!(connection.quic.close_reason(), None, "one broken answer does not end the connection");
}

/// A stream that ends without an answer fails its call and leaves the connection to the others.
#[tokio::test]
async fn absent_answer_is_an_error() {
    let (result, _client, connection, _raw) = answered_with(&[]).await;
    assert!(matches!(result.unwrap_err(), Error::Internal(_)));
    assert_eq!(connection.quic.close_reason(), None);
}

/// An empty DATA frame means nothing.
#[tokio::test]
async fn empty_data_is_passed_over() {
    let mut bytes = HEADERS.to_vec();
    bytes.extend([0x00, 0x00]);
    // One message: PublishResponse { results: [PublishResult { sequence: 7 }] }.
    bytes.extend([0x00, 0x09, 0, 0, 0, 0, 4, 0x0a, 0x02, 0x08, 0x07]);
    bytes.extend([0x00, 0x00]);
    // Trailers: `grpc-status: 0`, both literal.
    bytes.extend([0x01, 0x10, 0x00, 0x00, 0x27, 0x04]);
    bytes.extend(b"grpc-status");
    bytes.extend([0x01, b'0']);
    let length = u8::try_from(2 + 2 + 11 + 2).unwrap();
    let at = bytes.len() - usize::from(length) - 1;
    bytes[at] = length;
    let (result, ..) = answered_with(&bytes).await;
    assert_eq!(result, Ok(7));
}

/// Headers of a size that nobody needs are refused before they are all read.
#[tokio::test]
async fn oversized_headers_are_an_error() {
    let mut bytes = vec![0x01];
    bytes.extend(0x8100_0000_u32.to_be_bytes());
    let (result, ..) = answered_with(&bytes).await;
    let error = result.unwrap_err();
    assert!(
        matches!(&error, Error::Internal(refusal) if refusal.message.contains("the limit is")),
        "{error:?}"
    );
}
