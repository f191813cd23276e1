//! One release to 100,000 sidecars in virtual time: `fleet [--svg PATH]`.

use std::{fs, time::Duration};

use latchkey_bench::{
    fleet::{
        plot,
        registry::Instant,
        scenario::{FLEET, MEASURED, Manner, POLL, RELEASE, Scenario, nanoseconds},
        simulation::{self, Outcome},
    },
    process::Failure,
    table::{Table, ratio},
};

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let svg = match arguments.as_slice() {
        [] => None,
        [flag, path] if flag == "--svg" => Some(path),
        _ => return Err("usage: fleet [--svg PATH]".into()),
    };
    let outcomes = simulate()?;
    report(&outcomes);
    if let Some(path) = svg {
        fs::write(path, plot::draw(&outcomes)?)?;
        println!("\n  {path} is written.");
    }
    Ok(())
}

/// Each scenario on a thread of its own: they share nothing, so the order changes nothing.
fn simulate() -> Result<Vec<Outcome>, Failure> {
    let scenarios = Scenario::all();
    std::thread::scope(|scope| {
        let start =
            |it| scope.spawn(move || simulation::run(it).map_err(|error| error.to_string()));
        let threads: Vec<_> = scenarios.iter().map(start).collect();
        let joined = threads.into_iter().map(|it| it.join());
        joined
            .map(|it| {
                it.map_err(|_| "a simulation panicked")?
                    .map_err(Failure::from)
            })
            .collect()
    })
}

fn report(outcomes: &[Outcome]) {
    let mut rollout = Table::new(&[
        "roll-out",
        "pace",
        "told 99 %",
        "told all",
        "files 50 %",
        "files 99 %",
        "files all",
    ]);
    let mut load = Table::new(&[
        "registry load",
        "pace",
        "peak requests/s",
        "against usual",
        "mean requests/s",
        "bytes",
        "peak Gbit/s",
        "refused",
        "503",
        "timed out",
    ]);
    for outcome in outcomes {
        let (name, pace) = titles(outcome);
        let [told, files] = [&outcome.told, &outcome.current];
        rollout.row([
            name.clone(),
            pace.clone(),
            reached(told, 99),
            reached(told, 100),
            reached(files, 50),
            reached(files, 99),
            reached(files, 100),
        ]);
        let start = RELEASE.as_secs() as usize;
        let end = start + MEASURED.as_secs() as usize;
        let seconds = &outcome.seconds[start..outcome.seconds.len().min(end)];
        let peak = seconds.iter().map(|it| it.requests).max().unwrap_or(0);
        let requests: f64 = seconds.iter().map(|it| f64::from(it.requests)).sum();
        let bytes: f64 = seconds.iter().map(|it| it.bytes).sum();
        let link = seconds.iter().map(|it| it.bytes).fold(0.0, f64::max);
        load.row([
            name,
            pace,
            peak.to_string(),
            ratio(f64::from(peak) * POLL.as_secs_f64() / FLEET as f64),
            format!("{:.0}", requests / seconds.len() as f64),
            format!("{:.1} GB", bytes / 1e9),
            format!("{:.2}", link * 8.0 / 1e9),
            outcome.errors.refused.to_string(),
            outcome.errors.busy.to_string(),
            outcome.errors.timed_out.to_string(),
        ]);
    }
    rollout.print(&format!(
        "One release to {FLEET} sidecars: time from its publication (told: the pointer is read, \
         urgent denials hold)"
    ));
    load.print(&format!(
        "The registry in the {} minutes from the release on; usual is {FLEET} polls in {POLL:?}",
        MEASURED.as_secs() / 60
    ));
}

fn titles(outcome: &Outcome) -> (String, String) {
    let scenario = &outcome.scenario;
    let manner = match scenario.manner {
        Manner::Paced if scenario.spread.is_zero() => "spread 0".to_owned(),
        Manner::Paced => format!("spread {} min", scenario.spread.as_secs() / 60),
        Manner::Naive => "naive".to_owned(),
    };
    (scenario.name.to_owned(), manner)
}

/// When this share of the fleet was there, from the release on.
fn reached(times: &[Instant], percent: usize) -> String {
    let Some(time) = times.get(FLEET * percent / 100 - 1) else {
        let share = times.len() * 100 / FLEET;
        return format!("never ({share} %)");
    };
    let since = Duration::from_nanos(time.saturating_sub(nanoseconds(RELEASE)));
    if since < Duration::from_mins(2) {
        format!("{:.1} s", since.as_secs_f64())
    } else {
        format!("{}:{:02} min", since.as_secs() / 60, since.as_secs() % 60)
    }
}
