"""Checks what the stores may name, and who may compare secrets.

A listed file or name that no longer exists is an error, too.
"""
import pathlib
import re
import sys

from imports import Crate, without_comments_and_texts

# A store keeps rows and decides nothing. It has no secret, no plain token, no authority, no web.
ROOM = "store"
FILES = ["authority", "issue", "present", "random", "web"]
NAMES = {"token": ["Token", "expose_secret"], "random": ["Secret"]}

# Only these compare secrets, or what is computed from them, and they do so in constant time.
COMPARING = ["constant_time", "digest", "key", "seal", "transfer/file", "import/argon2",
             "import/blake3", "import/forgejo", "import/pbkdf2", "import/sha256", "import/sha512"]
IN_CONSTANT_TIME = {"subtle", "constant_time"}
# What holds a secret, or what is computed from one. A derived `==` is not in constant time.
SECRETS = {
    "digest": ["Digest", "DigestForm", "Sha256Digest", "KeyedDigest", "ForeignDigest"],
    "import/foreign": ["ForeignText", "Lookup", "ForeignSecret", "SecretForm"],
    "issue": ["IssuedToken"],
    "key": ["SealingKey", "ImportKey", "Seal", "SealForm"],
    "key_ring": ["KeyRing"],
    "present": ["Presented"],
    "random": ["Secret"],
    "token": ["Token"],
    "transfer/key": ["TransferKey", "RunningSeal"],
    "web/credentials": ["Credentials", "Text"],
}

source = pathlib.Path("src")
crate = Crate(source)
texts = {name: without_comments_and_texts((source / f"{name}.rs").read_text())
         for name in [ROOM, *FILES, *NAMES, *COMPARING, *SECRETS]
         if (source / f"{name}.rs").exists()}
mistakes = [f"src/{name}.rs is in the list of rooms, but does not exist"
            for name in sorted({ROOM, *FILES, *NAMES, *COMPARING, *SECRETS} - texts.keys())]
for names in [NAMES, SECRETS]:
    for file in names.keys() & texts.keys():
        mistakes += [f"src/{file}.rs does not define {name}, which is in the list of rooms"
                     for name in names[file]
                     if not re.search(rf"\b(struct|enum|fn) {name}\b", texts[file])]

for file, others in sorted(crate.imports().items()):
    if not re.match(rf"{ROOM}(\.rs|/)", file):
        continue
    for other, names in others.items():
        room = re.split(r"[./]", other)[0]
        if room in FILES:
            mistakes.append(f"src/{file} imports from src/{other}: {', '.join(sorted(names))}")
        elif named := names & set(NAMES.get(room, ())):
            mistakes.append(f"src/{file} imports from src/{other}: {', '.join(sorted(named))}")
for module in crate.modules.values():
    if len(module.path) > 1 and module.path[1] == ROOM:
        named = module.words & {"Secret", "expose_secret"}
        mistakes += [f"{module.file} names {name}" for name in sorted(named)]

comparing = {str(module.file.relative_to(source).with_suffix(""))
             for module in crate.modules.values()
             if IN_CONSTANT_TIME & module.words.union(*(target for target, _, _ in module.uses))}
mistakes += [f"src/{name}.rs compares in constant time, and is not in the list of rooms"
             for name in sorted(comparing - set(COMPARING))]
mistakes += [f"src/{name}.rs is in the list of rooms, but compares nothing in constant time"
             for name in sorted((set(COMPARING) & texts.keys()) - comparing)]
for file in SECRETS.keys() & texts.keys():
    for name in SECRETS[file]:
        attributes = r"((?:#\[[^\]]*\]\s*)*)(?:pub(?:\([^)]*\))?\s+)?(?:struct|enum)\s+%s\b" % name
        found = re.search(attributes, texts[file])
        by_hand = re.search(rf"\bPartialEq(<[^{{]*>)?\s+for\s+{name}\b", texts[file])
        if found and "PartialEq" in found[1] or by_hand and file not in COMPARING:
            mistakes.append(f"src/{file}.rs compares {name} by a `==` that is not in constant time")
if mistakes:
    sys.exit("\n".join(mistakes))
print(f"{ROOM} names nothing of {', '.join(FILES)}; {len(COMPARING)} files compare secrets")
