//! The language server: one editor, over stdio, on the same analysis as `latchkey check`.
//!
//! One thread owns everything; large projects are checked as a whole by another one, on what was
//! read when it began. A change of a buffer marks its project; the project is read anew
//! when the editor pauses, or asks. What is asked is answered from that reading, so that places
//! always fit what the editor shows. Buffers that are not saved stand in for their files. The server
//! writes no file: edits are offered, and the editor makes them.

use std::{path::Path, time::Duration};

use crossbeam_channel::{Receiver, Sender, after, never, select, unbounded};
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, Response};
use serde_json::{Value as Json, json};

mod actions;
mod aside;
mod completion;
mod cursor;
mod definition;
mod diagnostics;
mod hover;
mod names;
mod reading;
mod rename;
mod schema;
mod symbols;
mod wire;
mod world;

use aside::Done;
use world::{World, Worlds};

/// After so long without a message a change is looked at.
const PAUSE: Duration = Duration::from_millis(10);
/// After so long, everything that depends on it.
const LULL: Duration = Duration::from_millis(60);
/// After so long, the checks that take longer are made as well.
const REST: Duration = Duration::from_millis(400);

/// Serves one editor over standard input and output. `folder` is looked at where the editor names
/// none.
///
/// # Errors
/// What the editor did against the protocol, or why it cannot be reached.
pub fn stdio(folder: &Path) -> Result<(), String> {
    let (connection, threads) = Connection::stdio();
    let served = serve(&connection, folder);
    // The writing thread ends when nobody can send to it any more.
    drop(connection);
    served?;
    threads.join().map_err(|error| error.to_string())
}

/// Serves one editor on a connection until it says that it is done.
///
/// # Errors
/// What the editor did against the protocol.
pub fn serve(connection: &Connection, folder: &Path) -> Result<(), String> {
    let wrong = |error: lsp_server::ProtocolError| error.to_string();
    let stranger = |error| {
        format!("{error}: no editor has begun to speak; `docs/editors.md` says how one is set up")
    };
    let (id, params) = connection
        .initialize_start()
        .map_err(|it| stranger(wrong(it)))?;
    let answer = json!({
        "capabilities": capabilities(),
        "serverInfo": {"name": "latchkey", "version": env!("CARGO_PKG_VERSION")},
    });
    connection.initialize_finish(id, answer).map_err(wrong)?;
    let (sender, done) = unbounded();
    let mut server = Server {
        connection,
        worlds: Worlds::default(),
        sender,
        done,
    };
    server.begin(&params, folder);
    server.run().map_err(wrong)
}

/// What is offered. Places count in UTF-16, which every editor can.
fn capabilities() -> Json {
    json!({
        "positionEncoding": "utf-16",
        // Whole documents: a policy file is small, and there is nothing to get out of step.
        "textDocumentSync": {"openClose": true, "change": 1, "save": true},
        "codeActionProvider": {"codeActionKinds": ["quickfix", "source.fixAll"]},
        "completionProvider": {"triggerCharacters": [" ", ".", ":", "\"", "[", "{", ",", "("]},
        "definitionProvider": true,
        "documentHighlightProvider": true,
        "documentSymbolProvider": true,
        "hoverProvider": true,
        "referencesProvider": true,
        "renameProvider": {"prepareProvider": true},
        "workspaceSymbolProvider": true,
        "workspace": {"workspaceFolders": {"supported": true}},
    })
}

struct Server<'a> {
    connection: &'a Connection,
    worlds: Worlds,
    /// Where checks aside tell what they came to.
    sender: Sender<Done>,
    done: Receiver<Done>,
}

