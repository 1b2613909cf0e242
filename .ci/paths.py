"""Checks that every file that the documents name exists: in a link, or between backticks."""
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
        # A source file goes without its folder, and a file beside the document, too.
        places = [pathlib.Path(name), pathlib.Path("src", name), document.parent / name]
        if not any(place.exists() for place in places):
            missing.append(f"{document}: {name}")
print(f"{count} files named in documents")
sys.exit("\n".join(missing) if missing else 0)
