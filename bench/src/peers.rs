//! The same policy in other hands: hash maps, and the engines that others would take.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    str::FromStr,
};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicySet, Request as CedarRequest, RestrictedExpression,
};
use regorus::{Rc, Value, languages::rego::compiler::Compiler, rvm::RegoVM};
use serde_json::json;

use crate::{
    process::Failure,
    world::{Holder, Place, Plan, Request, SURFACES, principal_name, role_name, surface_name},
};

/// A request in texts, as it comes over a wire.
#[derive(Debug)]
pub struct TextRequest {
    /// Who calls.
    pub principal: String,
    /// What is called.
    pub surface: String,
    /// The organization's path.
    pub organization: String,
    /// The team's path.
    pub team: String,
}

impl From<&Request> for TextRequest {
    fn from(request: &Request) -> Self {
        let place = |team| Place {
            organization: request.organization.into(),
            team,
        };
        Self {
            principal: principal_name(request.principal as usize),
            surface: surface_name(request.surface.into()),
            organization: place(None).path(),
            team: place(Some(request.team.into())).path(),
        }
    }
}

/// The naive way, over numbers: a hash map from the holder to its bindings, which are all looked at
/// until one grants.
#[derive(Debug)]
pub struct ScanIds {
    bindings: HashMap<u32, Vec<(Place, usize)>>,
    roles: Vec<[u64; SURFACES / 64]>,
}

/// Groups are numbered behind this many principals.
const GROUPS: u32 = 1 << 24;

impl ScanIds {
    /// The policy of a plan.
    pub fn new(plan: &Plan) -> Self {
        let mut bindings: HashMap<u32, Vec<(Place, usize)>> = HashMap::new();
        for binding in &plan.bindings {
            let holder = match binding.holder {
                Holder::Principal(at) => at as u32,
                Holder::Group(at) => GROUPS + at as u32,
            };
            let held = bindings.entry(holder).or_default();
            held.push((binding.place, binding.role));
        }
        let bits = |given: &Vec<usize>| {
            let mut bits = [0; SURFACES / 64];
            for at in given {
                bits[at / 64] |= 1 << (at % 64);
            }
            bits
        };
        let roles = plan.roles.iter().map(bits).collect();
        Self { bindings, roles }
    }

    /// Whether a caller with these groups is allowed.
    pub fn allows(&self, request: &Request, groups: &[u32]) -> bool {
        let groups = groups.iter().map(|at| GROUPS + at);
        let mut holders = std::iter::once(request.principal).chain(groups);
        holders.any(|holder| {
            let held = self.bindings.get(&holder);
            held.into_iter().flatten().any(|(place, role)| {
                let surface = usize::from(request.surface);
                place.organization == usize::from(request.organization)
                    && place.team.is_none_or(|it| it == usize::from(request.team))
                    && self.roles[*role][surface / 64] & 1 << (surface % 64) != 0
            })
        })
    }
}

/// The naive way, over the texts that a request carries.
#[derive(Debug)]
pub struct ScanTexts {
    bindings: HashMap<String, Vec<(String, String)>>,
    roles: HashMap<String, HashSet<String>>,
}

impl ScanTexts {
    /// The policy of a plan.
    pub fn new(plan: &Plan) -> Self {
        let mut bindings: HashMap<String, Vec<(String, String)>> = HashMap::new();
        for (principal, scope, role) in rows(plan) {
            bindings.entry(principal).or_default().push((scope, role));
        }
        let roles = plan.roles.iter().enumerate().map(|(at, given)| {
            let given = given.iter().map(|it| surface_name(*it)).collect();
            (role_name(at), given)
        });
        Self {
            bindings,
            roles: roles.collect(),
        }
    }

    /// Whether a request is allowed.
    pub fn allows(&self, request: &TextRequest) -> bool {
        let held = self.bindings.get(&request.principal);
        held.into_iter().flatten().any(|(scope, role)| {
            (*scope == request.team || *scope == request.organization)
                && self.roles[role].contains(&request.surface)
        })
    }
}

/// Every grant spelt out: one entry for each principal, scope and surface, two look-ups a request.
#[derive(Debug)]
pub struct Flat(HashSet<(u32, Place, u16)>);

impl Flat {
    /// The policy of a plan.
    pub fn new(plan: &Plan) -> Self {
        let mut all = HashSet::new();
        for binding in &plan.bindings {
            let Holder::Principal(holder) = binding.holder else {
                continue;
            };
            let given = plan.roles[binding.role].iter();
            all.extend(given.map(|it| (holder as u32, binding.place, *it as u16)));
        }
        Self(all)
    }

    /// Whether a request is allowed.
    pub fn allows(&self, request: &Request) -> bool {
        let held = |team| {
            let organization = request.organization.into();
            let place = Place { organization, team };
            let key = (request.principal, place, request.surface);
            self.0.contains(&key)
        };
        held(Some(request.team.into())) || held(None)
    }
}

/// Rego in regorus' bytecode machine, the bindings as data by principal.
pub struct Rego(RegoVM);

const REGO: &str = "package access
default allow := false
allow if {
  some held in data.bindings[input.principal]
  held.scope in input.scopes
  data.roles[held.role][input.surface]
}
";

