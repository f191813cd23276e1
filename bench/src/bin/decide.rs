//! A typed call with filled slots to a decision, beside the same question put to hash maps and to
//! other engines: `decide [LARGEST]`.

use std::{collections::BTreeMap, hint::black_box};

use latchkey_bench::{
    peers::{Cedar, Flat, Rego, ScanIds, ScanTexts, TextRequest},
    process::Failure,
    table::{Table, bytes, nanoseconds, ratio},
    timing::fastest,
    world::{HEAVY, NOW, Plan, Request, claim, subject},
};
use latchkey_engine::{
    bundle,
    call::{Arguments, Call, Caller, Operation, Scopes},
    condition::Segment,
    decide::decide,
    decimal::Decimal,
    decision::NoTrace,
    id::{ScopeId, SurfaceId},
    overlay::Overlay,
    policy::Policy,
    slot::Slot,
    testing::Rng,
};

const SIZES: [usize; 4] = [100, 10_000, 100_000, 1_000_000];
/// Requests of the cold row.
const COLD: usize = 2_000_000;
/// Requests of the hot row, asked again and again.
const HOT: usize = 64;
/// Principals that callers with token groups are taken from.
const GROUPED: usize = 20_000;
const ROUNDS: usize = 5;

fn main() -> Result<(), Failure> {
    let largest = std::env::args()
        .nth(1)
        .map_or(Ok(1_000_000), |it| it.parse())?;
    let mut own = Table::new(&[
        "bindings",
        "tests",
        "hot",
        "cold",
        "heavy",
        "8 groups",
        "bytes/binding",
        "memory",
    ]);
    let mut beside = Table::new(&["decider", "bindings", "cold", "ratio", "hot", "ratio"]);
    for size in SIZES.into_iter().filter(|size| *size <= largest) {
        let plan = Plan::new(size, &mut Rng::new(size as u64));
        for atoms in [0, 3, 10] {
            let subject = Subject::new(&plan, atoms)?;
            let figures = subject.measure(&plan)?;
            own.row([
                size.to_string(),
                atoms.to_string(),
                nanoseconds(figures.hot),
                nanoseconds(figures.cold),
                nanoseconds(figures.heavy),
                nanoseconds(figures.grouped),
                format!("{:.0}", subject.memory / size as f64),
                bytes(subject.memory),
            ]);
            if atoms == 0 {
                compare(&plan, &subject, &figures, size, &mut beside)?;
            }
        }
    }
    own.print("A decision, by bindings and by tests in each binding's condition (0 allocations)");
    beside.print("The same requests, without conditions; ratios to latchkey in this run");
    Ok(())
}

/// A policy of the engine, opened from its bytes.
struct Subject {
    policy: Policy,
    /// Bytes that it holds on the heap.
    memory: f64,
}

#[derive(Default)]
struct Figures {
    hot: f64,
    cold: f64,
    heavy: f64,
    grouped: f64,
}

impl Subject {
    fn new(plan: &Plan, atoms: usize) -> Result<Self, Failure> {
        let bytes = bundle::encode(&plan.world(atoms).index())?;
        let mut policy = None;
        let counted = allocation_counter::measure(|| policy = Some(Policy::open(&bytes)));
        let policy = policy.ok_or("open was not called")??;
        Ok(Self {
            policy,
            memory: counted.bytes_current as f64,
        })
    }

    fn measure(&self, plan: &Plan) -> Result<Figures, Failure> {
        let light = plan.requests(COLD, &mut Rng::new(1), |it| it >= HEAVY);
        let heavy = plan.requests(COLD / 10, &mut Rng::new(2), |it| it < HEAVY);
        let near = |it| (HEAVY..HEAVY + GROUPED).contains(&it);
        let grouped = plan.requests(COLD / 10, &mut Rng::new(3), near);
        let plain = self.callers(plan, None)?;
        let in_groups = self.callers(plan, Some(&mut Rng::new(4)))?;
        let slots = self.slots();
        let ask = |requests: &[Request], callers: &[Caller], times| {
            let deck = Deck::new(self, requests);
            // Nothing may be allocated, whatever the answer.
            let counted = allocation_counter::measure(|| {
                deck.allowed(self, callers, &slots, 1);
            });
            if counted.count_total != 0 {
                return Err(format!("{} allocations", counted.count_total));
            }
            let round = || {
                black_box(deck.allowed(self, callers, &slots, times));
            };
            Ok(fastest(ROUNDS, round) / (times * requests.len()) as f64)
        };
        Ok(Figures {
            hot: ask(&light[..HOT], &plain, COLD / HOT / 4)?,
            cold: ask(&light, &plain, 1)?,
            heavy: ask(&heavy, &plain, 1)?,
            grouped: ask(&grouped, &in_groups, 1)?,
        })
    }

