//! An HTTP API that shows how what reaches it came, piece by piece.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

/// An API on threads of its own.
#[derive(Debug)]
pub(crate) struct Api {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The head of each request, in lower case.
    pub(crate) heads: Mutex<Vec<String>>,
    /// Bytes of bodies, as they come.
    pub(crate) bytes: AtomicU64,
    /// Bodies that came to their end.
    pub(crate) whole: AtomicU64,
}

/// Pieces of what is sent without an end.
const PIECE: [u8; 16 << 10] = [b'x'; 16 << 10];

impl Api {
    /// Starts it on a free port.
    pub(crate) fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            heads: Mutex::default(),
            bytes: AtomicU64::new(0),
            whole: AtomicU64::new(0),
        });
        let serving = Arc::clone(&api);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let api = Arc::clone(&serving);
                std::thread::spawn(move || while api.serve(&stream).is_some() {});
            }
        });
        api
    }

    /// The request lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        let first = |head: &String| head.lines().next().unwrap_or_default().to_owned();
        heads.iter().map(first).collect()
    }

    fn serve(&self, stream: &TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut reader = BufReader::with_capacity(1 << 16, stream);
        let mut head = String::new();
        loop {
            let mut line = String::new();
            let read = reader.read_line(&mut line).ok();
            read.filter(|count| *count > 0)?;
            head.push_str(&line);
            if line == "\r\n" {
                break;
            }
        }
        let line = head.lines().next()?.to_owned();
        head.make_ascii_lowercase();
        self.heads.lock().unwrap().push(head.clone());
        let path = line.split(' ').nth(1)?;
        let path = path.split('?').next()?.to_owned();
        match path.as_str() {
            "/live" => return live(stream, reader),
            "/events" => return endless(stream, "text/event-stream", b"data: x\n\n", 50),
            "/endless" => return endless(stream, "text/plain", &PIECE, 0),
            "/sized" => return answer(stream, &"y".repeat(4000)),
            "/small" => return answer(stream, &"y".repeat(100)),
            "/big" => return big(stream),
            "/echo" => {
                write(
                    stream,
                    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                )?;
            }
            _ => {}
        }
        let echo = path == "/echo";
        let mut total = 0;
        self.body(&head, &mut reader, |piece| {
            total += piece.len();
            if echo {
                write(stream, format!("{:x}\r\n", piece.len()).as_bytes())?;
                write(stream, piece)?;
                write(stream, b"\r\n")?;
            }
            Some(())
        })?;
        self.whole.fetch_add(1, SeqCst);
        if echo {
            return write(stream, b"0\r\n\r\n");
        }
        answer(stream, &format!("{{\"done\":true,\"bytes\":{total}}}"))
    }

    /// Hands out a body as it comes; `None` when it breaks off.
    fn body(
        &self,
        head: &str,
        reader: &mut impl BufRead,
        mut see: impl FnMut(&[u8]) -> Option<()>,
    ) -> Option<()> {
        let value = |name: &str| {
            let mut lines = head.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
        };
        let mut take = |reader: &mut dyn BufRead, mut left: usize| {
            while left > 0 {
                let there = reader.fill_buf().ok().filter(|it| !it.is_empty())?;
                let count = there.len().min(left);
                self.bytes.fetch_add(count as u64, SeqCst);
                see(&there[..count])?;
                reader.consume(count);
                left -= count;
            }
            Some(())
        };
        if let Some(length) = value("content-length:") {
            return take(reader, length.parse().ok()?);
        }
        if value("transfer-encoding:").is_none() {
            return Some(());
        }
        loop {
            let mut size = String::new();
            reader
                .read_line(&mut size)
                .ok()
                .filter(|count| *count > 0)?;
            let size = usize::from_str_radix(size.trim_end(), 16).ok()?;
            take(reader, size)?;
            let mut end = [0; 2];
            reader.read_exact(&mut end).ok()?;
            if size == 0 {
                return Some(());
            }
        }
    }
}

/// 101, and from then on everything comes back with its letters in capitals.
fn live(stream: &TcpStream, mut reader: impl Read) -> Option<()> {
    let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                 Upgrade: websocket\r\nSec-WebSocket-Accept: yes\r\n\r\nhello";
    write(stream, head)?;
    let mut block = [0; 4096];
    loop {
        let count = reader.read(&mut block).ok().filter(|count| *count > 0)?;
        write(stream, &block[..count].to_ascii_uppercase())?;
    }
}

fn endless(stream: &TcpStream, kind: &str, piece: &[u8], pause: u64) -> Option<()> {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n");
    write(stream, head.as_bytes())?;
    loop {
        write(stream, format!("{:x}\r\n", piece.len()).as_bytes())?;
        write(stream, piece)?;
        write(stream, b"\r\n")?;
        std::thread::sleep(Duration::from_millis(pause));
    }
}

/// 192 MiB.
fn big(stream: &TcpStream) -> Option<()> {
    let pieces = (192 << 20) / PIECE.len();
    let length = pieces * PIECE.len();
    write(
        stream,
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes(),
    )?;
    (0..pieces).try_for_each(|_| write(stream, &PIECE))
}

fn answer(stream: &TcpStream, body: &str) -> Option<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    write(stream, head.as_bytes())
}

fn write(mut stream: &TcpStream, bytes: &[u8]) -> Option<()> {
    stream.write_all(bytes).ok()
}
