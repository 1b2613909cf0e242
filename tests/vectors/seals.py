#!/usr/bin/env python3
"""A second implementation of digest and seal, from DESIGN.md alone. Writes seals.json beside itself.

Run it by hand after a change of the encoding: python3 tests/vectors/seals.py
"""
import hashlib
import hmac
import json
import pathlib
import struct


def text(value):
    data = value.encode("utf-8")
    return struct.pack(">I", len(data)) + data


def option(value, write):
    return b"\0" if value is None else b"\1" + write(value)


def grant(items):
    if items is None:
        return b"\0"
    items = sorted({item.encode("utf-8") for item in items})
    return b"\1" + struct.pack(">I", len(items)) + b"".join(struct.pack(">I", len(i)) + i for i in items)


def number(value):
    return struct.pack(">Q", value)


def instant(value):
    return struct.pack(">q", value)


def seal(row):
    digest = b"\1" + hashlib.sha256(row["token"].encode("ascii")).digest()
    message = b"".join([
        b"ats1",
        text(row["realm"]),
        struct.pack(">I", row["key_id"]),
        number(row["id"]),
        struct.pack(">I", len(digest)) + digest,
        text(row["owner"]),
        text(row["label"]),
        grant(row["scopes"]),
        grant(row["resources"]),
        option(row["issued_by"], text),
        instant(row["created_at"]),
        option(row["expires_at"], instant),
        number(row["family"]),
        option(row["successor"], number),
        option(row["derived_from"], number),
    ])
    return digest.hex(), hmac.new(bytes.fromhex(row["key"]), message, hashlib.sha256).hexdigest()


PLAIN = {
    "key_id": 1,
    "key": bytes(range(32)).hex(),
    "realm": "acme",
    "token": "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92",
    "id": 0,
    "owner": "alice",
    "label": "My phone",
    "scopes": None,
    "resources": None,
    "issued_by": None,
    "created_at": 1772366400,
    "expires_at": 1803902400,
    "family": 0,
    "successor": None,
    "derived_from": None,
}

ROWS = [
    PLAIN,
    PLAIN | {"realm": "other"},
    PLAIN | {"key_id": 4294967295, "key": bytes(range(100, 180)).hex()},
    PLAIN | {"owner": "ünïcode ✓", "label": "📱"},
    PLAIN | {"scopes": [], "resources": []},
    PLAIN | {"scopes": ["files:write", "files:read"], "resources": ["photos/*", "*", "a b"]},
    PLAIN | {"issued_by": "support: Bob", "expires_at": None},
    PLAIN | {"created_at": 0, "expires_at": 253402300799},
    PLAIN | {"family": 1, "successor": 1125899906842623, "derived_from": 0},
    PLAIN | {
        "key_id": 7, "key": hashlib.sha256(b"seven").hexdigest() * 2, "realm": "tenant 7",
        "token": "my_app_token_6vv60yekqn27kb1na9pvr3cxd1c053b84sjm6r2m6f57t", "owner": "o" * 255,
        "label": "l" * 128, "scopes": [f"s{n:03}" for n in range(256)], "resources": ["r" * 255],
        "issued_by": "x", "family": 5, "successor": 6, "derived_from": 7,
    },
]

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
rows = []
for row in ROWS:
    body = row["token"].rsplit("_", 1)[1]
    own_id = 0
    for character in body[:10]:
        own_id = own_id * 32 + ALPHABET.index(character)
    row = row | {"id": own_id}
    digest, mac = seal(row)
    rows.append(row | {"digest": digest, "seal": mac})
path = pathlib.Path(__file__).with_name("seals.json")
path.write_text(json.dumps(rows, indent=1, ensure_ascii=True) + "\n")
