#!/usr/bin/env python3
"""A second implementation of digest and seal, written from DESIGN.md alone.

Writes seals.json and imported.json beside itself. The latter has the rows of texts that another
system issued, with digests of scheme 2 and 3.

Each row has its columns as a dump shows them, and the token, the ring and the realm. Digest and
seal are computed from these.

Run it by hand after a change of the encoding: python3 tests/vectors/seals.py
"""
import base64
import hashlib
import hmac
import ipaddress
import json
import pathlib
import struct

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


# -- how the columns are written

def id_of(token):
    number = 0
    for character in token.rsplit("_", 1)[1][:10]:
        number = number * 32 + ALPHABET.index(character)
    return number


def lines(items):
    if items is None:
        return None
    return "\n".join(sorted(set(items), key=lambda item: item.encode("utf-8")))


def network(text):
    block = ipaddress.ip_network(text)
    mapped = getattr(block.network_address, "ipv4_mapped", None)
    if mapped is not None and block.prefixlen >= 96:
        block = ipaddress.ip_network((mapped, block.prefixlen - 96))
    return str(block)


def networks(texts):
    return None if texts is None else lines(network(text) for text in texts)


def attributes(pairs):
    keys = sorted(pairs, key=lambda key: key.encode("utf-8"))
    return "\n".join(f"{key} {pairs[key]}" for key in keys) if pairs else None


# -- how they are sealed

def text(value):
    data = value.encode("utf-8")
    return struct.pack(">I", len(data)) + data


def option(value, write):
    return b"\0" if value is None else b"\1" + write(value)


def selection(column):
    if column is None:
        return b"\0"
    items = column.split("\n") if column else []
    return b"\1" + struct.pack(">I", len(items)) + b"".join(map(text, items))


def pairs(column):
    split = [line.split(" ", 1) for line in column.split("\n")] if column is not None else []
    return struct.pack(">I", len(split)) + b"".join(text(key) + text(value) for key, value in split)


def number(value):
    return struct.pack(">Q", value)


def instant(value):
    return struct.pack(">q", value)


def key_of(ring, key_id):
    keys = dict(entry.split(":", 1) for entry in ring.split(","))
    return base64.b64decode(keys[str(key_id)])


def seal(row):
    realm = row["prefix"] if row["realm"] is None else row["realm"]
    digest = bytes.fromhex(row["digest"])
    message = b"".join([
        b"ats1",
        text(realm),
        struct.pack(">I", row["key_id"]),
        number(row["id"]),
        struct.pack(">I", len(digest)) + digest,
        text(row["owner"]),
        text(row["label"]),
        selection(row["scopes"]),
        selection(row["resources"]),
        selection(row["networks"]),
        pairs(row["attributes"]),
        option(row["issued_by"], text),
        instant(row["created_at"]),
        option(row["expires_at"], instant),
        number(row["family"]),
        option(row["successor"], number),
        option(row["derived_from"], number),
    ])
    return b"\1" + hmac.new(key_of(row["ring"], row["key_id"]), message, hashlib.sha256).digest()


# -- the rows

def ring(**keys):
    return ",".join(f"{name[1:]}:{base64.b64encode(key).decode()}" for name, key in keys.items())


PLAIN = {
    "ring": ring(_1=bytes(range(32))),
    "prefix": "acme",
    "realm": None,
    "token": "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92",
    "owner": "alice",
    "label": "My phone",
    "scopes": None,
    "resources": None,
    "networks": None,
    "attributes": None,
    "issued_by": None,
    "created_at": 1772366400,
    "expires_at": 1803902400,
    "family": 0,
    "successor": None,
    "derived_from": None,
    "key_id": 1,
}
LONG_KEYS = ring(_4294967295=bytes(range(100, 180)), _1=bytes(range(32)))

ROWS = [
    PLAIN,
    PLAIN | {"realm": "other"},
    PLAIN | {"key_id": 4294967295, "ring": LONG_KEYS},
    PLAIN | {"ring": LONG_KEYS},
    PLAIN | {"owner": "ünïcode ✓", "label": "📱"},
    PLAIN | {"scopes": "", "resources": "", "networks": ""},
    PLAIN | {"scopes": lines(["files:write", "files:read", "files:read"])},
    PLAIN | {"resources": lines(
        ["under:photos", "exact:*", "prefix:a b", "under:/a/b", "exact:under:x"])},
    PLAIN | {"networks": networks(["9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16", "192.0.2.7"])},
    PLAIN | {"networks": networks(
        ["::ffff:10.0.0.0/104", "2001:DB8:0:0::/32", "::/0", "::1", "2001:db8:0:1:0:0:0:1",
         "0.0.0.0/0"])},
    PLAIN | {"attributes": attributes({"device": "NAS", "client_id": "rclone 1.70  beta"})},
    PLAIN | {"attributes": attributes({"Z": "🔑 a=b", "a": "x", "_": "y"})},
    PLAIN | {"issued_by": "support: Bob", "expires_at": None},
    PLAIN | {"created_at": 0, "expires_at": 253402300799},
    PLAIN | {"family": 1, "successor": 1125899906842623, "derived_from": 0},
    PLAIN | {
        "key_id": 7, "ring": ring(_7=hashlib.sha256(b"seven").digest() * 2), "realm": "tenant 7",
        "prefix": "my_app_token",
        "token": "my_app_token_6vv60yekqn27kb1na9pvr3cxd1c053b84sjm6r2m6f57t",
        "owner": "o" * 255, "label": "l" * 128, "scopes": lines(f"s{n:03}" for n in range(256)),
        "resources": lines(f"{kind}:" + "𝕆" * 255 for kind in ("exact", "under", "prefix")),
        "networks": networks(f"10.{n}.0.0/16" for n in range(256)),
        "attributes": attributes({f"{n:x}" + "k" * 63: "é" * 16 * n + "!" for n in range(16)}),
        "issued_by": "x", "family": 5, "successor": 6, "derived_from": 7,
    },
]


def keyed(foreign_text, ring, key_id):
    mac = hmac.new(key_of(ring, key_id), b"atd1" + foreign_text.encode("utf-8"), hashlib.sha256)
    return b"\2" + struct.pack(">I", key_id) + mac.digest()


def kept(scheme, old):
    return b"\3" + bytes([len(scheme)]) + scheme.encode("ascii") + old.encode("utf-8")


def imported(foreign_text, digest, **changes):
    return PLAIN | {"token": foreign_text, "id": 1125899906842623, "family": 1125899906842623,
                    "digest": digest.hex(), "issued_by": "root"} | changes


IMPORTED = [
    imported("s3cret of the old one", keyed("s3cret of the old one", PLAIN["ring"], 1)),
    imported("ünïcode ✓ " * 20, keyed("ünïcode ✓ " * 20, LONG_KEYS, 4294967295),
             ring=LONG_KEYS, key_id=4294967295),
    imported("x", kept("phc", "$argon2id$v=19$m=64,t=1,p=1$AAECAwQFBgc$aGFzaA"),
             attributes=attributes({"imported": "phc 01234567 0123456789abcdef"})),
    imported("x", kept("a" * 32, "o" * 478)),
]


def write(name, rows):
    rows = [row | {"seal": seal(row).hex()} for row in rows]
    path = pathlib.Path(__file__).with_name(name)
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=True) + "\n")


def with_digest(row):
    digest = b"\1" + hashlib.sha256(row["token"].encode("ascii")).digest()
    return row | {"id": id_of(row["token"]), "digest": digest.hex()}


write("seals.json", map(with_digest, ROWS))
write("imported.json", IMPORTED)
