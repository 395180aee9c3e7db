//! A way to a server on a port of its own: first nobody answers there, then TCP alone leads to the server, as where UDP is blocked.

use std::net::SocketAddr;

use bbq_client::Profile;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// The way. Dropping it ends it.
pub struct TcpOnly {
    directory: TempDir,
    server: SocketAddr,
    /// Bound, so that the port is nobody else's; while it does not listen, connecting is refused.
    closed: Option<TcpSocket>,
    /// What comes here is never read.
    _silent: UdpSocket,
    forwarding: JoinSet<()>,
}

impl TcpOnly {
    /// A way, closed, to the server of this profile.
    pub async fn closed(server: SocketAddr, profile: Profile) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (tcp, udp) = loop {
            let tcp = TcpSocket::new_v4().expect("a socket");
            tcp.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
            // The same port may be somebody's over UDP.
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("it is bound")).await {
                break (tcp, udp);
            }
        };
        let profile =
            Profile { url: format!("https://{}", tcp.local_addr().expect("it is bound")), ..profile };
        let way = Self { directory, server, closed: Some(tcp), _silent: udp, forwarding: JoinSet::new() };
        profile.save(way.profile_path()).expect("the directory can be written");
        way
    }

    pub fn profile_path(&self) -> std::path::PathBuf {
        self.directory.path().join("client.toml")
    }

    /// Opens it; it stays open.
    pub fn open(&mut self) {
        if let Some(socket) = self.closed.take() {
            let listener = socket.listen(128).expect("it is bound");
            self.forwarding.spawn(forward(listener, self.server));
        }
    }
}

async fn forward(listener: TcpListener, server: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        connections.spawn(async move {
            if let Ok(mut server) = TcpStream::connect(server).await {
                // Whoever ends it: the other side sees the end, too.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}
