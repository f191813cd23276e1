//! How each type of the index is spelt, in the alphabet of [`super::format`].

use super::{
    OpenError,
    columns::{read_labels, write_labels},
    format::{Reader, Wire, Writer, wire_choices, wire_enums, wire_newtypes, wire_structs},
};
use crate::{
    condition::{Attribute, Comparison, Formula, Network, Root, Schedule, Segment, Test, Value},
    decimal::Decimal,
    id::{
        AttributeId, FormulaId, GroupId, IssuerId, PermissionId, PrincipalId, RoleId, RoleSetId,
        SchemaId, ScopeId, ServerId, TagId,
    },
    index::{
        Access, Algorithm, ArgumentFact, Disclose, Effect, Fold, Group, Issuer, Obligation,
        Operations, Pool, PrincipalType, Reach, Risk, Rule, ScopeNames, ScopeSource, Server,
        Surface, SurfaceKind, Transport, Unlock,
    },
    strings::Strings,
    time::{Dates, Time},
};

wire_newtypes! {
    AttributeId(u32), FormulaId(u32), GroupId(u32), IssuerId(u32), PermissionId(u32),
    PrincipalId(u32), RoleId(u32), RoleSetId(u32), SchemaId(u32), ScopeId(u32), ServerId(u32),
    TagId(u32), Time(i64),
}

wire_choices! {
    PrincipalType { Human = 0, Service = 1, Agent = 2 }
    Algorithm { EdDsa = 0, Es256 = 1, Rs256 = 2, Es384 = 3, Ps256 = 4 }
    Transport { Mcp = 0, Http = 1 }
    Disclose { Hidden = 0, Code = 1, Full = 2 }
    Risk { Read = 0, Write = 1, Destructive = 2 }
    Unlock { BreakGlass = 0, Grant = 1 }
    Access { Permission = 0, Authenticated = 1, Public = 2 }
    Fold { AsciiLower = 0, PosixPath = 1 }
    Pool { Caller = 0, Team = 1, Organization = 2, Source = 3, Everyone = 4 }
    Reach { Surface = 0, Server = 1 }
    Root { Principal = 0, Subject = 1, Args = 2, Scope = 3, Request = 4 }
    Comparison { Equal = 0, Less = 1, LessOrEqual = 2, Greater = 3, GreaterOrEqual = 4 }
}

wire_enums! {
    SurfaceKind {
        0 => Tool,
        1 => Prompt,
        2 => Resource { uri },
        3 => Route { method, path },
    }
    ScopeSource {
        0 => Server,
        1 => Principal,
        2 => Map { argument, exact, prefixes },
        3 => Force { argument, team },
        4 => Unscoped,
    }
    Obligation {
        0 => Rate { pool, reach, count, seconds },
        1 => Concurrency { pool, reach, count },
    }
    Effect { 0 => Deny, 1 => Require(obligations) }
    Segment { 0 => Field(name), 1 => Each }
    Value { 0 => Bool(value), 1 => Number(value), 2 => Text(value), 3 => Time(value) }
    Test {
        0 => Present(it),
        1 => True(it),
        2 => Compare(it, comparison, value),
        3 => In(it, values),
        4 => Member(it, value),
        5 => StartsWith(it, text),
        6 => EndsWith(it, text),
        7 => Contains(it, text),
        8 => Matches(it, pattern),
        9 => Size(it, comparison, size),
        10 => Network(it, network),
        11 => Same(one, other),
        12 => During(it, schedule),
    }
    Formula {
        0 => Constant(value),
        1 => All(parts),
        2 => Any(parts),
        3 => Literal { test, negated },
        4 => Every(list, body),
        5 => Some(list, body),
    }
}

wire_structs! {
    Issuer {
        name, url, audiences, algorithms, keys, organizations, undeclared, undeclared_type,
        groups_claim, clock_skew, max_lifetime, settings,
    }
    Group { name, claim }
    Server {
        name, scope, transport, upstream, disclose, max_body, header_timeout, timeout,
        settings,
    }
    Surface {
        server, name, kind, risk, unlock, access, operations, scope, arguments, schema,
        obligations, audit, settings,
    }
    Operations { argument, values }
    ArgumentFact { argument, fold, only, force, forbid }
    Rule { name, effect, who, except, permissions, scope, condition, dates, message }
    Attribute { root, path }
    Network { first, last }
    Schedule { name, not_before, expires, windows }
    Dates { not_before, expires }
}

impl Wire for Decimal {
    const MIN: usize = <i128 as Wire>::MIN;

    fn write(&self, to: &mut Writer) {
        self.billionths().write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
        let wrong = from.wrong("a number beyond what policy can read");
        Self::from_billionths(i128::read(from)?).ok_or(wrong)
    }
}

impl Wire for ScopeNames {
    const MIN: usize = 4;

    fn write(&self, to: &mut Writer) {
        to.count(self.scopes().len());
        for (text, scope) in self.iter() {
            to.text(text);
            scope.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
        let count = from.count(<(String, ScopeId)>::MIN)?;
        let mut names = Self::default();
        for _ in 0..count {
            let wrong = from.wrong("texts of more than 4 GiB");
            let (text, scope) = (from.text()?, ScopeId::read(from)?);
            names.push(text, scope).then_some(()).ok_or(wrong)?;
        }
        names.shrink_to_fit();
        Ok(names)
    }
}

impl Wire for Strings {
    const MIN: usize = 4;

    fn write(&self, to: &mut Writer) {
        write_labels(self, to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
        read_labels(from)
    }
}
