//! From a request for a token to the token: who asks, for which server, for which permissions.

use std::sync::Arc;

use hyper::{Request, body::Incoming, header::CONTENT_TYPE};
use latchkey_engine::{call::MAX_CALLERS, reason::Reason, time::Time};
use latchkey_gate::{
    capability::{self, Capability, MAX_DEPTH, Origin, SKEW},
    identity::Identity,
    settings::{Binding, ServerSettings, TokenExchange},
    token::{Actor, Claims, PERMISSIONS_TYPE, Shown},
};
use serde::Deserialize;

use super::{answer::Fault, form::Form};
use crate::{answer::now, body, exchange::Exchange, host, ids, run::Worker, supply::Active};

/// A token that was given.
pub(super) struct Given {
    pub(super) token: String,
    pub(super) expires_in: i64,
    pub(super) permissions: Vec<String>,
}

/// What an exchange is judged by.
struct Asking<'a> {
    worker: &'a Worker,
    active: &'a Active,
    settings: &'a ServerSettings,
    rules: TokenExchange,
    form: &'a Form,
    now: Time,
}

/// Who a shown token speaks of.
struct Party {
    origin: Origin,
    identity: Arc<Identity>,
    /// The ids of the tokens that it came from, its own last.
    line: Vec<String>,
    /// What must be used up, if it is for one use.
    capability: Option<Box<Capability>>,
}

impl Party {
    /// How many exchanges lie behind its token.
    fn depth(&self) -> usize {
        self.capability.as_ref().map_or(0, |it| it.depth)
    }

    /// When what is given for its token ends at the latest.
    fn ends(&self) -> i64 {
        // It is taken for a little longer than it says; the shown token is the end all the same.
        let ends = self.identity.expires_at().0 - SKEW;
        let parent = self.capability.as_ref();
        parent.map_or(ends, |parent| ends.min(parent.expires_at))
    }

    /// The only request that its token is for.
    fn request(&self) -> Option<&str> {
        self.capability.as_ref()?.request.as_deref()
    }
}

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const TOKEN_TYPES: [&str; 2] = [
    "urn:ietf:params:oauth:token-type:access_token",
    "urn:ietf:params:oauth:token-type:jwt",
];
/// The largest body: two tokens and a list of permissions.
const MAX_BODY: usize = 64 * 1024;
/// The most permissions that are asked for at once.
const MAX_ASKED: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Detail {
    r#type: String,
    permissions: Vec<String>,
}

/// Exchanges a token, or says why not.
pub(super) async fn exchange(
    worker: &Worker,
    exchange: &mut Exchange,
    on_loopback: bool,
    request: Request<Incoming>,
) -> Result<Given, Fault> {
    let unavailable =
        |says: &str| Fault::new("temporarily_unavailable", Reason::PolicyUnavailable, says);
    let shared = &worker.shared;
    let active = shared
        .active()
        .ok_or_else(|| unavailable("no policy is in force"))?;
    exchange.under(&active);
    active.name().clone_into(&mut exchange.facts.server);
    let form = read(worker, exchange, on_loopback, request).await?;
    let now = now();
    if shared.is_over(&active, now) || !shared.overlay_is_known() {
        return Err(unavailable("the policy in force is past its end"));
    }
    let settings = active.gate.server_settings(active.server);
    let rules = settings.and_then(|it| it.token);
    let (Some(settings), Some(rules)) = (settings, rules) else {
        return Err(Fault::request("this server exchanges no tokens"));
    };
    check_form(&form, &active)?;
    let asking = Asking {
        worker,
        active: &active,
        settings,
        rules,
        form: &form,
        now,
    };
    let subject = form
        .get("subject_token")
        .ok_or_else(|| missing("subject_token"))?;
    let subject = asking.party(subject).await?;
    exchange.facts.who = Arc::clone(subject.identity.who());
    let actor = form.get("actor_token");
    let actor = match actor {
        Some(token) => Some(asking.party(token).await?),
        None => None,
    };
    let origin = chain(&subject, actor.as_ref())?;
    let parties: Vec<&Party> = [Some(&subject), actor.as_ref()]
        .into_iter()
        .flatten()
        .collect();
    let draft = asking.draft(&parties, origin)?;
    let permissions = asking.granted(&draft, &subject, actor.as_ref())?;
    exchange.facts.permissions.clone_from(&permissions);
    for spent in parties {
        if let Some(capability) = &spent.capability {
            let name = spent.identity.name();
            let spent = shared.capabilities.spend(shared, capability, name, now);
            spent
                .await
                .map_err(|reason| Fault::new("invalid_request", reason, reason.title()))?;
        }
    }
    finish(
        worker,
        settings,
        Capability {
            permissions,
            ..draft
        },
        now,
    )
    .await
}

