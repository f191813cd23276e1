//! Single mistakes: the message and the exact text that is underlined.

use super::*;

#[track_caller]
fn one(text: &str, expected: &str) {
    assert_eq!(of(text), [expected]);
}

#[test]
fn the_yaml_subset() {
    one(
        "groups: {g: {members: [&a x]}}\n",
        "1:24 LK0005 [&a] anchors and aliases are not used here",
    );
    one(
        "groups: {g: {members: [!!str x]}}\n",
        "1:24 LK0006 [!!str] YAML tags are not used here",
    );
    one(
        "groups: {}\n---\nroles: {}\n",
        "2:1 LK0007 [---] a file holds one YAML document",
    );
    one(
        "%YAML 1.2\n---\ngroups: {}\n",
        "1:1 LK0007 [%] YAML directives are not used here",
    );
    one(
        "groups:\n  g: {members: [a]}\n  g: {members: [b]}\n",
        "3:3 LK0009 [g] the key `g` is already in this map",
    );
    one(
        "groups: {g: {members: ~}}\n",
        "1:23 LK0010 [~] null is not a value here",
    );
    one("groups:\n", "1:1 LK0010 [groups] `groups` has no value");
    one(
        "groups: {g: {members: [no]}}\n",
        "1:24 LK0011 [no] `no` is text for some YAML readers and a boolean for others",
    );
    one(
        "groups: {g: {<<: {members: [a]}, members: [a]}}\n",
        "1:14 LK0005 [<<] merge keys are not used here",
    );
    one(
        "groups: {? [a] : {members: [a]}}\n",
        "1:12 LK0016 [[a]] a key must be text, and this is a list",
    );
    one(
        "groups: {} # a\u{202e}b\n",
        "1:15 LK0008 [\u{202e}] a bidirectional control character (U+202E) is not allowed here",
    );
    one(
        "\u{feff}groups: {}\n",
        "1:1 LK0008 [\u{feff}] a byte-order mark (U+FEFF) is not allowed here",
    );
    one(
        "groups: {}\n\t\n",
        "2:1 LK0008 [\t] a tab (U+0009) is not allowed here",
    );
}

#[test]
fn deep_nesting_is_refused_once_and_at_once() {
    let found = of(&format!("groups: {{g: {}", "[".repeat(100_000)));
    assert_eq!(found.len(), 1, "{:?}", found.first());
    assert!(
        found[0].ends_with("LK0012 [[] values are nested deeper than 64 levels"),
        "{found:?}"
    );
}

#[test]
fn aliases_are_refused_where_they_stand() {
    let found = of("groups: {a: {members: &x [m]}, b: {members: *x}}\n");
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        found[1],
        "1:45 LK0005 [*x] anchors and aliases are not used here"
    );
}

#[test]
fn an_unclosed_quote_is_pointed_at() {
    let (sources, _, report) = run(&[("a.yaml", "groups:\n  g: {members: [\"a]}\n")]);
    let found = &report.diagnostics[0];
    assert_eq!(found.code.id, "LK0004");
    let marked: Vec<_> = found.labels.iter().map(|l| sources.place(l.span)).collect();
    assert!(marked.contains(&"a.yaml:2:17".to_owned()), "{marked:?}");
}

#[test]
fn shapes_and_values() {
    one(
        "groups: [a]\n",
        "1:9 LK0016 [[a]] expected a map (from name to entry), found a list",
    );
    one(
        "groups: {g: {members: a}}\n",
        "1:23 LK0016 [a] expected a list, found text",
    );
    one(
        "groups: {g: {members: [12]}}\n",
        "1:24 LK0016 [12] expected a name, found a number",
    );
    one(
        "groups: {g: {members: []}}\n",
        "1:23 LK0019 [[]] `members` lists nothing",
    );
    one(
        "groups: {g: {members: [a, b, a]}}\n",
        "1:30 LK0027 [a] `a` is already listed",
    );
    one(
        "groups: {g: {}}\n",
        "1:10 LK0015 [g] this group needs `members` or `from`",
    );
    one(
        "groups: {G: {members: [a]}}\n",
        "1:10 LK0018 [G] `G` is not a name",
    );
    one(
        "groups: {g: {members: [a], within: a/b/c}}\n",
        "1:36 LK0018 [a/b/c] `b/c` is not the name of an organization or team",
    );
    one(
        "organizations: {a: {id: 0192F0C1-7a10-7c3e-9b5a-5d1f0c9a1e01}}\n",
        "1:25 LK0017 [0192F0C1-7a10-7c3e-9b5a-5d1f0c9a1e01] \
         `0192F0C1-7a10-7c3e-9b5a-5d1f0c9a1e01` is not a UUID in lowercase",
    );
}

