//! The front end at size: `check` of 10,000 files beside bare parsing of the same files, 10,000
//! findings in every format, and one changed file among 10,000 in the language server:
//! `check [FOLDER]`, where the projects are kept.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use granit_parser::Parser;
use latchkey_bench::{
    editor::Editor,
    policies,
    process::{self, Failure, Folder, Spent},
    table::{Table, bytes, nanoseconds, ratio},
    timing,
};

const FILES: usize = 10_000;
const RUNS: usize = 3;
/// Edits of one file that the editor makes.
const EDITS: usize = 60;

fn main() -> Result<(), Failure> {
    let bench = Bench {
        latchkey: process::beside("latchkey")?,
        folder: Folder::asked_for("check")?,
    };
    bench.whole()?;
    bench.findings()?;
    bench.editor()
}

struct Bench {
    latchkey: PathBuf,
    folder: Folder,
}

impl Bench {
    fn project(&self) -> Result<PathBuf, Failure> {
        let project = self.folder.file("many");
        if !project.exists() {
            policies::write(&project, FILES)?;
        }
        Ok(project)
    }

    fn whole(&self) -> Result<(), Failure> {
        let project = self.project()?;
        let texts = texts(&project)?;
        let size = texts.iter().map(String::len).sum::<usize>() as f64;
        let mut events = 0_usize;
        let bare = timing::fastest(RUNS, || events = texts.iter().map(|it| parse(it)).sum());
        let title = format!(
            "{} files, {}, {events} events; the least of {RUNS} runs",
            texts.len(),
            bytes(size)
        );
        drop(texts);
        let mut table = Table::new(&[
            "latchkey check",
            "CPU",
            "wall",
            "peak memory",
            "CPU to bare parsing",
            "memory to input",
        ]);
        let none = String::new;
        let bare_row = [
            "bare granit events, one thread".to_owned(),
            nanoseconds(bare),
        ];
        table.row(bare_row.into_iter().chain([none(), none(), none(), none()]));
        let (cpu, wall, peak) = self.least(&project, "human")?;
        table.row([
            "check, every stage".to_owned(),
            nanoseconds(cpu),
            nanoseconds(wall),
            bytes(peak),
            format!("{} (2x)", ratio(cpu / bare)),
            format!("{} (4x)", ratio(peak / size)),
        ]);
        table.print(&title);
        Ok(())
    }

    fn findings(&self) -> Result<(), Failure> {
        let project = self.folder.file("mistaken");
        if !project.exists() {
            policies::write_mistaken(&project, FILES / policies::MISTAKES)?;
        }
        let mut table = Table::new(&["format", "CPU (2 s)", "wall", "peak memory", "output"]);
        for format in ["human", "json", "sarif", "github", "junit"] {
            let (cpu, wall, peak) = self.least(&project, format)?;
            let said = fs::metadata(self.folder.file("said"))?.len() as f64;
            let figures = [
                nanoseconds(cpu),
                nanoseconds(wall),
                bytes(peak),
                bytes(said),
            ];
            table.row([format.to_owned()].into_iter().chain(figures));
        }
        table.print("10,000 findings with a guess among 10,000 names each; the whole process");
        Ok(())
    }

    fn editor(&self) -> Result<(), Failure> {
        let project = self.project()?;
        let file = FILES / 2;
        let (path, other) = (policies::path(file), policies::path(file + 1));
        let text = fs::read_to_string(project.join(&path))?;
        let mut editor = Editor::open(&self.latchkey, &project)?;
        editor.show(&path, &text)?;
        editor.told(&path, |_| true)?;
        editor.settle()?;
        let mut table = Table::new(&["one changed file among 10,000", "p50", "p99", "most"]);
        let named = format!("daily-{file:05}");
        // Its own mistake, and mended again.
        let mistaken = text.replacen(&format!("- {named}"), "- dayly-00000", 1);
        let own = self.edits(&mut editor, &path, &path, [&mistaken, &text])?;
        // Another syntax error each time.
        let broken = format!("{text}  rest: [\n");
        let syntax = self.edits(&mut editor, &path, &path, [&broken, &text])?;
        // A mistake of another file, because this one no longer declares a role.
        let user = format!(
            "{}    # edited\n",
            fs::read_to_string(project.join(&other))?
        );
        let foreign = format!("daily-{:05}", file + 1);
        let user = user.replacen(&format!("- {foreign}"), &format!("- {named}"), 1);
        editor.show(&other, &user)?;
        editor.settle()?;
        let gone = text.replace(&named, "renamed");
        let across = self.edits(&mut editor, &path, &other, [&gone, &text])?;
        for (name, times) in [
            ("a mistake of its own, and mended", own),
            ("a syntax error, and mended", syntax),
            ("a mistake that this makes in another file", across),
        ] {
            let [middle, high] = [0.5, 0.99].map(|it| nanoseconds(timing::quantile(&times, it)));
            let most = nanoseconds(timing::greatest(&times));
            table.row([name.to_owned(), middle, high, most]);
        }
        table.print("From a keystroke to what is told of it (100 ms)");
        let memory = process::memory(editor.server())? as f64;
        let spent = process::cpu_nanoseconds(editor.server())? as f64;
        println!(
            "\n  The server held {} and ran for {}.",
            bytes(memory),
            nanoseconds(spent)
        );
        Ok(())
    }

    /// Changes a file to and fro; how long it took until an error was told of a file, and until
    /// it was taken back, sorted.
    fn edits(
        &self,
        editor: &mut Editor,
        path: &str,
        told: &str,
        [wrong, right]: [&str; 2],
    ) -> Result<Vec<f64>, Failure> {
        let mut times = Vec::new();
        for edit in 0..EDITS {
            let (text, errors) = if edit % 2 == 0 {
                (wrong, true)
            } else {
                (right, false)
            };
            let start = editor.change(path, text)?;
            let end = editor.told(told, |found| {
                found.iter().any(|it| it["severity"] == 1) == errors
            })?;
            times.push((end - start).as_nanos() as f64);
            // People pause; the longer checks then begin, and the next key finds them at work.
            std::thread::sleep(std::time::Duration::from_millis(150 * (edit as u64 % 5)));
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    }

    fn least(&self, project: &Path, format: &str) -> Result<Spent, Failure> {
        let mut best = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
        for _ in 0..RUNS {
            let (cpu, wall, peak) = self.once(project, format)?;
            best = (best.0.min(cpu), best.1.min(wall), best.2.min(peak));
        }
        Ok(best)
    }

    fn once(&self, project: &Path, format: &str) -> Result<Spent, Failure> {
        let mut command = Command::new(&self.latchkey);
        command
            .arg("-C")
            .arg(project)
            .args(["--format", format, "check"])
            .stdout(fs::File::create(self.folder.file("said"))?)
            .stderr(Stdio::null());
        process::measured(&mut command, 1, |_| Ok(()))
    }
}

/// The texts of all policy files.
fn texts(project: &Path) -> Result<Vec<String>, Failure> {
    let mut texts = Vec::new();
    let mut folders = vec![project.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "yaml") {
                texts.push(fs::read_to_string(path)?);
            }
        }
    }
    Ok(texts)
}

fn parse(text: &str) -> usize {
    let options = granit_parser::options! { emit_comments: false };
    Parser::new_from_str_with_options(text, options)
        .map_while(Result::ok)
        .inspect(|event| {
            std::hint::black_box(event);
        })
        .count()
}
