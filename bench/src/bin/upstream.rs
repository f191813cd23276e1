//! A tool server that answers every request with the same tool result, about 1 kB, but a call of
//! `watch` with an event stream that stays open: `upstream ADDRESS`.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming, SizeHint},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use latchkey_bench::process::Failure;

fn main() -> Result<(), Failure> {
    let address = std::env::args().nth(1).ok_or("usage: upstream ADDRESS")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(&address))
}

async fn serve(address: &str) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let body = Bytes::from(latchkey_bench::exchange::result());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, body.clone()));
            // A caller that goes away is no failure.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>, body: Bytes) -> Result<Response<Answer>, hyper::Error> {
    let asked = request.into_body().collect().await?.to_bytes();
    let streams = asked.windows(14).any(|it| it == b"\"name\":\"watch\"");
    let (media, body) = if streams {
        ("text/event-stream", Answer::Stream { begun: false })
    } else {
        ("application/json", Answer::Whole(Full::new(body)))
    };
    let mut response = Response::new(body);
    let media = header::HeaderValue::from_static(media);
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    Ok::<_, Infallible>(response).map_err(|never| match never {})
}

/// What is answered.
enum Answer {
    Whole(Full<Bytes>),
    /// One event, and then nothing.
    Stream {
        begun: bool,
    },
}

const EVENT: &[u8] = b"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\
                       \"params\":{\"level\":\"info\",\"data\":\"open\"}}\n\n";

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Stream { begun: true } => Poll::Pending,
            Self::Stream { begun } => {
                *begun = true;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(EVENT)))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Stream { .. } => SizeHint::default(),
        }
    }
}
