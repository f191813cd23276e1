//! Tokens that say what a stated call says of its callers.

use latchkey::model::Model;
use latchkey::text::Text;
use latchkey_gate::{
    call::{Stated, StatedCaller},
    token::mint::Mint,
};
use serde_json::{Map, Value, json};

/// The key of an issuer of a golden project; everybody knows it.
#[must_use]
pub fn mint(issuer: &str) -> Mint {
    let mut seed = [7; 32];
    for (byte, letter) in seed.iter_mut().zip(issuer.bytes()) {
        *byte = letter;
    }
    Mint::from_seed(issuer, seed)
}

/// The token of a stated call; none for an anonymous one.
#[must_use]
pub fn token(model: &Model, stated: &Stated) -> Option<String> {
    let mut chain: Vec<&StatedCaller> = stated.caller.iter().chain(&stated.on_behalf_of).collect();
    let subject = chain.pop()?;
    let (issuer, name) = identity(model, subject);
    let entry = model.issuers.get(&issuer).unwrap();
    let now = seconds();
    let mut claims = Map::new();
    claims.insert("iss".into(), entry.url.value.as_str().into());
    claims.insert("sub".into(), name.into());
    claims.insert(
        "aud".into(),
        entry.audiences.first().unwrap().clone().into(),
    );
    claims.insert("client_id".into(), "tests".into());
    claims.insert("iat".into(), (now - 1).into());
    claims.insert("exp".into(), (now + 240).into());
    let id = stated.token_id.clone().unwrap_or_else(|| "t-1".to_owned());
    claims.insert("jti".into(), id.into());
    if let Some(claim) = &entry.groups_claim {
        claims.insert(claim.clone(), json!(subject.groups));
    }
    if let Some(permissions) = &stated.token_permissions {
        let detail = json!({"type": "latchkey_permissions", "permissions": permissions});
        claims.insert("authorization_details".into(), json!([detail]));
    }
    // RFC 8693: the current actor is outermost.
    let actors = chain
        .iter()
        .rev()
        .fold(None, |inner: Option<Value>, actor| {
            let (from, subject) = identity(model, actor);
            let mut act =
                json!({"sub": subject, "iss": model.issuers.get(&from).unwrap().url.value});
            if let Some(inner) = inner {
                act["act"] = inner;
            }
            Some(act)
        });
    if let Some(actors) = actors {
        claims.insert("act".into(), actors);
    }
    Some(mint(&issuer).sign(&claims))
}

/// The issuer's name and the subject of a caller.
fn identity(model: &Model, caller: &StatedCaller) -> (String, String) {
    let Some(principal) = &caller.principal else {
        return (
            caller.issuer.clone().unwrap(),
            caller.subject.clone().unwrap(),
        );
    };
    let mut identities = model.principals.get(principal).unwrap().identities.iter();
    let named = |it: &&(Text, Text)| caller.issuer.as_ref().is_none_or(|name| *name == it.0);
    let (issuer, subject) = identities.find(named).unwrap();
    (issuer.to_string(), subject.to_string())
}

/// Seconds since 1970.
#[must_use]
pub fn seconds() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_secs()).unwrap()
}
