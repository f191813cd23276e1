"""The examples of RFC 7515 and RFC 7520, as `jwcrypto` carries them for its own tests.

Prints a list of `{name, token, key, holds}`: a JWS in the form that its RFC gives it, the key as a
JWK without its private part, and whether jwcrypto verifies it.
"""

import importlib.util
import json
import pathlib

import jwcrypto
from jwcrypto import jwk, jws
from jwcrypto.common import base64url_encode, json_encode


def carried(name):
    """A module that is no identifier."""
    path = pathlib.Path(jwcrypto.__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def example(name, token, key):
    full = jwk.JWK(**key)
    read = jws.JWS()
    # What it would not do of itself it is allowed here: the examples have to hold at all.
    read.allowed_algs = jws.default_allowed_algs + ["none"]
    try:
        read.deserialize(token, full)
        holds = True
    except Exception:  # noqa: BLE001: whatever it says, it does not verify
        holds = False
    shown = key if key["kty"] == "oct" else json.loads(full.export_public())
    return {"name": name, "token": token, "key": shown, "holds": holds}


def compact(parts):
    words = [parts["protected"], parts["payload"], parts["signature"]]
    return ".".join(base64url_encode(it) for it in words)


def rfc7515(tests):
    for number in range(1, 6):
        parts = getattr(tests, f"A{number}_example")
        name = f"RFC 7515 A.{number} ({parts['alg']})"
        yield example(name, compact(parts), parts["key"])
    yield example("RFC 7515 A.6 (general JSON)", tests.A6_serialized, tests.A2_key)
    yield example("RFC 7515 A.7 (flattened JSON)", tests.A7_example, tests.A3_key)
    yield example("RFC 7515 E (crit)", tests.E_negative, tests.A5_key)


def rfc7520(book):
    rsa, ec, mac = book.RSA_Public_Key_3_3, book.EC_Public_Key_3_1, book.Symmetric_Key_MAC_3_5
    signed = {1: ("RS256", rsa), 2: ("PS384", rsa), 3: ("ES512", ec), 4: ("HS256", mac)}
    for number, (algorithm, key) in signed.items():
        token = getattr(book, f"JWS_compact_4_{number}_3")
        yield example(f"RFC 7520 4.{number} ({algorithm})", token, key)
        for form in ["general", "flattened"]:
            text = json_encode(getattr(book, f"JWS_{form}_4_{number}_3"))
            yield example(f"RFC 7520 4.{number} ({form} JSON)", text, key)
    header, _, signature = book.JWS_compact_4_4_3.split(".")
    yield example("RFC 7520 4.5 (detached)", f"{header}..{signature}", mac)
    for number in [6, 7]:
        for form in ["general", "flattened"]:
            text = json_encode(getattr(book, f"JWS_{form}_4_{number}_3"))
            yield example(f"RFC 7520 4.{number} ({form} JSON)", text, mac)
    text = json_encode(book.JWS_general_4_8_5)
    yield example("RFC 7520 4.8 (general JSON)", text, rsa)


examples = [*rfc7515(carried("tests")), *rfc7520(carried("tests-cookbook"))]
print(json.dumps(examples))
