//! Bytes that are nothing at all, on both ports and at every layer.

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use crate::h2::tls;
use crate::support::{Server, within};
use crate::wire_h3::Raw;
use crate::{attack, scale};

fn bytes(rng: &mut SmallRng, longest: usize) -> Vec<u8> {
    let length = rng.random_range(1..=longest);
    (0..length).map(|_| rng.random()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_both_ports_hurts_nobody() {
    attack("garbage on both ports", &[], async |server: &Server| {
        let mut rng = SmallRng::seed_from_u64(1);
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        udp.connect(server.address).await.unwrap();
        for n in 0..20_000 * scale() {
            let mut packet = bytes(&mut rng, 1400);
            match n % 4 {
                // As QUIC's packets begin: a long header of version 1, of a version that nobody knows, a short header.
                0 => packet.splice(0..0, [0xc0, 0, 0, 0, 1, 8]).for_each(drop),
                1 => packet.splice(0..0, [0xc0, 0xfa, 0xfa, 0xfa, 0xfa]).for_each(drop),
                2 => packet[0] = 0x40,
                _ => {}
            }
            // An ICMP of an earlier one may be told here.
            let _ = udp.send(&packet).await;
        }
        for n in 0..200 * scale().min(3) {
            let garbage = bytes(&mut rng, 20_000);
            let mut left = Vec::new();
            if n % 2 == 0 {
                let mut tcp = TcpStream::connect(server.address).await.unwrap();
                let _ = tcp.write_all(&garbage).await;
                let _ = tcp.shutdown().await;
                let _ = within("the end", tcp.read_to_end(&mut left)).await;
            } else {
                let mut tls = tls(server, b"h2").await;
                let _ = tls.write_all(&garbage).await;
                let _ = tls.shutdown().await;
                let _ = within("the end", tls.read_to_end(&mut left)).await;
            }
        }
        for _ in 0..200 * scale() {
            let raw = Raw::connect_quietly(server).await;
            for _ in 0..4 {
                let Ok((mut send, _recv)) = raw.connection.open_bi().await else { break };
                let _ = send.write_all(&bytes(&mut rng, 2000)).await;
                let Ok(mut uni) = raw.connection.open_uni().await else { break };
                let _ = uni.write_all(&bytes(&mut rng, 2000)).await;
            }
        }
    })
    .await;
}
