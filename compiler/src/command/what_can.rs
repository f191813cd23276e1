//! `latchkey what-can`: everything that a caller may do, when, and through what.

use latchkey_engine::policy::Policy;

use super::{
    Exit, Failure, Terminal,
    access::{self, Asked},
};
use crate::{cli::Global, diff::access::Query};

/// The arguments of `latchkey what-can`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A principal's name, `group:NAME`, `undeclared:ISSUER`, or `anonymous`
    #[arg(value_name = "PRINCIPAL")]
    principal: String,
    /// Only on this server
    #[arg(long, value_name = "SERVER")]
    server: Option<String>,
    #[command(flatten)]
    asked: Asked,
}

/// Prints what a caller may do.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let Some(opened) = access::open("what-can", &args.asked, global, terminal)? else {
        return Ok(Exit::Findings);
    };
    let policy = opened.gate.policy();
    exists(policy, &args.principal)?;
    if let Some(server) = &args.server
        && policy.server(server).is_none()
    {
        let known = policy.index().servers.iter().map(|it| it.name.as_str());
        return Err(access::unknown("server", server, known));
    }
    let query = Query {
        subject: Some(&args.principal),
        server: args.server.as_deref(),
        ..Query::default()
    };
    access::answer(&opened, &query, &args.asked, global, terminal)
}

fn exists(policy: &Policy, subject: &str) -> Result<(), Failure> {
    let index = policy.index();
    if let Some(group) = subject.strip_prefix("group:") {
        if policy.group(group).is_some() {
            return Ok(());
        }
        let known = index.groups.iter().map(|it| it.name.as_str());
        return Err(access::unknown("group", group, known));
    }
    if let Some(issuer) = subject.strip_prefix("undeclared:") {
        if policy.issuer(issuer).is_some() {
            return Ok(());
        }
        let known = index.issuers.iter().map(|it| it.name.as_str());
        return Err(access::unknown("issuer", issuer, known));
    }
    if subject == "anonymous" || policy.principal(subject).is_some() {
        return Ok(());
    }
    Err(access::unknown(
        "principal",
        subject,
        index.principals.names.iter(),
    ))
}
