"""Checks that .ci/long_files lists exactly the files that are too long.

A file of src/, examples/ or benches/ may have 450 lines, and a file that holds only tests may have
500. The store over redb, which shows how little a store of a host's own needs, may have 200 lines
of code.
"""
import pathlib
import subprocess
import sys

from imports import Crate

MOST, MOST_OF_TESTS = 450, 500
lines = pathlib.Path(__file__).with_name("long_files").read_text().splitlines()
allowed = dict(line.split(None, 1) for line in lines if line and not line.startswith("#"))
most = {str(module.file): MOST for module in Crate("src").modules.values()}
listed = subprocess.run(["git", "ls-files", "*.rs"], capture_output=True, text=True, check=True)
for file in listed.stdout.splitlines():
    # What is left of src/ is loaded by tests alone.
    is_of_tests = file.startswith("src/") or "tests" in pathlib.Path(file).parts
    most.setdefault(file, MOST_OF_TESTS if is_of_tests else MOST)
counts = {file: len(pathlib.Path(file).read_text().splitlines()) for file in most}
long = {file: count for file, count in counts.items() if count > most[file]}
for file in sorted(long):
    print(f"{file}: {long[file]} lines: {allowed.get(file, 'NOT ALLOWED')}")
mistakes = [f"{file} has {long[file]} lines, and may have {most[file]}"
            for file in sorted(long.keys() - allowed)]
mistakes += [f"{file} is in .ci/long_files but not too long"
             for file in sorted(allowed.keys() - long)]
code = [line.strip() for line in pathlib.Path("examples/redb_store/src/lib.rs").open()]
code = [line for line in code if line and not line.startswith("//")]
if len(code) > 200:
    mistakes.append(f"examples/redb_store has {len(code)} lines of code, and may have 200")
of_tests = list(most.values()).count(MOST_OF_TESTS)
print(f"{len(most)} files, {of_tests} of them of tests; {len(long)} too long")
sys.exit("\n".join(mistakes) if mistakes else 0)
