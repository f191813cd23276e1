//! The sidecar at full load for a long time: whether its memory stays: `soak [SECONDS]`.

use std::{fs, path::PathBuf, time::Duration};

use latchkey_bench::{
    contenders, exchange,
    load::Load,
    process::{self, Failure, Folder},
    table::{Table, bytes, nanoseconds},
    timing::quantile,
};

const CONNECTIONS: usize = 16;
/// How often memory is looked at.
const PARTS: u64 = 10;
/// The audit log is cut off beyond this many bytes: a disk is no part of this.
const LONGEST_LOG: u64 = 1 << 30;

fn main() -> Result<(), Failure> {
    let seconds: u64 = std::env::args().nth(1).map_or(Ok(600), |it| it.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(Duration::from_secs(seconds)))
}

async fn measure(time: Duration) -> Result<(), Failure> {
    let folder = Folder::new("soak")?;
    let upstream = process::free_address()?;
    let processors = std::thread::available_parallelism()?.get();
    let pin = |processor| (processors >= 2).then_some(processor);
    let _upstream = contenders::start(&folder, "upstream", upstream, &[], pin(0))?;
    let sidecar = contenders::sidecar(&folder, upstream, pin(1), &[])?;
    let (token, body) = (exchange::token()?, exchange::result().into_bytes());
    let request = exchange::request(sidecar.address, &token, "search");
    cut_log(folder.file("audit.jsonl"));
    let load = |time| Load {
        connections: CONNECTIONS,
        most: usize::MAX,
        time,
    };
    // What is met for the first time belongs to the start.
    let (warm, part) = (time / 100, time / u32::try_from(PARTS)?);
    load(warm).put(sidecar.address, &request, &body).await?;
    let start = process::memory(sidecar.process.id())?;
    let mut table = Table::new(&["after", "requests", "p50", "p99", "memory"]);
    table.row([
        "the start".to_owned(),
        String::new(),
        String::new(),
        String::new(),
        bytes(start as f64),
    ]);
    let mut count = 0;
    for at in 1..=PARTS {
        let run = load(part).put(sidecar.address, &request, &body).await?;
        count += run.latencies.len();
        let memory = process::memory(sidecar.process.id())?;
        table.row([
            format!("{} s", part.as_secs() * at),
            count.to_string(),
            nanoseconds(quantile(&run.latencies, 0.5)),
            nanoseconds(quantile(&run.latencies, 0.99)),
            bytes(memory as f64),
        ]);
    }
    table.print(&format!(
        "A soak of {} s over {CONNECTIONS} connections",
        time.as_secs()
    ));
    Ok(())
}

/// Keeps the log short for as long as the process runs. The sidecar appends, so it goes on at the
/// new end.
fn cut_log(log: PathBuf) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(5));
            let long = fs::metadata(&log).is_ok_and(|it| it.len() > LONGEST_LOG);
            if long && let Ok(file) = fs::OpenOptions::new().write(true).open(&log) {
                // It is tried again.
                let _ = file.set_len(0);
            }
        }
    });
}
