//! `latchkey-sidecar --config FILE`: settings, bind, run, drain.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use latchkey_sidecar::{
    config::{Config, ConfigError, LogConfig, LogFormat, Sources, log_filter_of},
    listen::Address,
    preflight,
    run::{Running, StartError},
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command line cannot be understood, or the settings cannot be used.
const USAGE: u8 = 2;
/// The settings are good, but the sidecar cannot start with them.
const CANNOT_START: u8 = 1;
/// Requests were still in flight when the time to drain was over.
const CUT_OFF: u8 = 3;

const HELP: &str = "\
Usage: latchkey-sidecar [--config FILE] [--set SECTION.KEY=VALUE]... [--check | --check-config | --init]

Enforces a bundle on every request to a tool server.

  --config FILE    the settings (TOML)
  --set S.K=VALUE  one setting, before the variable LATCHKEY_<SECTION>_<KEY>, before the file
  --check          read and check the settings alone, then stop
  --check-config   check all that can be checked without serving, print the settings, then stop
  --init           write an empty version floor, which `[state] required` asks for, then stop
  --version        print the version, then stop
  --help           print this, then stop

SIGTERM and SIGINT drain and stop. SIGHUP asks the bundle source at once, and opens the audit log
anew if it was moved away.
The log level is taken from LATCHKEY_LOG (for example `info` or `supply=debug`).
Exit codes: 0 stopped, 1 cannot start, 2 usage or settings, 3 requests were cut off.
";

enum Command {
    Run {
        file: Option<PathBuf>,
        flags: Vec<String>,
        then: Then,
    },
    Print(String),
}

/// What is done with the settings once they are read.
enum Then {
    Serve,
    Stop,
    Check,
    Init,
}

/// The settings of the file, the environment and the flags.
fn settings(file: Option<&Path>, flags: &[String]) -> Result<(Config, Sources), ConfigError> {
    let mut sources = file.map_or_else(|| Ok(Sources::default()), Sources::file)?;
    sources.environment(std::env::vars_os())?;
    for flag in flags {
        sources.flag(flag)?;
    }
    let base = file.and_then(Path::parent).unwrap_or_else(|| Path::new(""));
    Ok((sources.read(base)?, sources))
}

/// Says what keeps the sidecar from serving with these settings, or what they are.
fn check(config: &Config, sources: &Sources) -> ExitCode {
    use std::io::Write;
    let faults = preflight::faults(config);
    if faults.is_empty() {
        // A closed pipe is no error of ours.
        let _ = std::io::stdout().write_all(sources.show().as_bytes());
        return ExitCode::SUCCESS;
    }
    let lines: Vec<String> = faults.iter().map(|it| format!("error: {it}")).collect();
    say(&(lines.join("\n") + "\n"), CANNOT_START)
}

fn main() -> ExitCode {
    let command = match parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(error) => return say(&format!("error: {error}\n\n{HELP}"), USAGE),
    };
    let (file, flags, then) = match command {
        Command::Run { file, flags, then } => (file, flags, then),
        Command::Print(text) => {
            use std::io::Write;
            // A closed pipe is no error of ours.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
    };
    let (config, sources) = match settings(file.as_deref(), &flags) {
        Ok(settings) => settings,
        Err(error) => return say(&format!("error: {error}\n"), USAGE),
    };
    let filter = match log_filter(&config.log) {
        Ok(filter) => filter,
        Err(error) => return say(&format!("error: {error}\n"), USAGE),
    };
    match then {
        Then::Serve => {}
        Then::Stop => return ExitCode::SUCCESS,
        Then::Check => return check(&config, &sources),
        Then::Init => return init(&config),
    }
    log(&config.log, filter);
    if config.profile.development {
        tracing::warn!(
            "DEVELOPMENT PROFILE: unsigned bundles are taken. Who can write to {} makes policy.",
            config.bundle.source
        );
    }
    match run(config) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(CUT_OFF),
        Err(error) => say(&format!("error: {error}\n"), CANNOT_START),
    }
}

fn init(config: &Config) -> ExitCode {
    let folder = &config.state.directory;
    match latchkey_sidecar::supply::init(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say(
            &format!("error: {}: {error}\n", folder.display()),
            CANNOT_START,
        ),
    }
}

fn run(config: Config) -> Result<bool, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut terminate, mut interrupt, mut hang_up) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        )
    };
    let running = Running::start(config).map_err(|error: StartError| Box::new(error))?;
    let addresses: Vec<String> = running.addresses.iter().map(Address::to_string).collect();
    tracing::info!(address = addresses.join(", "), admin = %running.admin, "serving");
    runtime.block_on(async {
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = hang_up.recv() => {
                    running.shared().audit.look();
                    running.shared().poll_now();
                }
                () = running.shared().handed_over() => return,
            }
        }
    });
    tracing::info!("draining");
    let clean = running.drain();
    tracing::info!(clean, "stopped");
    Ok(clean)
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut file = None;
    let mut flags = Vec::new();
    let mut then = Then::Serve;
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--config") => {
                let path = arguments.next().ok_or("--config needs a file")?;
                file = Some(PathBuf::from(path));
            }
            Some("--set") => {
                let flag = arguments.next().ok_or("--set needs section.key=value")?;
                let flag = flag.into_string();
                flags.push(flag.map_err(|_| "--set needs a value in UTF-8")?);
            }
            Some("--check") => then = Then::Stop,
            Some("--check-config") => then = Then::Check,
            Some("--init") => then = Then::Init,
            Some("--help" | "-h") => return Ok(Command::Print(HELP.to_owned())),
            Some("--version" | "-V") => {
                return Ok(Command::Print(format!(
                    "latchkey-sidecar {}\n",
                    env!("CARGO_PKG_VERSION")
                )));
            }
            _ => return Err(format!("unknown argument {}", argument.display())),
        }
    }
    Ok(Command::Run { file, flags, then })
}

/// What is logged: by the environment, or else by the settings, which were checked when they were
/// read.
fn log_filter(config: &LogConfig) -> Result<EnvFilter, String> {
    match std::env::var_os("LATCHKEY_LOG") {
        Some(text) => log_filter_of("LATCHKEY_LOG", &text.to_string_lossy()),
        None => log_filter_of("[log] level", config.level.as_deref().unwrap_or("info")),
    }
}

fn log(config: &LogConfig, filter: EnvFilter) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would tell standard error that standard error cannot be written, and panic.
        .log_internal_errors(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    match config.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

fn say(text: &str, code: u8) -> ExitCode {
    use std::io::Write;
    // There is nowhere else to say it.
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(code)
}
