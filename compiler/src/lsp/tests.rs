//! A client in memory, and projects in folders of the test.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    thread::JoinHandle,
};

use super::*;

const ORG: &str = "organizations:\n  acme: {teams: {payments: {}}}\nissuers:\n  idp:\n    issuer: \
                   https://idp.example\n    audiences: [x]\n    jwks: {uri: \"https://idp.example/k\"}\n    \
                   organizations: [acme]\nprincipals:\n  alice:\n    type: human\n    in: acme\n    \
                   identity: {issuer: idp, subject: a}\n";
const ACCESS: &str = "# Zugriff für 😀\nroles:\n  reader: {allow: {pay: [get]}}\nbindings:\n  \
                      readers: {who: [alice], roles: [reader], in: acme, when: args.amount < 5}\n";
const SERVER: &str = "servers:\n  pay:\n    in: acme\n    upstream: http://127.0.0.1:9/mcp\n    tools:\n      \
                      get:\n        risk: read\n        scope: {unscoped: one account}\n        input:\n          \
                      type: object\n          required: [amount]\n          properties:\n            \
                      amount: {type: integer}\n            address: {type: object, required: [city], \
                      properties: {city: {type: string}}, additionalProperties: false}\n          \
                      additionalProperties: false\n";

struct Editor {
    connection: Option<Connection>,
    server: Option<JoinHandle<Result<(), String>>>,
    root: PathBuf,
    next: i32,
    notes: Vec<Notification>,
}

