#!/usr/bin/env python3
"""A second reader of releases: python3 read_bundle.py FOLDER TRUST [CHANNEL]

Checks the signatures, the pointer, every digest and every file of a release folder against a trust
file, and prints what `latchkey inspect --format json FOLDER` prints. Only keys are counted; it
knows nothing of Sigstore. Answers 1, and says why, when anything is not as it must be.
"""

import base64
import binascii
import calendar
import hashlib
import json
import pathlib
import sys
import time

import bundle
import ed25519
from bundle import Refused, ensure

STATEMENT = "application/vnd.in-toto+json"
POINTER = "application/vnd.latchkey.pointer.v1+json"
PUBLIC_PREFIX = bytes.fromhex("302a300506032b6570032100")


def strict_json(data):
    """JSON without a member twice, a fraction, or a number beyond 2^53."""

    def members(pairs):
        ensure(len(dict(pairs)) == len(pairs), "a JSON member twice")
        return dict(pairs)

    def refuse(text):
        raise Refused(f"the number {text} in JSON")

    def whole(text):
        ensure(abs(int(text)) < 1 << 53, f"the number {text} in JSON")
        return int(text)

    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=members, parse_float=refuse,
            parse_constant=refuse, parse_int=whole,
        )
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Refused(f"not JSON: {error}") from None


def canonical(document):
    """RFC 8785, for texts, whole numbers and names that are plain ASCII."""
    return json.dumps(
        document, ensure_ascii=False, separators=(",", ":"), sort_keys=True
    ).encode()


def decode(text):
    """Base64 of either alphabet, with or without padding."""
    text = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise Refused(f"not base64: {error}") from None


def seconds(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def opened(path, kind, trust, role):
    """The payload of an envelope that enough members of a role have signed."""
    envelope = strict_json(path.read_bytes())
    ensure(envelope["payloadType"] == kind, f"{path.name}: another payload type")
    payload = decode(envelope["payload"])
    message = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    signatures = [decode(entry["sig"]) for entry in envelope["signatures"]]
    now, signers = time.time(), set()
    for name in role["members"]:
        entry = trust["keys"].get(name)
        if entry is None:
            continue
        ensure(entry["algorithm"] == "ed25519", f"key {name}: another algorithm")
        if now < seconds(entry.get("not_before", "1970-01-01T00:00:00Z")):
            continue
        if "not_after" in entry and now >= seconds(entry["not_after"]):
            continue
        public = decode(entry["spki"])
        ensure(public[:12] == PUBLIC_PREFIX and len(public) == 44, f"key {name}: not Ed25519")
        # Key ids are only hints: every key is tried on every signature, and counts by its bytes.
        if any(ed25519.verify(public[12:], message, one) for one in signatures):
            signers.add(public)
    ensure(role["threshold"] >= 1, "a threshold of nobody")
    ensure(len(signers) >= role["threshold"], f"{path.name}: not signed by whom it must be")
    return payload


def read_statement(folder, trust, channel):
    """The digest of the statement and the statement."""
    path = folder / "release.dsse.json"
    payload = opened(path, STATEMENT, trust, trust["roles"]["release"][channel])
    statement = strict_json(payload)
    ensure(canonical(statement) == payload, "the statement is not in canonical form")
    release = statement["predicate"]
    ensure(statement["_type"] == "https://in-toto.io/Statement/v1", "another kind of statement")
    ensure(statement["predicateType"] == "urn:latchkey:release:v1", "another predicate")
    ensure(release["engine"]["format"] == 1, "another format")
    for fact, expected in [("project", trust["project"]), ("epoch", trust["epoch"])]:
        ensure(release[fact] == expected, f"the statement is of another {fact}")
    ensure(release["channel"] == channel, "the statement is of another channel")
    least = trust.get("min_version", {}).get(channel, 0)
    ensure(release["version"] >= max(least, 1), "the version is below the lowest")
    ended = "not_after" in release and time.time() >= seconds(release["not_after"])
    ensure(not ended, "the release is no longer in force")
    digest = hashlib.sha256(payload).hexdigest()
    ensure(digest not in trust.get("revoked", []), "the statement is revoked")
    return digest, statement


def check_pointer(folder, trust, channel, digest, release):
    """A channel with a freshness role needs a pointer to this very statement."""
    role = trust["roles"].get("freshness", {}).get(channel)
    if role is None:
        return
    path = folder / "pointer.dsse.json"
    ensure(path.exists(), "the channel needs a pointer")
    payload = opened(path, POINTER, trust, role)
    pointer = strict_json(payload)
    ensure(canonical(pointer) == payload, "the pointer is not in canonical form")
    for fact in ["project", "channel", "epoch", "version"]:
        ensure(pointer[fact] == release[fact], f"the pointer is of another {fact}")
    ensure(pointer["statement"] == digest, "the pointer names another statement")
    ensure(time.time() < seconds(pointer["expires"]), "the pointer has expired")
    least = pointer.get("min_version", 0)
    ensure(release["version"] >= least, "the version is below the pointer's lowest")


def read(folder, trust_path, channel=None):
    """Everything that the folder says, once all of it is proved."""
    trust = strict_json(trust_path.read_bytes())
    if channel is None:
        channels = list(trust["roles"]["release"])
        ensure(len(channels) == 1, "the trust file has several channels: name one")
        channel = channels[0]
    digest, statement = read_statement(folder, trust, channel)
    release = statement["predicate"]
    check_pointer(folder, trust, channel, digest, release)
    subjects, files = [], {}
    for subject in statement["subject"]:
        name = subject["name"]
        size, sha256 = release["sizes"][name], subject["digest"]["sha256"]
        data = (folder / name).read_bytes()
        ensure(len(data) == size, f"{name}: not of the signed size")
        ensure(hashlib.sha256(data).hexdigest() == sha256, f"{name}: not of the signed digest")
        subjects.append({"name": name, "sha256": sha256, "bytes": size})
        files[name] = data
    ensure(len(release["sizes"]) == len(subjects), "sizes list something else")
    strangers = {path.name for path in folder.glob("*.lkb")} - set(files)
    ensure(not strangers, f"files that nobody signed: {sorted(strangers)}")
    places = files.get("places.lkm")
    slices = sorted(name for name in files if name.endswith(".lkb"))
    return {
        "version": 1,
        "slices": [bundle.facts(name, files[name]) for name in slices],
        "places": None if places is None else bundle.places(places),
        "statement": {
            "sha256": digest,
            "project": release["project"],
            "channel": release["channel"],
            "epoch": release["epoch"],
            "version": release["version"],
            "compiler": release["compiler"],
            "format": release["engine"]["format"],
            "subjects": subjects,
        },
    }


def main():
    folder, trust, *channel = sys.argv[1:]
    try:
        facts = read(pathlib.Path(folder), pathlib.Path(trust), *channel)
    except (Refused, OSError, KeyError, TypeError) as error:
        print(f"refused: {error!r}", file=sys.stderr)
        return 1
    print(json.dumps(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
