//! The TCP connection under HTTP/2: made once, and known to be gone as soon as it is.
//!
//! tonic's channel would make the next one by itself, over HTTP/2 again, whether or not HTTP/3 gets through by then.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tower_service::Service;

/// Connects to this place, one time, and sets `lost` when that connection is gone.
pub(crate) fn once(
    host: &str,
    port: u16,
    lost: &Arc<AtomicBool>,
) -> impl Service<Uri, Response = TokioIo<Socket>, Error = io::Error, Future: Send> + Send + use<> {
    let (lost, mut place) = (Arc::clone(lost), Some((host.to_owned(), port)));
    tower::service_fn(move |_| {
        let (lost, place) = (Arc::clone(&lost), place.take());
        async move {
            let place = place.ok_or_else(|| io::Error::other("it was closed"))?;
            let stream = TcpStream::connect(place).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(Socket { stream, lost }))
        }
    })
}

/// Sets its flag when it is dropped.
pub(crate) struct Socket {
    stream: TcpStream,
    lost: Arc<AtomicBool>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.lost.store(true, Ordering::Relaxed);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
