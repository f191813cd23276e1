//! A call of a surface: bind, validate, decide.

use latchkey_engine::{
    call::{Arguments, Call},
    decide::{decide, discover},
    decision::{Because, Collect, Decision, Missed, NoTrace, Visibility},
    id::{PermissionId, ScopeId, SurfaceId},
    index::{Risk, Surface, Unlock},
    policy::{ObligationSource, Policy},
    reason::Reason,
    slot::Slot,
};

use super::{Charge, Facts, Outcome, Permit, Stage, Verdict, bucket};
use crate::{
    bind::{self, Bindable, Bound, attribute_name},
    classify::{self, Source},
    identity::Identity,
    json::{self, Value},
    schema::Validator,
    wire::Reply,
};

impl Stage<'_> {
    /// Decides a call of a surface.
    pub(super) fn surface(
        &self,
        mut facts: Facts,
        reply: Reply,
        surface: SurfaceId,
        source: &Source<'_>,
    ) -> Verdict {
        let policy = self.gate.policy();
        let callers = self.identity.map_or(&[][..], Identity::callers);
        let Some(entry) = policy.surface_entry(surface) else {
            return self.unmatched(facts, reply, true);
        };
        facts.surface = Some(policy.surface_name(surface));
        let forced = bind::force(policy, entry, callers);
        let rewritten = if forced.is_empty() {
            None
        } else {
            let unforced = std::str::from_utf8(self.inbound.body).unwrap_or_default();
            bind::forced_body(unforced, source, &forced)
        };
        // The registry forces a value, and there is no object to put it into.
        let stuck = rewritten.is_none() && bind::forces(entry);
        let (text, document);
        let arguments = if let (Source::Message(params), None) = (source, &rewritten) {
            bind::message_arguments(*params)
        } else {
            text = assembled(source, rewritten.as_deref());
            let Ok(parsed) = json::parse(text.as_bytes()) else {
                facts.detail = Some("the forced arguments cannot be read".to_owned());
                return self.broken(facts, reply);
            };
            document = parsed;
            located(source, document.root())
        };
        let Some(bound) = bind::bind(policy, surface, callers, arguments) else {
            return self.unmatched(facts, reply, true);
        };
        facts.detail = match &bound.broken {
            _ if stuck => Some("a value is forced into the body, which is no object".to_owned()),
            Some((at, what)) => Some(format!("`{at}` breaks `{what}`")),
            None => self.violation(surface, entry, arguments),
        };
        let decided = Decided {
            rewritten,
            ..self.decide(surface, &bound, facts.detail.is_some())
        };
        self.conclude(facts, reply, surface, &bound, decided)
    }

    /// An error of this side; never an allow.
    fn broken(&self, mut facts: Facts, reply: Reply) -> Verdict {
        facts.reason = Reason::SchemaViolation;
        facts.failed = vec![Reason::SchemaViolation];
        self.refused(facts, true, reply)
    }

    /// The validate stage: where the arguments fail their schema, in words.
    fn violation(
        &self,
        surface: SurfaceId,
        entry: &Surface,
        arguments: Option<Value<'_>>,
    ) -> Option<String> {
        let schema = entry.schema?;
        let empty;
        let instance = if let Some(instance) = arguments {
            instance
        } else {
            empty = json::empty();
            empty.root()
        };
        if let Err(error) = json::check_numbers(instance) {
            return Some(error.what.message().to_owned());
        }
        let Some(validator) = self.gate.validator(schema.index()) else {
            return Some("the schema is not at hand".to_owned());
        };
        if validator.accepts(instance) {
            return self.mirror_broken(validator, instance);
        }
        // Nobody is told what it costs to look for, unless it may be called at all.
        let violation = Some(validator)
            .filter(|_| self.is_visible(surface))
            .and_then(|it| it.violation(instance));
        Some(violation.map_or_else(
            || "the arguments fail the schema".to_owned(),
            |it| format!("`{}` fails `{}`", it.pointer, it.keyword),
        ))
    }

    /// An `mcp-param-*` header that says something else than the argument that it mirrors. Headers
    /// that mirror nothing known are passed on, as MCP asks.
    fn mirror_broken(&self, validator: &Validator, instance: Value<'_>) -> Option<String> {
        let mut headers = self.inbound.headers.iter();
        headers.find_map(|(name, _)| {
            let mirror = name.strip_prefix("mcp-param-")?;
            let path = validator.mirrored(mirror)?;
            let said = self.inbound.header(name).ok().flatten();
            let said = said.and_then(classify::decoded_header);
            let argument = path.iter().try_fold(instance, |at, name| at.get(name));
            let same = match argument.map(json::to_value) {
                Some(Ok(serde_json::Value::String(text))) => said == Some(text),
                Some(Ok(value)) => said == Some(value.to_string()),
                Some(Err(_)) | None => false,
            };
            (!same).then(|| format!("`{name}` does not agree with `/{}`", path.join("/")))
        })
    }

    /// The decide stage: without a trace first, and with one where it is wanted.
    fn decide(&self, surface: SurfaceId, bound: &Bound<'_>, invalid: bool) -> Decided {
        let elements: Vec<Vec<Slot<'_>>> = bound
            .slots
            .iter()
            .map(|held| held.elements().collect())
            .collect();
        let slots: Vec<Slot<'_>> = bound
            .slots
            .iter()
            .zip(&elements)
            .map(|(held, elements)| held.slot(elements))
            .collect();
        let call = Call {
            operation: bound.operation.operation(),
            scopes: bound.scopes.scopes(),
            arguments: if invalid {
                Arguments::Invalid
            } else {
                Arguments::Slots(&slots)
            },
            ..self.blank_call(Some(surface))
        };
        let policy = self.gate.policy();
        if !self.explain {
            let decision = decide(policy, self.overlay, &call, &mut NoTrace);
            if decision.is_allow() {
                return Decided {
                    decision,
                    trace: None,
                    rewritten: None,
                };
            }
        }
        let mut trace = Collect::default();
        let decision = decide(policy, self.overlay, &call, &mut trace);
        Decided {
            decision,
            trace: Some(trace),
            rewritten: None,
        }
    }

    /// Writes down what was decided, and makes the permit or the refusal.
    fn conclude(
        &self,
        mut facts: Facts,
        reply: Reply,
        surface: SurfaceId,
        bound: &Bound<'_>,
        decided: Decided,
    ) -> Verdict {
        let policy = self.gate.policy();
        let Decided {
            decision,
            trace,
            rewritten,
        } = decided;
        facts.reason = decision.reason;
        let permissions = bound_permissions(policy, surface, bound);
        self.describe(&mut facts, surface, bound, &permissions);
        match decision.because {
            Some(Because::Binding(binding)) if decision.is_allow() => {
                facts.granted_by = vec![policy.binding_name(binding).to_owned()];
            }
            Some(Because::Rule(rule)) => {
                facts.rule = Some(policy.rule_name(rule).to_owned());
                facts.message = policy.rule_message(rule).map(str::to_owned);
            }
            _ => {}
        }
        if let Some(trace) = &trace {
            self.retell(&mut facts, trace);
        }
        facts.place = match (&facts.rule, facts.granted_by.first()) {
            (Some(rule), _) => self.gate.rule_place(rule),
            // Of an allow, only an explanation names it.
            (None, Some(binding)) if decision.is_allow() && self.explain => {
                self.gate.binding_place(binding)
            }
            _ => None,
        };
        if !decision.is_allow() {
            facts.visible = self.is_visible(surface)
                || (decision.reason == Reason::TokenScope && self.could_step_up(surface));
            return self.refused(facts, true, reply);
        }
        facts.visible = true;
        let charges = self.charges(&mut facts, surface, &decision, &permissions);
        facts.activation = self.activation(surface, bound, &facts);
        let rewritten = rewritten.map(String::into_bytes);
        let permit = Permit::surface(self.inbound.server, &facts, rewritten, charges, reply);
        Verdict {
            outcome: Outcome::Forward(permit),
            facts,
        }
    }

    fn is_visible(&self, surface: SurfaceId) -> bool {
        self.coarse(surface) != Visibility::Never
    }

    /// Whether a token without restrictions could be allowed.
    fn could_step_up(&self, surface: SurfaceId) -> bool {
        let call = Call {
            token_permissions: None,
            ..self.blank_call(Some(surface))
        };
        discover(self.gate.policy(), self.overlay, &call) != Visibility::Never
    }

    fn describe(
        &self,
        facts: &mut Facts,
        surface: SurfaceId,
        bound: &Bound<'_>,
        permissions: &[PermissionId],
    ) {
        let policy = self.gate.policy();
        let tree = &policy.index().scopes;
        if let Bindable::These(scopes) = &bound.scopes {
            facts.scopes = scopes.iter().map(|scope| tree.path(*scope)).collect();
            facts.scopes.sort_unstable();
        }
        let names = permissions.iter().map(|it| policy.permission_name(*it));
        facts.permissions = names.collect();
        if let Bindable::These(positions) = &bound.operation {
            facts.operation = operation_names(policy, surface, positions);
        }
        let risks = permissions.iter().map(|it| policy.permission_risk(*it));
        let own = policy.surface_entry(surface).map(|entry| entry.risk);
        facts.risk = risks.max().flatten().or(own).map(risk_word);
        facts.slots = bound.slot_facts(self.gate, surface);
    }

    /// Puts a trace into names.
    fn retell(&self, facts: &mut Facts, trace: &Collect) {
        let policy = self.gate.policy();
        facts.failed.clone_from(&trace.failed);
        let mut granted: Vec<String> = trace
            .granted
            .iter()
            .map(|(_, binding, _)| policy.binding_name(*binding).to_owned())
            .collect();
        granted.sort_unstable();
        granted.dedup();
        facts.granted_by = granted;
        let matched = trace.matched.iter();
        facts.matched = matched
            .map(|rule| policy.rule_name(*rule).to_owned())
            .collect();
        let missed = trace
            .missed
            .iter()
            .map(|(_, binding, why)| (policy.binding_name(*binding).to_owned(), missed_word(*why)));
        facts.missed = missed.collect();
        let mut undetermined: Vec<String> = trace
            .undetermined
            .iter()
            .filter_map(|id| policy.index().attributes.get(id.index()))
            .map(whole_name)
            .collect();
        undetermined.sort_unstable();
        facts.undetermined = undetermined;
    }

    /// What the allow carries, with the bucket of each.
    fn charges(
        &self,
        facts: &mut Facts,
        surface: SurfaceId,
        decision: &Decision,
        permissions: &[PermissionId],
    ) -> Vec<Charge> {
        let policy = self.gate.policy();
        let Some(permission) = permissions.first() else {
            return Vec::new();
        };
        let name = policy.surface_name(surface);
        let mut charges = Vec::new();
        for (at, obligation, source) in policy.obligations(*permission) {
            if !decision.obligations.contains(at) {
                continue;
            }
            let source = match source {
                ObligationSource::Surface(_) => "surface",
                ObligationSource::Rule(rule) => policy.rule_name(rule),
            };
            facts.obligations.push(obligation);
            charges.push(Charge {
                obligation,
                key: bucket::name(obligation, &name, source, self.identity, self.inbound.peer),
            });
        }
        facts.obligations.sort_unstable();
        facts.obligations.dedup();
        charges
    }

    /// The activation that unlocked an allowed destructive call.
    fn activation(&self, surface: SurfaceId, bound: &Bound<'_>, facts: &Facts) -> Option<String> {
        let policy = self.gate.policy();
        let entry = policy.surface_entry(surface)?;
        if facts.risk != Some("destructive") || entry.unlock != Unlock::BreakGlass {
            return None;
        }
        let name = facts.surface.as_deref()?;
        let tree = &policy.index().scopes;
        let Bindable::These(scopes) = &bound.scopes else {
            return None;
        };
        let found = self.overlay.activations.iter().find(|it| {
            let here = |scope: &ScopeId| tree.path_covers(&it.scope, *scope);
            scopes.iter().any(here)
                && facts.who.callers.contains(&it.principal)
                && it.surfaces.iter().any(|surface| surface == name)
                && self.now < it.expires
        });
        found.map(|activation| activation.id.clone())
    }
}

