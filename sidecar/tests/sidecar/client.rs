//! A client that speaks plain HTTP/1.1 over a socket, so that it can also speak it badly.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// `ok`, or the code of the JSON-RPC error.
    pub(crate) fn outcome(&self) -> String {
        let json = self.json();
        if json.get("result").is_some() {
            return "ok".to_owned();
        }
        json["error"]["data"]["code"]
            .as_str()
            .or(json["code"].as_str())
            .unwrap_or_else(|| panic!("{self:?}"))
            .to_owned()
    }
}

/// A keep-alive connection.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    token: String,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr, token: &str) -> Self {
        Self::try_open(address, token).unwrap()
    }

    pub(crate) fn try_open(address: SocketAddr, token: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
            token: token.to_owned(),
        })
    }

    pub(crate) fn send(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.get_mut().write_all(text.as_bytes())
    }

    pub(crate) fn post(&mut self, body: &str) -> std::io::Result<()> {
        let request = request(&self.token, body);
        self.send(&request)
    }

    pub(crate) fn call(&mut self, tool: &str) -> std::io::Result<Answer> {
        self.post(&tool_call(tool))?;
        self.answer()
    }

    pub(crate) fn answer(&mut self) -> std::io::Result<Answer> {
        let (status, headers) = self.head()?;
        let body = self.body(&headers)?;
        Ok(Answer {
            status,
            headers,
            body: String::from_utf8(body).unwrap(),
        })
    }

    /// The body that follows a head with these headers.
    pub(crate) fn body(&mut self, headers: &[(String, String)]) -> std::io::Result<Vec<u8>> {
        let find = |name: &str| headers.iter().find(|(key, _)| key == name);
        let mut body = Vec::new();
        if find("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk()? {
                body.extend_from_slice(&chunk);
            }
        } else if let Some((_, length)) = find("content-length") {
            let length = length.parse().unwrap();
            let read = self.stream.by_ref().take(length).read_to_end(&mut body)?;
            if (read as u64) < length {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(body)
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    pub(crate) fn head(&mut self) -> std::io::Result<(u16, Vec<(String, String)>)> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).unwrap_or_default();
        let status = status
            .parse()
            .map_err(|_| std::io::Error::other(format!("no HTTP: {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                return Ok((status, headers));
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// One chunk of a chunked body; `None` at its end.
    pub(crate) fn chunk(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let size = usize::from_str_radix(&self.line()?, 16).map_err(std::io::Error::other)?;
        let mut data = vec![0; size + 2];
        self.stream.read_exact(&mut data)?;
        data.truncate(size);
        Ok((size > 0).then_some(data))
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if !line.ends_with('\n') {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// A request with headers of its own, complete.
pub(crate) fn text(method: &str, token: &str, headers: &[(&str, &str)], body: &str) -> String {
    use std::fmt::Write as _;
    let mut text = format!("{method} /mcp HTTP/1.1\r\nHost: localhost\r\n");
    let accept = ("Accept", "application/json, text/event-stream");
    for (name, value) in headers.iter().chain([&accept]) {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    if !token.is_empty() {
        write!(text, "Authorization: Bearer {token}\r\n").unwrap();
    }
    if !body.is_empty() {
        text.push_str("Content-Type: application/json\r\n");
        write!(text, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    text + "\r\n" + body
}

/// Sends such a request on a connection of its own.
pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    token: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut connection = Connection::open(address, token);
    connection
        .send(&text(method, token, headers, body))
        .unwrap();
    connection.answer().unwrap()
}

/// Calls a tool on a connection of its own.
pub(crate) fn call(address: SocketAddr, token: &str, tool: &str) -> Answer {
    Connection::open(address, token).call(tool).unwrap()
}

/// Posts a body on a connection of its own.
pub(crate) fn post(address: SocketAddr, token: &str, body: &str) -> Answer {
    let mut connection = Connection::open(address, token);
    connection.post(body).unwrap();
    connection.answer().unwrap()
}

/// Gets a path on a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    let mut connection = Connection::open(address, "");
    connection
        .send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        .unwrap();
    connection.answer().unwrap()
}

/// The body of a tool call.
pub(crate) fn tool_call(tool: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{}}}}}}"#
    )
}

fn request(token: &str, body: &str) -> String {
    let authorization = if token.is_empty() {
        String::new()
    } else {
        format!("Authorization: Bearer {token}\r\n")
    };
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\n\
         {authorization}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
