//! `latchkey dev`: a sidecar that enforces the project as it is saved.
//!
//! Each save is checked, tested, packed and put where a sidecar in its development profile takes it.
//! A project with errors leaves what runs in force. Tokens come from a key of this folder alone, in
//! place of the issuers' keys: nothing of it is accepted anywhere else.

mod decisions;
mod tokens;

use std::{
    fs,
    future::poll_fn,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    task::Poll,
    time::{Duration, SystemTime},
};

use latchkey_gate::supply::FIRST_EPOCH;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Exit, Failure, Sound, Terminal, checked, formats, sound, test, watch::stamps};
use crate::{
    cli::{Format, Global},
    matrix,
    model::Model,
    pack::{self, Facts},
    text::Text,
};
use tokens::Issuer;

/// The arguments of `latchkey dev`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server to stand before; the only one of the project by default
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Where the tool server is, instead of where the policy says
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where callers are served; a loopback address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where `/status` and `/metrics` are served; a loopback address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    admin: SocketAddr,
    /// The principals to print tokens for; all of them by default
    #[arg(long = "as", value_name = "PRINCIPAL")]
    principals: Vec<String>,
    /// A value for the group claim of the tokens; may be given several times
    #[arg(long = "group", value_name = "VALUE")]
    groups: Vec<String>,
    /// The sidecar's program; beside this one by default, or else on the path
    #[arg(long, value_name = "FILE")]
    sidecar: Option<PathBuf>,
    /// The folder for the bundle, the key and the sidecar's state
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// How often the project is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Runs until it is told to stop, or the sidecar ends.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("dev", global.format, &[Format::Human])?;
    for (name, address) in [("--listen", args.listen), ("--admin", args.admin)] {
        if !address.ip().is_loopback() {
            let what = format!("{name} {address} is not a loopback address");
            return Err(Failure::usage(what)
                .help("tokens of development are for this machine: use 127.0.0.1 and a port"));
        }
    }
    let folder = folder(args, global)?;
    let bench = Bench {
        program: program(args)?,
        issuer: Issuer::open(&folder.join("token.key"))?,
        folder,
        args,
        global,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(bench.work(terminal))
}

/// All that stays the same from save to save.
struct Bench<'a> {
    args: &'a Args,
    global: &'a Global,
    folder: PathBuf,
    program: PathBuf,
    issuer: Issuer,
}

