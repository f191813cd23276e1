//! The whole sidecar beside a bare pass-through, nginx and Envoy, in one interleaved run over
//! loopback: `proxy [ROUNDS [SECONDS]]`.

use std::{collections::BTreeMap, fs, time::Duration};

use latchkey_bench::{
    contenders::{self, BASE, Contender},
    exchange, load,
    process::{self, Failure, Folder},
    table::{Table, bytes, nanoseconds, ratio},
    timing::{least, median, quantile},
};

const CONNECTIONS: [usize; 3] = [1, 16, 128];

/// The rounds of one contender, by the number of connections.
type Rounds = BTreeMap<usize, Vec<Figures>>;

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
    let _upstream = contenders::start(&folder, "upstream", upstream, &[], pin(0))?;
    let all = contenders::all(&folder, upstream, pin(1))?;
    let mut measured: Vec<(Contender, Rounds)> =
        all.into_iter().map(|it| (it, Rounds::new())).collect();
    let token = exchange::token()?;
    let body = exchange::result().into_bytes();
    for (contender, _) in &measured {
        contenders::smoke(contender, &token).await?;
    }
    for round in 0..rounds {
        for connections in CONNECTIONS {
            let count = measured.len();
            for turn in 0..count {
                let (contender, rounds) = &mut measured[(round + turn) % count];
                let figures = slot(contender, &token, &body, connections, time).await?;
                rounds.entry(connections).or_default().push(figures);
            }
        }
    }
    report(&measured);
    println!("\n  Memory after the load (proportional set size):");
    for (contender, _) in &measured {
        let memory = process::memory(contender.process.id())?;
        println!("    {:<22} {:>9}", contender.name, bytes(memory as f64));
    }
    check_audit(&folder)
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

/// Every request through the sidecar has left its line.
fn check_audit(folder: &Folder) -> Result<(), Failure> {
    // What is buffered reaches the file within moments.
    std::thread::sleep(Duration::from_secs(1));
    let text = fs::read_to_string(folder.file("audit.jsonl"))?;
    let events = text
        .lines()
        .filter(|it| it.contains("\"event_type\":\"request\""));
    let allowed = events.filter(|line| line.contains("\"allow\"")).count();
    println!("\n  The sidecar wrote an audit event for each of {allowed} allowed requests.");
    if allowed == 0 {
        return Err("the sidecar left no audit events".into());
    }
    Ok(())
}

fn report(measured: &[(Contender, Rounds)]) {
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
        let each = |rounds: &Rounds, figure: fn(&Figures) -> f64| -> Vec<f64> {
            let rounds = rounds.get(&connections);
            rounds.into_iter().flatten().map(figure).collect()
        };
        let base = measured.iter().find(|(it, _)| it.name == BASE);
        let Some((_, base)) = base else {
            return;
        };
        for (contender, rounds) in measured {
            let of = |figure| median(&each(rounds, figure));
            let against = |figure| {
                let (own, base) = (each(rounds, figure), each(base, figure));
                let ratios: Vec<f64> = own.iter().zip(&base).map(|(a, b)| a / b).collect();
                ratio(median(&ratios))
            };
            table.row([
                contender.name.to_owned(),
                format!("{:.0}", of(|it| it.rate)),
                nanoseconds(of(|it| it.median)),
                nanoseconds(of(|it| it.tail)),
                nanoseconds(of(|it| it.cpu)),
                nanoseconds(least(&each(rounds, |it| it.cpu))),
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
