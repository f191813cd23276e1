use super::*;
use crate::{http1::framing::Taken, socket::Socket};

/// An answer that was read.
struct Read {
    status: u16,
    headers: String,
    body: Vec<u8>,
    /// What follows.
    left: Vec<u8>,
}

/// Reads an answer that comes in two parts.
fn read(first: &[u8], second: &[u8]) -> Result<Option<Read>, Fault> {
    let mut bytes = BytesMut::from(first);
    let early = head::parse(&mut bytes)?;
    bytes.extend_from_slice(second);
    let late = || head::parse(&mut bytes).transpose();
    let Some(head) = early.map(Ok).or_else(late).transpose()? else {
        return Ok(None);
    };
    let mut framing = head.framing;
    let mut body = Vec::new();
    loop {
        match framing.take(&mut bytes)? {
            Taken {
                data: Some(data),
                over,
            } => {
                body.extend_from_slice(&data);
                if over {
                    break;
                }
            }
            Taken { over: true, .. } => break,
            // With the connection ends only what nothing else ends.
            Taken { .. } if matches!(framing, Framing::Close) => break,
            Taken { .. } => return Ok(None),
        }
    }
    let headers = head.parts.headers.iter();
    let headers = headers.map(|(name, value)| format!("{name}={};", value.to_str().unwrap()));
    let status = head.parts.status.as_u16();
    Ok(Some(Read {
        status,
        headers: headers.collect(),
        body,
        left: bytes.to_vec(),
    }))
}

#[test]
fn an_answer_is_the_same_wherever_it_is_cut() {
    for (text, body, rest) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx-a: b\r\n\r\nhelloHTTP",
            "hello",
            "HTTP",
        ),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "",
            "",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
             5\r\nhello\r\n00a;x=y\r\n 0123\r\n678\r\n0\r\ntrailer: x\r\n\r\nmore",
            "hello 0123\r\n678",
            "more",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end", ""),
    ] {
        let bytes = text.as_bytes();
        for at in 0..=bytes.len() {
            let (first, second) = bytes.split_at(at);
            let got = read(first, second).unwrap().unwrap();
            assert_eq!(
                String::from_utf8(got.body).unwrap(),
                body,
                "{text} cut at {at}"
            );
            assert_eq!(
                String::from_utf8(got.left).unwrap(),
                rest,
                "{text} cut at {at}"
            );
        }
    }
}

#[test]
fn what_ends_at_the_hop_does_not_pass() {
    let text = b"HTTP/1.1 200 OK\r\nConnection: close\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n\
        Content-Type: text/plain\r\nContent-Length: 1\r\nContent-Length: 1\r\nSet-Cookie: a\r\n\
        Set-Cookie: b\r\n\r\nx";
    let got = read(text, b"").unwrap().unwrap();
    assert_eq!(got.status, 200);
    assert_eq!(
        got.headers,
        "content-type=text/plain;content-length=1;set-cookie=a;set-cookie=b;"
    );
    let lasting = |text: &str| {
        head::parse(&mut BytesMut::from(text))
            .unwrap()
            .unwrap()
            .lasting
    };
    assert!(lasting("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
    assert!(!lasting("HTTP/1.1 200 OK\r\nconnection: x, Close\r\n\r\n"));
    assert!(!lasting("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"));
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    for headers in [
        "content-length: 1\r\ncontent-length: 2",
        "content-length: 1, 1",
        "content-length: +1",
        "content-length: ",
        "content-length: 99999999999999999999",
        "content-length: 1\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 1",
        "transfer-encoding: gzip",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "x y: 1",
        "x : 1",
        "x",
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\nx");
        assert!(
            matches!(read(text.as_bytes(), b""), Err(Fault::Unreadable(_))),
            "{headers}"
        );
    }
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "x\r\n",
        "-1\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "10000000000000000\r\n",
        "0\r\n\n",
    ] {
        let text = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        assert!(
            matches!(read(text.as_bytes(), b""), Err(Fault::Unreadable(_))),
            "{body:?}"
        );
    }
    let unfinished = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";
    assert!(read(unfinished, b"").unwrap().is_none());
}

/// Answers each request on a connection with these bytes, then closes it.
async fn served(answers: &'static [&'static str]) -> Connection {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for answer in answers {
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    Connection::new(Channel::Plain(Socket::Tcp(stream)))
}

#[derive(Debug, Default)]
struct Kept(std::sync::Mutex<Vec<Connection>>);

impl Home for Kept {
    fn take_back(&self, _: &std::sync::Arc<str>, connection: Connection) {
        self.0.lock().unwrap().push(connection);
    }
}

async fn exchanged(mut connection: Connection) -> (Result<Vec<u8>, Fault>, Option<Connection>) {
    connection
        .head()
        .extend_from_slice(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    let answered = match connection.exchange(Bytes::new(), false).await {
        Ok(answered) => answered,
        Err(fault) => return (Err(fault), None),
    };
    let kept = std::sync::Arc::new(Kept::default());
    let home: std::sync::Arc<dyn Home> = std::sync::Arc::clone(&kept) as _;
    let (_, mut body) = Body::new(connection, answered, home, "x".into(), None);
    let mut whole = Vec::new();
    while let Some(data) = poll_fn(|cx| body.poll(cx)).await {
        match data {
            Ok(data) => whole.extend_from_slice(&data),
            Err(fault) => return (Err(fault), None),
        }
    }
    let connection = kept.0.lock().unwrap().pop();
    (Ok(whole), connection)
}

#[tokio::test]
async fn a_connection_serves_again_when_the_answer_ended_well() {
    let plain = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab";
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n\
                   transfer-encoding: chunked\r\n\r\n1\r\nc\r\n0\r\n\r\n";
    let connection = served(Box::leak(Box::new([plain, interim]))).await;
    let (body, connection) = exchanged(connection).await;
    assert_eq!(body.unwrap(), b"ab");
    let (body, connection) = exchanged(connection.unwrap()).await;
    assert_eq!(body.unwrap(), b"c");
    // The server closes it now.
    let mut connection = connection.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(!connection.is_idle());
}

#[tokio::test]
async fn a_connection_with_more_than_its_answer_serves_no_other() {
    let more = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n\r\n";
    let (body, connection) = exchanged(served(Box::leak(Box::new([more]))).await).await;
    assert_eq!(body.unwrap(), b"ab");
    assert!(connection.is_none());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    for text in [
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        let (body, connection) = exchanged(served(Box::leak(Box::new([text]))).await).await;
        assert!(body.is_err(), "{text}");
        assert!(connection.is_none());
    }
}
