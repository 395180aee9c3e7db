//! The client's connection preface: with it a connection begins to be HTTP/2, and hyper to ping whoever is silent.
//!
//! hyper would wait for it without end, so it is read here, within the bound of the handshake, and handed on with the rest.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose preface has come.
pub(super) struct Begun<IO> {
    io: IO,
    /// How much of the preface was handed on.
    given: usize,
}

/// Waits for the preface.
pub(super) async fn read<IO: AsyncRead + Unpin>(mut io: IO) -> io::Result<Begun<IO>> {
    let mut seen = [0; PREFACE.len()];
    let mut length = 0;
    while length < seen.len() {
        match io.read(&mut seen[length..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => length += more,
        }
        if seen[..length] != PREFACE[..length] {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not begin as HTTP/2 does"));
        }
    }
    Ok(Begun { io, given: 0 })
}

impl<IO: AsyncRead + Unpin> AsyncRead for Begun<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = &PREFACE[self.given..];
        if left.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, into);
        }
        let fitting = left.len().min(into.remaining());
        into.put_slice(&left[..fitting]);
        self.given += fitting;
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Begun<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn what_was_read_is_handed_on_before_the_rest() {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(&[&PREFACE[..], b"and more"].concat()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut all = Vec::new();
        read(server).await.unwrap().read_to_end(&mut all).await.unwrap();
        assert_eq!(all, [&PREFACE[..], b"and more"].concat());
    }

    #[tokio::test]
    async fn what_begins_otherwise_is_refused_at_its_first_wrong_byte() {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(b"PRI * HTTQ").await.unwrap();
        assert!(read(server).await.is_err());
    }
}
