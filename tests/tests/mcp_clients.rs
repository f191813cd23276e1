//! Five real clients through the sidecar, before real servers that it runs or connects to: the list
//! is filtered, an allowed call works, a denial reaches the application, and the session survives.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{collections::BTreeSet, process::Command};

use latchkey_tests::{
    front::{Fixture, Front, Surfaces},
    golden::root,
    node::Packages,
    peer,
};
use serde_json::{Value, json};

/// A server, and what is called of it.
struct Server {
    entry: Vec<String>,
    surfaces: Surfaces,
    tool: &'static str,
    arguments: Value,
    denied: &'static str,
}

fn clients() -> Packages {
    Packages::install(
        "clients",
        &[
            "@modelcontextprotocol/sdk@1.32.2",
            "@modelcontextprotocol/client@2.4.0",
        ],
    )
}

fn everything() -> Packages {
    Packages::install(
        "everything",
        &["@modelcontextprotocol/server-everything@2026.8.31"],
    )
}

fn inspector() -> Packages {
    Packages::install("inspector", &["@modelcontextprotocol/inspector@2.12.0"])
}

fn tools(names: &[&str]) -> Vec<String> {
    names.iter().map(|it| (*it).to_owned()).collect()
}

impl Server {
    /// A Node server that the sidecar runs.
    fn node(
        packages: &Packages,
        script: &str,
        arguments: &[&str],
        names: &[&str],
        call: (&'static str, Value),
        denied: &'static str,
    ) -> Self {
        let script = packages.script(script);
        let words = [packages.node().to_str().unwrap(), script.to_str().unwrap()];
        let home = packages.folder().join("home");
        std::fs::create_dir_all(&home).unwrap();
        let environment = [
            format!("PATH={}", packages.path()),
            format!("HOME={}", home.display()),
        ];
        Self {
            entry: Front::command(&[&words[..], arguments].concat(), &environment),
            surfaces: Surfaces {
                tools: tools(names),
                denied: tools(&[denied]),
                ..Surfaces::default()
            },
            tool: call.0,
            arguments: call.1,
            denied,
        }
    }

    fn everything() -> Self {
        let script = "@modelcontextprotocol/server-everything/dist/index.js";
        let names = ["echo", "get-sum", "get-env"];
        let call = ("get-sum", json!({"a": 1, "b": 2}));
        Self::node(&everything(), script, &["stdio"], &names, call, "get-env")
    }

    fn python() -> Self {
        let (python, script) = (peer::mcp_python(), root().join("tests/peers/server.py"));
        let words = [python.to_str().unwrap(), script.to_str().unwrap()];
        Self {
            entry: Front::command(&words, &["PATH".to_owned(), "HOME".to_owned()]),
            surfaces: Surfaces {
                tools: tools(&["add", "whoami", "forbidden"]),
                denied: tools(&["forbidden"]),
                ..Surfaces::default()
            },
            tool: "add",
            arguments: json!({"a": 1, "b": 2}),
            denied: "forbidden",
        }
    }

    fn fixture(fixture: &Fixture) -> Self {
        Self {
            entry: vec![format!("upstream: http://{}/mcp", fixture.address)],
            surfaces: Surfaces {
                denied: tools(&["test_image_content"]),
                ..Fixture::surfaces()
            },
            tool: "test_simple_text",
            arguments: json!({}),
            denied: "test_image_content",
        }
    }

    /// The same, which the policy says is of this era.
    fn of(mut self, era: &str) -> Self {
        self.entry.push(format!("era: {era}"));
        self
    }

    /// Lets clients at it, and checks what each of them saw.
    fn tried_by(&self, clients: &[&str]) {
        let front = Front::start(&self.entry, &self.surfaces, "");
        let mut shown: Vec<&String> = self.surfaces.tools.iter().collect();
        shown.retain(|it| **it != self.denied);
        shown.sort();
        for client in clients {
            let said = self.said(client, &front);
            assert_eq!(said["tools"], json!(shown), "{client}");
            assert_eq!(said["first"], true, "{client}: {said}");
            // A tool that a caller can never use is one that does not exist, for it.
            let told = format!("Unknown tool: {}", self.denied);
            let message = said["denied"][1].as_str().unwrap_or_default();
            assert!(message.contains(&told), "{client}: {said}");
            assert_eq!(said["denied"][0], -32602, "{client}: {said}");
            assert_eq!(said["denied"][2], "surface_unmatched", "{client}: {said}");
            assert_eq!(said["again"], true, "{client}");
        }
        let events = front.rig.events();
        let denials = events
            .iter()
            .filter(|it| it["reason"] == "denied_by_policy");
        assert_eq!(denials.count(), clients.len());
    }

    fn said(&self, client: &str, front: &Front) -> Value {
        let (url, token) = (front.url(), front.token("alice"));
        let arguments = self.arguments.to_string();
        let call = [self.tool, &arguments, self.denied];
        match client {
            "python-legacy" | "python-auto" | "python-2026-07-28" => {
                let era = client.strip_prefix("python-").unwrap();
                let mut command = Command::new(peer::mcp_python());
                let script = root().join("tests/peers/client.py");
                command.arg(script).args([&url, &token, era]).args(call);
                run(command)
            }
            "sdk" | "client" | "client-2026-07-28" => {
                let packages = clients();
                let mut command = Command::new(packages.node());
                let script = packages.peer("client.mjs");
                command.arg(script).args([client, &url, &token]).args(call);
                run(command)
            }
            _ => self.inspected(&url, &token),
        }
    }

    /// The Inspector connects for each question.
    fn inspected(&self, url: &str, token: &str) -> Value {
        let packages = inspector();
        let ask = |more: &[&str]| {
            let mut command =
                packages.run("@modelcontextprotocol/inspector/clients/launcher/build/index.js");
            let header = format!("Authorization: Bearer {token}");
            command.args([
                "--cli",
                "--server-url",
                url,
                "--transport",
                "http",
                "--header",
                &header,
            ]);
            command.args(["--format", "json", "-q"]).args(more);
            command.output().unwrap()
        };
        let list = ask(&["--method", "tools/list"]);
        let list: Value = serde_json::from_slice(&list.stdout)
            .unwrap_or_else(|error| panic!("{error}: {list:?}"));
        let list = if list["result"].is_object() {
            &list["result"]
        } else {
            &list
        };
        let mut names: Vec<&str> = list["tools"]
            .as_array()
            .unwrap_or_else(|| panic!("{list}"))
            .iter()
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        names.sort_unstable();
        let arguments = self.arguments.to_string();
        let allowed = [
            "--method",
            "tools/call",
            "--tool-name",
            self.tool,
            "--tool-args-json",
            &arguments,
        ];
        let works = || ask(&allowed).status.success();
        let first = works();
        let denied = ask(&[
            "--method",
            "tools/call",
            "--tool-name",
            self.denied,
            "--tool-args-json",
            "{}",
        ]);
        assert!(!denied.status.success(), "{denied:?}");
        let told = [denied.stdout, denied.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        // It tells that the tool is none of those listed, or what the sidecar answered.
        let refused = told.contains("tool_not_found") || told.contains("Unknown tool");
        assert!(refused, "{told}");
        json!({"tools": names, "first": first, "again": works(),
            "denied": [-32602, format!("Unknown tool: {}", self.denied), "surface_unmatched"]})
    }
}

fn run(mut command: Command) -> Value {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

const ALL: [&str; 4] = ["python-legacy", "python-auto", "sdk", "client"];

#[test]
fn before_server_everything_which_the_sidecar_runs() {
    Server::everything().tried_by(&ALL);
}

#[test]
fn before_the_python_server_which_the_sidecar_runs() {
    Server::python().tried_by(&ALL);
}

#[test]
fn before_the_rust_server() {
    Server::fixture(&Fixture::start()).tried_by(&ALL);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one list of cases")]
fn before_three_public_servers_with_twenty_tools_or_more() {
    let commander = Packages::install("commander", &["@wonderwhy-er/desktop-commander@0.2.52"]);
    let names = [
        "get_config",
        "set_config_value",
        "read_file",
        "read_multiple_files",
        "write_file",
        "write_pdf",
        "create_directory",
        "list_directory",
        "move_file",
        "start_search",
        "get_more_search_results",
        "stop_search",
        "list_searches",
        "get_file_info",
        "edit_block",
        "start_process",
        "read_process_output",
        "interact_with_process",
        "force_terminate",
        "list_sessions",
        "list_processes",
        "kill_process",
        "get_usage_stats",
        "get_recent_tool_calls",
        "give_feedback_to_desktop_commander",
        "get_prompts",
    ];
    let script = "@wonderwhy-er/desktop-commander/dist/index.js";
    let call = ("get_config", json!({}));
    Server::node(&commander, script, &[], &names, call, "kill_process").tried_by(&ALL);
    let kubernetes = Packages::install("kubernetes", &["mcp-server-kubernetes@4.1.7"]);
    let names = [
        "cleanup",
        "kubectl_get",
        "kubectl_describe",
        "kubectl_apply",
        "kubectl_delete",
        "kubectl_create",
        "kubectl_logs",
        "kubectl_scale",
        "kubectl_patch",
        "kubectl_rollout",
        "kubectl_context",
        "kubectl_reconnect",
        "explain_resource",
        "install_helm_chart",
        "upgrade_helm_chart",
        "uninstall_helm_chart",
        "node_management",
        "port_forward",
        "stop_port_forward",
        "exec_in_pod",
        "list_api_resources",
        "kubectl_generic",
        "ping",
    ];
    let script = "mcp-server-kubernetes/dist/index.js";
    Server::node(
        &kubernetes,
        script,
        &[],
        &names,
        ("ping", json!({})),
        "cleanup",
    )
    .tried_by(&ALL);
    let playwright = Packages::install("playwright", &["@playwright/mcp@0.0.83"]);
    let names = [
        "browser_close",
        "browser_resize",
        "browser_console_messages",
        "browser_handle_dialog",
        "browser_emulate_media",
        "browser_evaluate",
        "browser_file_upload",
        "browser_drop",
        "browser_find",
        "browser_fill_form",
        "browser_press_key",
        "browser_type",
        "browser_navigate",
        "browser_navigate_back",
        "browser_network_requests",
        "browser_network_request",
        "browser_run_code_unsafe",
        "browser_take_screenshot",
        "browser_snapshot",
        "browser_click",
        "browser_drag",
        "browser_hover",
        "browser_select_option",
        "browser_tabs",
        "browser_wait_for",
    ];
    let call = ("browser_close", json!({}));
    let server = Server::node(
        &playwright,
        "@playwright/mcp/cli.js",
        &["--headless"],
        &names,
        call,
        "browser_run_code_unsafe",
    );
    server.tried_by(&ALL);
}

#[test]
fn by_the_inspector() {
    Server::python().tried_by_inspector();
    Server::fixture(&Fixture::start()).tried_by_inspector();
}

impl Server {
    fn tried_by_inspector(&self) {
        let front = Front::start(&self.entry, &self.surfaces, "");
        let mut shown: Vec<&String> = self.surfaces.tools.iter().collect();
        shown.retain(|it| **it != self.denied);
        shown.sort();
        let said = self.said("inspector", &front);
        assert_eq!(said["tools"], json!(shown));
        assert_eq!(
            (&said["first"], &said["again"]),
            (&json!(true), &json!(true))
        );
    }
}

#[test]
fn of_the_newer_era_before_servers_of_the_older() {
    let clients = ["python-2026-07-28", "client-2026-07-28"];
    Server::everything().of("legacy").tried_by(&clients);
    Server::python().of("legacy").tried_by(&clients);
    let fixture = Fixture::start();
    Server::fixture(&fixture).of("legacy").tried_by(&clients);
}

#[test]
fn of_the_older_era_before_servers_of_the_newer() {
    let clients = ["python-legacy", "sdk"];
    Server::python().of("modern").tried_by(&clients);
    let fixture = Fixture::start();
    Server::fixture(&fixture).of("modern").tried_by(&clients);
}

/// What the official Python client of one era hears when it asks all there is to ask.
fn toured(entry: &[String], surfaces: &Surfaces, era: &str, steps: &Value) -> Value {
    let front = Front::start(entry, surfaces, "");
    let mut command = Command::new(peer::mcp_python());
    let (url, token) = (front.url(), front.token("alice"));
    command
        .arg(root().join("tests/peers/tour.py"))
        .args([&url, &token, era, &steps.to_string()]);
    let mut said = run(command);
    let revision = said["revision"].take();
    assert_eq!(revision == "2026-07-28", era != "legacy", "{revision}");
    said
}

/// What a client of another era than the server's hears is what it would hear before a server of
/// its own.
fn heard_alike(server: Server, surfaces: &Surfaces, (own, other): (&str, &str), steps: &Value) {
    let at_home = toured(&server.entry, surfaces, own, steps);
    let progress = at_home["steps"][0]["progress"].as_array();
    assert!(progress.is_some_and(|it| it.len() > 2), "{at_home:#}");
    let era = if own == "legacy" { own } else { "modern" };
    let abroad = toured(&server.of(era).entry, surfaces, other, steps);
    assert_eq!(at_home, abroad);
}

#[test]
fn a_client_of_the_newer_era_hears_all_of_a_server_of_the_older() {
    let steps = json!([
        ["call", "trigger-long-running-operation", {"duration": 0.2, "steps": 4}],
        ["call", "echo", {"message": "Grüße\n\"there\""}],
        ["call", "get-structured-content", {"location": "Chicago"}],
        ["call", "get-annotated-message", {"messageType": "error", "includeImage": true}],
        ["call", "get-sum", {"a": "not a number"}],
        ["prompt", "simple-prompt", {}],
        ["prompt", "args-prompt", {"city": "Berlin"}],
        ["prompt", "args-prompt", {}],
        ["complete", "completable-prompt", "department", "S"],
        ["read", "demo://resource/static/document/features.md"],
        ["read", "demo://resource/none"],
    ]);
    let of = |kind: &str| -> Vec<String> {
        let steps = steps.as_array().unwrap().iter();
        let named = steps.filter(|it| it[0] == kind);
        let names: BTreeSet<_> = named.map(|it| it[1].as_str().unwrap().to_owned()).collect();
        names.into_iter().collect()
    };
    let surfaces = Surfaces {
        tools: of("call"),
        prompts: [of("prompt"), of("complete")].concat(),
        resources: of("read"),
        ..Surfaces::default()
    };
    let eras = ("legacy", "2026-07-28");
    heard_alike(Server::everything(), &surfaces, eras, &steps);
}

#[test]
fn a_client_of_the_older_era_hears_all_of_a_server_of_the_newer() {
    let steps = json!([
        ["call", "test_tool_with_progress", {}],
        ["call", "test_multiple_content_types", {}],
        ["call", "test_error_handling", {}],
        ["call", "test_custom_headers", {"region": "eu süd", "count": 3, "flag": true}],
        ["call", "json_schema_2020_12_tool", {"name": "Ada", "address": {"city": "Berlin"}}],
        ["prompt", "test_simple_prompt", {}],
        ["prompt", "test_prompt_with_arguments", {"arg1": "a", "arg2": "b"}],
        ["prompt", "none", {}],
        ["complete", "test_prompt_with_arguments", "arg1", "te"],
        ["read", "test://static-binary"],
        ["read", "test://template/7/data"],
        ["read", "test://none"],
    ]);
    let fixture = Fixture::start();
    let eras = ("2026-07-28", "legacy");
    heard_alike(
        Server::fixture(&fixture),
        &Fixture::surfaces(),
        eras,
        &steps,
    );
}

/// What came of calls that ask the client for something, under this rule.
fn asked(fixture: &Fixture, era: &str, rule: &str) -> (Value, Vec<Value>) {
    let entry = [
        format!("upstream: http://{}/mcp", fixture.address),
        format!("serverRequests: {rule}"),
    ];
    let front = Front::start(&entry, &Fixture::surfaces(), "");
    let mut command = Command::new(peer::mcp_python());
    let script = root().join("tests/peers/asked.py");
    let (url, token) = (front.url(), front.token("alice"));
    command.arg(script).args([&url, &token, era]);
    (run(command), front.rig.events())
}

#[test]
fn the_official_client_is_asked_what_its_server_may_ask_and_nothing_else() {
    let fixture = Fixture::start();
    for era in ["legacy", "2026-07-28"] {
        let all = "{sampling: true, elicitation: {form: true}}";
        let (said, _) = asked(&fixture, era, all);
        assert_eq!(
            said["asked"],
            json!(["sampling", "elicitation"]),
            "{era}: {said}"
        );
        for (kind, answer) in [("sampling", "Paris-model"), ("elicitation", "Ada-user")] {
            let text = said[kind]["text"].as_str().unwrap_or_default();
            // In the stateless era the server says only that all of it was answered.
            let answered = text.contains(answer) || text.contains("everything was answered");
            assert!(answered, "{era}: {said}");
        }
        let (said, _) = asked(&fixture, era, "{elicitation: {form: true}}");
        assert_eq!(said["asked"], json!(["elicitation"]), "{era}: {said}");
        let (said, events) = asked(&fixture, era, "{}");
        assert_eq!(said["asked"], json!([]), "{era}: {said}");
        for kind in ["sampling", "elicitation"] {
            assert_eq!(
                said[kind]["text"].as_str().unwrap_or_default().find("Ada"),
                None
            );
            let failed = said[kind]["error"].is_i64() || said[kind]["is_error"] == true;
            assert!(failed, "{era} {kind}: {said}");
        }
        if era == "2026-07-28" {
            assert_eq!(said["sampling"]["code"], "server_request_denied", "{said}");
            let denied = |it: &&Value| it["reason"] == "server_request_denied";
            assert_eq!(events.iter().filter(denied).count(), 2);
        }
    }
}

#[test]
fn two_callers_at_once_share_one_modern_process_and_have_sessions_of_their_own_before_that() {
    let server = Server::python();
    let front = Front::start(&server.entry, &server.surfaces, "");
    let server = Server {
        tool: "whoami",
        arguments: json!({}),
        ..server
    };
    std::thread::scope(|scope| {
        for client in [
            "python-auto",
            "python-auto",
            "python-legacy",
            "python-legacy",
        ] {
            let (server, front) = (&server, &front);
            scope.spawn(move || assert_eq!(server.said(client, front)["again"], true));
        }
    });
}