impl Server<'_> {
    fn begin(&mut self, params: &Json, folder: &Path) {
        let folders = wire::part(params, "/workspaceFolders").as_array();
        let named = folders.into_iter().flatten();
        let mut roots: Vec<_> = named
            .filter_map(|it| wire::path(wire::part(it, "/uri")))
            .collect();
        if roots.is_empty() {
            let root = wire::path(wire::part(params, "/rootUri"));
            roots.push(root.unwrap_or_else(|| folder.to_owned()));
        }
        for root in roots {
            self.worlds.open_folder(&root);
        }
        let can = "/capabilities/workspace/didChangeWatchedFiles/dynamicRegistration";
        if *wire::part(params, can) == json!(true) {
            self.send(Request::new(
                "watch".to_owned().into(),
                "client/registerCapability".to_owned(),
                json!({"registrations": [{
                    "id": "watch",
                    "method": "workspace/didChangeWatchedFiles",
                    "registerOptions": {"watchers": [
                        {"globPattern": "**/*.{yaml,yml,json}"},
                        {"globPattern": "**/latchkey.toml"},
                    ]},
                }]}),
            ));
        }
    }

    fn run(&mut self) -> Result<(), lsp_server::ProtocolError> {
        loop {
            let due = self.worlds.due();
            let pause = due.map_or_else(never, |due| after(due.wait()));
            let next = select! {
                recv(self.connection.receiver) -> message => message.ok(),
                recv(self.done) -> done => {
                    if let Ok(done) = done {
                        self.end(done);
                    }
                    continue;
                }
                recv(pause) -> _ => {
                    if let Some(due) = due {
                        self.look(due, false);
                    }
                    continue;
                }
            };
            match next {
                // The editor went without a word.
                None => return Ok(()),
                Some(Message::Request(request)) => {
                    if self.connection.handle_shutdown(&request)? {
                        return Ok(());
                    }
                    let answer = self.answer(request);
                    self.send(answer);
                }
                Some(Message::Notification(note)) => self.heed(&note),
                // To what the server asked: nothing depends on it.
                Some(Message::Response(_)) => {}
            }
        }
    }

    /// Reads what is due, and tells the editor what is found. Unless this has to be done to the
    /// end, whoever types does not wait for a long check.
    fn look(&mut self, due: Due, whole: bool) {
        let receiver = &self.connection.receiver;
        let stop = || !whole && !receiver.is_empty();
        let mut told = Vec::new();
        for world in self.worlds.iter_mut() {
            let aside = !whole && world.begin(due, &self.sender);
            if !aside && world.look(due, &stop) {
                told.extend(diagnostics::publish(world));
            }
        }
        self.tell(told);
    }

    /// Takes in what a check aside came to.
    fn end(&mut self, done: Done) {
        let world = self.worlds.at(&done.root);
        if let Some(world) = world
            && world.end(done)
        {
            let told = diagnostics::publish(world);
            self.tell(told);
        }
    }

    fn tell(&self, told: Vec<Json>) {
        for params in told {
            let method = "textDocument/publishDiagnostics".to_owned();
            self.send(Notification { method, params });
        }
    }

    fn send(&self, message: impl Into<Message>) {
        // An editor that is gone hears nothing; the loop ends by itself.
        let _ = self.connection.sender.send(message.into());
    }

    fn heed(&mut self, note: &Notification) {
        let params = &note.params;
        let uri = wire::part(params, "/textDocument/uri");
        let version = wire::part(params, "/textDocument/version").as_i64();
        match note.method.as_str() {
            "textDocument/didOpen" => {
                if let Some(text) = wire::part(params, "/textDocument/text").as_str() {
                    self.worlds.edit(uri, Some(text), version);
                }
            }
            "textDocument/didChange" => {
                // Whole documents were asked for; the last one counts.
                let changes = wire::part(params, "/contentChanges").as_array();
                let text = changes.and_then(|it| wire::part(it.last()?, "/text").as_str());
                if let Some(text) = text {
                    self.worlds.edit(uri, Some(text), version);
                }
            }
            "textDocument/didClose" => self.worlds.edit(uri, None, None),
            "textDocument/didSave" => self.worlds.touch(uri),
            "workspace/didChangeWatchedFiles" => match wire::part(params, "/changes").as_array() {
                None => self.worlds.touch_all(),
                Some(changes) => {
                    for change in changes {
                        self.worlds.touch(wire::part(change, "/uri"));
                    }
                }
            },
            "workspace/didChangeWorkspaceFolders" => {
                let added = wire::part(params, "/event/added").as_array();
                for folder in added.into_iter().flatten() {
                    if let Some(root) = wire::path(wire::part(folder, "/uri")) {
                        self.worlds.open_folder(&root);
                    }
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, request: Request) -> Response {
        let Request { id, method, params } = request;
        if method == "workspace/symbol" {
            self.look_now();
            return Response::new_ok(id, symbols::everywhere(&mut self.worlds, &params));
        }
        let feature: Feature = match method.as_str() {
            "textDocument/codeAction" => |world, params, it| Ok(actions::answer(world, params, it)),
            "textDocument/completion" => |world, _, it| Ok(completion::answer(world, it)),
            "textDocument/definition" => |world, _, it| Ok(definition::definition(world, it)),
            "textDocument/documentHighlight" => |world, _, it| Ok(definition::highlight(world, it)),
            "textDocument/documentSymbol" => |world, _, it| Ok(symbols::answer(world, it)),
            "textDocument/hover" => |world, _, it| Ok(hover::answer(world, it)),
            "textDocument/references" => {
                |world, params, it| Ok(definition::references(world, params, it))
            }
            "textDocument/rename" => rename::answer,
            "textDocument/prepareRename" => |world, _, it| rename::prepare(world, it),
            _ => {
                let code = ErrorCode::MethodNotFound as i32;
                return Response::new_err(id, code, format!("`{method}` is not offered"));
            }
        };
        match method.as_str() {
            // It compares what is wrong before with what would be wrong then.
            "textDocument/rename" | "textDocument/prepareRename" => self.look_at_all(),
            _ => self.look_now(),
        }
        let uri = wire::part(&params, "/textDocument/uri");
        let Some((world, file)) = self.worlds.find(uri) else {
            // A document of no project has nothing to say.
            return Response::new_ok(id, Json::Null);
        };
        let offset = world.offset(&file, wire::part(&params, "/position"));
        let asked = Asked { file, offset };
        match feature(world, &params, &asked) {
            Ok(answer) => Response::new_ok(id, answer),
            Err(why) => Response::new_err(id, ErrorCode::RequestFailed as i32, why),
        }
    }

    /// Reads what changed, so that an answer fits what the editor shows.
    fn look_now(&mut self) {
        if self.worlds.due() == Some(Due::Changed) {
            self.look(Due::Changed, false);
        }
    }

    /// Also looks at everything that depends on it.
    fn look_at_all(&mut self) {
        self.worlds.iter_mut().for_each(World::recall);
        while let Some(due) = self.worlds.due().filter(|it| *it <= Due::Whole) {
            self.look(due, true);
        }
    }
}

/// What answers a request on a document.
type Feature = fn(&World, &Json, &Asked) -> Result<Json, String>;

/// What a request is about: a file by its path in the project, and a place in it.
#[derive(Debug)]
struct Asked {
    file: String,
    offset: u32,
}

/// Why a project has to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// Something changed.
    Changed,
    /// What one changed file does to the others of a large project was not looked at since.
    Whole,
    /// The checks that take longer were not made since.
    Rest,
}

impl Due {
    fn wait(self) -> Duration {
        match self {
            Self::Changed => PAUSE,
            Self::Whole => LULL,
            Self::Rest => REST,
        }
    }
}

#[cfg(test)]
mod tests;
