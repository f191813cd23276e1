//! What a reviewer waits for, as whole processes on large projects: `test`, `diff`, `check`,
//! `who-can`, `what-can`, `explain` and `replay`: `review [FOLDER]`, where the projects are kept.

use std::{
    fmt::Write as _,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use latchkey_bench::{
    process::{self, Failure, Folder},
    project::{self, Size},
    table::{Table, bytes, nanoseconds},
};
use sha2::{Digest as _, Sha256};

/// The project of `test`: 1,000 files with 21 cells each, and what they test.
const TESTED: Size = Size {
    files: 100,
    bindings: 20,
    rules: 100,
    servers: 40,
};
const MATRICES: usize = 1000;
/// The project of everything else.
const LARGE: Size = Size {
    files: 1000,
    bindings: 100,
    rules: 10_000,
    servers: 1,
};
const RUNS: usize = 3;
/// Events of the log that is replayed.
const EVENTS: usize = 1_000_000;

fn main() -> Result<(), Failure> {
    let bench = Bench {
        latchkey: process::beside("latchkey")?,
        table: Table::new(&["latchkey", "CPU, least", "peak memory", "the aim"]),
        folder: Folder::asked_for("review")?,
    };
    bench.measure()
}

struct Bench {
    latchkey: PathBuf,
    table: Table,
    folder: Folder,
}

impl Bench {
    fn measure(mut self) -> Result<(), Failure> {
        self.matrices()?;
        self.mutants()?;
        self.large()?;
        self.replay()?;
        let title = format!("Whole processes, CPU of all threads, {RUNS} runs each");
        self.table.print(&title);
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        self.folder.file(name).display().to_string()
    }

    fn matrices(&mut self) -> Result<(), Failure> {
        let policy = self.path("tested");
        if !Path::new(&policy).exists() {
            project::write_tested(Path::new(&policy), TESTED, MATRICES)?;
            let _ = self.once(&["-C", &policy, "test", "--bless"])?;
            let (said, ..) = self.once(&["-C", &policy, "--format", "json", "test"])?;
            project::write_others(Path::new(&policy), &said)?;
        }
        let check = ["-C", &policy, "check"];
        self.row("check, the project of `test`", "", &check)?;
        let said = self.row("test, 21,000 cells", "0.3 s", &["-C", &policy, "test"])?;
        if !said.contains("as expected") || said.contains("not as expected") {
            return Err(format!("a cell is not as expected: {said}").into());
        }
        Ok(())
    }

    fn mutants(&mut self) -> Result<(), Failure> {
        let starter = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies");
        let command = ["-C", starter, "test", "--mutate"];
        self.row("test --mutate, starter library", "10 s", &command)?;
        Ok(())
    }

    fn large(&mut self) -> Result<(), Failure> {
        let (policy, changed) = (self.path("large"), self.path("changed"));
        let (old, new) = (self.path("old"), self.path("new"));
        if !Path::new(&policy).exists() {
            project::write(Path::new(&policy), LARGE)?;
            project::write_changed(Path::new(&changed), LARGE)?;
        }
        let build = ["build", "--sequence", "1", "--out"];
        let check = ["-C", &policy, "check"];
        self.row("check, 100,000 bindings, 10,000 rules", "", &check)?;
        let first = [&["-C", &policy][..], &build, &[&old]].concat();
        self.row("build", "", &first)?;
        let second = [&["-C", &changed][..], &build, &[&new]].concat();
        self.once(&second)?;
        let report = self.row("diff, 50 changes", "1 s", &["diff", &old, &new])?;
        let findings = self.once(&["--format", "json", "diff", &old, &new])?;
        println!(
            "  diff says:\n{}",
            report.lines().take(3).collect::<String>()
        );
        println!("  {} bytes of findings", findings.0.len());
        self.row("diff, equal bundles", "50 ms", &["diff", &old, &old])?;
        let who = ["who-can", "tools/tool_000", "--bundle", &old];
        self.row("who-can", "", &who)?;
        let what = ["what-can", "p-000201", "--bundle", &old];
        self.row("what-can", "", &what)?;
        let call = r#"{"caller":{"principal":"p-000201"},"server":"tools","tool":"tool_000",
            "arguments":{"repo":"repo-001","amount":5,"note":"x"},"at":"2026-12-01T10:00:00Z"}"#;
        let explain = ["explain", "--call", call, "--bundle", &old];
        self.row("explain --call", "", &explain)?;
        Ok(())
    }

    /// A million events through a pipe: nothing of them may stay in memory.
    fn replay(&mut self) -> Result<(), Failure> {
        let (old, new) = (self.path("old"), self.path("new"));
        let slice = fs::read(Path::new(&old).join("all.lkb"))?;
        let digest = hex(&Sha256::digest(&slice));
        for (name, events) in [
            ("replay, 1,000 lines", 1000),
            ("replay, 1,000,000 lines", EVENTS),
        ] {
            let command = ["replay", "-", "--candidate", &new, "--baseline", &old];
            let mut log = Log::new(&digest, events);
            let run = self.run(&command, |into| log.write(into))?;
            if !run.0.contains("same") {
                return Err(format!("replay said: {}", run.0).into());
            }
            self.add(name, "", &[run]);
        }
        Ok(())
    }

    /// Runs a command a few times, and adds the least to the table.
    fn row(&mut self, name: &str, aim: &str, command: &[&str]) -> Result<String, Failure> {
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(self.once(command)?);
        }
        self.add(name, aim, &runs);
        Ok(runs.pop().map(|it| it.0).unwrap_or_default())
    }

    fn add(&mut self, name: &str, aim: &str, runs: &[Run]) {
        let least = runs.iter().map(|it| it.1).fold(f64::INFINITY, f64::min);
        let most = runs.iter().map(|it| it.2).fold(0.0, f64::max);
        let row = [name, &nanoseconds(least), &bytes(most), aim];
        println!("  {}", row.join("  "));
        self.table.row(row.map(str::to_owned));
    }

    fn once(&self, command: &[&str]) -> Result<Run, Failure> {
        self.run(command, |_| Ok(()))
    }

    /// Runs a command to its end, feeding its input. Findings are no failure.
    fn run(
        &self,
        command: &[&str],
        feed: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + Send,
    ) -> Result<Run, Failure> {
        let said = self.folder.file("said");
        let mut child = Command::new(&self.latchkey);
        child.args(command).stdout(fs::File::create(&said)?);
        let (spent, _, peak) = process::measured(&mut child, 3, feed)?;
        Ok((fs::read_to_string(said)?, spent, peak))
    }
}

