//! Many event streams that stay open through the sidecar: what each costs of memory:
//! `streams [COUNT]`.

use std::time::Duration;

use latchkey_bench::{
    contenders, exchange,
    load::Connection,
    process::{self, Failure, Folder},
    table::{Table, bytes},
};

fn main() -> Result<(), Failure> {
    let count: usize = std::env::args()
        .nth(1)
        .map_or(Ok(10_000), |it| it.parse())?;
    // A proxy has two sockets for each stream, and files of its own.
    let most = process::open_files()?.saturating_sub(200) / 2;
    if most < count {
        println!("a process may open only so many files here: {most} streams, not {count}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(count.min(most)))
}

async fn measure(count: usize) -> Result<(), Failure> {
    let folder = Folder::new("streams")?;
    let upstream = process::free_address()?;
    let _upstream = contenders::start(&folder, "upstream", upstream, &[], None)?;
    let contenders = [
        contenders::passthrough(&folder, upstream, None, &[])?,
        contenders::sidecar(&folder, upstream, None, &[])?,
    ];
    let token = exchange::token()?;
    let mut table = Table::new(&[
        "open streams",
        "count",
        "memory before",
        "with them",
        "each",
    ]);
    for contender in &contenders {
        contenders::smoke(contender, &token).await?;
        let before = process::memory(contender.process.id())?;
        let request = exchange::request(contender.address, &token, "watch");
        let mut open = Vec::with_capacity(count);
        for at in 0..count {
            let mut stream = Connection::open(contender.address)
                .await
                .map_err(|error| format!("stream {at}: {error}"))?;
            stream
                .begin_stream(&request)
                .await
                .map_err(|error| format!("{}: stream {at}: {error}", contender.name))?;
            open.push(stream);
        }
        // Whatever is given back late is no cost of a stream.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let after = process::memory(contender.process.id())?;
        table.row([
            contender.name.to_owned(),
            count.to_string(),
            bytes(before as f64),
            bytes(after as f64),
            bytes((after - before.min(after)) as f64 / count as f64),
        ]);
    }
    table.print("Event streams that have sent one event and stay open");
    Ok(())
}
