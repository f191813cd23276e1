//! The files: each is the signed one, opens, and says what the others say.

use latchkey_engine::bundle::places::{PlaceKind, Places};
use latchkey_gate::{
    gate::Gate,
    supply::{Release, Statement},
};

use super::super::super::Failure;
use super::super::line::Line;
use super::super::source::Source;
use super::agree;
use crate::pack::{self, Files};

/// Fetches the files and judges them; those that are as signed are answered.
pub(super) fn judge(
    source: &Source,
    statement: &Statement,
    server: Option<&str>,
) -> Result<(Files, Vec<Line>), Failure> {
    let mut files = Files::new();
    let mut lines = Vec::new();
    let own = server.map(pack::slice_name);
    let wanted = |name: &str| {
        own.as_deref()
            .is_none_or(|own| own == name || name == pack::PLACES)
    };
    for subject in statement.subjects.iter().filter(|it| wanted(&it.name)) {
        let check = format!("file {}", subject.name);
        match source.subject(subject) {
            Ok(bytes) => {
                let said = format!("{} ({} bytes)", subject.sha256, subject.size);
                lines.push(Line::ok(&check, said));
                files.insert(subject.name.clone(), bytes);
            }
            Err(why) => lines.push(Line::failed(&check, why)),
        }
    }
    if let Some(own) = own
        .as_deref()
        .filter(|own| statement.subject(own).is_none())
    {
        lines.push(Line::failed(
            &format!("file {own}"),
            "the statement does not list it",
        ));
    }
    if let Some(folder) = source.folder().filter(|_| server.is_none()) {
        lines.extend(unlisted(folder, statement)?);
    }
    let places = files.get(pack::PLACES).map(Vec::as_slice);
    let mut gates = Vec::new();
    for (name, bytes) in files.iter().filter(|(name, _)| pack::is_slice(name)) {
        let check = format!("slice {name}");
        match Gate::open(bytes, places) {
            Ok(gate) => {
                lines.push(opened(&check, name, &gate, &statement.release));
                gates.push((name.clone(), gate));
            }
            Err(error) => lines.push(Line::failed(
                &check,
                format!("cannot be put in force: {error}"),
            )),
        }
    }
    if server.is_none() {
        lines.push(agree::judge(statement, &gates));
        lines.push(resolved(&gates, places));
    }
    Ok((files, lines))
}

/// Bundles beside the release that the statement does not list.
fn unlisted(folder: &std::path::Path, statement: &Statement) -> Result<Option<Line>, Failure> {
    let failed = |error| Failure::file("read", folder, &error);
    let mut strays = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy().into_owned();
        let ours = pack::is_slice(&name) || name == pack::PLACES;
        if ours && statement.subject(&name).is_none() {
            strays.push(name);
        }
    }
    strays.sort();
    let said = format!("not part of the release, remove: {}", strays.join(", "));
    Ok((!strays.is_empty()).then(|| Line::failed("unlisted", said)))
}

/// Whether a slice is of this project and of the server that it is named after.
fn opened(check: &str, name: &str, gate: &Gate, release: &Release) -> Line {
    let index = gate.policy().index();
    let servers: Vec<_> = index.servers.iter().map(|it| it.name.as_str()).collect();
    if index.project != release.project {
        return Line::failed(check, format!("it is of project {:?}", index.project));
    }
    let own: Vec<_> = servers.iter().map(|it| pack::slice_name(it)).collect();
    if name != pack::ALL && own != [name] {
        return Line::failed(
            check,
            format!("it is of the servers {}", servers.join(", ")),
        );
    }
    let count = gate.policy().permission_count();
    Line::ok(
        check,
        format!("opens: {count} permissions on {}", servers.join(", ")),
    )
}

/// Whether everything that a decision can name has a place.
fn resolved(gates: &[(String, Gate)], places: Option<&[u8]>) -> Line {
    let Some(places) = places else {
        return Line::skipped("places", "the release has no map of places");
    };
    let places = match Places::open(places) {
        Ok(places) => places,
        Err(error) => return Line::failed("places", error.what),
    };
    let mut named = 0;
    for (_, gate) in gates {
        let index = gate.policy().index();
        let rules = index
            .rules
            .iter()
            .map(|it| (PlaceKind::Rule, it.name.as_str()));
        let bindings = index.bindings.names.iter();
        let bindings = bindings.map(|it| (PlaceKind::Binding, it));
        for (kind, name) in rules.chain(bindings) {
            named += 1;
            if places.find(kind, name).is_none() {
                return Line::failed("places", format!("{name} has no place"));
            }
        }
    }
    let count = places.len();
    Line::ok(
        "places",
        format!("{count} places; every rule and binding has one ({named} looked up)"),
    )
}
