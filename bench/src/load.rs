//! A closed loop of requests over a fixed number of connections, bounded in time and count.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::process::Failure;

/// What one run measured.
#[derive(Debug)]
pub struct Run {
    /// Nanoseconds from the first byte sent to the last received, sorted.
    pub latencies: Vec<f64>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Over how many connections.
    pub connections: usize,
    /// The most requests over all of them.
    pub most: usize,
    /// For how long.
    pub time: Duration,
}

/// Puts a load of one request on a server for a time.
pub async fn run(
    address: SocketAddr,
    request: &[u8],
    body: &[u8],
    connections: usize,
    time: Duration,
) -> Result<Run, Failure> {
    let most = 1_000_000;
    let load = Load {
        connections,
        most,
        time,
    };
    load.put(address, request, body).await
}

impl Load {
    /// Sends one request again and again over each connection, until the time is over or there
    /// were enough. Every answer must have status 200 and exactly this body.
    pub async fn put(
        self,
        address: SocketAddr,
        request: &[u8],
        body: &[u8],
    ) -> Result<Run, Failure> {
        let each = self.most / self.connections;
        let mut streams = Vec::new();
        for _ in 0..self.connections {
            let mut stream = Connection::open(address).await?;
            // Whatever is opened or verified once is not what a request costs.
            expect(&stream.exchange(request).await?, body)?;
            streams.push(stream);
        }
        let start = Instant::now();
        let tasks = tokio::task::LocalSet::new();
        let mut running = Vec::new();
        for mut stream in streams {
            let (request, body) = (request.to_vec(), body.to_vec());
            running.push(tasks.spawn_local(async move {
                let mut latencies = Vec::new();
                while start.elapsed() < self.time && latencies.len() < each {
                    let sent = Instant::now();
                    let answer = stream.exchange(&request).await?;
                    latencies.push(sent.elapsed().as_nanos() as f64);
                    expect(&answer, &body)?;
                }
                Ok::<_, String>(latencies)
            }));
        }
        tasks.await;
        let elapsed = start.elapsed();
        let mut latencies = Vec::new();
        for task in running {
            latencies.extend(task.await??);
        }
        latencies.sort_by(f64::total_cmp);
        Ok(Run { latencies, elapsed })
    }
}

fn expect(answer: &Answer, body: &[u8]) -> Result<(), String> {
    if answer.status == 200 && answer.body == body {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&answer.body);
    Err(format!("answered {}: {said}", answer.status))
}

/// A connection that is kept open.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| format!("{address}: {error}"))?;
        stream.set_nodelay(true).map_err(|it| it.to_string())?;
        Ok(Self {
            stream,
            buffer: vec![0; 1 << 16],
        })
    }

    /// Sends a request and reads its answer up to the first event.
    pub async fn begin_stream(&mut self, request: &[u8]) -> Result<(), String> {
        let sent = self.stream.write_all(request).await;
        sent.map_err(|error| format!("sending: {error}"))?;
        let mut seen = Vec::new();
        // The buffer of a stream that is only held would be the most that it costs here.
        self.buffer = Vec::new();
        while !seen.windows(6).any(|it| it == b"data: ") {
            let mut some = [0; 1024];
            match self.stream.read(&mut some).await {
                Ok(0) => {
                    let said = String::from_utf8_lossy(&seen);
                    return Err(format!("closed before the first event: {said}"));
                }
                Ok(count) => seen.extend_from_slice(&some[..count]),
                Err(error) => return Err(format!("receiving: {error}")),
            }
        }
        if !seen.starts_with(b"HTTP/1.1 200 ") {
            return Err(format!("answered {}", String::from_utf8_lossy(&seen)));
        }
        Ok(())
    }

    /// Sends a request and reads its answer, which must state its length.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer, String> {
        let sent = self.stream.write_all(request).await;
        sent.map_err(|error| format!("sending: {error}"))?;
        let mut filled = 0;
        loop {
            if let Some(answer) = read(&self.buffer[..filled])? {
                return Ok(answer);
            }
            let space = &mut self.buffer[filled..];
            match self.stream.read(space).await {
                Ok(0) => return Err("closed before the end of an answer".to_owned()),
                Ok(count) => filled += count,
                Err(error) => return Err(format!("receiving: {error}")),
            }
        }
    }
}

/// The answer, once all of it is there.
fn read(bytes: &[u8]) -> Result<Option<Answer>, String> {
    let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|it| it.to_string())?;
    let status = head.get(9..12).and_then(|it| it.parse().ok());
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let named = name.eq_ignore_ascii_case("content-length");
        named.then(|| value.trim().parse::<usize>().ok())?
    });
    let (Some(status), Some(length)) = (status, length) else {
        return Err(format!("an answer without status or length:\n{head}"));
    };
    let body = bytes[end + 4..].get(..length);
    Ok(body.map(|body| Answer {
        status,
        body: body.to_vec(),
    }))
}
