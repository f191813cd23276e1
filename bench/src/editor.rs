//! An editor that speaks to `latchkey lsp` over its standard input and output.

use std::{
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::{Value as Json, json};

use crate::process::Failure;

/// The longest that is waited for an answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// An editor with one project open.
#[derive(Debug)]
pub struct Editor {
    server: Child,
    input: ChildStdin,
    heard: mpsc::Receiver<(Instant, Json)>,
    folder: PathBuf,
    version: i64,
}

impl Editor {
    /// Starts a server on a project.
    pub fn open(latchkey: &Path, folder: &Path) -> Result<Self, Failure> {
        let mut server = Command::new(latchkey)
            .arg("lsp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = server.stdin.take().ok_or("no standard input")?;
        let output = server.stdout.take().ok_or("no standard output")?;
        let (sender, heard) = mpsc::channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            while let Some(message) = message(&mut output) {
                if sender.send((Instant::now(), message)).is_err() {
                    break;
                }
            }
        });
        let folder = folder.to_owned();
        let mut editor = Self {
            server,
            input,
            heard,
            folder,
            version: 0,
        };
        let root = editor.uri("");
        editor.send(json!({"id": 1, "method": "initialize", "params": {
            "capabilities": {}, "rootUri": root.trim_end_matches('/'),
        }}))?;
        editor.until(|it| it["id"] == 1)?;
        editor.send(json!({"method": "initialized", "params": {}}))?;
        Ok(editor)
    }

    /// The process of the server.
    pub fn server(&self) -> u32 {
        self.server.id()
    }

    /// Opens a document.
    pub fn show(&mut self, path: &str, text: &str) -> Result<(), Failure> {
        self.version += 1;
        let document = json!({
            "uri": self.uri(path), "languageId": "yaml", "version": self.version, "text": text,
        });
        let params = json!({"textDocument": document});
        self.send(json!({"method": "textDocument/didOpen", "params": params}))
    }

    /// Changes a document, and answers when this was.
    pub fn change(&mut self, path: &str, text: &str) -> Result<Instant, Failure> {
        self.version += 1;
        let document = json!({"uri": self.uri(path), "version": self.version});
        let params = json!({"textDocument": document, "contentChanges": [{"text": text}]});
        let now = Instant::now();
        self.send(json!({"method": "textDocument/didChange", "params": params}))?;
        Ok(now)
    }

    /// Asks something that is answered from the whole project, and waits for it.
    pub fn settle(&mut self) -> Result<(), Failure> {
        self.version += 1;
        let id = self.version + 1000;
        let params = json!({"query": "nothing is called so"});
        self.send(json!({"id": id, "method": "workspace/symbol", "params": params}))?;
        self.until(|it| it["id"] == id).map(|_| ())
    }

    /// Waits until a document is told findings that fit, and answers when this was.
    pub fn told(&mut self, path: &str, fits: impl Fn(&[Json]) -> bool) -> Result<Instant, Failure> {
        let uri = self.uri(path);
        let (at, _) = self.until(|it| {
            let params = &it["params"];
            let found = params["diagnostics"].as_array();
            it["method"] == "textDocument/publishDiagnostics"
                && params["uri"] == uri.as_str()
                && found.is_some_and(|it| fits(it))
        })?;
        Ok(at)
    }

    fn until(&mut self, fits: impl Fn(&Json) -> bool) -> Result<(Instant, Json), Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (at, message) = self.heard.recv_timeout(left)?;
            if fits(&message) {
                return Ok((at, message));
            }
        }
    }

    fn uri(&self, path: &str) -> String {
        format!("file://{}", self.folder.join(path).display())
    }

    fn send(&mut self, mut message: Json) -> Result<(), Failure> {
        message["jsonrpc"] = json!("2.0");
        let body = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{body}", body.len())?;
        self.input.flush()?;
        Ok(())
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn message(output: &mut impl BufRead) -> Option<Json> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    output.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}