impl Editor {
    fn open(files: &[(&str, &str)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("latchkey-lsp-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        let toml = ("latchkey.toml", "[project]\nname = \"p\"\n");
        for (path, text) in files.iter().chain([&toml]) {
            fs::write(root.join(path), text).unwrap();
        }
        let (server, client) = Connection::memory();
        let folder = root.clone();
        let server = std::thread::spawn(move || serve(&server, &folder));
        let mut editor = Self {
            connection: Some(client),
            server: Some(server),
            root,
            next: 0,
            notes: Vec::new(),
        };
        let params = json!({"capabilities": {}, "rootUri": wire::uri(&editor.root)});
        let answer = editor.ask("initialize", params).unwrap();
        assert_eq!(answer["capabilities"]["positionEncoding"], "utf-16");
        editor.tell("initialized", json!({}));
        editor
    }

    fn send(&self, message: impl Into<Message>) {
        let connection = self.connection.as_ref().unwrap();
        connection.sender.send(message.into()).unwrap();
    }

    fn tell(&self, method: &str, params: Json) {
        let method = method.to_owned();
        self.send(Notification { method, params });
    }

    fn ask(&mut self, method: &str, params: Json) -> Result<Json, String> {
        self.next += 1;
        let id = lsp_server::RequestId::from(self.next);
        self.send(Request::new(id.clone(), method.to_owned(), params));
        loop {
            match self.connection.as_ref().unwrap().receiver.recv().unwrap() {
                Message::Response(answer) => {
                    assert_eq!(answer.id, id);
                    return answer.response_result.map_err(|it| it.message);
                }
                Message::Notification(note) => self.notes.push(note),
                Message::Request(_) => {}
            }
        }
    }

    fn uri(&self, file: &str) -> String {
        wire::uri(&self.root.join(file))
    }

    fn edit(&self, file: &str, text: &str) {
        let document = json!({
            "uri": self.uri(file), "languageId": "yaml", "version": 1, "text": text,
        });
        self.tell("textDocument/didOpen", json!({"textDocument": document}));
    }

    /// The codes of a file, once they are these.
    fn until(&mut self, file: &str, codes: &[&str]) -> Json {
        let uri = self.uri(file);
        loop {
            let told = self
                .notes
                .iter()
                .rfind(|it| it.params["uri"] == uri.as_str());
            if let Some(told) = told {
                let found = told.params["diagnostics"].as_array().unwrap();
                let found: Vec<_> = found
                    .iter()
                    .map(|it| it["code"].as_str().unwrap())
                    .collect();
                if found == codes {
                    return told.params.clone();
                }
            }
            match self.connection.as_ref().unwrap().receiver.recv().unwrap() {
                Message::Notification(note) => self.notes.push(note),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Asks about the place of `^` in a text, which becomes the buffer without it.
    fn at(&mut self, method: &str, file: &str, marked: &str, more: &Json) -> Result<Json, String> {
        let at = marked.find('^').unwrap();
        let before = marked.get(..at).unwrap();
        self.edit(file, &marked.replacen('^', "", 1));
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().unwrap().encode_utf16().count();
        let mut params = json!({
            "textDocument": {"uri": self.uri(file)},
            "position": {"line": line, "character": column},
            "context": {},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            params[key] = value.clone();
        }
        self.ask(method, params)
    }

    fn labels(&mut self, file: &str, marked: &str) -> Vec<String> {
        let answer = self
            .at("textDocument/completion", file, marked, &json!({}))
            .unwrap();
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        let labels = items
            .iter()
            .map(|it| it["label"].as_str().unwrap().to_owned());
        labels.collect()
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.ask("shutdown", Json::Null).unwrap();
            self.tell("exit", Json::Null);
            drop(self.connection.take());
            assert_eq!(self.server.take().unwrap().join().unwrap(), Ok(()));
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn editor() -> Editor {
    Editor::open(&[
        ("org.yaml", ORG),
        ("access.yaml", ACCESS),
        ("pay.yaml", SERVER),
    ])
}

#[test]
fn findings_follow_the_buffers_and_not_the_files() {
    let mut editor = editor();
    editor.edit("access.yaml", &ACCESS.replace("[reader]", "[raeder]"));
    let told = editor.until("access.yaml", &["LK1003"]);
    let found = &told["diagnostics"][0];
    let line = ACCESS.lines().nth(4).unwrap();
    let start = line.find("[reader]").unwrap() + 1;
    assert_eq!(
        found["range"]["start"],
        json!({"line": 4, "character": start})
    );
    assert_eq!(
        found["range"]["end"],
        json!({"line": 4, "character": start + 6})
    );
    assert_eq!(told["version"], 1);
    // The mistake is in another file where the role goes away.
    editor.edit("access.yaml", ACCESS);
    editor.until("access.yaml", &[]);
    editor.edit("org.yaml", &ORG.replace("alice:", "bob:"));
    editor.until("access.yaml", &["LK1005"]);
    // A closed buffer gives way to its file, and a saved file is read.
    let document = json!({"textDocument": {"uri": editor.uri("org.yaml")}});
    editor.tell("textDocument/didClose", document);
    editor.until("access.yaml", &[]);
    fs::write(
        editor.root.join("pay.yaml"),
        SERVER.replace("get:", "fetch:"),
    )
    .unwrap();
    editor.tell("workspace/didChangeWatchedFiles", json!({"changes": []}));
    editor.until("access.yaml", &["LK1008"]);
}

#[test]
fn fixes_and_suppressions_are_offered_as_edits() {
    let mut editor = editor();
    let marked = ACCESS.replace("[reader]", "[ra^eder]");
    let place = json!({"line": 4, "character": ACCESS.lines().nth(4).unwrap().find("[reader]").unwrap() + 2});
    let range = json!({"range": {"start": place, "end": place}});
    let actions = editor
        .at("textDocument/codeAction", "access.yaml", &marked, &range)
        .unwrap();
    let titles: Vec<_> = actions
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["title"])
        .collect();
    assert_eq!(titles, ["replace `raeder` with `reader`"]);
    let uri = editor.uri("access.yaml");
    assert_eq!(actions[0]["edit"]["changes"][&uri][0]["newText"], "reader");
    // A role of nobody is a warning: it can be silenced, with a reason that is still to come.
    let more = format!("{ACCESS}  # c\n");
    let marked = more.replace("bindings:", "  id^le: {allow: {pay: [get]}}\nbindings:");
    let place = json!({"line": 3, "character": 4});
    let range = json!({"range": {"start": place, "end": place}});
    let actions = editor
        .at("textDocument/codeAction", "access.yaml", &marked, &range)
        .unwrap();
    let silence = actions.as_array().unwrap().last().unwrap();
    let edit = &silence["edit"]["changes"][&uri][0];
    assert_eq!(edit["newText"], "  # latchkey: allow(unused-role): \n");
    assert_eq!(edit["range"]["start"], json!({"line": 3, "character": 0}));
    assert_eq!(edit["range"]["end"], json!({"line": 3, "character": 0}));
    // Everything sure, at once.
    let all =
        json!({"context": {"only": ["source.fixAll"]}, "range": {"start": place, "end": place}});
    let marked = ACCESS.replace("[alice]", "[alice, alice]^");
    let actions = editor
        .at("textDocument/codeAction", "access.yaml", &marked, &all)
        .unwrap();
    assert_eq!(actions[0]["edit"]["changes"][&uri][0]["newText"], ACCESS);
}

#[test]
fn names_lead_to_their_places() {
    let mut editor = editor();
    let marked = ACCESS.replace("roles: [reader]", "roles: [rea^der]");
    let found = editor
        .at(
            "textDocument/definition",
            "access.yaml",
            &marked,
            &json!({}),
        )
        .unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(
        found[0]["range"]["start"],
        json!({"line": 2, "character": 2})
    );
    let found = editor
        .at(
            "textDocument/references",
            "access.yaml",
            &marked,
            &json!({}),
        )
        .unwrap();
    assert_eq!(found.as_array().unwrap().len(), 2);
    let only = json!({"context": {"includeDeclaration": false}});
    let found = editor
        .at("textDocument/references", "access.yaml", &marked, &only)
        .unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1);
    let marked = ACCESS.replace("who: [alice]", "who: [ali^ce]");
    let found = editor
        .at(
            "textDocument/definition",
            "access.yaml",
            &marked,
            &json!({}),
        )
        .unwrap();
    assert_eq!(found[0]["uri"], editor.uri("org.yaml"));
    // After the wide character of the comment, and on nothing.
    let found = editor
        .at(
            "textDocument/definition",
            "access.yaml",
            "# 😀^",
            &json!({}),
        )
        .unwrap();
    assert_eq!(found, Json::Null);
}

#[test]
fn a_name_is_changed_in_every_file_or_nowhere() {
    let mut editor = editor();
    let marked = ACCESS.replace("who: [alice]", "who: [ali^ce]");
    let new = |name: &str| json!({"newName": name});
    let edit = editor
        .at("textDocument/rename", "access.yaml", &marked, &new("eve"))
        .unwrap();
    let changes = edit["changes"].as_object().unwrap();
    assert_eq!(changes.len(), 2, "{changes:?}");
    let refused = |editor: &mut Editor, marked: &str, name: &str| {
        editor
            .at("textDocument/rename", "access.yaml", marked, &new(name))
            .unwrap_err()
    };
    assert!(refused(&mut editor, &marked, "No Name").contains("is not a name"));
    assert!(refused(&mut editor, &marked, "no").contains("it would be an error"));
    let tool = ACCESS.replace("[get]", "[g^et]");
    assert!(refused(&mut editor, &tool, "fetch").contains("the server gives its tools"));
    let two = ACCESS.replace("bindings:", "  other: {allow: {pay: [get]}}\nbindings:");
    let two = two.replace("roles: [reader]", "roles: [rea^der]");
    assert_eq!(
        refused(&mut editor, &two, "other"),
        "there is a role `other` already"
    );
}

#[test]
fn a_name_says_what_it_grants_and_who_holds_it() {
    let mut editor = editor();
    let mut hover = |file: &str, marked: &str| {
        let said = editor
            .at("textDocument/hover", file, marked, &json!({}))
            .unwrap();
        said["contents"]["value"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let said = hover("access.yaml", &ACCESS.replace("[reader]", "[rea^der]"));
    assert!(said.contains("`pay/get` (read)"), "{said}");
    assert!(
        said.contains("`alice` in `acme`, when `args.amount < 5`, by `readers`"),
        "{said}"
    );
    let said = hover("pay.yaml", &SERVER.replace("      get:", "      ge^t:"));
    assert!(said.contains("`alice` in `acme`"), "{said}");
    assert!(
        said.contains("`amount`") && said.contains("`address?`"),
        "{said}"
    );
    let said = hover("org.yaml", &ORG.replace("alice:", "ali^ce:"));
    assert!(
        said.contains("human of `acme`") && said.contains("`reader` in `acme`"),
        "{said}"
    );
    let said = hover("access.yaml", &ACCESS.replace("who:", "w^ho:"));
    assert_eq!(said, "`who`: Who gets the roles.");
    // What was known before the file broke is still said, and that it is old.
    let broken = ACCESS.replace("[reader]", "[rea^der]") + "rules: {x: \n";
    let said = hover("access.yaml", &broken);
    assert!(
        said.contains("`pay/get` (read)") && said.contains("last without errors"),
        "{said}"
    );
}

#[test]
fn what_fits_is_completed_in_half_typed_files() {
    let mut editor = editor();
    let has = |labels: Vec<String>, wanted: &[&str], not: &[&str]| {
        for it in wanted {
            assert!(labels.iter().any(|label| label == it), "{it}: {labels:?}");
        }
        for it in not {
            assert!(!labels.iter().any(|label| label == it), "{it}: {labels:?}");
        }
    };
    // The server is known from a reading without errors.
    editor.edit("access.yaml", ACCESS);
    editor.until("access.yaml", &[]);
    let sections = editor.labels("access.yaml", &format!("{ACCESS}ru^"));
    has(sections, &["rules", "servers"], &["who"]);
    let keys = editor.labels(
        "access.yaml",
        &format!("{ACCESS}  more:\n    who: [alice]\n    ^"),
    );
    has(keys, &["roles", "in", "when"], &["who", "allow"]);
    let who = editor.labels("access.yaml", &format!("{ACCESS}  more:\n    who: [al^"));
    has(who, &["alice", "type:agent"], &["reader", "everyone"]);
    let roles = editor.labels(
        "access.yaml",
        &format!("{ACCESS}  more:\n    roles:\n      - ^"),
    );
    has(roles, &["reader"], &["alice"]);
    let scopes = editor.labels("access.yaml", &format!("{ACCESS}  more: {{in: ^"));
    has(scopes, &["platform", "acme", "acme/payments"], &[]);
    let servers = editor.labels("access.yaml", "roles:\n  x:\n    allow:\n      ^");
    has(servers, &["pay"], &["get"]);
    let tools = editor.labels("access.yaml", "roles:\n  x:\n    allow: {pay: [^");
    has(tools, &["get"], &["pay"]);
    let effects = editor.labels("access.yaml", "rules:\n  x:\n    effect: ^");
    has(effects, &["deny", "require"], &[]);
    let mut condition = |text: &str| {
        let text = ACCESS.replace("args.amount < 5", text);
        editor.labels("access.yaml", &text)
    };
    has(condition("ar^"), &["args", "principal", "has"], &[]);
    has(condition("has(args.^"), &["amount", "address"], &["city"]);
    has(
        condition("args.amount < 5 && args.address.c^"),
        &["city"],
        &["amount"],
    );
    has(condition("principal.^"), &["team", "tags"], &["amount"]);
    let slugs = editor.labels("access.yaml", "# latchkey: allow(un^");
    has(slugs, &["unused-role"], &["unknown-role"]);
}

#[test]
fn the_outline_holds_sections_entries_and_tools() {
    let mut editor = editor();
    let uri = editor.uri("pay.yaml");
    let params = json!({"textDocument": {"uri": uri}});
    let symbols = editor.ask("textDocument/documentSymbol", params).unwrap();
    assert_eq!(symbols[0]["name"], "servers");
    assert_eq!(symbols[0]["children"][0]["name"], "pay");
    assert_eq!(symbols[0]["children"][0]["children"][0]["name"], "get");
    let lines = SERVER.lines().count() as u64;
    assert_eq!(symbols[0]["range"]["end"]["line"].as_u64(), Some(lines - 1));
    let found = editor
        .ask("workspace/symbol", json!({"query": "READ"}))
        .unwrap();
    let names: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["reader", "readers"]);
}

#[test]
fn no_buffer_and_no_question_ends_the_server() {
    let mut editor = editor();
    let methods = [
        "textDocument/completion",
        "textDocument/hover",
        "textDocument/definition",
        "textDocument/documentSymbol",
        "textDocument/prepareRename",
    ];
    let text = format!("{ACCESS}{SERVER}");
    // Every prefix of a file is what somebody is typing.
    let cuts = text.char_indices().map(|(at, _)| at).step_by(7);
    for (number, at) in cuts.enumerate() {
        let marked = format!("{}^", text.get(..at).unwrap());
        let method = methods[number % methods.len()];
        let _ = editor.at(method, "access.yaml", &marked, &json!({}));
    }
    for broken in [
        "{[",
        "- - -\n? x",
        "\u{feff}a:",
        "a: &x *x",
        "\t",
        "%YAML\n---\n---\n",
    ] {
        for method in methods {
            let _ = editor.at(method, "access.yaml", &format!("{broken}^"), &json!({}));
        }
    }
    for params in [
        json!(null),
        json!([1]),
        json!({"textDocument": 7, "position": -1}),
    ] {
        for method in methods {
            let _ = editor.ask(method, params.clone());
        }
    }
    let error = editor.ask("textDocument/unheardOf", json!({})).unwrap_err();
    assert!(error.contains("is not offered"), "{error}");
    // A document of no project is nobody's business.
    let params = json!({"textDocument": {"uri": "file:///nowhere/x.yaml"}, "position": {}});
    assert_eq!(editor.ask("textDocument/hover", params), Ok(Json::Null));
}
