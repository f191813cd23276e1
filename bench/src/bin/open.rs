//! What a bundle costs before the first decision: encoding, opening, memory; and the idle sidecar.

use std::{ffi::OsStr, fs, hint::black_box, path::Path};

use latchkey_bench::{
    process::{self, Failure, Folder, Guarded},
    project::{self, Size},
    table::{Table, bytes, nanoseconds, ratio},
    timing::{fastest, least},
    world::Plan,
};
use latchkey_engine::{bundle, index::Index, policy::Policy, testing::Rng};
use sha2::{Digest, Sha256};

/// Bindings, and how many roles there are if not as many as elsewhere.
const SIZES: [(usize, Option<usize>); 2] = [(100_000, None), (1_000_000, Some(100_000))];
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
    bundles(&folder)?;
    idle_sidecar(&folder)
}

/// What opening costs, beside reading and hashing the same bytes: no reader can do without.
fn bundles(folder: &Folder) -> Result<(), Failure> {
    let mut table = Table::new(&[
        "bindings",
        "roles",
        "size",
        "encode",
        "open",
        "read + sha256",
        "ratio",
        "heap/binding",
        "resident/binding",
    ]);
    let nothing = folder.file("nothing.lkb");
    let (index, _) = index_of(1, None);
    fs::write(&nothing, bundle::encode(&index)?)?;
    let own = std::env::current_exe()?;
    let resident = |path: &Path| -> Result<f64, Failure> {
        Ok(process::run(&own, &[path.as_os_str()])?.trim().parse()?)
    };
    let idle = resident(&nothing)?;
    for (size, roles) in SIZES {
        let (index, roles) = index_of(size, roles);
        let encoded = bundle::encode(&index)?;
        let encode = fastest(ROUNDS, || {
            black_box(bundle::encode(&index).is_ok());
        });
        drop(index);
        let path = folder.file("slice.lkb");
        fs::write(&path, &encoded)?;
        // A round of many milliseconds, since the kernel counts time in ticks.
        let times = 2_000_000 / size;
        let opened = (0..ROUNDS).map(|_| {
            // Until it is ready to decide: giving it back comes after.
            let mut kept = Vec::with_capacity(times);
            fastest(1, || {
                for _ in 0..times {
                    let read = fs::read(&path).unwrap_or_default();
                    kept.push(black_box(Policy::open(&read)));
                }
            })
        });
        let open = least(&opened.collect::<Vec<_>>()) / times as f64;
        let floor = fastest(ROUNDS, || {
            for _ in 0..times {
                black_box(Sha256::digest(fs::read(&path).unwrap_or_default()));
            }
        }) / times as f64;
        let mut policy = None;
        let counted = allocation_counter::measure(|| policy = Some(Policy::open(&encoded)));
        drop(policy);
        table.row([
            size.to_string(),
            roles.to_string(),
            bytes(encoded.len() as f64),
            nanoseconds(encode),
            nanoseconds(open),
            nanoseconds(floor),
            ratio(open / floor),
            format!("{:.1}", counted.bytes_current as f64 / size as f64),
            format!("{:.1}", (resident(&path)? - idle) / size as f64),
        ]);
    }
    table.print("Bundles: fastest of the rounds, CPU; open includes reading and SHA-256");
    Ok(())
}

/// A policy with this many bindings, and how many roles it has.
fn index_of(size: usize, roles: Option<usize>) -> (Index, usize) {
    let mut rng = Rng::new(size as u64);
    let plan = Plan::new(size, &mut rng);
    let mut world = plan.world(0);
    if let Some(roles) = roles {
        let given: Vec<_> = world.roles.iter().map(|(_, given)| given.clone()).collect();
        let name = |at: usize| format!("role-{at:06}");
        world.roles = (0..roles)
            .map(|at| (name(at), given[at % given.len()].clone()))
            .collect();
        for binding in &mut world.bindings {
            binding.roles = vec![name(rng.below(roles))];
        }
    }
    (world.index(), world.roles.len())
}

/// The sidecar with a slice of 100,000 bindings, before its first request, beside a small one.
fn idle_sidecar(folder: &Folder) -> Result<(), Failure> {
    let mut table = Table::new(&["sidecar", "slice", "idle memory", "its own"]);
    for bindings in [1, SLICE / FILES] {
        let home = folder.file(&format!("sidecar-{bindings}"));
        let policy = home.join("policy");
        project::write(&policy, Size::new(FILES, bindings))?;
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
        // Until it has written its copy of the slice, settled, and given back what it needed.
        std::thread::sleep(std::time::Duration::from_secs(5));
        let memory = process::memory(sidecar.id())?;
        let own = process::private_memory(sidecar.id())?;
        table.row([
            format!("{} bindings", FILES * bindings),
            bytes(slice as f64),
            bytes(memory as f64),
            bytes(own as f64),
        ]);
    }
    table.print("The idle latchkey-sidecar: proportional set size, and what no other could share");
    Ok(())
}
