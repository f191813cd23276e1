//! The plot: for each scenario the load of the registry and the fleet's progress, as one SVG.

use std::fmt::{self, Write as _};

use super::{
    registry::Instant,
    scenario::{FLEET, Manner, POLL, RELEASE, nanoseconds},
    simulation::Outcome,
};

const PRODUCT: &str = "#1f5fbf";
const BASELINE: &str = "#d9730d";
const SECOND: &str = "#2f8f4e";
const INK: &str = "#333";
const FAINT: &str = "#666";

const WIDTH: f64 = 1040.0;
const TOP: f64 = 108.0;
const ROW: f64 = 196.0;
const HEIGHT: f64 = 132.0;
const PANELS: [f64; 2] = [72.0, 596.0];
const PANEL: f64 = 420.0;
/// Minutes around the release that are shown.
const FROM: f64 = -2.0;
const TO: f64 = 22.0;
/// Requests a second that are shown, on a logarithmic scale.
const LEAST: f64 = 500.0;
const MOST: f64 = 50_000.0;
/// The seconds whose busiest one is drawn: a poll interval, as the baseline polls in bursts.
const WINDOW: usize = 30;

/// The rows: a scenario's name, and its title.
const ROWS: [(&str, &str); 5] = [
    (
        "normal",
        "Normal: spread 5 min, one sidecar in 20 needs the full file of 9.5 MB, the others a patch",
    ),
    ("urgent", "Urgent: spread 0"),
    (
        "outage",
        "Outage: no registry for 10 minutes, in the middle of the roll-out (bars: when it is down)",
    ),
    (
        "slow registry",
        "Slow registry: from the release on 2,500 requests/s and 1 Gbit/s, less than the fleet \
         asks for",
    ),
    (
        "no patches",
        "No patches: everybody needs the full file, 950 GB in all; spread 20 min, and 5 min \
         (green), which the link of 10 Gbit/s cannot do",
    ),
];

/// Draws all scenarios.
pub fn draw(outcomes: &[Outcome]) -> Result<String, fmt::Error> {
    let height = TOP + ROW * ROWS.len() as f64 + 8.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\" font-size=\"12\" \
         fill=\"{INK}\">\n\
         <title>One release to {FLEET} sidecars</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    header(&mut svg)?;
    for (at, (name, title)) in ROWS.iter().enumerate() {
        let y = TOP + ROW * at as f64;
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" font-weight=\"bold\">{title}</text>",
            PANELS[0],
            y + 14.0
        )?;
        row(&mut svg, y + 24.0, &lines(outcomes, name))?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn header(svg: &mut String) -> fmt::Result {
    writeln!(
        svg,
        "<text x=\"{}\" y=\"30\" font-size=\"19\" font-weight=\"bold\">One release to {} \
         sidecars</text>",
        PANELS[0],
        grouped(FLEET)
    )?;
    let entries = [
        (
            0.0,
            PRODUCT,
            "none",
            "Latchkey's pace: 30 s &#177; 20 %, backoff, spread",
        ),
        (
            345.0,
            BASELINE,
            "none",
            "baseline: every 30 s sharp, no backoff, no spread",
        ),
        (702.0, FAINT, "4 3", "pointer read (urgent denials hold)"),
    ];
    for (offset, colour, dash, text) in entries {
        let x = PANELS[0] + offset;
        writeln!(
            svg,
            "<line x1=\"{x}\" y1=\"54\" x2=\"{}\" y2=\"54\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-dasharray=\"{dash}\"/><text x=\"{}\" y=\"58\">{text}</text>",
            x + 24.0,
            x + 30.0
        )?;
    }
    let captions = [
        "Registry load: requests/s in the busiest second of each 30 s (log scale)",
        "Share of the fleet on the new release, %",
    ];
    for (x, caption) in PANELS.iter().zip(captions) {
        writeln!(
            svg,
            "<text x=\"{x}\" y=\"92\" font-size=\"14\">{caption}</text>"
        )?;
    }
    Ok(())
}

/// The outcomes of a row and their colours; the baseline first, to lie below.
fn lines<'a>(outcomes: &'a [Outcome], name: &str) -> Vec<(&'a Outcome, &'static str)> {
    // The baseline knows no urgency.
    let baseline = if name == "urgent" { "normal" } else { name };
    let mut lines = Vec::new();
    let mut paced = 0;
    for outcome in outcomes {
        let scenario = &outcome.scenario;
        match scenario.manner {
            Manner::Naive if scenario.name == baseline => lines.push((outcome, BASELINE)),
            Manner::Paced if scenario.name == name => {
                paced += 1;
                lines.push((outcome, if paced == 1 { PRODUCT } else { SECOND }));
            }
            _ => {}
        }
    }
    lines.sort_by_key(|it| it.1 == PRODUCT);
    lines
}

