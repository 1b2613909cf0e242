"""Checks that no name is given to two types. What only tests use doesn't count."""
import re
import sys

from imports import Crate


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


if __name__ == "__main__":
    types = Crate("src").types()
    if mistakes := named_twice(types):
        sys.exit("\n".join(mistakes))
    print(f"{len(types)} names of types, no name of two")
