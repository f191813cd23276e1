//! The compiler as a whole process on a project of 1,000 files: `check`, `build`, and `eval` of
//! 10,000 calls.

use std::{ffi::OsStr, fs, time::Instant};

use latchkey_bench::{
    process::{self, Failure, Folder},
    project::{self, Size},
    table::{Table, nanoseconds},
    timing::{greatest, least, median},
};

const FILES: usize = 1000;
const BINDINGS: usize = 30;
const CALLS: usize = 10_000;
const RUNS: usize = 3;

fn main() -> Result<(), Failure> {
    let folder = Folder::new("compile")?;
    let policy = folder.file("policy");
    let size = Size::new(FILES, BINDINGS);
    project::write(&policy, size)?;
    let calls = folder.file("calls.jsonl");
    fs::write(&calls, project::calls(CALLS, size))?;
    let latchkey = process::beside("latchkey")?;
    let bundle = folder.file("bundle");
    let at = ["-C".as_ref(), policy.as_os_str()];
    let check: [&OsStr; 1] = ["check".as_ref()];
    let build = ["build", "--sequence", "1", "--out"].map(OsStr::new);
    let eval = ["eval".as_ref(), "--bundle".as_ref(), bundle.as_os_str()];
    let of = ["--calls".as_ref(), calls.as_os_str()];
    let commands = [
        (format!("check, {FILES} files"), [&at[..], &check].concat()),
        (
            format!("build, {} bindings", FILES * BINDINGS),
            [&at[..], &build, &[bundle.as_os_str()]].concat(),
        ),
        (format!("eval, {CALLS} calls"), [&eval[..], &of].concat()),
    ];
    let mut table = Table::new(&["latchkey", "least", "median", "most", "CPU, median"]);
    let mut answers = String::new();
    for (name, command) in &commands {
        let (mut times, mut spent) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let before = process::children_cpu()?;
            let start = Instant::now();
            answers = process::run(&latchkey, command)?;
            times.push(start.elapsed().as_nanos() as f64);
            spent.push(process::children_cpu()? - before);
        }
        let [least, middle, most] = [least, median, greatest].map(|it| nanoseconds(it(&times)));
        let spent = nanoseconds(median(&spent));
        table.row([name.clone(), least, middle, most, spent]);
    }
    table.print(&format!("Whole processes, {RUNS} runs each"));
    let allowed = answers
        .lines()
        .filter(|it| it.contains("\"decision\":\"allow\""))
        .count();
    println!(
        "\n  {} calls were answered, {allowed} of them allowed.",
        answers.lines().count()
    );
    if answers.lines().count() != CALLS || allowed == 0 {
        return Err("eval did not answer every call, or allowed none".into());
    }
    Ok(())
}