#[test]
fn values_of_bindings_and_rules() {
    one(
        "bindings: {b: {who: [everyone], roles: [r], in: acme}}\n",
        "1:22 LK0017 [everyone] a binding cannot name `everyone`",
    );
    one(
        "bindings: {b: {who: [a], roles: [r], in: acme, crossOrganization: true}}\n",
        "1:48 LK0022 [crossOrganization] `crossOrganization` needs `reason`",
    );
    one(
        "bindings: {b: {who: [\"type:robot\"], roles: [r], in: acme}}\n",
        "1:22 LK0017 [\"type:robot\"] `robot` is not a value of `type`",
    );
    one(
        "bindings: {b: {who: [a], roles: [r], in: acme, expires: \"2027-02-30\"}}\n",
        "1:57 LK0017 [\"2027-02-30\"] `2027-02-30` is not a date or a time: \
         the month has no such day",
    );
    one(
        "rules: {r: {effect: deny}}\n",
        "1:9 LK0015 [r] this rule has no `message`",
    );
    one(
        "rules: {r: {effect: require, require: {rate: 30}}}\n",
        "1:46 LK0016 [30] expected a rate such as `30/m`, found a number",
    );
    one(
        "rules: {r: {effect: require, require: {}}}\n",
        "1:30 LK0015 [require] this requirement needs `rate` or `concurrency`",
    );
    one(
        "rules: {r: {effect: require, require: {rate: {teem: 30/m}}}}\n",
        "1:47 LK0014 [teem] there is no pool `teem`",
    );
    one(
        "rules: {r: {effect: require, require: {concurrency: {team: 0}}}}\n",
        "1:60 LK0017 [0] `0` is not a whole number",
    );
    one(
        "rules: {r: {effect: allow, message: m}}\n",
        "1:21 LK0017 [allow] `allow` is not a value of `effect`",
    );
}

#[test]
fn an_unquoted_date_is_one_finding_with_a_fix_and_still_read() {
    let text = "bindings: {b: {who: [a], roles: [r], in: acme, expires: 2027-03-31}}\n";
    let (_, read, report) = run(&[("a.yaml", text)]);
    assert_eq!(report.diagnostics.len(), 1);
    assert_eq!(
        report.diagnostics[0].fixes[0].edits[0].insert,
        "\"2027-03-31\""
    );
    assert_eq!(
        read.bindings
            .get("b")
            .unwrap()
            .expires
            .as_ref()
            .unwrap()
            .value
            .0,
        1_806_451_200
    );
    let suspended = "principals: {p: {type: human, in: acme, suspended: no, \
        identity: {issuer: i, subject: s}}}\n";
    assert_eq!(of(suspended).len(), 1);
}

const SERVER: &str = "servers:\n  s:\n    in: acme\n    upstream: http://a/mcp\n";

