//! A client that speaks HTTP/1.1 and HTTP/2 properly, over whatever it is given.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};

use crate::client::{self, Answer};

/// A connection of either version.
pub(crate) enum Web {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// Runs a test with an event loop.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

/// Shakes hands with whoever listens there, as `localhost`.
pub(crate) async fn shake(
    address: SocketAddr,
    connector: &TlsConnector,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, stream).await
}

impl Web {
    pub(crate) async fn one<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self::One(sender)
    }

    pub(crate) async fn two<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        Self::Two(sender)
    }

    /// Shakes hands and speaks what was agreed on.
    pub(crate) async fn tls(
        address: SocketAddr,
        connector: &TlsConnector,
    ) -> std::io::Result<Self> {
        let stream = shake(address, connector).await?;
        Ok(if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            Self::two(stream).await
        } else {
            Self::one(stream).await
        })
    }

    pub(crate) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        match self {
            Self::One(sender) => {
                let path = request.uri().path_and_query().unwrap().clone();
                *request.uri_mut() = path.into();
                // The connection may not have noticed yet that the last answer was read.
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Two(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    pub(crate) async fn call(&mut self, token: &str, tool: &str) -> Result<Answer, hyper::Error> {
        let response = self.send(call(token, tool)).await?;
        read(response).await
    }
}

/// A tool call.
pub(crate) fn call(token: &str, tool: &str) -> Request<Full<Bytes>> {
    post(token, client::tool_call(tool))
}

/// A message to the tool server.
pub(crate) fn post(token: &str, body: String) -> Request<Full<Bytes>> {
    Request::post("https://localhost/mcp")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .header("authorization", format!("Bearer {token}"))
        .header("host", "localhost")
        .body(Full::new(body.into()))
        .unwrap()
}

/// Reads an answer to its end.
pub(crate) async fn read(response: Response<Incoming>) -> Result<Answer, hyper::Error> {
    let (head, body) = response.into_parts();
    let headers = head.headers.iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let body = body.collect().await?.to_bytes();
    Ok(Answer {
        status: head.status.as_u16(),
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    })
}