impl Asking<'_> {
    /// Verifies a token as a request with it would, and reads who it speaks of.
    async fn party(&self, token: &str) -> Result<Party, Fault> {
        let Self {
            worker,
            active,
            now,
            ..
        } = *self;
        let refused = |reason: Reason| Fault::new("invalid_request", reason, reason.title());
        let shared = &worker.shared;
        if capability::is_capability(token) {
            let overlay = shared.overlay();
            let shown = shared.capabilities.identify(active, &overlay, token, now);
            let shown = shown.map_err(refused)?;
            let mut line = shown.capability.parents.clone();
            line.push(shown.capability.id.clone());
            return Ok(Party {
                origin: shown.capability.origin.clone(),
                identity: shown.identity,
                line,
                capability: Some(shown.capability),
            });
        }
        let vouched = worker
            .callers
            .vouched(shared, active, token.as_bytes(), now);
        let vouched = vouched.await.map_err(|error| refused(error.reason))?;
        // What is bound to a key or certificate is shown without it here, so it is not taken.
        let identity = vouched.check(&Shown::default());
        let identity = identity.map_err(|_| refused(Reason::Unauthenticated))?;
        let index = active.gate.policy().index();
        let issuer = index.issuers.get(identity.issuer().index());
        let origin = issuer
            .and_then(|issuer| Origin::of(token, &issuer.url, issuer.groups_claim.as_deref()));
        let origin = origin.ok_or_else(|| Fault::request("this kind of token is not exchanged"))?;
        let id = identity.token_id().unwrap_or("-").to_owned();
        Ok(Party {
            origin,
            identity: Arc::clone(identity),
            line: vec![id],
            capability: None,
        })
    }

    /// The token as it will be, but for its permissions: what bounds one of the shown tokens bounds
    /// it.
    fn draft(&self, parties: &[&Party], origin: Origin) -> Result<Capability, Fault> {
        let Self {
            settings,
            rules,
            active,
            now,
            ..
        } = *self;
        let depth = parties.iter().map(|it| it.depth()).max();
        let depth = depth.unwrap_or_default() + 1;
        if depth > MAX_DEPTH {
            let says = format!("a token is exchanged at most {MAX_DEPTH} times");
            return Err(Fault::new("invalid_request", Reason::ChainTooLong, says));
        }
        let request = self.request(parties)?;
        let alone = settings.replicas < 2 || settings.shared_store;
        let longest = now.0.saturating_add(i64::from(rules.ttl));
        let expires_at = parties.iter().map(|it| it.ends()).fold(longest, i64::min);
        if expires_at <= now.0 {
            let reason = Reason::TokenExpired;
            return Err(Fault::new("invalid_request", reason, reason.title()));
        }
        let mut parents: Vec<String> = Vec::new();
        for id in parties.iter().flat_map(|it| &it.line) {
            if !parents.contains(id) {
                parents.push(id.clone());
            }
        }
        Ok(Capability {
            server: active.audience(),
            origin,
            permissions: Vec::new(),
            id: ids::uuid(),
            issued_at: now.0,
            expires_at,
            parents,
            depth,
            single_use: !rules.reusable && alone,
            request,
            memory: String::new(),
        })
    }

    /// The only request that the token will be for: what a shown token is bound to and what is asked
    /// for are one.
    fn request(&self, parties: &[&Party]) -> Result<Option<String>, Fault> {
        let bound = parties.iter().filter_map(|it| it.request());
        let mut all = bound.chain(self.form.get("req_hash"));
        let request = all.next();
        if all.any(|other| Some(other) != request) {
            return Err(Fault::request("the token is bound to another request"));
        }
        if request.is_some_and(|hash| !capability::is_hash(hash)) {
            return Err(Fault::request("`req_hash` is not a SHA-256 in base64url"));
        }
        if self.rules.binding == Binding::Request && request.is_none() {
            return Err(missing("req_hash"));
        }
        Ok(request.map(str::to_owned))
    }

    /// The permissions that are asked for, as far as everyone in the chain holds them now and no token
    /// leaves them out.
    fn granted(
        &self,
        draft: &Capability,
        subject: &Party,
        actor: Option<&Party>,
    ) -> Result<Vec<String>, Fault> {
        let Self {
            worker,
            active,
            form,
            now,
            ..
        } = *self;
        let asked = asked(form)?;
        let policy = active.gate.policy();
        let claims = Claims {
            permissions: subject.identity.permissions().map(|ids| {
                let names = ids.iter().map(|id| policy.permission_name(*id));
                names.collect()
            }),
            ..draft.claims([0; 32])
        };
        let scope = |reason: Reason| Fault::new("invalid_scope", reason, reason.title());
        let identity = active.gate.identity(&claims).map_err(scope)?;
        let overlay = worker.shared.overlay();
        let names = asked.iter().map(String::as_str);
        let mut held =
            capability::narrow(&active.gate, &overlay, &identity, active.server, names, now);
        let left_out = |party: &Party, name: &str| {
            let permission = policy.permission_by_name(name);
            let only = party.identity.permissions();
            only.is_some_and(|only| permission.is_none_or(|it| only.binary_search(&it).is_err()))
        };
        held.retain(|name| !actor.is_some_and(|actor| left_out(actor, name)));
        let revoked = |party: &Party| {
            let id = party.identity.token_id();
            id.is_some_and(|id| overlay.revoked_tokens.iter().any(|it| it == id))
        };
        if revoked(subject) || actor.is_some_and(revoked) {
            let reason = Reason::TokenRevoked;
            return Err(Fault::new("invalid_request", reason, reason.title()));
        }
        if held.is_empty() {
            return Err(scope(Reason::NoPermission));
        }
        Ok(held)
    }
}