/// What a process said, its CPU time in nanoseconds, its peak memory in bytes.
type Run = (String, f64, f64);

/// A chained audit log of calls to the large project.
struct Log<'d> {
    digest: &'d str,
    events: usize,
}

impl<'d> Log<'d> {
    fn new(digest: &'d str, events: usize) -> Self {
        Self { digest, events }
    }

    fn write(&mut self, into: &mut dyn Write) -> std::io::Result<()> {
        let mut into = std::io::BufWriter::with_capacity(1 << 16, into);
        let mut before = String::new();
        for at in 0..self.events {
            let body = self.event(at, &before);
            before = hex(&Sha256::digest(format!("{body}}}")));
            writeln!(into, "{body},\"hash\":\"{before}\"}}")?;
        }
        into.flush()
    }

    /// One event without its end.
    fn event(&self, at: usize, before: &str) -> String {
        let who = at * 7919 % 10_000;
        let (team, tool, amount) = (who % 200, at % 200, at % 190);
        let scope = format!("org-{:02}/team-{}", team / 10, team % 10);
        let digest = self.digest;
        format!(
            "{{\"schema_version\":1,\"event_id\":\"{at}\",\"event_time\":\"2026-12-01T10:00:00Z\",\
             \"event_type\":\"request\",\"request_id\":\"r\",\"trace_id\":\"t\",\"span_id\":\"s\",\
             \"principal_id\":\"p-{who:06}\",\"principal_type\":\"human\",\"scope\":[\"{scope}\"],\
             \"groups\":[],\"issuer\":\"idp\",\"server\":\"tools\",\"method\":\"tools/call\",\
             \"path_template\":\"/mcp\",\"surface_id\":\"tools/tool_{tool:03}\",\
             \"required_permissions\":[\"tools:tools/tool_{tool:03}:call\"],\
             \"authz\":{{\"input\":{{\"chain\":[\"p-{who:06}\"],\"slots\":{{\"args.amount\":{{\"value\":\"{amount}\"}}}}}},\
             \"output\":{{\"granted_by\":[],\"matched\":[],\"failed\":[\"no_permission\"],\
             \"missed\":{{}},\"undetermined\":[]}}}},\
             \"decision\":\"deny\",\"outcome\":\"denied\",\"reason\":\"no_permission\",\
             \"severity\":\"normal\",\"status\":200,\"latency_us\":100,\"upstream_latency_us\":0,\
             \"bytes_in\":500,\"bytes_out\":100,\"bundle_digest\":\"{digest}\",\"sidecar_id\":\"a\",\
             \"sidecar_version\":\"1\",\"prev_hash\":\"{before}\""
        )
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
