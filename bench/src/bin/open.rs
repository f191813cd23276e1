//! What a bundle costs before the first decision: encoding, opening, memory; and the idle sidecar.

use std::{ffi::OsStr, fs, hint::black_box};

use latchkey_bench::{
    process::{self, Failure, Folder, Guarded},
    project,
    table::{Table, bytes, nanoseconds, ratio},
    timing::fastest,
    world::Plan,
};
use latchkey_engine::{bundle, policy::Policy, testing::Rng};
use sha2::{Digest, Sha256};

const SIZES: [usize; 2] = [100_000, 1_000_000];
/// The size of the sidecar's slice.
const SLICE: usize = 100_000;
/// The access files of its project.
const FILES: usize = 1000;
const ROUNDS: usize = 5;

fn main() -> Result<(), Failure> {
    // Memory is measured in a process that does nothing else.
    if let Some(path) = std::env::args().nth(1) {
        let opened = Policy::open(&fs::read(path)?)?;
        println!("{}", process::memory(std::process::id())?);
        black_box(&opened);
        return Ok(());
    }
    let folder = Folder::new("open")?;
    let mut table = Table::new(&[
        "bindings",
        "size",
        "bytes/binding",
        "encode",
        "open",
        "read + sha256",
        "open ratio",
        "memory after open",
    ]);
    for size in SIZES {
        let index = Plan::new(size, &mut Rng::new(size as u64)).world(0).index();
        let encoded = bundle::encode(&index)?;
        let encode = fastest(ROUNDS, || {
            black_box(bundle::encode(&index).is_ok());
        });
        let path = folder.file("slice.lkb");
        fs::write(&path, &encoded)?;
        let open = fastest(ROUNDS, || {
            let read = fs::read(&path).unwrap_or_default();
            black_box(Policy::open(&read).is_ok());
        });
        let floor = fastest(ROUNDS, || {
            black_box(Sha256::digest(fs::read(&path).unwrap_or_default()));
        });
        let own = std::env::current_exe()?;
        let memory: f64 = process::run(&own, &[path.as_os_str()])?.trim().parse()?;
        table.row([
            size.to_string(),
            bytes(encoded.len() as f64),
            format!("{:.1}", encoded.len() as f64 / size as f64),
            nanoseconds(encode),
            nanoseconds(open),
            nanoseconds(floor),
            ratio(open / floor),
            bytes(memory),
        ]);
    }
    table.print("Bundles: fastest of the rounds; open includes reading and SHA-256");
    idle_sidecar(&folder)
}

/// The sidecar with a slice of 100,000 bindings, before its first request, beside a small one.
fn idle_sidecar(folder: &Folder) -> Result<(), Failure> {
    let mut table = Table::new(&["sidecar", "slice", "idle memory"]);
    for bindings in [1, SLICE / FILES] {
        let home = folder.file(&format!("sidecar-{bindings}"));
        let policy = home.join("policy");
        project::write(&policy, FILES, bindings)?;
        let bundle = home.join("bundle");
        let at = ["-C".as_ref(), policy.as_os_str()];
        let build = ["build", "--sequence", "1", "--out"].map(OsStr::new);
        let command = [&at[..], &build, &[bundle.as_os_str()]].concat();
        process::run(&process::beside("latchkey")?, &command)?;
        let slice = fs::metadata(bundle.join("tools.lkb"))?.len();
        let address = process::free_address()?;
        let settings = home.join("sidecar.toml");
        fs::write(
            &settings,
            format!(
                "[bundle]\nsource = \"bundle\"\nserver = \"tools\"\n\
                 [profile]\ndevelopment = true\n[listen]\naddress = \"{address}\"\n\
                 [admin]\naddress = \"127.0.0.1:0\"\n[state]\ndirectory = \"state\"\n\
                 [audit]\nfile = \"audit.jsonl\"\n"
            ),
        )?;
        let program = process::beside("latchkey-sidecar")?;
        let command = [
            program.as_os_str(),
            "--config".as_ref(),
            settings.as_os_str(),
        ];
        let log = home.join("log");
        let mut sidecar = Guarded::start(&command, &log, None)?;
        sidecar.await_port(address, &log)?;
        // Until it has written its copy of the slice and settled.
        std::thread::sleep(std::time::Duration::from_secs(3));
        let memory = process::memory(sidecar.id())?;
        table.row([
            format!("{} bindings", FILES * bindings),
            bytes(slice as f64),
            bytes(memory as f64),
        ]);
    }
    table.print("The idle latchkey-sidecar (proportional set size)");
    Ok(())
}
