//! What an envelope says before anyone has verified it: enough to know what to fetch next.

use latchkey_gate::supply::{Digest, Statement};
use serde::Deserialize;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// A statement that nobody has verified.
#[derive(Clone, Debug)]
pub(crate) struct Peeked {
    /// The digest of its bytes.
    pub(crate) digest: Digest,
    /// What it says.
    pub(crate) statement: Statement,
}

/// What of a freshness pointer decides where to look.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PeekedPointer {
    /// The statement that it points at.
    pub(crate) statement: Digest,
    /// Its own version.
    pub(crate) pointer_version: u64,
    /// The version of the trust root that it was made under.
    #[serde(default)]
    pub(crate) trust_version: u64,
}

#[derive(Deserialize)]
struct Envelope {
    payload: String,
}

/// The payload of an envelope.
pub(crate) fn payload(envelope: &[u8]) -> Option<Vec<u8>> {
    let envelope: Envelope = serde_json::from_slice(envelope).ok()?;
    decode(&envelope.payload)
}

/// The digest that names the statement in a Sigstore bundle.
pub(crate) fn sigstore_digest(bundle: &[u8]) -> Option<Digest> {
    #[derive(Deserialize)]
    struct Bundle {
        #[serde(rename = "dsseEnvelope")]
        envelope: Envelope,
    }
    let bundle: Bundle = serde_json::from_slice(bundle).ok()?;
    decode(&bundle.envelope.payload).map(|payload| Digest::of(&payload))
}

/// The digest that names the statement in an envelope.
pub(crate) fn digest(envelope: &[u8]) -> Option<Digest> {
    payload(envelope).map(|payload| Digest::of(&payload))
}

/// Reads the statement in an envelope; the error says what is wrong with it.
pub(crate) fn statement(envelope: &[u8]) -> Result<Peeked, String> {
    let payload = payload(envelope).ok_or("it is not a DSSE envelope")?;
    let statement = Statement::parse(&payload).map_err(|error| error.to_string())?;
    Ok(Peeked {
        digest: Digest::of(&payload),
        statement,
    })
}

/// Reads the freshness pointer in an envelope.
pub(crate) fn pointer(envelope: &[u8]) -> Option<PeekedPointer> {
    serde_json::from_slice(&payload(envelope)?).ok()
}

/// Both alphabets, with or without padding, as DSSE asks.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

fn decode(text: &str) -> Option<Vec<u8>> {
    let decoded = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
    decoded.ok()
}
