//! Signatures of identities, proved with `sigstore-verify` against roots that the operator gave.
//!
//! Everything happens on the bytes at hand: no network, no embedded roots, no refresh. A bundle
//! counts only with all of its evidence: a certificate that chains to the given roots, its
//! certificate-transparency timestamp, an inclusion proof of the log, and a signed time. The one
//! thing read besides the arguments is the system clock, by the library, and only to refuse log
//! entries that claim to lie in the future.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Bundle, Sha256Hash, SignatureContent};
use sigstore_verify::{IdentityMatcher, VerificationPolicy, Verifier};

use super::{Digest, Identity, Keyless, KeylessError, dsse};
use crate::json::{self, Limits};

/// Identities sign release statements and nothing else.
const PAYLOAD_TYPE: &str = dsse::Kind::Statement.payload_type();
/// Longest file with Sigstore's roots, in bytes.
pub const MAX_SIGSTORE_ROOT: usize = 1 << 20;
/// Longest Sigstore bundle, in bytes: the longest envelope and room for its evidence.
pub const MAX_BUNDLE: usize = dsse::MAX_ENVELOPE + (256 << 10);

/// Counts identities whose signatures hold under the Sigstore roots that it was given.
pub struct SigstoreKeyless {
    /// By the digest of the file, which is how the trust root names it.
    roots: BTreeMap<Digest, Verifier>,
}

impl SigstoreKeyless {
    /// Reads a `trusted_root.json`: certificate authorities and logs in Sigstore's own format.
    pub fn new(trusted_root: &[u8]) -> Result<Self, KeylessError> {
        let roots = BTreeMap::new();
        Self { roots }.and(trusted_root)
    }

    /// Reads one more; while Sigstore's roots change, the trust root may name old and new.
    pub fn and(mut self, trusted_root: &[u8]) -> Result<Self, KeylessError> {
        self.roots
            .insert(Digest::of(trusted_root), read_root(trusted_root)?);
        Ok(self)
    }
}

impl fmt::Debug for SigstoreKeyless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.roots.keys()).finish()
    }
}

impl Keyless for SigstoreKeyless {
    fn verify(&self, bundle: &[u8], identity: &Identity) -> Result<Vec<u8>, KeylessError> {
        let root = &identity.trusted_root_sha256;
        let Some(verifier) = self.roots.get(root) else {
            return refuse(format!(
                "the trust file names the Sigstore roots {root}, and the ones that are configured \
                 have another digest; give that very file"
            ));
        };
        let policy = policy(identity)?;
        let bundle = read_bundle(bundle)?;
        let payload = payload(&bundle)?.to_vec();
        let proved = verifier
            .verify(first_subject(&payload)?, &bundle, &policy)
            .map_err(|error| KeylessError(format!("the Sigstore bundle does not hold: {error}")))?;
        // What the policy asks for by default, asserted, so that no release of the library can
        // relax it unseen.
        let whole = proved.certificate_verified()
            && proved.sct_verified()
            && proved.tlog_verified()
            && proved.identity_policy_checked()
            && !proved.verified_timestamps().is_empty();
        if whole {
            Ok(payload)
        } else {
            refuse("the Sigstore bundle was not proved in full")
        }
    }
}

/// The payload of the envelope in a Sigstore bundle, without any proof: to compare it before a
/// bundle is put beside a release.
pub fn unverified_bundle_payload(bundle: &[u8]) -> Result<Vec<u8>, KeylessError> {
    payload(&read_bundle(bundle)?).map(<[u8]>::to_vec)
}

fn read_root(bytes: &[u8]) -> Result<Verifier, KeylessError> {
    let wrong = |what: &dyn fmt::Display| {
        KeylessError(format!(
            "the file with Sigstore's roots cannot be used: {what}; give a `trusted_root.json`"
        ))
    };
    let text = strict(bytes, MAX_SIGSTORE_ROOT).map_err(|error| wrong(&error))?;
    let root = TrustedRoot::from_json(text).map_err(|error| wrong(&error))?;
    // Without one of them nothing could ever be proved, and only the first release would tell.
    if root.certificate_authorities.is_empty() || root.tlogs.is_empty() || root.ctlogs.is_empty() {
        return Err(wrong(
            &"it lacks certificateAuthorities, tlogs or ctlogs, and a signature needs all three",
        ));
    }
    Verifier::new(&root).map_err(|error| wrong(&error))
}

/// Exactly this issuer, and exactly this subject in the form that it has.
fn policy(identity: &Identity) -> Result<VerificationPolicy, KeylessError> {
    let Identity {
        issuer, subject, ..
    } = identity;
    if issuer.is_empty() || subject.is_empty() {
        return refuse("an identity without issuer or subject is nobody");
    }
    // A mail address must not stand in for a work flow, whatever characters it is made of.
    let subject = if subject.contains("://") {
        IdentityMatcher::Uri(subject.clone())
    } else {
        IdentityMatcher::Email(subject.clone())
    };
    Ok(VerificationPolicy::new(subject, issuer))
}

fn read_bundle(bytes: &[u8]) -> Result<Bundle, KeylessError> {
    let wrong = |what: &dyn fmt::Display| KeylessError(format!("not a Sigstore bundle: {what}"));
    let text = strict(bytes, MAX_BUNDLE).map_err(|error| wrong(&error))?;
    let bundle = Bundle::from_json(text).map_err(|error| wrong(&error))?;
    if bundle.has_inclusion_proof() {
        Ok(bundle)
    } else {
        refuse("the Sigstore bundle has no inclusion proof of a transparency log")
    }
}

/// JSON that every parser reads alike.
fn strict(bytes: &[u8], largest: usize) -> Result<&str, String> {
    if bytes.len() > largest {
        return Err(format!("it is longer than {largest} bytes"));
    }
    let limits = Limits {
        bytes: largest,
        depth: 16,
        nodes: 16_384,
    };
    json::parse_with(bytes, limits).map_err(|error| error.to_string())?;
    str::from_utf8(bytes).map_err(|error| error.to_string())
}

fn payload(bundle: &Bundle) -> Result<&[u8], KeylessError> {
    let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
        return refuse(
            "the Sigstore bundle signs a file, not a release statement; sign the statement as an \
             attestation (DSSE)",
        );
    };
    if envelope.payload_type == PAYLOAD_TYPE {
        Ok(envelope.payload.as_bytes())
    } else {
        refuse(format!(
            "the payload type in the Sigstore bundle is not {PAYLOAD_TYPE}"
        ))
    }
}

/// The digest of one subject. The library asks which artifact is meant; that the files at hand are
/// subjects of the statement is checked where their bytes are ([`super::Accepted::check_files`]).
fn first_subject(payload: &[u8]) -> Result<Sha256Hash, KeylessError> {
    #[derive(Deserialize)]
    struct Statement {
        subject: Vec<Subject>,
    }
    #[derive(Deserialize)]
    struct Subject {
        digest: BTreeMap<String, String>,
    }
    let statement: Statement = serde_json::from_slice(payload)
        .map_err(|error| KeylessError(format!("the payload is no in-toto statement: {error}")))?;
    let subjects = statement.subject.iter();
    let mut digests = subjects.filter_map(|subject| subject.digest.get("sha256"));
    let digest = digests.next().map(|digest| Sha256Hash::from_hex(digest));
    match digest {
        Some(Ok(digest)) => Ok(digest),
        _ => refuse("the statement names no subject by its SHA-256"),
    }
}

fn refuse<T>(what: impl Into<String>) -> Result<T, KeylessError> {
    Err(KeylessError(what.into()))
}