impl Rego {
    /// The policy of a plan.
    pub fn new(plan: &Plan) -> Result<Self, Failure> {
        let mut bindings: HashMap<String, Vec<serde_json::Value>> = HashMap::new();
        for (principal, scope, role) in rows(plan) {
            let held = bindings.entry(principal).or_default();
            held.push(json!({"scope": scope, "role": role}));
        }
        let roles: HashMap<String, HashMap<String, bool>> = plan
            .roles
            .iter()
            .enumerate()
            .map(|(at, given)| {
                let given = given.iter().map(|it| (surface_name(*it), true));
                (role_name(at), given.collect())
            })
            .collect();
        let data = json!({"bindings": bindings, "roles": roles}).to_string();
        let mut engine = regorus::Engine::new();
        engine.add_policy("access.rego".to_owned(), REGO.to_owned())?;
        let entry: Rc<str> = "data.access.allow".into();
        let compiled = engine.compile_with_entrypoint(&entry)?;
        let program = Compiler::compile_from_policy(&compiled, &[&entry])?;
        let mut machine = RegoVM::new();
        machine.load_program(program);
        let data = Value::from_json_str(&data)?;
        machine.set_data(data).map_err(|it| it.to_string())?;
        Ok(Self(machine))
    }

    /// A request as this engine takes it.
    pub fn request(request: &TextRequest) -> Result<Value, Failure> {
        let input = json!({
            "principal": request.principal, "surface": request.surface,
            "scopes": [request.organization, request.team],
        });
        Ok(Value::from_json_str(&input.to_string())?)
    }

    /// Whether a request is allowed.
    pub fn allows(&mut self, request: &Value) -> Result<bool, Failure> {
        self.0.set_input(request.clone());
        let answer = self.0.execute().map_err(|it| it.to_string())?;
        Ok(answer == Value::from(true))
    }
}

/// Cedar with one policy for each role, the scopes of each role as attributes of the principal, and
/// a group of actions for each role: its fastest encoding that we found.
pub struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
}

impl Cedar {
    /// The policy of a plan.
    pub fn new(plan: &Plan) -> Result<Self, Failure> {
        let mut text = String::new();
        for at in 0..plan.roles.len() {
            let role = role_name(at);
            writeln!(
                text,
                "permit(principal, action in Action::{role:?}, resource) when {{ \
                 principal has {role:?} && principal[{role:?}].containsAny(context.scopes) }};"
            )?;
        }
        let mut held: HashMap<String, HashMap<String, Vec<RestrictedExpression>>> = HashMap::new();
        for (principal, scope, role) in rows(plan) {
            let scopes = held.entry(principal).or_default().entry(role).or_default();
            scopes.push(RestrictedExpression::new_string(scope));
        }
        let mut entities = Vec::new();
        for (principal, roles) in held {
            let roles = roles.into_iter();
            let roles = roles.map(|(role, scopes)| (role, RestrictedExpression::new_set(scopes)));
            let uid = uid("Principal", &principal)?;
            entities.push(Entity::new(uid, roles.collect(), HashSet::new())?);
        }
        let mut groups: Vec<HashSet<EntityUid>> = vec![HashSet::new(); SURFACES];
        for (at, given) in plan.roles.iter().enumerate() {
            let group = uid("Action", &role_name(at))?;
            entities.push(Entity::new_no_attrs(group.clone(), HashSet::new()));
            for surface in given {
                groups[*surface].insert(group.clone());
            }
        }
        for (at, groups) in groups.into_iter().enumerate() {
            let action = uid("Action", &surface_name(at))?;
            entities.push(Entity::new_no_attrs(action, groups));
        }
        Ok(Self {
            authorizer: Authorizer::new(),
            policies: PolicySet::from_str(&text)?,
            entities: Entities::from_entities(entities, None)?,
        })
    }

    /// A request as this engine takes it.
    pub fn request(request: &TextRequest) -> Result<CedarRequest, Failure> {
        let scopes = [&request.organization, &request.team];
        let scopes = scopes.map(|it| RestrictedExpression::new_string(it.clone()));
        let scopes = RestrictedExpression::new_set(scopes);
        Ok(CedarRequest::new(
            uid("Principal", &request.principal)?,
            uid("Action", &request.surface)?,
            uid("Server", "tools")?,
            Context::from_pairs([("scopes".to_owned(), scopes)])?,
            None,
        )?)
    }

    /// Whether a request is allowed.
    pub fn allows(&self, request: &CedarRequest) -> bool {
        let answer = self
            .authorizer
            .is_authorized(request, &self.policies, &self.entities);
        answer.decision() == Decision::Allow
    }
}

fn uid(kind: &str, name: &str) -> Result<EntityUid, Failure> {
    let kind = EntityTypeName::from_str(kind)?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(name)))
}

/// Bindings of principals in texts.
fn rows(plan: &Plan) -> impl Iterator<Item = (String, String, String)> {
    plan.bindings.iter().filter_map(|it| match it.holder {
        Holder::Principal(at) => Some((principal_name(at), it.place.path(), role_name(it.role))),
        Holder::Group(_) => None,
    })
}
