//! QUIC handshakes that are begun and left alone: they keep nobody out, and the server sends no forged address more than three
//! times what came from there.

use std::time::Duration;

use tokio::net::UdpSocket;

use crate::support::{Server, within};
use crate::{attack, scale, wire_h3};

/// Sockets from which the packets come.
const SOCKETS: usize = 50;
/// How often the peer would have to be heard of before more may be sent (RFC 9000, 8.1).
const AMPLIFICATION_MAX: usize = 3;

/// The first packet of a handshake, of a client that will hear no answer.
async fn first_packet(endpoint: &quinn::Endpoint, silent: &UdpSocket) -> Vec<u8> {
    let connecting = endpoint.connect(silent.local_addr().unwrap(), "localhost").unwrap();
    let mut packet = vec![0; 2048];
    let (length, _) = within("a packet", silent.recv_from(&mut packet)).await.unwrap();
    drop(connecting);
    // The goodbye of the attempt, and what else still comes of it, is none of the server's.
    packet.truncate(length);
    packet
}

/// What has come in so far.
fn drain(socket: &UdpSocket) -> usize {
    let mut packet = [0; 2048];
    let mut bytes = 0;
    while let Ok(length) = socket.try_recv(&mut packet) {
        bytes += length;
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_quic_handshakes_keep_nobody_out_and_amplify_nothing() {
    attack("half-open handshakes, UDP", &[], async |server: &Server| {
        let endpoint = wire_h3::endpoint(&server.profile());
        let mut sockets = Vec::new();
        for _ in 0..SOCKETS {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.connect(server.address).await.unwrap();
            sockets.push((socket, 0, 0));
        }
        let mut packets = Vec::new();
        for _ in 0..1000 * scale() {
            // A socket of its own, so that nothing of the attempt before is taken for this one.
            let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let packet = first_packet(&endpoint, &silent).await;
            assert!(packet.len() >= 1200, "a first packet is padded");
            packets.push(packet);
        }
        // All at once.
        for (n, packet) in packets.into_iter().enumerate() {
            let (socket, sent, got) = &mut sockets[n % SOCKETS];
            socket.send(&packet).await.unwrap();
            *sent += packet.len();
            *got += drain(socket);
        }
        // Time for the server to say again what was not acknowledged.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (mut sent_all, mut got_all) = (0, 0);
        for (socket, sent, got) in &mut sockets {
            *got += drain(socket);
            assert!(*got <= *sent * AMPLIFICATION_MAX, "{got} bytes for {sent}");
            (sent_all, got_all) = (sent_all + *sent, got_all + *got);
        }
        assert!(got_all > 0, "the server never answered: nothing was shown");
        println!("half-open handshakes, UDP: the server sent {got_all} bytes for {sent_all}");
    })
    .await;
}

/// One packet, however often it is repeated, is no proof of an address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_forged_packet_gets_at_most_three_times_its_size() {
    attack("amplification, UDP", &[], async |server: &Server| {
        let endpoint = wire_h3::endpoint(&server.profile());
        for _ in 0..20 {
            let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let packet = first_packet(&endpoint, &silent).await;
            let victim = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            victim.connect(server.address).await.unwrap();
            victim.send(&packet).await.unwrap();
            within("an answer", victim.readable()).await.unwrap();
            // Retransmissions included.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let got = drain(&victim);
            assert!(got <= packet.len() * AMPLIFICATION_MAX, "{got} bytes for {}", packet.len());
        }
    })
    .await;
}
