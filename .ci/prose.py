"""Fails on prose that is too wide, too long or in words that puzzle a reader.

- A line of code, comment or prose has at most 100 characters. Tables and URLs may be wider, and
  so may a string that can't be cut: a vector, a token.
- A sentence in a doc comment of src/ or in a document has at most 25 words.
- Comments and documents have none of the words below.

`python3 .ci/prose.py FILE…` looks at these files only.
"""
import pathlib
import re
import subprocess
import sys

WIDTH = 100
WORDS = 25
BANNED = re.compile(
    r"\b(some(body|one)|who(so)?ever|so far as|as far as|no good|neither|he|his|him|she|hers?"
    r"|thereby|thereof|hereby|therein|whereof|in vain|lest|albeit|nought|likewise"
    r"|that is to say|lets go of|tells? of|The same, )\b"
)
SKIPPED = re.compile(r"^(tests/vectors/|seeds/|LICENSE|Cargo\.lock|benches/rivals/Cargo\.lock)")
UNCUT = re.compile(r"https?://\S{30,}|\"[^\" ]{60,}\"|^\s*(//[/!]?\s*)?\||^\[[^]]+\]: ")


def files():
    if sys.argv[1:]:
        return sys.argv[1:]
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if not SKIPPED.match(name)]


def paragraphs(lines):
    """Yields (number, text) of each paragraph, without code blocks, tables and headings."""
    start, text, in_code = 0, [], False
    for number, line in enumerate(lines + [""], 1):
        line = line.strip()
        if line.startswith("```"):
            in_code = not in_code
            line = ""
        item = re.match(r"([-*]|\d+\.)\s+", line)
        if in_code or not line or line[0] in "|#" or line.startswith("<") or item:
            if text:
                yield start, " ".join(text)
            start, text = 0, []
            line = line[item.end():] if item and not in_code else ""
        if line:
            start = start or number
            text.append(line)


def sentences(text):
    text = re.sub(r"`[^`]*`", "`x`", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    text = re.sub(r"\b(e\.g|i\.e|cf|vs|no|sect)\.", r"\1", text)
    return re.split(r"(?<=[.!?])[\"')*_]*\s+", text)


def doc_comments(lines):
    """Returns the lines with everything but doc comments blanked."""
    docs = (re.match(r"\s*//[/!]( ?)(.*)", line) for line in lines)
    return [doc.group(2) if doc else "" for doc in docs]


def comments(lines):
    found = (re.search(r"(?:^|\s)(//[/!]?|#|--) (.*)", line) for line in lines)
    return [comment.group(2) if comment else "" for comment in found]


def main():
    faults = []
    for name in files():
        path = pathlib.Path(name)
        if path.suffix not in {".rs", ".md", ".sql", ".toml", ".py", ".sh", ""} or path.is_dir():
            continue
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            if len(line) > WIDTH and not UNCUT.search(line):
                faults.append(f"{name}:{number}: {len(line)} characters")
        is_prose = path.suffix == ".md"
        read = lines if is_prose else comments(lines)
        for number, line in enumerate(read, 1):
            if (word := BANNED.search(line)) and name != ".ci/prose.py":
                faults.append(f"{name}:{number}: {word.group()!r}")
        if is_prose or (path.suffix == ".rs" and name.startswith("src/")):
            for number, text in paragraphs(lines if is_prose else doc_comments(lines)):
                for sentence in sentences(text):
                    count = len(sentence.split())
                    if count > WORDS:
                        faults.append(f"{name}:{number}: {count} words: {sentence[:70]}…")
    print(f"{len(faults)} faults of prose")
    sys.exit("\n".join(faults) if faults else 0)


main()
