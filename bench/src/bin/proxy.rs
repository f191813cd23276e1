//! The whole sidecar beside a bare pass-through and nginx, in one interleaved run over loopback:
//! `proxy [ROUNDS [SECONDS]]`.

use std::{collections::BTreeMap, ffi::OsStr, fs, net::SocketAddr, path::Path, time::Duration};

use latchkey_bench::{
    exchange,
    load::{self, Connection},
    process::{self, Failure, Folder, Guarded},
    table::{Table, bytes, nanoseconds, ratio},
    timing::{least, median, quantile},
};

const CONNECTIONS: [usize; 2] = [1, 16];
const BASE: &str = "pass-through (hyper)";
const SIDECAR: &str = "latchkey-sidecar";

/// A proxy that is measured.
struct Contender {
    name: &'static str,
    address: SocketAddr,
    process: Guarded,
    rounds: BTreeMap<usize, Vec<Figures>>,
}

/// What one round measured.
struct Figures {
    rate: f64,
    median: f64,
    tail: f64,
    cpu: f64,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().map_or(Ok(5), |it| it.parse())?;
    let seconds: f64 = arguments.next().map_or(Ok(1.5), |it| it.parse())?;
    let time = Duration::try_from_secs_f64(seconds)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(rounds, time))
}

async fn measure(rounds: usize, time: Duration) -> Result<(), Failure> {
    let folder = Folder::new("proxy")?;
    // Load and upstream share one processor, so that a contender has the other for itself.
    let processors = std::thread::available_parallelism()?.get();
    let pin = |processor| (processors >= 2).then_some(processor);
    let upstream = process::free_address()?;
    let _upstream = start(&folder, "upstream", upstream, &[], pin(0))?;
    let mut contenders = contenders(&folder, upstream, pin(1))?;
    let token = exchange::token()?;
    let body = exchange::result().into_bytes();
    for contender in &contenders {
        smoke(contender, &token).await?;
    }
    for round in 0..rounds {
        for connections in CONNECTIONS {
            let count = contenders.len();
            for turn in 0..count {
                let contender = &mut contenders[(round + turn) % count];
                let figures = slot(contender, &token, &body, connections, time).await?;
                let rounds = contender.rounds.entry(connections).or_default();
                rounds.push(figures);
            }
        }
    }
    report(&contenders);
    println!("\n  Memory after the load (proportional set size):");
    for contender in &contenders {
        let memory = process::memory(contender.process.id())?;
        println!("    {:<22} {:>9}", contender.name, bytes(memory as f64));
    }
    check_audit(&folder, &contenders)
}

/// One contender, one number of connections, once.
async fn slot(
    contender: &Contender,
    token: &str,
    body: &[u8],
    connections: usize,
    time: Duration,
) -> Result<Figures, Failure> {
    let request = exchange::request(contender.address, token, "search");
    let process = contender.process.id();
    let before = process::cpu_nanoseconds(process)?;
    let run = load::run(contender.address, &request, body, connections, time).await;
    let run = run.map_err(|error| format!("{}: {error}", contender.name))?;
    let cpu = process::cpu_nanoseconds(process)? - before;
    let count = run.latencies.len() as f64;
    Ok(Figures {
        rate: count / run.elapsed.as_secs_f64(),
        median: quantile(&run.latencies, 0.5),
        tail: quantile(&run.latencies, 0.99),
        cpu: cpu as f64 / count,
    })
}

fn contenders(
    folder: &Folder,
    upstream: SocketAddr,
    processor: Option<usize>,
) -> Result<Vec<Contender>, Failure> {
    let mut all = Vec::new();
    let mut add = |name, address, process| {
        all.push(Contender {
            name,
            address,
            process,
            rounds: BTreeMap::new(),
        });
    };
    let address = process::free_address()?;
    let behind = upstream.to_string();
    let process = start(folder, "passthrough", address, &[&behind], processor)?;
    add(BASE, address, process);
    let address = process::free_address()?;
    add(
        SIDECAR,
        address,
        sidecar(folder, address, upstream, processor)?,
    );
    let address = process::free_address()?;
    match nginx(folder, address, upstream, processor)? {
        Some(process) => add("nginx", address, process),
        None => println!("nginx is not installed; it is left out"),
    }
    Ok(all)
}

/// Starts one of our own programs.
fn start(
    folder: &Folder,
    name: &str,
    address: SocketAddr,
    more: &[&str],
    processor: Option<usize>,
) -> Result<Guarded, Failure> {
    let program = process::beside(name)?;
    let address_text = address.to_string();
    let mut command = vec![program.as_os_str(), OsStr::new(&address_text)];
    command.extend(more.iter().map(OsStr::new));
    listening(
        &command,
        address,
        &folder.file(&format!("{name}.log")),
        processor,
    )
}

fn listening(
    command: &[&OsStr],
    address: SocketAddr,
    log: &Path,
    processor: Option<usize>,
) -> Result<Guarded, Failure> {
    let mut process = Guarded::start(command, log, processor)?;
    process.await_port(address, log)?;
    Ok(process)
}

/// The sidecar with everything on.
fn sidecar(
    folder: &Folder,
    address: SocketAddr,
    upstream: SocketAddr,
    processor: Option<usize>,
) -> Result<Guarded, Failure> {
    let policy = exchange::build_policy(folder.path(), upstream)?;
    let admin = process::free_address()?;
    fs::create_dir_all(folder.file("state"))?;
    let settings = folder.file("sidecar.toml");
    let text = format!(
        "{policy}[listen]\naddress = \"{address}\"\n[admin]\naddress = \"{admin}\"\n\
         [state]\ndirectory = \"state\"\n[audit]\nfile = \"audit.jsonl\"\n"
    );
    fs::write(&settings, text)?;
    let program = process::beside("latchkey-sidecar")?;
    let command = [
        program.as_os_str(),
        "--config".as_ref(),
        settings.as_os_str(),
    ];
    listening(&command, address, &folder.file("sidecar.log"), processor)
}

