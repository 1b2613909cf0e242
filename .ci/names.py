"""Checks that no name is given to two types, and that each public trait helps who lacks it.

What only tests use doesn't count.
"""
import re
import sys

from imports import WORD, Crate, without_comments_and_texts


def named_twice(types):
    """Returns what to say about each name of several types, of `{name: [file]}`.

    Both SQL stores have the same files, and in them the same words for the same things.
    """
    mistakes = []
    for name, files in sorted(types.items()):
        of_both = {re.sub("^store/(sqlite|postgres)/", "", file) for file in files}
        if len(set(files)) < len(files) or len(of_both) > 1:
            mistakes.append(f"{name} names several types: {', '.join(sorted(files))}")
    return mistakes


def without_help(text):
    """Returns the public traits of a file for which rustc does not say what to take instead."""
    found = re.findall(rf"((?:#\[[^\]]*\]\s*)*)^pub trait ({WORD})", text, re.M)
    return [name for attributes, name in found if "on_unimplemented" not in attributes]


if __name__ == "__main__":
    crate = Crate("src")
    types = crate.types()
    mistakes = named_twice(types)
    for file in sorted({module.file for module in crate.modules.values()}):
        mistakes += [f"{file}: {name} has no `#[diagnostic::on_unimplemented]`"
                     for name in without_help(without_comments_and_texts(file.read_text()))]
    if mistakes:
        sys.exit("\n".join(mistakes))
    print(f"{len(types)} names of types, no name of two")
