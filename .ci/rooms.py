"""Checks what the stores may name. A listed name that no longer exists is an error, too."""
import pathlib
import re
import sys

from imports import Crate

# A store keeps rows and decides nothing. It has no secret, no plain token, no authority, no web.
ROOM = "store"
FILES = ["authority", "issue", "present", "random", "web"]
NAMES = {"token": ["Token", "expose_secret"], "random": ["Secret"]}

source = pathlib.Path("src")
crate = Crate(source)
mistakes = [f"src/{name}.rs is in the list of rooms, but does not exist"
            for name in [ROOM, *FILES, *NAMES] if not (source / f"{name}.rs").exists()]
for file, names in NAMES.items():
    text = (source / f"{file}.rs").read_text() if (source / f"{file}.rs").exists() else ""
    mistakes += [f"src/{file}.rs does not define {name}, which is in the list of rooms" 
                 for name in names if not re.search(rf"\b(struct|fn) {name}\b", text)]

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
if mistakes:
    sys.exit("\n".join(mistakes))
print(f"{ROOM} names nothing of {', '.join(FILES)}")
