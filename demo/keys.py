"""DEMO-ONLY identity provider keys.

Everything in this file is public, on purpose: whoever has read the repository can mint these
tokens. The policy project under `policies/` trusts these keys so that its bundle is reproducible
and its demo runs anywhere. Never trust them in a system that matters: replace `policies/keys/`
with the key sets of your own identity providers.

`python demo/keys.py` prints the public key sets, as `policies/` must hold them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import time
import uuid

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

# The seed of a demo key is the hash of this public sentence. It is not a secret and never was.
SENTENCE = "latchkey DEMO ONLY signing key, public, do not trust: {issuer}"

ISSUERS = {
    "acme-idp": "https://idp.acme.example",
    "globex-idp": "https://idp.globex.example",
}


def _private_key(issuer: str) -> Ed25519PrivateKey:
    seed = hashlib.sha256(SENTENCE.format(issuer=issuer).encode()).digest()
    return Ed25519PrivateKey.from_private_bytes(seed)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _kid(issuer: str) -> str:
    return f"demo-only-{issuer}"


def jwks(issuer: str) -> dict:
    """The public key set of a demo issuer."""
    public = _private_key(issuer).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    key = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig"}
    return {"keys": [key | {"kid": _kid(issuer), "x": _b64(public)}]}


def mint(
    issuer: str,
    subject: str,
    audience: str,
    *,
    groups: list[str] | None = None,
    actor: str | None = None,
    lifetime: int = 300,
) -> str:
    """An RFC 9068 access token; `actor` is the agent that presents it for `subject` (RFC 8693)."""
    now = int(time.time())
    claims: dict = {
        "iss": ISSUERS[issuer],
        "sub": subject,
        "aud": audience,
        "client_id": "latchkey-demo",
        "iat": now,
        "exp": now + lifetime,
        "jti": str(uuid.uuid4()),
    }
    if groups is not None:
        claims["groups"] = groups
    if actor is not None:
        claims["act"] = {"iss": ISSUERS[issuer], "sub": actor}
    header = {"alg": "EdDSA", "typ": "at+jwt", "kid": _kid(issuer)}
    signed = ".".join(_b64(json.dumps(p, separators=(",", ":")).encode()) for p in (header, claims))
    return f"{signed}.{_b64(_private_key(issuer).sign(signed.encode()))}"


def main() -> int:
    for issuer in ISSUERS:
        print(f"{issuer}: {json.dumps(jwks(issuer))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