/// A decision, its trace where one was kept, and what would go upstream.
struct Decided {
    decision: Decision,
    trace: Option<Collect>,
    /// The body with forced values in place.
    rewritten: Option<String>,
}

/// The text that the arguments are read from, where they are not read from the request itself.
fn assembled(source: &Source<'_>, rewritten: Option<&str>) -> String {
    match source {
        Source::Message(_) => rewritten.unwrap_or_default().to_owned(),
        Source::Parts(parts, body) => match rewritten.or(body.as_ref().map(Value::raw)) {
            None => format!("{{{parts}}}"),
            Some(body) => format!("{{{parts},\"body\":{body}}}"),
        },
    }
}

fn located<'d>(source: &Source<'_>, root: Value<'d>) -> Option<Value<'d>> {
    match source {
        Source::Message(_) => root
            .get("params")
            .and_then(|params| params.as_object())
            .and_then(bind::message_arguments),
        Source::Parts(..) => Some(root),
    }
}

/// The permissions that a bound call needs; none while its operation is not known.
fn bound_permissions(policy: &Policy, surface: SurfaceId, bound: &Bound<'_>) -> Vec<PermissionId> {
    match &bound.operation {
        Bindable::None => policy.permission(surface, None).into_iter().collect(),
        Bindable::Invalid => Vec::new(),
        Bindable::These(positions) => {
            let ids = positions.iter();
            ids.filter_map(|at| policy.permission(surface, Some(*at)))
                .collect()
        }
    }
}

fn operation_names(policy: &Policy, surface: SurfaceId, positions: &[usize]) -> Option<String> {
    let operations = policy.surface_entry(surface)?.operations.as_ref()?;
    let names: Vec<&str> = positions
        .iter()
        .filter_map(|at| operations.values.get(*at))
        .map(|(name, _)| name.as_str())
        .collect();
    Some(names.join(","))
}

fn whole_name(attribute: &latchkey_engine::condition::Attribute) -> String {
    use latchkey_engine::condition::Root;
    let path = attribute_name(&attribute.path);
    let rest = path.strip_prefix("args").unwrap_or_default();
    let root = match attribute.root {
        Root::Principal => "principal",
        Root::Subject => "subject",
        Root::Args => "args",
        Root::Scope => "scope",
        Root::Request => "request",
    };
    format!("{root}{rest}")
}

pub(super) fn risk_word(risk: Risk) -> &'static str {
    match risk {
        Risk::Read => "read",
        Risk::Write => "write",
        Risk::Destructive => "destructive",
    }
}

fn missed_word(why: Missed) -> &'static str {
    match why {
        Missed::Condition => "condition",
        Missed::Dates => "dates",
        Missed::Scope => "scope",
        Missed::Organization => "organization",
    }
}
