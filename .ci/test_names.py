"""Fails if a document names a test, or another long name in snake case, that no code has."""
import pathlib
import re
import subprocess
import sys

DOCUMENTS = ["CONTRIBUTING.md", "DEPLOYING.md", "DESIGN.md", "README.md", "SECURITY.md",
             "tests/README.md"]
LONG_NAME = re.compile(r"\b[a-z0-9]+(?:_[a-z0-9]+){5,}\b")

listed = subprocess.run(["git", "ls-files", "*.rs", "*.py"], capture_output=True, text=True,
                        check=True)
known = set()
for name in listed.stdout.split():
    known.update(re.findall(r"\w+", pathlib.Path(name).read_text()))
named = {(document, name) for document in DOCUMENTS
         for name in LONG_NAME.findall(pathlib.Path(document).read_text())}
unknown = sorted(f"{document} names {name}" for document, name in named if name not in known)
print(f"{len(named)} names of tests in documents")
sys.exit("\n".join(unknown) if unknown else 0)
