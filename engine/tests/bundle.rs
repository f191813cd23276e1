//! Bundles and places: every value has one encoding, and everything else is refused.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is a failed test"
)]

use latchkey_engine::{
    bundle::{
        self,
        places::{Place, PlaceKind, Places},
    },
    condition,
    id::{FormulaId, PermissionId, PrincipalId, RoleId, RoleSetId, ScopeId},
    index::{BindingColumns, Bindings, Index, Obligation, Subject},
    lists::Lists,
    policy::Policy,
    testing::{Rng, World},
};

fn worlds(count: u64) -> impl Iterator<Item = (Rng, Index)> {
    (0..count).map(|seed| {
        let mut rng = Rng::new(seed);
        let index = World::random(&mut rng).index();
        (rng, index)
    })
}

/// Bytes that open encode to themselves again; the others are refused without a panic.
fn replay_bundle(bytes: &[u8]) -> bool {
    match Policy::open(bytes) {
        Ok(policy) => {
            assert_eq!(bundle::encode(policy.index()).unwrap(), bytes);
            true
        }
        Err(error) => {
            assert!(error.offset <= bytes.len() && !error.what.is_empty());
            false
        }
    }
}

fn replay_places(bytes: &[u8]) -> bool {
    match Places::open(bytes) {
        Ok(places) => {
            assert_eq!(places.encode().unwrap(), bytes);
            true
        }
        Err(error) => {
            assert!(error.offset <= bytes.len() && !error.what.is_empty());
            false
        }
    }
}

/// One to three small accidents.
fn mutate(rng: &mut Rng, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=rng.below(3) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = rng.below(bytes.len());
        match rng.below(8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, u8::try_from(rng.below(256)).unwrap()),
            2 => {
                bytes.remove(at);
            }
            3 => bytes[at] = 0,
            4 => bytes[at] = 0xff,
            5 => bytes[at] = bytes[at].wrapping_add(1),
            6 => bytes[at] ^= 1 << rng.below(8),
            _ => {
                let from = rng.below(bytes.len());
                bytes[at] = bytes[from];
            }
        }
    }
    bytes
}

#[test]
fn what_is_encoded_opens_as_it_was() {
    for (_, index) in worlds(300) {
        let bytes = bundle::encode(&index).unwrap();
        let policy = Policy::open(&bytes).unwrap();
        assert_eq!(policy.index(), &index);
        assert_eq!(bundle::encode(policy.index()).unwrap(), bytes);
    }
}

#[test]
fn mutated_bundles_are_refused_or_canonical() {
    let (mut opened, mut refused) = (0, 0);
    for (mut rng, index) in worlds(100) {
        let bytes = bundle::encode(&index).unwrap();
        for _ in 0..200 {
            if replay_bundle(&mutate(&mut rng, &bytes)) {
                opened += 1;
            } else {
                refused += 1;
            }
        }
    }
    println!("{opened} mutated bundles were other bundles, {refused} were refused");
    assert!(opened > 100 && refused > 10_000);
}

