"""Checks that every test that SECURITY.md names in its table of threats exists."""
import pathlib
import re
import sys

folders = ("src", "tests", "examples")
sources = "\n".join(p.read_text() for folder in folders for p in pathlib.Path(folder).rglob("*.rs"))
lines = pathlib.Path("SECURITY.md").read_text().splitlines()
rows = [line for line in lines if re.match(r"\| [A-M] ", line)]
names = [(row[2], name) for row in rows for name in re.findall(r"`([a-z0-9_]{12,})`", row)]
missing = [f"{name} (class {letter})" for letter, name in names
           if not re.search(rf"\bfn {name}[(<]", sources)]
letters = {letter for letter, _ in names}
print(f"{len(names)} tests named for the classes {''.join(sorted(letters))}")
if missing or letters != set("ABCDEFGHIJKLM"):
    untested = set("ABCDEFGHIJKLM") - letters
    sys.exit(f"missing tests: {missing}; classes without a test: {untested}")