/// nginx as a pass-through with kept connections, if it is there.
fn nginx(
    folder: &Folder,
    address: SocketAddr,
    upstream: SocketAddr,
    processor: Option<usize>,
) -> Result<Option<Guarded>, Failure> {
    let found = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/bin/nginx"];
    let Some(program) = found.iter().find(|path| Path::new(path).is_file()) else {
        return Ok(None);
    };
    let home = folder.path().display();
    let settings = folder.file("nginx.conf");
    fs::write(
        &settings,
        format!(
            "daemon off; worker_processes 1; pid {home}/nginx.pid; error_log stderr;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n  access_log off; client_body_temp_path {home}/body;\n\
             proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;\n\
             uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;\n\
             keepalive_requests 100000000;\n\
             upstream tools {{ server {upstream}; keepalive 64; keepalive_requests 100000000; }}\n\
             server {{\n listen {address};\n location / {{ proxy_pass http://tools; \
             proxy_http_version 1.1; proxy_set_header Connection \"\"; }}\n }}\n}}\n"
        ),
    )?;
    let prefix = folder.path().as_os_str();
    let command = [
        OsStr::new(program),
        "-p".as_ref(),
        prefix,
        "-c".as_ref(),
        settings.as_os_str(),
        "-e".as_ref(),
        "stderr".as_ref(),
    ];
    listening(&command, address, &folder.file("nginx.log"), processor).map(Some)
}

/// A contender answers, and the sidecar refuses what it must: else a figure would say nothing.
async fn smoke(contender: &Contender, token: &str) -> Result<(), Failure> {
    let mut connection = Connection::open(contender.address).await?;
    let good = exchange::request(contender.address, token, "search");
    let answer = connection.exchange(&good).await?;
    if answer.status != 200 || answer.body != exchange::result().as_bytes() {
        let said = String::from_utf8_lossy(&answer.body);
        return Err(format!("{} answers {}: {said}", contender.name, answer.status).into());
    }
    if contender.name != SIDECAR {
        return Ok(());
    }
    let (signed, signature) = token.rsplit_once('.').ok_or("a token has a signature")?;
    let forged: String = signature.chars().rev().collect();
    let forged = format!("{signed}.{forged}");
    let mut connection = Connection::open(contender.address).await?;
    let forged = exchange::request(contender.address, &forged, "search");
    let answer = connection.exchange(&forged).await?;
    if answer.status != 401 {
        return Err(format!("a forged token is answered {}", answer.status).into());
    }
    let mut connection = Connection::open(contender.address).await?;
    let other = exchange::request(contender.address, token, "delete");
    let answer = connection.exchange(&other).await?;
    if !String::from_utf8_lossy(&answer.body).contains("\"error\"") {
        return Err("a tool that is not granted is called".into());
    }
    Ok(())
}

/// Every request through the sidecar has left its line.
fn check_audit(folder: &Folder, contenders: &[Contender]) -> Result<(), Failure> {
    // What is buffered reaches the file within moments.
    std::thread::sleep(Duration::from_secs(1));
    let text = fs::read_to_string(folder.file("audit.jsonl"))?;
    let events = text
        .lines()
        .filter(|it| it.contains("\"event_type\":\"request\""));
    let allowed = events.filter(|line| line.contains("\"allow\"")).count();
    println!("\n  The sidecar wrote an audit event for each of {allowed} allowed requests.");
    let rounds = contenders.iter().find(|it| it.name == SIDECAR);
    if rounds.is_none() || allowed == 0 {
        return Err("the sidecar left no audit events".into());
    }
    Ok(())
}

fn report(contenders: &[Contender]) {
    for connections in CONNECTIONS {
        let mut table = Table::new(&[
            "proxy",
            "requests/s",
            "p50",
            "p99",
            "CPU/request",
            "least",
            "CPU ratio",
            "p50 ratio",
            "p99 ratio",
        ]);
        let rounds = |contender: &Contender, figure: fn(&Figures) -> f64| -> Vec<f64> {
            let rounds = contender.rounds.get(&connections);
            rounds.into_iter().flatten().map(figure).collect()
        };
        let Some(base) = contenders.iter().find(|it| it.name == BASE) else {
            return;
        };
        for contender in contenders {
            let of = |figure| median(&rounds(contender, figure));
            let against = |figure| {
                let (own, base) = (rounds(contender, figure), rounds(base, figure));
                let ratios: Vec<f64> = own.iter().zip(&base).map(|(a, b)| a / b).collect();
                ratio(median(&ratios))
            };
            table.row([
                contender.name.to_owned(),
                format!("{:.0}", of(|it| it.rate)),
                nanoseconds(of(|it| it.median)),
                nanoseconds(of(|it| it.tail)),
                nanoseconds(of(|it| it.cpu)),
                nanoseconds(least(&rounds(contender, |it| it.cpu))),
                against(|it| it.cpu),
                against(|it| it.median),
                against(|it| it.tail),
            ]);
        }
        table.print(&format!(
            "Proxying, {connections} connection(s): medians of the rounds; ratios within a round"
        ));
    }
}