    /// Each principal as a caller, as the cache of verified tokens keeps it; with random groups,
    /// only as many as those requests name.
    fn callers(&self, plan: &Plan, groups: Option<&mut Rng>) -> Result<Vec<Caller>, Failure> {
        let issuer = self.policy.issuer("idp").ok_or("no issuer")?;
        let Some(rng) = groups else {
            let all = (0..plan.homes.len()).map(|at| self.policy.caller(issuer, &subject(at), &[]));
            return Ok(all.collect());
        };
        let known = plan.homes.len().min(HEAVY + GROUPED);
        let each = (0..known).map(|at| {
            let claims: Vec<String> = (0..8).map(|_| claim(rng.below(plan.groups))).collect();
            let claims: Vec<&str> = claims.iter().map(String::as_str).collect();
            self.policy.caller(issuer, &subject(at), &claims)
        });
        Ok(each.collect())
    }

    /// The slots of each surface.
    fn slots(&self) -> Vec<Vec<Slot<'static>>> {
        let policy = &self.policy;
        let values: BTreeMap<&str, Slot<'static>> = BTreeMap::from([
            (
                "amount",
                Decimal::from_integer(500).map_or(Slot::Absent, Slot::Number),
            ),
            ("owner", Slot::Text("acme")),
            ("repo", Slot::Text("ledger")),
        ]);
        let surfaces = 0..policy.index().surfaces.len() as u32;
        let slots = surfaces.map(|surface| {
            let slots = policy.slots(SurfaceId(surface)).iter();
            let slot = slots.map(|attribute| {
                let path = &policy.index().attributes[attribute.index()].path;
                match path.first() {
                    Some(Segment::Field(name)) => values[name.as_str()],
                    _ => Slot::Absent,
                }
            });
            slot.collect()
        });
        slots.collect()
    }
}

/// Requests with their names looked up, as the gate does before it asks.
struct Deck(Vec<(u32, SurfaceId, ScopeId)>);

impl Deck {
    fn new(subject: &Subject, requests: &[Request]) -> Self {
        let tree = &subject.policy.index().scopes;
        let mut known = BTreeMap::new();
        let one = |request: &Request| {
            let place = (request.organization, request.team);
            let scope = *known.entry(place).or_insert_with(|| {
                let path = TextRequest::from(request).team;
                tree.find(&path).unwrap_or(ScopeId(0))
            });
            (request.principal, SurfaceId(request.surface.into()), scope)
        };
        Self(requests.iter().map(one).collect())
    }