/// Says who remembers the token's use, and signs it.
async fn finish(
    worker: &Worker,
    settings: &ServerSettings,
    mut capability: Capability,
    now: Time,
) -> Result<Given, Fault> {
    let shared = &worker.shared;
    capability.memory = match &shared.store {
        Some(store) if settings.shared_store && capability.single_use => {
            let lost = |_| {
                let says = "what remembers used tokens does not answer";
                Fault::new("temporarily_unavailable", Reason::PolicyUnavailable, says)
            };
            format!("store:{}", store.remembers().await.map_err(lost)?)
        }
        _ => shared.capabilities.process.clone(),
    };
    let token = shared.capabilities.keys.mint(&capability);
    let token = token.ok_or_else(|| Fault::new("server_error", Reason::Internal, "no key"))?;
    Ok(Given {
        token,
        expires_in: capability.expires_at - now.0,
        permissions: capability.permissions,
    })
}

async fn read(
    worker: &Worker,
    exchange: &mut Exchange,
    on_loopback: bool,
    request: Request<Incoming>,
) -> Result<Form, Fault> {
    let (head, body) = request.into_parts();
    let listen = &worker.shared.config.listen;
    let read = body::read(body, MAX_BODY, listen.body_timeout.0).await;
    let body = read.map_err(|(_, unread)| {
        exchange.leave_unread();
        Fault::new("invalid_request", unread.reason(), unread.to_string())
    })?;
    exchange.bytes_in = body.len() as u64;
    if !host::is_served(listen, on_loopback, &head.uri, &head.headers) {
        return Err(Fault::request(
            "the Host or Origin header names another host",
        ));
    }
    let form = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|it| it.to_str().ok());
    let media = form.and_then(|it| it.split(';').next()).unwrap_or_default();
    if !media
        .trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
    {
        return Err(Fault::request("send application/x-www-form-urlencoded"));
    }
    Form::read(&body).map_err(Fault::request)
}

