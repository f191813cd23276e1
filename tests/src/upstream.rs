//! A small tool server: it obeys whoever reaches it, and remembers what it saw.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

/// What one request looked like.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The id that the sidecar gave it.
    pub request_id: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its method and target.
    pub line: String,
    /// Its body.
    pub body: String,
}

/// A tool server on threads of its own, for as long as the test runs.
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Mutex<Vec<Seen>>,
}

impl Upstream {
    /// Starts it on a free port.
    #[must_use]
    pub fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            seen: Mutex::default(),
        });
        let serving = Arc::clone(&server);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, server) = (stream.unwrap(), Arc::clone(&serving));
                std::thread::spawn(move || while server.serve(&stream).is_some() {});
            }
        });
        server
    }

    /// All requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests there were so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// One request; `None` at the end of the connection.
    fn serve(&self, stream: &TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        // The sidecar sends nothing before it has the answer, so nothing is read ahead.
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|it| *it > 0)?;
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            // Cut off before its end, it is no request.
            reader.read_line(&mut header).ok().filter(|it| *it > 0)?;
            let Some((name, value)) = header.split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let find = |name: &str| {
            headers
                .iter()
                .find(|it| it.0 == name)
                .map(|it| it.1.clone())
        };
        let length = find("content-length").map_or(0, |it| it.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8(body).unwrap();
        let answer = answer(&body);
        self.seen.lock().unwrap().push(Seen {
            request_id: find("x-request-id").unwrap_or_default(),
            headers,
            line: line.trim_end().to_owned(),
            body,
        });
        let mut stream = stream;
        stream
            .write_all(
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
                    answer.len()
                )
                .as_bytes(),
            )
            .ok()
    }
}

fn answer(body: &str) -> String {
    let message: Value = serde_json::from_str(body).unwrap_or_default();
    let result = match message["method"].as_str() {
        Some("tools/call") => json!({"content": [{"type": "text", "text": "done"}]}),
        Some("prompts/get") => json!({"messages": []}),
        Some("resources/read") => json!({"contents": []}),
        _ => return json!({"done": true}).to_string(),
    };
    json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string()
}
