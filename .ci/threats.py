"""Checks that every test that SECURITY.md names in its table of threats exists."""
import pathlib
import re
import sys

sources = "\n".join(p.read_text() for folder in ("src", "tests") for p in pathlib.Path(folder).rglob("*.rs"))
rows = [line for line in pathlib.Path("SECURITY.md").read_text().splitlines() if re.match(r"\| [A-M] ", line)]
names = [(row[2], name) for row in rows for name in re.findall(r"`([a-z0-9_]{12,})`", row)]
missing = [f"{name} (class {letter})" for letter, name in names if not re.search(rf"\bfn {name}[(<]", sources)]
letters = {letter for letter, _ in names}
print(f"{len(names)} tests named for the classes {''.join(sorted(letters))}")
if missing or letters != set("ABCDEFGHIJKLM"):
    sys.exit(f"missing tests: {missing}; classes without a test: {set('ABCDEFGHIJKLM') - letters}")