fn missing(name: &str) -> Fault {
    Fault::request(format!("`{name}` is missing"))
}

fn check_form(form: &Form, active: &Active) -> Result<(), Fault> {
    if form
        .get("grant_type")
        .ok_or_else(|| missing("grant_type"))?
        != GRANT
    {
        let says = format!("the grant type is `{GRANT}`");
        return Err(Fault::new(
            "unsupported_grant_type",
            Reason::MalformedRequest,
            says,
        ));
    }
    for (kind, of) in [
        ("subject_token_type", "subject_token"),
        ("actor_token_type", "actor_token"),
        ("requested_token_type", ""),
    ] {
        match form.get(kind) {
            Some(kind) if TOKEN_TYPES.contains(&kind) => {}
            None if form.get(of).is_none() => {}
            _ => return Err(Fault::request(format!("`{kind}` is to be an access token"))),
        }
    }
    let mut targets = ["resource", "audience"]
        .into_iter()
        .filter_map(|name| form.get(name));
    let ours = |target: &str| {
        let audience = capability::audience(&active.audience());
        let settings = active.gate.server_settings(active.server);
        let resource = settings.and_then(|it| it.audience.as_deref());
        let resource = resource.or(active.resource.as_deref());
        target == active.name() || target == audience || resource == Some(target)
    };
    let first = targets.next().ok_or_else(|| missing("resource"))?;
    if !ours(first) || !targets.all(ours) {
        let says = "a token is given for this server only";
        return Err(Fault::new("invalid_target", Reason::SurfaceUnmatched, says));
    }
    Ok(())
}

/// Who acts for whom: the actor, if one is shown, comes before those who act already.
fn chain(subject: &Party, actor: Option<&Party>) -> Result<Origin, Fault> {
    let mut origin = subject.origin.clone();
    if let Some(actor) = actor {
        if !actor.origin.actors.is_empty() {
            return Err(Fault::request("the actor's token has actors of its own"));
        }
        let first = Actor {
            issuer: Some(actor.origin.issuer.clone()),
            subject: actor.origin.subject.clone(),
        };
        origin.actors.insert(0, first);
    }
    if origin.actors.len() >= MAX_CALLERS {
        let reason = Reason::ChainTooLong;
        return Err(Fault::new("invalid_request", reason, reason.title()));
    }
    Ok(origin)
}

/// What is asked for by `scope` and by `authorization_details`.
fn asked(form: &Form) -> Result<Vec<String>, Fault> {
    let scope = form
        .get("scope")
        .unwrap_or_default()
        .split_ascii_whitespace();
    let mut asked: Vec<String> = scope.map(str::to_owned).collect();
    if let Some(details) = form.get("authorization_details") {
        let wrong = || {
            let says = format!(
                "`authorization_details` is a list of `{{\"type\":\"{PERMISSIONS_TYPE}\",\
                 \"permissions\":[...]}}`"
            );
            Fault::new(
                "invalid_authorization_details",
                Reason::MalformedRequest,
                says,
            )
        };
        let details: Vec<Detail> = serde_json::from_str(details).map_err(|_| wrong())?;
        for detail in details {
            if detail.r#type != PERMISSIONS_TYPE {
                return Err(wrong());
            }
            asked.extend(detail.permissions);
        }
    }
    if asked.is_empty() || asked.len() > MAX_ASKED {
        let says = format!("name 1 to {MAX_ASKED} permissions in `scope`");
        return Err(Fault::new("invalid_scope", Reason::MalformedRequest, says));
    }
    Ok(asked)
}
