//! Calls in names, and how they become calls of the engine.

use std::net::IpAddr;

use super::World;
use crate::{
    call::{Arguments, Call, Caller, Operation, Scopes},
    condition::Segment,
    decimal::Decimal,
    id::{PermissionId, ScopeId, SurfaceId},
    policy::Policy,
    slot::Slot,
    time::Time,
};

/// A call in names.
#[derive(Debug, Clone)]
pub struct WorldCall {
    /// Issuer, subject and claimed groups of each caller.
    pub callers: Vec<(String, String, Vec<String>)>,
    /// `server/name`
    pub surface: Option<String>,
    /// The operations; `None` is an undeclared one on surfaces that have any.
    pub operations: Option<Vec<String>>,
    /// Paths, sorted in the order of the tree; `None` is invalid.
    pub scopes: Option<Vec<String>>,
    /// Arguments by name; `None` fails the schema.
    pub arguments: Option<Vec<(&'static str, Argument)>>,
    pub address: Option<IpAddr>,
    pub token_permissions: Option<Vec<String>>,
    pub token_id: Option<String>,
    pub now: Time,
}

/// The value of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// Present, but unreadable.
    Opaque,
    Bool(bool),
    Number(i64),
    Text(&'static str),
    /// A list of texts.
    Texts(Vec<&'static str>),
    /// A list of objects with a `path`.
    Files(Vec<Option<&'static str>>),
}

/// What a call of the engine borrows.
#[derive(Debug)]
pub struct Prepared<'a> {
    world_call: &'a WorldCall,
    callers: Vec<Caller>,
    surface: Option<SurfaceId>,
    operations: Option<Vec<usize>>,
    has_operations: bool,
    scopes: Option<Vec<ScopeId>>,
    lists: Vec<Vec<Slot<'a>>>,
    token_permissions: Option<Vec<PermissionId>>,
    names: Vec<Option<&'a Argument>>,
}

impl<'a> Prepared<'a> {
    /// Resolves the names of a call.
    pub fn new(policy: &Policy, call: &'a WorldCall) -> Self {
        let surface = call.surface.as_ref();
        let surface = surface.and_then(|name| policy.surface_by_name(name));
        let entry = surface.and_then(|surface| policy.surface_entry(surface));
        let values = entry.and_then(|entry| entry.operations.as_ref());
        let position = |name: &String| {
            let values = &values
                .expect("operations of a surface that has them")
                .values;
            values.iter().position(|(it, _)| it == name).unwrap()
        };
        // Without a surface there are none.
        let operations = call.operations.as_ref().filter(|_| values.is_some());
        let slots = surface.map_or(&[][..], |surface| policy.slots(surface));
        let mut names = Vec::new();
        let mut lists = Vec::new();
        for attribute in slots {
            let path = &policy.index().attributes[attribute.index()].path;
            let Segment::Field(name) = &path[0] else {
                panic!("an argument has a name");
            };
            let given = call.arguments.as_ref();
            let value = given.and_then(|it| it.iter().find(|(it, _)| it == name));
            let value = value.map(|(_, value)| value);
            lists.push(elements(value, path.len() > 1));
            names.push(value);
        }
        Self {
            world_call: call,
            callers: callers(policy, call),
            surface,
            operations: operations.map(|it| it.iter().map(position).collect()),
            has_operations: values.is_some(),
            scopes: call.scopes.as_ref().map(|paths| scopes(policy, paths)),
            lists,
            token_permissions: call.token_permissions.as_ref().map(|names| {
                let ids = names.iter().filter_map(|it| policy.permission_by_name(it));
                let mut ids: Vec<_> = ids.collect();
                ids.sort_unstable();
                ids.dedup();
                ids
            }),
            names,
        }
    }

    /// The slots of the arguments.
    pub fn slots(&'a self) -> Vec<Slot<'a>> {
        let slot = |(value, list): (Option<&'a Argument>, &'a Vec<Slot<'a>>)| match value {
            None => Slot::Absent,
            Some(Argument::Opaque) => Slot::Opaque,
            Some(Argument::Bool(value)) => Slot::Bool(*value),
            Some(Argument::Number(value)) => Slot::Number(Decimal::from_integer(*value).unwrap()),
            Some(Argument::Text(value)) => Slot::Text(value),
            Some(Argument::Texts(_) | Argument::Files(_)) => Slot::List(list),
        };
        let names = self.names.iter().copied();
        names.zip(&self.lists).map(slot).collect()
    }

    /// The call.
    pub fn call(&'a self, slots: &'a [Slot<'a>]) -> Call<'a> {
        Call {
            callers: &self.callers,
            surface: self.surface,
            operation: match (&self.operations, self.has_operations) {
                (None, true) => Operation::Undeclared,
                (Some(positions), true) => Operation::These(positions),
                (_, false) => Operation::None,
            },
            scopes: match &self.scopes {
                None => Scopes::Invalid,
                Some(scopes) => Scopes::These(scopes),
            },
            arguments: match &self.world_call.arguments {
                None => Arguments::Invalid,
                Some(_) => Arguments::Slots(slots),
            },
            address: self.world_call.address,
            token_permissions: self.token_permissions.as_deref(),
            token_id: self.world_call.token_id.as_deref(),
            now: self.world_call.now,
        }
    }

    /// The same call before anything but its callers and surface is known.
    pub fn discovery(&'a self) -> Call<'a> {
        Call {
            operation: Operation::Any,
            scopes: Scopes::Any,
            arguments: Arguments::Unknown,
            ..self.call(&[])
        }
    }
}

fn elements(value: Option<&Argument>, paths: bool) -> Vec<Slot<'static>> {
    match value {
        Some(Argument::Texts(texts)) => texts.iter().map(|text| Slot::Text(text)).collect(),
        Some(Argument::Files(files)) => files
            .iter()
            .map(|path| match path {
                Some(path) if paths => Slot::Text(path),
                None if paths => Slot::Absent,
                _ => Slot::Opaque,
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn callers(policy: &Policy, call: &WorldCall) -> Vec<Caller> {
    let caller = |(issuer, subject, groups): &(String, String, Vec<String>)| {
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        policy.caller(policy.issuer(issuer).unwrap(), subject, &groups)
    };
    call.callers.iter().map(caller).collect()
}

fn scopes(policy: &Policy, paths: &[String]) -> Vec<ScopeId> {
    let tree = &policy.index().scopes;
    let mut scopes: Vec<_> = paths.iter().map(|path| tree.find(path).unwrap()).collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

impl World {
    /// The surface with this `server/name`.
    pub fn surface(&self, full_name: &str) -> Option<&super::SurfaceEntry> {
        self.surfaces.iter().find(|it| it.full_name() == full_name)
    }
}
