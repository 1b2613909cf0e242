"""Checks that .ci/long_files lists exactly the files of src/ with more than 450 lines.

Files that hold only tests are not counted.
"""
import pathlib
import sys

from imports import Crate

MOST = 450
lines = pathlib.Path(__file__).with_name("long_files").read_text().splitlines()
allowed = dict(line.split(None, 1) for line in lines if line and not line.startswith("#"))
files = {module.file for module in Crate("src").modules.values()}
long = {str(file): count for file in files if (count := len(file.read_text().splitlines())) > MOST}
for file in sorted(long):
    print(f"{file}: {long[file]} lines: {allowed.get(file, 'NOT ALLOWED')}")
mistakes = [f"{file} has {long[file]} lines" for file in sorted(long.keys() - allowed)]
mistakes += [f"{file} is in .ci/long_files but not over {MOST} lines"
             for file in sorted(allowed.keys() - long)]
print(f"{len(files)} files, {len(long)} over {MOST} lines")
sys.exit("\n".join(mistakes) if mistakes else 0)
