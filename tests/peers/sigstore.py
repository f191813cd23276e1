"""A Sigstore in one process, for tests: a certificate authority, its log, a transparency log.

    sigstore.py sign FOLDER PAYLOAD SUBJECT ISSUER   writes trusted_root.json and bundle.json
    sigstore.py serve FOLDER                         writes trusted_root.json and url, then serves
                                                     what `latchkey sign --keyless` asks for

The formats are those of Fulcio (v2), Rekor (v1), RFC 6962 and the Sigstore bundle (0.3). Nothing of
it is secure: keys are made on the spot, and whoever asks gets a certificate for what a token says.
"""

import base64
import datetime
import hashlib
import http.server
import json
import os
import struct
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
TIMESTAMPS = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
PAYLOAD_TYPE = "application/vnd.in-toto+json"


def b64(data):
    return base64.b64encode(data).decode()


def sha256(data):
    return hashlib.sha256(data).digest()


def der(tag, data):
    size = len(data)
    if size < 128:
        return bytes([tag, size]) + data
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 128 | len(length)]) + length + data


def spki(key):
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.DER, kind)


def sign(key, data):
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def pae(payload):
    head = "DSSEv1 %d %s %d " % (len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(payload))
    return head.encode() + payload


class Sigstore:
    def __init__(self):
        new = lambda: ec.generate_private_key(ec.SECP256R1())
        self.authority, self.timestamps, self.log = new(), new(), new()
        self.entries = 0
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sigstore of a test")])
        now = datetime.datetime.now(datetime.timezone.utc)
        self.root = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(self.name)
            .public_key(self.authority.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
            .add_extension(usage(key_cert_sign=True), True)
            .sign(self.authority, hashes.SHA256())
        )

    def trusted_root(self):
        start = {"start": "2026-01-01T00:00:00Z"}

        def log(key, url):
            return {
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": b64(spki(key)),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": start,
                },
                "logId": {"keyId": b64(sha256(spki(key)))},
            }

        certificate = self.root.public_bytes(serialization.Encoding.DER)
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.log, "https://log.test")],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "test", "commonName": "sigstore of a test"},
                    "uri": "https://authority.test",
                    "certChain": {"certificates": [{"rawBytes": b64(certificate)}]},
                    "validFor": start,
                }
            ],
            "ctlogs": [log(self.timestamps, "https://timestamps.test")],
            "timestampAuthorities": [],
        }

    def certificate(self, public, subject, issuer):
        """A certificate with its timestamp, as RFC 6962 embeds it."""
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(now + datetime.timedelta(minutes=9))
            .add_extension(usage(digital_signature=True), True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(subject)]), True
            )
            .add_extension(x509.UnrecognizedExtension(ISSUER, der(0x0C, issuer.encode())), False)
        )
        body = builder.sign(self.authority, hashes.SHA256()).tbs_certificate_bytes
        at = struct.pack(">Q", int(time.time() * 1000))
        entry = b"\0\1" + sha256(spki(self.authority)) + struct.pack(">I", len(body))[1:] + body
        signature = sign(self.timestamps, b"\0\0" + at + entry + b"\0\0")
        stamp = b"\0" + sha256(spki(self.timestamps)) + at + b"\0\0\4\3"
        stamp += struct.pack(">H", len(signature)) + signature
        stamps = struct.pack(">H", len(stamp)) + stamp
        stamps = der(0x04, struct.pack(">H", len(stamps)) + stamps)
        extension = x509.UnrecognizedExtension(TIMESTAMPS, stamps)
        return builder.add_extension(extension, False).sign(self.authority, hashes.SHA256())

    def entry(self, envelope, pem):
        """What Rekor answers: the only leaf of a tree of its own."""
        payload = base64.b64decode(envelope["payload"])
        digest = lambda data: {"algorithm": "sha256", "value": sha256(data).hex()}
        entry = {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": digest(json.dumps(envelope).encode()),
                "payloadHash": digest(payload),
                "signatures": [
                    {"signature": envelope["signatures"][0]["sig"], "verifier": b64(pem)}
                ],
            },
        }
        body = canonical(entry)
        root = sha256(b"\0" + body)
        note = "log.test\n1\n%s\n" % b64(root)
        own = sha256(spki(self.log))
        line = b64(own[:4] + sign(self.log, note.encode()))
        promised = {
            "body": b64(body),
            "integratedTime": int(time.time()),
            "logID": own.hex(),
            "logIndex": 0,
        }
        return promised | {
            "verification": {
                "inclusionProof": {
                    "checkpoint": "%s\n\u2014 log.test %s\n" % (note, line),
                    "hashes": [],
                    "logIndex": 0,
                    "rootHash": root.hex(),
                    "treeSize": 1,
                },
                "signedEntryTimestamp": b64(sign(self.log, canonical(promised))),
            }
        }

    def bundle(self, payload, subject, issuer):
        """What a signing client makes of the two services."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.certificate(key.public_key(), subject, issuer)
        envelope = {
            "payload": b64(payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": b64(sign(key, pae(payload))), "keyid": ""}],
        }
        entry = self.entry(envelope, certificate.public_bytes(serialization.Encoding.PEM))
        proof = entry["verification"]["inclusionProof"]
        logged = {
            "logIndex": "0",
            "logId": {"keyId": b64(bytes.fromhex(entry["logID"]))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(entry["integratedTime"]),
            "inclusionPromise": {
                "signedEntryTimestamp": entry["verification"]["signedEntryTimestamp"]
            },
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": b64(bytes.fromhex(proof["rootHash"])),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": proof["checkpoint"]},
            },
            "canonicalizedBody": entry["body"],
        }
        raw = b64(certificate.public_bytes(serialization.Encoding.DER))
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"certificate": {"rawBytes": raw}, "tlogEntries": [logged]},
            "dsseEnvelope": envelope,
        }


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def usage(**on):
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: on.get(name, False) for name in names.split()})


def handler(sigstore):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path == "/api/v2/signingCert":
                answer = self.certificate(body)
            elif self.path == "/api/v1/log/entries":
                proposed = body["spec"]["proposedContent"]
                envelope = json.loads(proposed["envelope"])
                pem = base64.b64decode(proposed["verifiers"][0])
                answer = {"ab" * 40: sigstore.entry(envelope, pem)}
            else:
                return self.send_error(404)
            text = json.dumps(answer).encode()
            self.send_response(201)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def certificate(self, body):
            token = body["credentials"]["oidcIdentityToken"].split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            request = body["publicKeyRequest"]
            public = serialization.load_pem_public_key(request["publicKey"]["content"].encode())
            # Whoever asks must hold the key: the proof is a signature over the token's subject.
            proof = base64.b64decode(request["proofOfPossession"])
            public.verify(proof, claims["sub"].encode(), ec.ECDSA(hashes.SHA256()))
            leaf = sigstore.certificate(public, claims["job_workflow_ref"], claims["iss"])
            pem = lambda it: it.public_bytes(serialization.Encoding.PEM).decode()
            chain = {"certificates": [pem(leaf), pem(sigstore.root)]}
            return {"signedCertificateEmbeddedSct": {"chain": chain}}

        def log_message(self, *_):
            pass

    return Handler


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".part", path)


def main(verb, folder, *words):
    sigstore = Sigstore()
    write(folder, "trusted_root.json", json.dumps(sigstore.trusted_root(), indent=1))
    if verb == "sign":
        payload, subject, issuer = words
        with open(payload, "rb") as file:
            bundle = sigstore.bundle(file.read(), subject, issuer)
        write(folder, "bundle.json", json.dumps(bundle))
    elif verb == "serve":
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(sigstore))
        write(folder, "url", "http://127.0.0.1:%d" % server.server_address[1])
        server.serve_forever()
    else:
        sys.exit("sign or serve?")


if __name__ == "__main__":
    main(*sys.argv[1:])