fn row(svg: &mut String, y: f64, lines: &[(&Outcome, &str)]) -> fmt::Result {
    axes(svg, y)?;
    for (at, (outcome, colour)) in lines.iter().enumerate() {
        let path = load(outcome, y)?;
        writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>"
        )?;
        for (times, style) in [
            (
                &outcome.told,
                "stroke-width=\"1.2\" stroke-dasharray=\"4 3\"",
            ),
            (&outcome.current, "stroke-width=\"2\""),
        ] {
            let path = share(times, y)?;
            writeln!(
                svg,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" {style}/>"
            )?;
        }
        if let Some(outage) = &outcome.scenario.registry.outage {
            for panel in PANELS {
                let [from, to] = [outage.start, outage.end].map(|it| x(panel, minutes(it)));
                writeln!(
                    svg,
                    "<rect x=\"{from:.1}\" y=\"{}\" width=\"{:.1}\" height=\"3\" \
                     fill=\"{colour}\" opacity=\"0.55\"/>",
                    y - 7.0 + 4.0 * at as f64,
                    to - from
                )?;
            }
        }
    }
    Ok(())
}

/// Frames, grids and scales of both panels of a row.
fn axes(svg: &mut String, y: f64) -> fmt::Result {
    let usual = FLEET as f64 / POLL.as_secs_f64();
    let grid = |svg: &mut String, panel: f64, at: f64, label: &str| {
        writeln!(
            svg,
            "<line x1=\"{panel}\" y1=\"{at:.1}\" x2=\"{}\" y2=\"{at:.1}\" stroke=\"#e2e2e2\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"11\" \
             fill=\"{FAINT}\">{label}</text>",
            panel + PANEL,
            panel - 6.0,
            at + 4.0
        )
    };
    for value in [500, 1000, 5000, 10_000, 50_000] {
        grid(
            svg,
            PANELS[0],
            load_y(f64::from(value), y),
            &grouped(value as usize),
        )?;
    }
    for percent in [0_u8, 25, 50, 75, 100] {
        grid(
            svg,
            PANELS[1],
            share_y(f64::from(percent) / 100.0, y),
            &percent.to_string(),
        )?;
    }
    let at = load_y(usual, y);
    writeln!(
        svg,
        "<line x1=\"{0}\" y1=\"{at:.1}\" x2=\"{1}\" y2=\"{at:.1}\" stroke=\"#999\" \
         stroke-dasharray=\"2 3\"/>\
         <text x=\"{2}\" y=\"{3:.1}\" font-size=\"11\" fill=\"{FAINT}\">usual: {4}/s</text>",
        PANELS[0],
        PANELS[0] + PANEL,
        PANELS[0] + PANEL + 4.0,
        at + 4.0,
        grouped(usual as usize)
    )?;
    for panel in PANELS {
        for minute in (0..=20).step_by(5) {
            let x = x(panel, f64::from(minute));
            let label = match minute {
                0 => "release".to_owned(),
                20 => "20 min".to_owned(),
                _ => minute.to_string(),
            };
            let colour = if minute == 0 { "#999" } else { "#e2e2e2" };
            writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{y}\" x2=\"{x:.1}\" y2=\"{}\" stroke=\"{colour}\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" font-size=\"11\" \
                 fill=\"{FAINT}\">{label}</text>",
                y + HEIGHT,
                y + HEIGHT + 15.0
            )?;
        }
    }
    Ok(())
}

fn load(outcome: &Outcome, y: f64) -> Result<String, fmt::Error> {
    let mut path = Path::default();
    let windows = outcome.seconds.chunks(WINDOW).enumerate();
    for (at, window) in windows {
        let middle = (at * WINDOW + WINDOW / 2) as Instant * 1_000_000_000;
        let peak = window.iter().map(|it| it.requests).max().unwrap_or(0);
        let minute = minutes(middle);
        if (FROM..=TO).contains(&minute) {
            path.to(x(PANELS[0], minute), load_y(f64::from(peak), y))?;
        }
    }
    Ok(path.0)
}

/// The share of the fleet over time, at most a point for every half percent.
fn share(times: &[Instant], y: f64) -> Result<String, fmt::Error> {
    let mut path = Path::default();
    for minute in [FROM, 0.0] {
        path.to(x(PANELS[1], minute), share_y(0.0, y))?;
    }
    let mut last = 0.0;
    for count in (0..=times.len()).step_by(FLEET / 200).skip(1) {
        let Some(time) = times.get(count - 1) else {
            continue;
        };
        let minute = minutes(*time);
        if minute > TO {
            break;
        }
        last = count as f64 / FLEET as f64;
        path.to(x(PANELS[1], minute), share_y(last, y))?;
    }
    path.to(x(PANELS[1], TO), share_y(last, y))?;
    Ok(path.0)
}

/// The data of a path.
#[derive(Default)]
struct Path(String);

impl Path {
    fn to(&mut self, x: f64, y: f64) -> fmt::Result {
        let command = if self.0.is_empty() { 'M' } else { 'L' };
        write!(self.0, "{command}{x:.1} {y:.1}")
    }
}

/// Minutes from the release on.
fn minutes(time: Instant) -> f64 {
    (time as f64 - nanoseconds(RELEASE) as f64) / 60e9
}

fn x(panel: f64, minute: f64) -> f64 {
    panel + (minute - FROM) / (TO - FROM) * PANEL
}

fn load_y(requests: f64, y: f64) -> f64 {
    let height = (requests.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln();
    y + HEIGHT * (1.0 - height)
}

fn share_y(share: f64, y: f64) -> f64 {
    y + HEIGHT * (1.0 - share)
}

/// A number with a comma after its thousands.
fn grouped(value: usize) -> String {
    if value < 1000 {
        value.to_string()
    } else {
        format!("{},{:03}", value / 1000, value % 1000)
    }
}
