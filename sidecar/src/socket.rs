//! A connection of either side: over TCP or a Unix socket, in clear text or under TLS.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsStream;

/// A connection as the operating system knows it.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

/// A connection as HTTP sees it.
#[derive(Debug)]
pub enum Channel {
    /// In clear text.
    Plain(Socket),
    /// Under TLS, its handshake done.
    Tls(Box<TlsStream<Socket>>),
}

/// Passes reading and writing on to whichever it is.
macro_rules! pass_on {
    ($it:ident: $($variant:ident)|+) => {
        impl AsyncRead for $it {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match &mut *self {
                    $(Self::$variant(it) => Pin::new(it).poll_read(cx, buffer),)+
                }
            }
        }

        impl AsyncWrite for $it {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                match &mut *self {
                    $(Self::$variant(it) => Pin::new(it).poll_write(cx, bytes),)+
                }
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match &mut *self {
                    $(Self::$variant(it) => Pin::new(it).poll_write_vectored(cx, slices),)+
                }
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    $(Self::$variant(it) => it.is_write_vectored(),)+
                }
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match &mut *self {
                    $(Self::$variant(it) => Pin::new(it).poll_flush(cx),)+
                }
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                match &mut *self {
                    $(Self::$variant(it) => Pin::new(it).poll_shutdown(cx),)+
                }
            }
        }
    };
}

pass_on!(Socket: Tcp | Unix);
pass_on!(Channel: Plain | Tls);