    /// Asks everything this many times; how many were allowed.
    fn allowed(
        &self,
        subject: &Subject,
        callers: &[Caller],
        slots: &[Vec<Slot<'_>>],
        times: usize,
    ) -> usize {
        let overlay = Overlay::default();
        let mut allowed = 0;
        for _ in 0..times {
            for (principal, surface, scope) in &self.0 {
                let call = Call {
                    callers: std::slice::from_ref(&callers[*principal as usize]),
                    surface: Some(*surface),
                    operation: Operation::None,
                    scopes: Scopes::These(std::slice::from_ref(scope)),
                    arguments: Arguments::Slots(&slots[surface.index()]),
                    address: None,
                    token_permissions: None,
                    token_id: None,
                    now: NOW,
                };
                let decision = decide(&subject.policy, &overlay, black_box(&call), &mut NoTrace);
                allowed += usize::from(decision.is_allow());
            }
        }
        allowed
    }
}

/// The same requests to the peers, which must all answer alike.
fn compare(
    plan: &Plan,
    subject: &Subject,
    figures: &Figures,
    size: usize,
    table: &mut Table,
) -> Result<(), Failure> {
    let requests = plan.requests(COLD, &mut Rng::new(1), |it| it >= HEAVY);
    let few = &requests[..2000];
    let callers = subject.callers(plan, None)?;
    let slots = subject.slots();
    let expected: Vec<bool> = few
        .iter()
        .map(|it| Deck::new(subject, &[*it]).allowed(subject, &callers, &slots, 1) == 1)
        .collect();
    let mut row = |name: &str, cold: f64, hot: f64| {
        table.row([
            name.to_owned(),
            size.to_string(),
            nanoseconds(cold),
            ratio(cold / figures.cold),
            nanoseconds(hot),
            ratio(hot / figures.hot),
        ]);
    };
    row("latchkey", figures.cold, figures.hot);

    let scan = ScanIds::new(plan);
    agree(
        "scan of ids",
        &expected,
        few.iter().map(|it| scan.allows(it, &[])),
    )?;
    let (cold, hot) = both(&requests, |it| scan.allows(it, &[]));
    row("HashMap scan, ids", cold, hot);
    drop(scan);
    if size <= 100_000 {
        let flat = Flat::new(plan);
        agree("flat", &expected, few.iter().map(|it| flat.allows(it)))?;
        let (cold, hot) = both(&requests, |it| flat.allows(it));
        row("HashSet, every grant", cold, hot);
    }
    let texts: Vec<TextRequest> = requests[..COLD / 10].iter().map(Into::into).collect();
    let scan = ScanTexts::new(plan);
    let few = &texts[..2000];
    agree(
        "scan of texts",
        &expected,
        few.iter().map(|it| scan.allows(it)),
    )?;
    let (cold, hot) = both(&texts, |it| scan.allows(it));
    row("HashMap scan, texts", cold, hot);
    drop(scan);
    if size > 100_000 {
        return Ok(());
    }
    let mut rego = Rego::new(plan)?;
    let inputs: Vec<_> = few.iter().map(Rego::request).collect::<Result<_, _>>()?;
    let answers: Vec<bool> = inputs
        .iter()
        .map(|it| rego.allows(it))
        .collect::<Result<_, _>>()?;
    agree("regorus", &expected, answers.into_iter())?;
    let (cold, hot) = both(&inputs, |it| rego.allows(it).unwrap_or(false));
    row("regorus 0.14 (bytecode)", cold, hot);
    let cedar = Cedar::new(plan)?;
    let inputs: Vec<_> = few[..500]
        .iter()
        .map(Cedar::request)
        .collect::<Result<_, _>>()?;
    agree(
        "cedar",
        &expected[..500],
        inputs.iter().map(|it| cedar.allows(it)),
    )?;
    let (cold, hot) = both(&inputs, |it| cedar.allows(it));
    row("cedar-policy 4.14", cold, hot);
    Ok(())
}

/// Nanoseconds a request over all of them, and over the first few again and again.
fn both<T>(requests: &[T], mut allows: impl FnMut(&T) -> bool) -> (f64, f64) {
    let mut sweep = |requests: &[T], times: usize| {
        let rounds = if requests.len() * times > 10_000 {
            3
        } else {
            2
        };
        let round = || {
            for _ in 0..times {
                for request in requests {
                    black_box(allows(black_box(request)));
                }
            }
        };
        fastest(rounds, round) / (requests.len() * times) as f64
    };
    let cold = sweep(requests, 1);
    let hot = &requests[..HOT];
    // So often that a round takes a twentieth of a second: the kernel counts in ticks.
    let mut times = 1;
    while times < 100_000 && sweep(hot, times) * ((times * hot.len()) as f64) < 5e7 {
        times *= 4;
    }
    (cold, sweep(hot, times))
}

/// A figure for another answer would say nothing.
fn agree(
    name: &str,
    expected: &[bool],
    answers: impl Iterator<Item = bool>,
) -> Result<(), Failure> {
    for (at, (expected, answer)) in expected.iter().zip(answers).enumerate() {
        if *expected != answer {
            return Err(format!("{name} answers {answer} to request {at}").into());
        }
    }
    Ok(())
}
