//! Literals: what is written must be held exactly, or is refused.

use std::net::IpAddr;

use super::{
    super::{
        Value, address_number,
        expr::{Cidr, Literal},
        parse::{Raw, RawKind},
        problem::{Problem, ProblemKind, Span},
    },
    FUNCTIONS, Subset,
};
use crate::time::Time;

impl Subset<'_> {
    pub(super) fn literal(&mut self, raw: Raw) -> Option<Literal> {
        let span = raw.span;
        let value = match raw.kind {
            RawKind::Bool(value) => Value::Bool(value),
            RawKind::Number(number) => Value::Number(number),
            RawKind::Text(text) => Value::Text(text),
            RawKind::Call {
                target: None,
                name,
                arguments,
                ..
            } if name == "timestamp" => Value::Time(self.timestamp(span, arguments)?),
            RawKind::Call {
                name, name_span, ..
            } if !FUNCTIONS.contains(&name.as_str()) => {
                return self.unknown_function(&name, name_span);
            }
            RawKind::Broken => return None,
            _ => {
                return self.problem(
                    ProblemKind::Unsupported,
                    span,
                    "this is neither an attribute nor a literal",
                    "compare an attribute with a text, a number, true, false or \
                     timestamp(\"...\"); a test such as `has(x)` stands by itself",
                );
            }
        };
        Some(Literal { span, value })
    }

    fn timestamp(&mut self, span: Span, arguments: Vec<Raw>) -> Option<Time> {
        const HELP: &str = "write an RFC 3339 time in whole seconds: \
                            timestamp(\"2026-12-01T10:00:00Z\")";
        let (text, at) = self.text_argument(span, arguments, HELP)?;
        let whole = text.contains('T') && !text.contains('.');
        match Time::parse(&text).filter(|_| whole) {
            Some(time) => Some(time),
            None => self.problem(ProblemKind::Literal, at, "this is no timestamp", HELP),
        }
    }

    /// The only argument, which must be a text.
    pub(super) fn text_argument(
        &mut self,
        span: Span,
        arguments: Vec<Raw>,
        help: &str,
    ) -> Option<(String, Span)> {
        match <[Raw; 1]>::try_from(arguments) {
            Ok(
                [
                    Raw {
                        kind: RawKind::Text(text),
                        span,
                    },
                ],
            ) => Some((text, span)),
            _ => self.problem(
                ProblemKind::Unsupported,
                span,
                "the argument must be one text in quotes",
                help,
            ),
        }
    }

    pub(super) fn cidr(&mut self, text: &str, span: Span) -> Option<Cidr> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let address: IpAddr = address.parse().ok()?;
            let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
            let leading = prefix.len() > 1 && prefix.starts_with('0');
            let prefix: u8 = prefix.parse().ok().filter(|_| digits && !leading)?;
            let bits = if address.is_ipv4() { 32 } else { 128 };
            (prefix <= bits).then_some(Cidr {
                span,
                address,
                prefix,
            })
        });
        let Some(cidr) = parsed else {
            return self.problem(
                ProblemKind::Literal,
                span,
                "this is no address block",
                "write an address and a length: cidr(\"10.0.0.0/8\"), cidr(\"2001:db8::/32\")",
            );
        };
        let network = cidr.network();
        let mapped = 0xffff_u128 << 32;
        if cidr.address.is_ipv6()
            && network.first <= (mapped | u128::from(u32::MAX))
            && network.last >= mapped
        {
            return self.problem(
                ProblemKind::Literal,
                span,
                "this IPv6 block holds the IPv4 addresses too",
                "write IPv4 blocks as IPv4, and for all of IPv6 cidr(\"2000::/3\")",
            );
        }
        if network.first == address_number(cidr.address) {
            return Some(cidr);
        }
        let first = match cidr.address {
            IpAddr::V4(_) => std::net::Ipv6Addr::from(network.first)
                .to_ipv4_mapped()
                .map_or(cidr.address, IpAddr::V4),
            IpAddr::V6(_) => IpAddr::V6(network.first.into()),
        };
        let right = format!("\"{first}/{}\"", cidr.prefix);
        let problem = Problem::new(
            ProblemKind::Literal,
            span,
            "the address has bits set after its prefix",
            format!("write the first address of the block: {right}"),
        );
        self.problems.push(problem.with_fix(span, right));
        None
    }
}