#[test]
fn values_of_servers() {
    let server = |rest: &str| format!("{SERVER}    {rest}\n");
    one(
        &server("tools: {t: {}}"),
        "5:13 LK0015 [t] this tool needs `risk` or `operations`",
    );
    one(
        &server("tools: {\"a b\": {risk: read}}"),
        "5:13 LK0018 [\"a b\"] `a b` is not the name of a tool, prompt, resource or route",
    );
    one(
        &server("tools: {t: {risk: read, unlock: grant}}"),
        "5:29 LK0022 [unlock] `unlock` has no place in this tool",
    );
    one(
        &server("tools: {t: {risk: read, access: public}}"),
        "5:29 LK0022 [access] `access` needs `reason`",
    );
    one(
        &server("tools: {t: {risk: reed}}"),
        "5:23 LK0017 [reed] `reed` is not a value of `risk`",
    );
    one(
        &server("tools: {t: {risk: read}}\n    prompts: {t: {risk: read}}"),
        "6:15 LK0021 [t] the server already has a surface `t`",
    );
    one(
        &server("routes: {r: {risk: read, method: GET, path: /}}"),
        "5:5 LK0022 [routes] `routes` has no place in this server",
    );
    one(
        &server("arguments: {a: {forbid: true, force: x}}"),
        "5:35 LK0022 [force] `forbid` and `force` exclude each other",
    );
    one(
        &server("limits: {body: 64KB}"),
        "5:20 LK0017 [64KB] `64KB` is not a size",
    );
    one(
        &server("scopes: {from: {argument: a}, map: {\"*x\": acme}}"),
        "5:41 LK0017 [\"*x\"] `*x` is neither a value nor a prefix",
    );
    one(
        &server("scopes: everywhere"),
        "5:13 LK0017 [everywhere] `everywhere` is not a source of scopes",
    );
    one(
        &server("lock: missing.lock.json"),
        "5:11 LK0026 [missing.lock.json] there is no file `missing.lock.json`",
    );
    one(
        &server("lock: ../../x.lock.json"),
        "5:11 LK0026 [../../x.lock.json] `../../x.lock.json` is not a path inside the project",
    );
    one(
        "servers: {s: {in: acme, upstream: \"ftp://x\"}}\n",
        "1:35 LK0017 [\"ftp://x\"] `ftp://x` is not the address of an upstream",
    );
}

#[test]
fn a_server_has_an_address_or_a_command() {
    let server = |rest: &str| format!("servers:\n  s:\n    in: acme\n{rest}");
    let stdio = |rest: &str| server(&format!("    transport: mcp-stdio\n{rest}"));
    one(&server(""), "2:3 LK0015 [s] this server has no `upstream`");
    one(&stdio(""), "2:3 LK0015 [s] this server has no `command`");
    one(
        &stdio("    command: [a]\n    upstream: http://a\n"),
        "6:5 LK0022 [upstream] `upstream` has no place in this server",
    );
    one(
        &server("    command: [a]\n"),
        "4:5 LK0022 [command] `command` has no place in this server",
    );
    one(
        &format!("{SERVER}    environment: [PATH]\n"),
        "5:5 LK0022 [environment] `environment` has no place in this server",
    );
    one(
        &stdio("    command: []\n"),
        "5:14 LK0019 [[]] `command` names no program",
    );
    one(
        &stdio("    command: [\"\", a]\n"),
        "5:14 LK0019 [[\"\", a]] `command` names no program",
    );
    one(
        &stdio("    command: [a, 3000]\n"),
        "5:18 LK0016 [3000] expected text, found a number",
    );
    one(
        &stdio("    command: [a]\n    environment: [\"A B=c\"]\n"),
        "6:19 LK0017 [\"A B=c\"] `A B` is not the name of a variable",
    );
    one(
        &stdio("    command: [a]\n    environment: [A=b, A]\n"),
        "6:24 LK0027 [A] the variable `A` is already listed",
    );
    // A program may be given a word twice, and an empty one.
    let sound = stdio("    command: [a, -e, x, -e, \"\"]\n    environment: [PATH, \"A=\"]\n");
    assert_eq!(of(&sound), Vec::<String>::new());
}

