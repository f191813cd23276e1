//! A counted number of requests through one proxy, which may run under a tool that counts:
//! `probe pass-through|sidecar CONNECTIONS REQUESTS [COMMAND...]`.
//!
//! What does not depend on load is best counted this way: instructions (`valgrind
//! --tool=callgrind`), allocations (`valgrind --tool=dhat`), system calls (`strace -c -f -o`).

use std::time::{Duration, Instant};

use latchkey_bench::{
    contenders, exchange, load,
    process::{self, Failure, Folder},
    table::nanoseconds,
};

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: probe pass-through|sidecar CONNECTIONS REQUESTS [COMMAND...]";
    let name = arguments.next().ok_or(usage)?;
    let connections: usize = arguments.next().ok_or(usage)?.parse()?;
    let requests: usize = arguments.next().ok_or(usage)?.parse()?;
    let under: Vec<String> = arguments.collect();
    let folder = Folder::new("probe")?;
    let upstream = process::free_address()?;
    let _upstream = contenders::start(&folder, "upstream", upstream, &[], Some(0))?;
    let contender = match name.as_str() {
        "pass-through" => contenders::passthrough(&folder, upstream, Some(1), &under)?,
        "sidecar" => contenders::sidecar(&folder, upstream, Some(1), &under)?,
        _ => return Err(usage.into()),
    };
    let (token, body) = (exchange::token()?, exchange::result().into_bytes());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let request = exchange::request(contender.address, &token, "search");
    let process = contender.process.id();
    let (cpu, began) = (process::cpu_nanoseconds(process)?, Instant::now());
    let run = load::Load {
        connections,
        most: requests,
        time: Duration::from_secs(600),
    };
    let run = runtime.block_on(run.put(contender.address, &request, &body))?;
    let count = run.latencies.len() + connections;
    let cpu = process::cpu_nanoseconds(process)? - cpu;
    println!(
        "{count} requests in {:.1} s, {} of processor time each",
        began.elapsed().as_secs_f64(),
        nanoseconds(cpu as f64 / count as f64)
    );
    contender.process.stop()?;
    Ok(())
}
