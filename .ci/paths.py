"""Checks that every file exists that the documents name, in a link or between backticks."""
import pathlib
import re
import sys

missing, count = [], 0
for document in sorted([*pathlib.Path().glob("*.md"), pathlib.Path("examples/README.md")]):
    text = document.read_text()
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    named = re.findall(r"`((?:\w[\w.-]*/)*[\w-]+\.(?:rs|py|sh|sql|json))`", text)
    count += len(links) + len(named)
    missing += [f"{document}: {link}" for link in links if not (document.parent / link).exists()]
    for name in named:
        # A source file is named without its folder, and so is a file beside the document.
        places = [pathlib.Path(name), pathlib.Path("src", name), document.parent / name]
        if not any(place.exists() for place in places):
            missing.append(f"{document}: {name}")
print(f"{count} files named in documents")
sys.exit("\n".join(missing) if missing else 0)
