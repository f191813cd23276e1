//! A client that speaks plain HTTP/1.1 over a socket.

use std::{
    io::{BufRead, BufReader, Error, Read, Result, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};

/// What came back.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Response {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Whether the tool server answered.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        let body = self.json();
        self.status == 200 && (body.get("result").is_some() || body.get("done").is_some())
    }

    /// The code that a refusal tells, in JSON-RPC or problem form.
    #[must_use]
    pub fn code(&self) -> String {
        let body = self.json();
        let code = body["error"]["data"]["code"]
            .as_str()
            .or(body["code"].as_str());
        code.unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

/// A keep-alive connection.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a request and reads its answer.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        token: Option<&str>,
        body: &str,
    ) -> Result<Response> {
        let token = token.map_or(String::new(), |it| {
            format!("Authorization: Bearer {it}\r\n")
        });
        let content = if body.is_empty() {
            String::new()
        } else {
            format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            )
        };
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\n\
             Accept: application/json, text/event-stream\r\n{token}{content}\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer()
    }

    /// Calls a tool without arguments.
    pub fn call(&mut self, token: &str, tool: &str, arguments: &Value) -> Result<Response> {
        let message = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": tool, "arguments": arguments},
        });
        self.send("POST", "/mcp", Some(token), &message.to_string())
    }

    fn answer(&mut self) -> Result<Response> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|it| it.parse().ok());
        let status = status.ok_or_else(|| Error::other("no HTTP"))?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            match name {
                "content-length" => length = value.trim().parse().map_err(Error::other)?,
                "transfer-encoding" => chunked = true,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        if chunked {
            while let Some(chunk) = self.chunk()? {
                body.extend(chunk);
            }
        } else {
            self.stream.read_exact(&mut body)?;
        }
        let body = String::from_utf8(body).map_err(Error::other)?;
        Ok(Response { status, body })
    }

    fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let size = usize::from_str_radix(&self.line()?, 16).map_err(Error::other)?;
        let mut data = vec![0; size + 2];
        self.stream.read_exact(&mut data)?;
        data.truncate(size);
        Ok((size > 0).then_some(data))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// Gets a path on a connection of its own.
#[must_use]
pub fn get(address: SocketAddr, path: &str) -> Response {
    let mut connection = Connection::open(address).unwrap();
    connection.send("GET", path, None, "").unwrap()
}
