//! A tool server that misbehaves as it is told.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// What it does with a request that it has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Answers, and closes the connection.
    Good,
    /// Answers, says that the connection stays, and closes it.
    GoodOnce,
    /// Resets the connection.
    Reset,
    /// Resets the connection in the middle of the answer.
    ResetLater,
    /// Ends its half of the connection without an answer.
    HalfClose,
    /// Ends its half of the connection in the middle of the answer.
    HalfCloseLater,
    /// Says nothing.
    Hang,
    /// Begins its answer, and does not go on.
    Stall,
    /// Answers with this, and closes.
    Say(&'static str),
    /// Answers with more than anybody wants, in chunks that have no end.
    Endless,
    /// Answers with as many bytes as one reads.
    Huge,
}

/// The server, and how many requests it has read.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    manner: Mutex<Manner>,
    read: AtomicUsize,
}

/// The whole answer to any call.
const RESULT: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"tools":[]}}"#;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

impl Upstream {
    pub(super) fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            manner: Mutex::new(Manner::Good),
            read: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&upstream);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = Arc::clone(&serving);
                // A caller that goes away is no error of the server's.
                std::thread::spawn(move || drop(serving.serve(stream.unwrap())));
            }
        });
        upstream
    }

    pub(super) fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub(super) fn read(&self) -> usize {
        self.read.load(Relaxed)
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        request(&stream)?;
        self.read.fetch_add(1, Relaxed);
        let manner = *self.manner.lock().unwrap();
        let whole = format!("{OK}Content-Length: {}\r\n", RESULT.len());
        let half = format!("{whole}\r\n{}", RESULT.get(..50).unwrap_or_default());
        match manner {
            Manner::Good => write!(stream, "{whole}Connection: close\r\n\r\n{RESULT}"),
            Manner::GoodOnce => write!(stream, "{whole}\r\n{RESULT}"),
            Manner::Reset => reset(stream),
            Manner::ResetLater => {
                stream.write_all(half.as_bytes())?;
                // The head is on its way before the end is.
                std::thread::sleep(Duration::from_millis(100));
                reset(stream)
            }
            Manner::HalfClose => {
                stream.shutdown(Shutdown::Write)?;
                until_left(&stream)
            }
            Manner::HalfCloseLater => {
                stream.write_all(half.as_bytes())?;
                stream.shutdown(Shutdown::Write)?;
                until_left(&stream)
            }
            Manner::Hang => until_left(&stream),
            Manner::Stall => {
                stream.write_all(half.as_bytes())?;
                until_left(&stream)
            }
            Manner::Say(text) => stream.write_all(text.as_bytes()),
            Manner::Endless => {
                write!(stream, "{OK}Transfer-Encoding: chunked\r\n\r\n")?;
                loop {
                    write!(stream, "1000\r\n{}\r\n", " ".repeat(4096))?;
                }
            }
            Manner::Huge => {
                let length = 1_u64 << 40;
                let begin = RESULT.trim_end_matches('}');
                write!(stream, "{OK}Content-Length: {length}\r\n\r\n{begin}")?;
                let block = vec![b' '; 1 << 16];
                loop {
                    stream.write_all(&block)?;
                }
            }
        }
    }
}

/// Reads one request.
fn request(stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    reader.read_exact(&mut vec![0; length])
}

fn reset(stream: TcpStream) -> io::Result<()> {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    drop(stream);
    Ok(())
}

/// Until the other side has closed its half.
fn until_left(mut stream: &TcpStream) -> io::Result<()> {
    io::copy(&mut stream, &mut io::sink()).map(drop)
}
