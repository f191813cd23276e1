//! A web server that hands out a folder, well or badly.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How a name is answered, where not with its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Bytes without end.
    Endless,
    /// A byte now and then, without end.
    Trickle,
    /// Not at all: the connection is held.
    Silence,
}

/// A web server on loopback, for as long as the test runs.
#[derive(Debug)]
pub struct Web {
    /// Where it listens.
    pub address: SocketAddr,
    folder: PathBuf,
    manners: Mutex<BTreeMap<String, Manner>>,
    requests: AtomicUsize,
}

impl Web {
    /// Starts it on a free port.
    #[must_use]
    pub fn start(folder: PathBuf) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let web = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            folder,
            manners: Mutex::default(),
            requests: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&web);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, web) = (stream.unwrap(), Arc::clone(&serving));
                // A reader that breaks off ends its thread.
                std::thread::spawn(move || while web.serve(&stream).is_some() {});
            }
        });
        web
    }

    /// Its location.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Changes how a name is answered.
    pub fn set(&self, name: &str, manner: Option<Manner>) {
        let mut manners = self.manners.lock().unwrap();
        match manner {
            Some(manner) => manners.insert(name.to_owned(), manner),
            None => manners.remove(name),
        };
    }

    /// How many requests there were so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    fn serve(&self, mut stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            if header.trim().is_empty() {
                break;
            }
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let name = line.split(' ').nth(1)?.trim_start_matches('/').to_owned();
        let manner = self.manners.lock().unwrap().get(&name).copied();
        if let Some(manner) = manner {
            return misbehave(stream, manner);
        }
        let found = fs::read(self.folder.join(&name)).ok();
        let (status, body) = match &found {
            Some(bytes) => ("200 OK", bytes.as_slice()),
            None => ("404 Not Found", &b""[..]),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()
    }
}

fn misbehave(mut stream: &TcpStream, manner: Manner) -> Option<()> {
    let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    if manner != Manner::Silence {
        stream.write_all(head).ok()?;
    }
    loop {
        match manner {
            Manner::Endless => stream.write_all(&[b' '; 1 << 14]).ok()?,
            Manner::Trickle => stream.write_all(b" ").ok()?,
            Manner::Silence => {}
        }
        if manner != Manner::Endless {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
