"""Checks that what the documents name exists: files, in a link or between backticks, and tests."""
import pathlib
import re
import subprocess
import sys

# The name of a test is a sentence. A shorter name may be another program's.
LONG_NAME = re.compile(r"\b[a-z0-9]+(?:_[a-z0-9]+){5,}\b")

listed = subprocess.run(["git", "ls-files", "*.rs", "*.py"], capture_output=True, text=True,
                        check=True)
words = {word for name in listed.stdout.split()
         for word in re.findall(r"\w+", pathlib.Path(name).read_text())}
documents = [*pathlib.Path().glob("*.md"), *map(pathlib.Path, ["examples/README.md",
                                                              "tests/README.md"])]
missing, count = [], 0
for document in sorted(documents):
    text = document.read_text()
    tests = set(LONG_NAME.findall(text))
    count += len(tests)
    missing += [f"{document}: {name}" for name in sorted(tests - words)]
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    named = re.findall(r"`((?:\w[\w.-]*/)*[\w-]+\.(?:rs|py|sh|sql|json))`", text)
    count += len(links) + len(named)
    missing += [f"{document}: {link}" for link in links if not (document.parent / link).exists()]
    for name in named:
        # A source file is named without its folder, and so is a file beside the document.
        places = [pathlib.Path(name), pathlib.Path("src", name), document.parent / name]
        if not any(place.exists() for place in places):
            missing.append(f"{document}: {name}")
print(f"{count} files and tests named in documents")
sys.exit("\n".join(missing) if missing else 0)