#[test]
fn lock_files_are_strict() {
    let server = format!("{SERVER}    lock: s.lock.json\n");
    let with = |lock: &str| findings(&[("a.yaml", &server), ("s.lock.json", lock)]);
    assert_eq!(with(r#"{"version":1,"tools":{}}"#), Vec::<String>::new());
    assert_eq!(
        with(r#"{"version":2,"tools":{}}"#),
        ["s.lock.json:1:1 LK0026 [{] the version of the lock file is not 1"]
    );
    assert_eq!(
        with("{\"version\":1,\n \"tools\":{},}"),
        ["s.lock.json:2:13 LK0026 [}] trailing comma"]
    );
    let twice = with(r#"{"version":1,"tools":{"a":{},"a":{}}}"#);
    assert!(twice[0].contains("LK0026") && twice[0].contains("the key `a` is there twice"));
    let right = "sha256:d9d719b27480b55cd4918020e7473e716ed3569c8adafe926cf9b10b4f8ef064";
    let tool = |name: &str, pin: &str, more: &str| {
        let definition = r#"{"name":"a"}"#;
        with(&format!(
            r#"{{"version":1,"tools":{{"{name}":{{"definition":{definition},"pin":"{pin}"{more}}}}}}}"#
        ))
    };
    assert_eq!(tool("a", right, ""), Vec::<String>::new());
    let wrong = [
        (
            tool("a", right, r#","note":1"#),
            "the tool `a` has other keys than `definition` and `pin`",
        ),
        (
            tool("b", right, ""),
            "the tool `b` has a definition of another name",
        ),
        (
            tool("a", &right.replace("9d7", "9d8"), ""),
            "the tool `a` has a pin that is not the digest of its definition",
        ),
        (
            with(r#"{"version":1,"tools":{"a":{}}}"#),
            "the tool `a` has no object `definition`",
        ),
        (
            with(r#"{"version":1,"paths":{}}"#),
            "a lock file has no key `paths`",
        ),
    ];
    for (found, expected) in wrong {
        assert!(found[0].ends_with(expected), "{found:?}");
    }
}

fn matrix(expect: &str) -> String {
    let rows = expect.replace('\n', "\n      ");
    format!(
        "matrices:\n  m:\n    server: s\n    at: \"2026-12-01\"\n    callers: {{bot: {{principal: b}}}}\n    \
         calls: {{read it: {{t: {{}}}}}}\n    expect: |\n      {rows}\n"
    )
}

#[test]
fn tables_fit_their_callers_and_calls() {
    assert_eq!(of(&matrix(". bot\nread it allow")), Vec::<String>::new());
    one(
        &matrix(". boot\nread it allow"),
        "8:9 LK0025 [boot] this matrix has no caller `boot`",
    );
    one(
        &matrix(". bot\nread at allow"),
        "9:7 LK0025 [read at] this matrix has no call `read at`",
    );
    one(
        &matrix(". bot\nread it allow\nread it allow"),
        "10:7 LK0025 [read it] the call `read it` already has a row",
    );
    one(
        &matrix(". bot"),
        "7:5 LK0025 [expect] the table has no row for the call `read it`",
    );
    one(
        &matrix(". bot\nallow"),
        "9:7 LK0025 [allow] this row needs a call and 1 outcomes, and has 1 words",
    );
    one(
        &matrix("bot\nread it allow"),
        "8:7 LK0025 [bot] the first row must begin with `.`",
    );
}

#[test]
fn callers_and_calls_of_a_matrix() {
    let base = matrix(". bot\nread it allow");
    one(
        &base.replace("{principal: b}", "{groups: [g]}"),
        "5:15 LK0015 [bot] this caller says nothing about who it is",
    );
    one(
        &base.replace("{principal: b}", "{subject: b}"),
        "5:21 LK0022 [subject] `subject` needs `issuer`",
    );
    one(
        &base.replace("{principal: b}", "{anonymous: true, groups: [g]}"),
        "5:38 LK0022 [groups] `anonymous` and `groups` exclude each other",
    );
    one(
        &base.replace("{t: {}}", "{t: {}, u: {}}"),
        "6:13 LK0016 [read it] a call names one surface with its arguments",
    );
    one(
        &base.replace("{t: {}}", "{t: [1]}"),
        "6:26 LK0016 [[1]] expected a map of arguments, `{}` for none, found a list",
    );
    let other = format!("{base}    others: {{boot: []}}\n");
    one(
        &other,
        "10:14 LK0025 [boot] `boot` is not a caller of this matrix",
    );
}

#[test]
fn the_project_file() {
    let with = |toml: &str| findings(&[("latchkey.toml", toml), ("a.yaml", "groups: {}\n")]);
    assert_eq!(
        with("[project]\nname = \"p\"\n[trust]\nci = \"k\"\n"),
        Vec::<String>::new()
    );
    assert_eq!(
        with("[project]\nname = \"p\"\ninclud = [\"x\"]\n"),
        ["latchkey.toml:3:1 LK0014 [includ] a project table has no key `includ`"]
    );
    assert_eq!(
        with("[project]\nname = \"p\"\ninclude = [\"x/*.yaml\"]\n"),
        ["latchkey.toml:3:12 LK0024 [\"x/*.yaml\"] the glob `x/*.yaml` matches no file"]
    );
    assert_eq!(
        with("[project]\nname = \"p\"\n[lints]\nyaml-syntax = \"allow\"\n"),
        ["latchkey.toml:4:1 LK0017 [yaml-syntax] `yaml-syntax` is an error and has no level"]
    );
    assert_eq!(
        with("[project]\nname = \"p\"\n[lints]\nnonsense = \"allow\"\n"),
        ["latchkey.toml:4:1 LK0014 [nonsense] there is no lint `nonsense`"]
    );
    assert!(with("[project\n")[0].contains("LK0023"));
    assert_eq!(
        with(""),
        ["latchkey.toml:1:1 LK0015 [] this project file has no `project`"]
    );
}

#[test]
fn files_that_cannot_be_read() {
    let large = "#".repeat(crate::source::MAX_FILE_BYTES + 1);
    assert_eq!(of(&large), ["1:1 LK0003 [] `a.yaml` is larger than 4 MiB"]);
    let mut tree: Memory = [("a.yaml", b"a: \xff\n".to_vec())].into_iter().collect();
    tree.0
        .insert("b.yaml".to_owned(), Err("permission denied".to_owned()));
    let mut sink = Sink::new();
    let (sources, project) = project::open(&tree, &mut sink);
    parse(&sources, &project, &mut sink);
    let report = sink.finish(&Levels::new());
    let messages: Vec<_> = report
        .diagnostics
        .iter()
        .map(|f| f.message.as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "`b.yaml` cannot be read: permission denied",
            "there is no `latchkey.toml`",
            "this byte is not UTF-8"
        ]
    );
}

#[test]
fn thirty_mistakes_in_twelve_files_are_thirty_findings() {
    let files = [
        (
            "01.yaml",
            "organisations: {}\nbudgets: {}\ngroups: {g1: {}}\n",
        ),
        (
            "02.yaml",
            "groups:\n  G2: {members: [a]}\n  g3: {members: []}\n  g4: {member: [a], members: [a]}\n",
        ),
        (
            "03.yaml",
            "principals:\n  p: {type: robot, in: acme, identity: {issuer: i, subject: s}}\n  q: {type: human, in: acme}\n",
        ),
        (
            "04.yaml",
            "roles:\n  r1: {allow: {s: get}}\n  r2: {allow: {s: [a, a]}}\n  r3: {}\n",
        ),
        (
            "05.yaml",
            "bindings:\n  b1: {who: [everyone], roles: [r], in: acme}\n  b2: {who: [a], in: acme}\n",
        ),
        (
            "06.yaml",
            "rules:\n  u1: {effect: deny}\n  u2: {effect: require, require: {rate: 1/d}}\n  u3: {effect: denny, message: m}\n",
        ),
        (
            "07.yaml",
            "servers:\n  s1: {in: acme, upstream: nowhere}\n  s2: {in: acme, upstream: http://a, egress: {}}\n",
        ),
        (
            "08.yaml",
            "servers:\n  s3: {in: acme, upstream: http://a, tools: {t: {risk: high}, u: {}}}\n",
        ),
        (
            "09.yaml",
            "issuers:\n  i1: {issuer: x, audiences: [a], organizations: [acme], jwks: {inline: {keys: []}}, clockSkew: 5}\n",
        ),
        (
            "10.yaml",
            "groups: {g9: {members: [no, 014, 2027-01-01]}, g12: {members: a}}\n",
        ),
        (
            "11.yaml",
            "groups: {g10: {members: [&a x]}, g11: {members: [a]}, g11: {members: [b]}}\n",
        ),
        (
            "12.yaml",
            "organizations: {acme: {id: X, region: eu}}\nroles:\n  broken: [\n",
        ),
    ];
    let found = findings(&files);
    assert_eq!(found.len(), 30, "{found:#?}");
    let touched: BTreeSet<_> = found.iter().map(|f| f.split(':').next().unwrap()).collect();
    assert_eq!(touched.len(), 12, "{found:#?}");
}

#[test]
fn the_pages_that_a_server_may_open_are_hosts() {
    one(
        "servers: {g: {in: platform, upstream: \"http://x/\", serverRequests: {elicitation: {url: [\"https://a.example/\"]}}}}\n",
        "1:89 LK0017 [\"https://a.example/\"] `https://a.example/` is not the name of a host",
    );
}