#[test]
fn no_prefix_of_a_bundle_opens() {
    for (_, index) in worlds(3) {
        let bytes = bundle::encode(&index).unwrap();
        for end in 0..bytes.len() {
            assert!(!replay_bundle(&bytes[..end]), "{end} of {}", bytes.len());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(!replay_bundle(&longer));
    }
}

#[test]
fn a_count_alone_allocates_nothing_large() {
    let (_, index) = worlds(1).next().unwrap();
    let bytes = bundle::encode(&index).unwrap();
    for at in 0..bytes.len() - 4 {
        let mut bytes = bytes.clone();
        bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        replay_bundle(&bytes);
    }
}

/// One way to spoil an index, and what is said about it.
type Spoil = (&'static str, &'static str, fn(&mut Index));

#[test]
fn each_rule_of_the_tables_is_proved() {
    let spoils: &[Spoil] = &[
        ("project", "name", |it| it.project = "No Label".to_owned()),
        ("issuers", "sorted", |it| it.issuers.reverse()),
        ("issuers", "URL", |it| {
            it.issuers[0].url = it.issuers[1].url.clone();
        }),
        ("issuers", "organizations", |it| {
            it.issuers[0].organizations = vec![ScopeId(0)];
        }),
        ("groups", "sorted", |it| it.groups.reverse()),
        ("principals", "columns", |it| {
            it.principals.types.pop();
        }),
        ("principals", "id", |it| {
            it.principals.scopes[0] = ScopeId(99);
        }),
        ("servers", "id", |it| it.servers[0].scope = ScopeId(99)),
        ("surfaces", "sorted", |it| it.surfaces.reverse()),
        ("surfaces", "name", |it| {
            it.surfaces[0].name = "a b".to_owned();
        }),
        ("roles", "no permission", |it| {
            it.roles.permissions = it.roles.names.iter().map(|_| vec![]).collect();
        }),
        ("roles", "id", |it| {
            let permission = |_| vec![PermissionId(999)];
            it.roles.permissions = it.roles.names.iter().map(permission).collect();
        }),
        ("roles", "columns", |it| {
            it.roles.permissions = Lists::default();
        }),
        ("roles", "sorted", |it| {
            let permissions = |_| vec![PermissionId(1), PermissionId(0)];
            it.roles.permissions = it.roles.names.iter().map(permissions).collect();
        }),
        ("role sets", "roles", |it| {
            it.role_sets = [vec![RoleId(0)]].into_iter().collect();
        }),
        ("role sets", "id", |it| {
            it.role_sets = [vec![RoleId(0), RoleId(99)]].into_iter().collect();
        }),
        ("role sets", "sorted", |it| {
            it.role_sets = [[RoleId(0), RoleId(1)]; 2].into_iter().collect();
        }),
        ("bindings", "name", |it| {
            it.bindings.names = it.bindings.names.iter().map(|_| "a b").collect();
        }),
        ("bindings", "id", |it| {
            let mut columns = it.bindings.columns();
            columns.conditions[0] = Some(FormulaId(999));
            it.bindings = Bindings::new(columns, it.bounds()).unwrap();
        }),
        ("bindings", "id", |it| {
            let mut bounds = it.bounds();
            bounds.tags += 1;
            it.bindings = Bindings::new(it.bindings.columns(), bounds).unwrap();
        }),
        ("rules", "64", |it| {
            let rate = |count| Obligation::rate(count, 1);
            it.surfaces[0].obligations = (0..65).map(rate).collect();
        }),
    ];
    for (section, what, spoil) in spoils {
        let (_, mut index) = worlds(1).next().unwrap();
        spoil(&mut index);
        let error = bundle::encode(&index).unwrap_err();
        assert_eq!(error.section, *section, "{error}");
        assert!(
            error.what.contains(what),
            "{section}: {} has no {what:?}",
            error.what
        );
    }
}

#[test]
fn bindings_that_cannot_be_laid_out_are_refused() {
    type Spoil = (&'static str, fn(&mut BindingColumns));
    let spoils: &[Spoil] = &[
        ("columns", |it| it.scopes.clear()),
        ("columns", |it| *it.subject_ends.last_mut().unwrap() -= 1),
        ("without subjects", |it| it.subject_ends[0] = 0),
        ("subjects", |it| {
            let last = it.subject_ends[0] as usize - 1;
            it.subjects[last] = Subject::Everyone;
        }),
        ("subjects", |it| {
            it.subjects[0] = Subject::Principal(PrincipalId(99));
        }),
        ("id", |it| it.roles[0] = RoleSetId(99)),
        ("id", |it| it.roles[0] = RoleSetId(1 << 29)),
        ("id", |it| it.scopes[0] = ScopeId(99)),
        ("distinct", |it| {
            it.names = it.names.iter().map(|_| "same").collect();
            it.scopes.fill(ScopeId(0));
            it.subjects = vec![Subject::Principal(PrincipalId(0)); it.scopes.len()];
            it.subject_ends = (1..).take(it.scopes.len()).collect();
        }),
    ];
    for (what, spoil) in spoils {
        let (_, index) = worlds(1).next().unwrap();
        let mut columns = index.bindings.columns();
        spoil(&mut columns);
        let error = Bindings::new(columns, index.bounds()).unwrap_err();
        assert!(error.contains(what), "{error} has no {what:?}");
    }
}

/// The smallest of some random bundles that has every section filled.
fn small_bundle() -> Vec<u8> {
    let filled = |index: &Index| {
        let sets = !index.role_sets.is_empty() && !index.formulas.is_empty();
        let callers = !index.principals.tags.is_empty() && !index.principals.groups.is_empty();
        sets && callers && !index.rules.is_empty() && !index.bindings.names.is_empty()
    };
    let bundles = worlds(60).filter(|(_, index)| filled(index));
    let bundles = bundles.map(|(_, index)| bundle::encode(&index).unwrap());
    bundles.min_by_key(Vec::len).unwrap()
}

/// What became of bytes that are not the signed ones.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    other: usize,
}

impl Tally {
    /// Changed bytes are refused, or they are another bundle in its one encoding, whose digest is
    /// not the signed one.
    fn add(&mut self, signed: &[u8; 32], bytes: &[u8]) {
        if let Ok(policy) = Policy::open(bytes) {
            assert_ne!(policy.digest(), *signed);
            assert_eq!(bundle::encode(policy.index()).unwrap(), bytes);
            self.other += 1;
        } else {
            self.refused += 1;
        }
    }
}

#[test]
fn every_changed_byte_is_refused_or_another_bundle() {
    let bytes = small_bundle();
    let signed = Policy::open(&bytes).unwrap().digest();
    let mut flips = Tally::default();
    for at in 0..bytes.len() {
        let was = bytes[at];
        let mut values: Vec<u8> = (0..8).map(|bit| was ^ (1 << bit)).collect();
        values.extend([0x00, 0xff]);
        for value in values.into_iter().filter(|value| *value != was) {
            let mut changed = bytes.clone();
            changed[at] = value;
            flips.add(&signed, &changed);
        }
    }
    let mut cuts = Tally::default();
    for end in 0..bytes.len() {
        cuts.add(&signed, &bytes[..end]);
    }
    let mut swaps = Tally::default();
    for changed in swapped_sections(&bytes) {
        swaps.add(&signed, &changed);
    }
    println!(
        "{} bytes; changed {flips:?}, cut {cuts:?}, swapped {swaps:?}",
        bytes.len()
    );
    assert!(flips.refused > flips.other && flips.other > 0);
    assert_eq!(cuts.other, 0);
    assert!(swaps.refused > 100);
}

/// How many sections a bundle has.
const SECTIONS: usize = 15;

/// Every pair of sections swapped: their bodies alone, with their lengths, and with their tags.
fn swapped_sections(bytes: &[u8]) -> Vec<Vec<u8>> {
    let entry = |at: usize| bytes[4 + 5 * at..][..5].to_vec();
    let mut bodies = Vec::new();
    let mut rest = &bytes[4 + 5 * SECTIONS..];
    for at in 0..SECTIONS {
        let length = u32::from_le_bytes(entry(at)[1..].try_into().unwrap());
        let (body, more) = rest.split_at(usize::try_from(length).unwrap());
        bodies.push(body);
        rest = more;
    }
    assert!(rest.is_empty());
    let mut all = Vec::new();
    let pairs = (0..SECTIONS).flat_map(|one| (0..one).map(move |other| (one, other)));
    for (one, other) in pairs {
        for (tags, lengths) in [(false, false), (false, true), (true, true)] {
            let mut entries: Vec<Vec<u8>> = (0..SECTIONS).map(entry).collect();
            let mut bodies = bodies.clone();
            bodies.swap(one, other);
            if lengths {
                entries.swap(one, other);
            }
            if !tags {
                (entries[one][0], entries[other][0]) = (entry(one)[0], entry(other)[0]);
            }
            let changed = [&bytes[..4], &entries.concat(), &bodies.concat()].concat();
            if changed != bytes {
                all.push(changed);
            }
        }
    }
    all
}

fn some_places() -> Places {
    let place = |kind, name, line| Place {
        kind,
        name,
        file: "access/payments.yaml",
        line,
        column: 3,
    };
    Places::new(vec![
        place(PlaceKind::Role, "reader", 9),
        place(PlaceKind::Binding, "reader", 4),
        place(PlaceKind::Binding, "admins", 7),
        place(PlaceKind::Rule, "no-pushes", 12),
    ])
}

#[test]
fn places_are_found_by_kind_and_name() {
    let bytes = some_places().encode().unwrap();
    let places = Places::open(&bytes).unwrap();
    assert_eq!(places, some_places());
    let found = |kind, name| places.find(kind, name).map(|it| it.to_string());
    let expected = Some("access/payments.yaml:4:3".to_owned());
    assert_eq!(found(PlaceKind::Binding, "reader"), expected);
    assert_eq!(found(PlaceKind::Rule, "reader"), None);
}

#[test]
fn mutated_places_are_refused_or_canonical() {
    let bytes = some_places().encode().unwrap();
    let mut rng = Rng::new(7);
    let opened = (0..20_000).filter(|_| replay_places(&mutate(&mut rng, &bytes)));
    assert!(opened.count() > 100);
    for end in 0..bytes.len() {
        assert!(!replay_places(&bytes[..end]));
    }
}

/// The seeds of the fuzz targets, and small accidents to each, through the same functions.
#[test]
fn fuzz_targets_hold_on_their_seeds() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus");
    let mut rng = Rng::new(11);
    let mut seeds = 0;
    for target in ["bundle_open", "places_open", "condition_parse"] {
        let mut files: Vec<_> = std::fs::read_dir(format!("{corpus}/{target}"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{target} has no seeds");
        for file in files {
            let bytes = std::fs::read(file).unwrap();
            seeds += 1;
            for round in 0..200 {
                let bytes = if round == 0 {
                    bytes.clone()
                } else {
                    mutate(&mut rng, &bytes)
                };
                match target {
                    "bundle_open" => drop(replay_bundle(&bytes)),
                    "places_open" => drop(replay_places(&bytes)),
                    _ => {
                        let text = String::from_utf8_lossy(&bytes);
                        let _ = condition::parse(&text);
                    }
                }
            }
        }
    }
    println!("{seeds} seeds replayed");
}

/// The seeds of the fuzz targets are those of the format as it is; `LATCHKEY_BLESS=1` writes them
/// after a change of it.
#[test]
fn fuzz_seeds_are_of_this_format() {
    let bless = std::env::var_os("LATCHKEY_BLESS").is_some();
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus");
    let write = |target: &str, name: String, bytes: &[u8]| {
        if bless {
            std::fs::create_dir_all(format!("{corpus}/{target}")).unwrap();
            std::fs::write(format!("{corpus}/{target}/{name}"), bytes).unwrap();
        }
        let stored = std::fs::read(format!("{corpus}/{target}/{name}")).unwrap();
        assert_eq!(stored, bytes, "{target}/{name} is stale: LATCHKEY_BLESS=1");
    };
    for (at, (_, index)) in worlds(4).enumerate() {
        write(
            "bundle_open",
            format!("random-{at}"),
            &bundle::encode(&index).unwrap(),
        );
    }
    write(
        "places_open",
        "some".to_owned(),
        &some_places().encode().unwrap(),
    );
    write(
        "places_open",
        "none".to_owned(),
        &Places::default().encode().unwrap(),
    );
    let conditions = [
        "args.branch == \"main\" || args.branch.startsWith(\"release/\")",
        "has(args.amount) && args.amount <= 500.25 && !(args.env in [\"prod\", \"live\"])",
        "args.files.all(f, f.path.startsWith(\"docs/\") && size(f.path) < 100)",
        "cidr(\"10.0.0.0/8\").containsIP(request.ip) && \"dry-run\" in args",
        "args[\"dry-run\"] && args.repo.matches(\"^acme/[a-z]+$\")",
        "request.time < timestamp(\"2026-12-01T10:00:00Z\") && \"sre\" in principal.groups",
    ];
    for (at, condition) in conditions.iter().enumerate() {
        write("condition_parse", format!("{at}"), condition.as_bytes());
    }
}