/// A sidecar that ends with its bench.
struct Sidecar {
    child: Child,
    decisions: Option<mpsc::Receiver<String>>,
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It has ended already where the terminal told both to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bench<'_> {
    async fn work(&self, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
        let mut stop = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ];
        let mut sidecar: Option<Sidecar> = None;
        let mut seen = None;
        loop {
            let now = stamps(&self.global.directory);
            if seen.as_ref() != Some(&now) {
                seen = Some(now);
                let server = self.build(terminal)?;
                if let (None, Some(server)) = (&sidecar, server) {
                    sidecar = Some(self.start(&server, terminal)?);
                }
                terminal.out.flush()?;
            }
            let decisions = sidecar.as_ref().and_then(|it| it.decisions.as_ref());
            for line in decisions.into_iter().flat_map(mpsc::Receiver::try_iter) {
                writeln!(terminal.out, "{line}")?;
            }
            terminal.out.flush()?;
            if let Some(status) = sidecar
                .as_mut()
                .and_then(|it| it.child.try_wait().transpose())
            {
                let what = format!("the sidecar ended: {}", status?);
                return Err(Failure::usage(what).help("what it said last stands above"));
            }
            if tokio::time::timeout(LOOK, any(&mut stop)).await.is_ok() {
                writeln!(terminal.out, "stopped")?;
                return Ok(Exit::Clean);
            }
        }
    }

    /// Puts the project in force if it can be; answers the server that the sidecar stands before.
    fn build(&self, terminal: &mut Terminal<'_>) -> Result<Option<String>, Failure> {
        let Ok(Sound { mut model, sources }) =
            sound(checked(self.global, None)?, self.global, terminal)?
        else {
            writeln!(
                terminal.err,
                "dev: not put in force; what ran before runs on"
            )?;
            return Ok(None);
        };
        let run = matrix::run(&model, &sources);
        let run = run.map_err(|error| test::failure(error, &sources))?;
        let (passed, failed) = run.counts();
        if failed > 0 {
            write!(terminal.err, "{}", matrix::human(&run, &sources))?;
        }
        let server = self.server(&model)?;
        self.issuer.take_over(&mut model);
        if let (Some(url), Some(entry)) =
            (&self.args.upstream, model.servers.get_mut(server.as_str()))
        {
            entry.upstream.clone_from(url);
        }
        let mut files =
            pack::pack(&model, &sources).map_err(|error| Failure::internal(error.to_string()))?;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let version = since.map_or(1, |since| since.as_millis());
        let facts = Facts {
            project: model.project.clone(),
            channel: "main".to_owned(),
            epoch: FIRST_EPOCH,
            version: u64::try_from(version).unwrap_or(1),
            previous: None,
            issued_at: None,
            not_after: None,
            source: None,
            tests: None,
        };
        pack::seal(&mut files, &facts, &sources, &[])
            .map_err(|error| Failure::usage(error.to_string()))?;
        pack::write(&self.folder.join("bundle"), &files)
            .map_err(|error| Failure::usage(error.to_string()))?;
        writeln!(
            terminal.out,
            "dev: in force; {passed} of {} statements of the matrices hold",
            passed + failed
        )?;
        self.issuer.show(&model, self.args, terminal)?;
        Ok(Some(server))
    }

    fn server(&self, model: &Model) -> Result<String, Failure> {
        let names: Vec<&str> = model.servers.keys().map(Text::as_str).collect();
        let all = names.join(", ");
        match (&self.args.server, names.as_slice()) {
            (Some(name), _) if model.servers.contains_key(name.as_str()) => Ok(name.clone()),
            (Some(name), _) => Err(Failure::usage(format!("there is no server `{name}`"))
                .help(format!("the servers are {all}"))),
            (None, [only]) => Ok((*only).to_owned()),
            (None, _) => Err(Failure::usage("which server is meant is open".to_owned())
                .help(format!("name one with `--server`: {all}"))),
        }
    }

    fn start(&self, server: &str, terminal: &mut Terminal<'_>) -> Result<Sidecar, Failure> {
        let settings = toml::toml! {
            bundle = {source = "bundle", poll = "200ms"}
            state = {directory = "state"}
            audit = {file = "-"}
            profile = {development = true}
        };
        let path = self.folder.join("sidecar.toml");
        fs::write(&path, settings.to_string())
            .map_err(|error| Failure::file("write", &path, &error))?;
        let set = |key: &str, value: String| ["--set".to_owned(), format!("{key}={value}")];
        let child = Command::new(&self.program)
            .arg("--config")
            .arg(&path)
            .args(set("bundle.server", format!("\"{server}\"")))
            .args(set("listen.address", self.args.listen.to_string()))
            .args(set("admin.address", self.args.admin.to_string()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.map_err(|error| Failure::file("start", &self.program, &error))?;
        let decisions = child.stdout.take().map(decisions::follow);
        writeln!(
            terminal.out,
            "dev: {server} is served at http://{}, its status at http://{}/status",
            self.args.listen, self.args.admin
        )?;
        Ok(Sidecar { child, decisions })
    }
}

/// Waits for any of the signals.
async fn any(signals: &mut [Signal; 2]) {
    poll_fn(|cx| {
        if signals.iter_mut().any(|it| it.poll_recv(cx).is_ready()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// The sidecar's program: as given, beside this one, or by its name on the path.
fn program(args: &Args) -> Result<PathBuf, Failure> {
    if let Some(program) = &args.sidecar {
        return if program.is_file() {
            Ok(program.clone())
        } else {
            Err(
                Failure::usage(format!("`{}` is no file", program.display()))
                    .help("give the program `latchkey-sidecar` after `--sidecar`"),
            )
        };
    }
    let name = format!("latchkey-sidecar{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok();
    let beside = beside.map(|program| program.with_file_name(&name));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(&name));
    let found = beside.into_iter().chain(on_path).find(|it| it.is_file());
    found.ok_or_else(|| {
        Failure::usage(
            "`latchkey-sidecar` is neither beside this program nor on the path".to_owned(),
        )
        .help("install it there, or give it with `--sidecar`")
    })
}

/// The folder of this project's development state, made if need be.
fn folder(args: &Args, global: &Global) -> Result<PathBuf, Failure> {
    let given = args.state.clone();
    let folder = given.map_or_else(|| usual_folder(global), Ok)?;
    fs::create_dir_all(&folder).map_err(|error| Failure::file("make", &folder, &error))?;
    Ok(folder)
}

/// Where the state of a project is kept between runs: outside it, so that Git sees nothing of it.
fn usual_folder(global: &Global) -> Result<PathBuf, Failure> {
    let project = fs::canonicalize(&global.directory)
        .map_err(|error| Failure::file("find", &global.directory, &error))?;
    let name: String = project
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let base = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    let base = base.or_else(home).ok_or_else(|| {
        Failure::usage("there is no home folder to keep the state in".to_owned())
            .help("name a folder with `--state`")
    })?;
    Ok(base.join("latchkey/dev").join(name.trim_matches('-')))
}
