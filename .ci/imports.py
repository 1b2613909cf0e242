"""Finds which file of a Rust crate imports which names from which other file, by its text.

A path counts if it begins with `crate`, `self`, `super` or a module in scope, in `use` lines and
elsewhere. A re-export leads to the file that defines the name. `mod` lines, re-exports, docs, and
everything under `#[cfg(test)]` don't count.

A type may have its methods in several files. A call by `self` or `Self` leads to the file that has
the method. Calls by another value are not seen.
"""
import pathlib
import re

WORD = r"[A-Za-z_]\w*"
KINDS = "struct|enum|union|trait|fn|type|const|static|macro_rules!|mod"
# A block of methods, of a trait or of the type itself.
IMPL = (r"\bimpl\b(?:<[^{]*?>)?\s+(?:[^{;]*?\bfor\s+)?(?P<type>(?:%s\s*::\s*)*%s)"
        r"\s*(?:<[^{;]*?>)?\s*(?:where[^{;]*)?\{" % (WORD, WORD))
CALLS = r"\b(?:self\s*\.|Self\s*::)\s*(%s)\s*(?:::<[^>]*>)?\(" % WORD
DEFINES = r"\b(?:%s)\s+(?:mut\s+)?(%s)" % (KINDS, WORD)
# An indented `type` belongs to a trait or to an `impl`, which the trait names.
TYPES = r"(?:\b(?:struct|enum|union|trait)|^(?:pub(?:\([^)]*\))?\s+)?type)\s+(%s)" % WORD


def blank(text, start, end):
    """Overwrites a part with spaces, and keeps line breaks."""
    return text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]


def without_comments_and_texts(text):
    """Overwrites comments and the insides of string and character literals."""
    out, at = list(text), 0
    raw = re.compile(r'\bb?r(#*)"')
    char = re.compile(r"b?'(?:\\(?:u\{[^}]*\}|x..|.)|[^\\'])'", re.S)

    def erase(start, end):
        for place in range(start, end):
            if out[place] != "\n":
                out[place] = " "

    while at < len(text):
        if text.startswith("//", at):
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            erase(at, end)
        elif text.startswith("/*", at):
            depth, end = 1, at + 2
            while depth and end < len(text):
                step = text[end:end + 2]
                depth += (step == "/*") - (step == "*/")
                end += 2 if step in ("/*", "*/") else 1
            erase(at, end)
        elif (found := raw.match(text, at)) and not text[at - 1:at].isalnum():
            close = text.find('"' + found[1], found.end())
            end = len(text) if close < 0 else close + 1 + len(found[1])
            erase(at, end)
        elif text[at] == '"':
            end = at + 1
            while end < len(text) and text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            end = min(end + 1, len(text))
            erase(at, end)
        elif found := char.match(text, at):
            end = found.end()
            erase(at, end)
        else:
            end = at + 1
        at = end
    return "".join(out)


def end_of_item(text, at):
    """Returns where the item ends that begins here, with its attributes."""
    while found := re.compile(r"\s*#\[").match(text, at):
        at = closing(text, found.end() - 1) + 1
    # A `use` list has braces, too, but ends with its semicolon.
    is_use = re.compile(r"\s*(?:pub(?:\([^)]*\))?\s+)?use\b").match(text, at)
    depth = 0
    while at < len(text):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        if depth == 0 and (text[at] == ";" or (text[at] == "}" and not is_use)):
            return at + 1
        if depth < 0:
            return at
        at += 1
    return at


def closing(text, at):
    """Returns the place of the bracket that closes the one at `at`."""
    depth = 0
    for place in range(at, len(text)):
        depth += (text[place] in "([{") - (text[place] in ")]}")
        if depth == 0:
            return place
    return len(text)


def split(text):
    """Splits at commas that stand in no bracket."""
    parts, depth, last = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append(text[last:place])
            last = place + 1
    return [part.strip() for part in parts + [text[last:]] if part.strip()]


def leaves(tree, before=()):
    """Yields each path of a `use` tree, with the name that it gets."""
    tree = tree.strip()
    if tree.startswith("{"):
        for part in split(tree[1:closing(tree, 0)]):
            yield from leaves(part, before)
        return
    head, colons, rest = tree.partition("::")
    if colons:
        yield from leaves(rest, before + (head.strip(),) if head.strip() else before)
        return
    name, _, alias = (part.strip() for part in re.sub(r"\s+", " ", tree).partition(" as "))
    if name == "self":
        yield before, alias or before[-1]
    else:
        yield before + (name,), alias or name


class Module:
    """A module: a whole file, or one between braces in a file."""

    def __init__(self, path, file):
        self.path, self.file = path, file
        self.children, self.defined, self.uses, self.named = set(), set(), [], []
        # What is defined, and what is called by `self`: pairs of a type's path and a method.
        self.methods, self.calls = set(), set()


class Crate:
    """All modules below a `lib.rs`, and the imports between its files."""

    def __init__(self, source):
        self.source = pathlib.Path(source)
        self.modules, self.elsewhere = {}, {}
        self.load(("crate",), self.source / "lib.rs", self.source)

    def load(self, path, file, folder):
        text = without_comments_and_texts(file.read_text())
        visible = r"(?:pub(?:\([^)]*\))?\s+)?"
        elsewhere = r'#\[path\s*=\s*"([^"]+)"\]\s*(?:#\[[^\]]*\]\s*)*%smod\s+(%s)' % (visible, WORD)
        self.elsewhere |= {(file, found[2]): file.parent / found[1]
                           for found in re.finditer(elsewhere, file.read_text())}
        while found := re.search(r"#\[cfg\(test\)\]", text):
            text = blank(text, found.start(), end_of_item(text, found.start()))
        # What a macro names by `$crate` it names where it is used.
        text = re.sub(r"\$crate\b(?:\s*::\s*%s)*" % WORD, lambda found: " " * len(found[0]), text)
        self.read(path, file, folder, text)

    def read(self, path, file, folder, text):
        module = self.modules[path] = Module(path, file)
        for found in list(re.finditer(r"\bmod\s+(%s)\s*\{" % WORD, text)):
            if text[found.start():found.end()].isspace():
                continue
            end = closing(text, found.end() - 1)
            module.children.add(found[1])
            inner = text[found.end():end]
            text = blank(text, found.start(), end + 1)
            self.read(path + (found[1],), file, folder / found[1], inner)
        for found in re.finditer(r"\bmod\s+(%s)\s*;" % WORD, text):
            module.children.add(found[1])
            name = found[1]
            usual = [folder / f"{name}.rs", folder / name / "mod.rs"]
            its = self.elsewhere.get((file, name)) or next(filter(pathlib.Path.exists, usual))
            below = its.parent if its.name == "mod.rs" else its.with_suffix("")
            self.load(path + (name,), its, below)
        text = re.sub(r"\bmod\s+%s\s*;" % WORD, lambda found: " " * len(found[0]), text)
        for found in list(re.finditer(r"(\bpub(?:\s*\([^)]*\))?\s+)?\buse\s+([^;]*);", text)):
            for target, name in leaves(found[2]):
                module.uses.append((target, name, bool(found[1])))
            text = blank(text, found.start(), found.end())
        module.defined = set(re.findall(DEFINES, text))
        module.types = re.findall(TYPES, text, re.M)
        module.words = set(re.findall(WORD, text))
        for found in re.finditer(IMPL, text):
            body = text[found.end():closing(text, found.end() - 1)]
            path = tuple(re.split(r"\s*::\s*", found["type"]))
            of_type = lambda names: {(path, name) for name in names}
            module.methods |= of_type(re.findall(r"\bfn\s+(%s)" % WORD, body))
            module.calls |= of_type(re.findall(CALLS, body))
        module.named = [tuple(re.split(r"\s*::\s*", found)) for found in
                        re.findall(r"(?<![\w:$.])%s(?:\s*::\s*%s)+" % (WORD, WORD), text)]

    def absolute(self, path, module):
        """Returns a path from the crate's root, or `None` if it leads to another crate."""
        head, rest = path[0], path[1:]
        if head == "crate":
            base = ("crate",)
        elif head == "self":
            base = module.path
        elif head == "super":
            base = module.path[:-1]
            while rest and rest[0] == "super":
                base, rest = base[:-1], rest[1:]
        elif head in module.children:
            return module.path + path
        else:
            for target, name, _ in module.uses:
                if name == head and target != path:
                    base = self.absolute(target, module)
                    return base and base + rest
            return None
        return base + rest

    def owner(self, path, seen=()):
        """Returns the module that defines what an absolute path names, and the name in it."""
        length = max(n for n in range(1, len(path) + 1) if path[:n] in self.modules)
        module, rest = self.modules[path[:length]], path[length:]
        if not rest or rest[0] in module.defined or rest[0] == "*":
            return module, rest[0] if rest else path[-1]
        if (path, module.path) in seen:
            return None
        seen += ((path, module.path),)
        for target, name, _ in module.uses:
            if name == rest[0]:
                absolute = self.absolute(target, module)
                return absolute and self.owner(absolute + rest[1:], seen)
        for target, name, _ in module.uses:
            absolute = name == "*" and self.absolute(target[:-1], module)
            found = absolute and self.owner(absolute + rest, seen)
            if found and rest[0] in found[0].defined:
                return found
        return module, rest[0]

    def types(self):
        """Returns `{name: [file]}` of all types, with paths below the source folder."""
        found = {}
        for module in self.modules.values():
            for name in module.types:
                found.setdefault(name, []).append(str(module.file.relative_to(self.source)))
        return found

    def located(self, methods, module):
        """Yields the file that defines the type of each method, the type, and the method."""
        for path, method in methods:
            known = path[0] in module.defined
            absolute = module.path + path if known else self.absolute(path, module)
            if found := absolute and self.owner(absolute):
                yield str(found[0].file), found[1], method

    def imports(self):
        """Returns `{file: {file: {name}}}`, with paths below the source folder."""
        all_files = {module.file for module in self.modules.values()}
        edges = {file: {} for file in all_files}
        for module in self.modules.values():
            named = [path for path in module.named]
            # A re-export counts only if the file itself uses what it names.
            named += [target for target, name, is_public in module.uses
                      if not is_public or (name != "*" and name in module.words)]
            for path in named:
                absolute = self.absolute(path, module)
                found = absolute and self.owner(absolute)
                if found and found[0].file != module.file:
                    edges[module.file].setdefault(found[0].file, set()).add(found[1])
        files_of = {}
        for module in self.modules.values():
            for method in self.located(module.methods, module):
                files_of.setdefault(method, set()).add(module.file)
        for module in self.modules.values():
            for method in self.located(module.calls, module):
                for file in files_of.get(method, set()) - {module.file}:
                    edges[module.file].setdefault(file, set()).add("::".join(method[1:]))
        short = lambda file: str(file.relative_to(self.source))
        return {short(one): {short(other): names for other, names in others.items()}
                for one, others in edges.items()}


def circles(imports):
    """Returns the sets of files that import each other, directly or through others (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(file):
        index[file] = low[file] = len(index)
        stack.append(file)
        for other in sorted(imports.get(file, ())):
            if other not in index:
                visit(other)
                low[file] = min(low[file], low[other])
            elif other in stack:
                low[file] = min(low[file], index[other])
        if low[file] == index[file]:
            ring = set()
            while file not in ring:
                ring.add(stack.pop())
            if len(ring) > 1:
                found.append(sorted(ring))

    for file in sorted(imports):
        if file not in index:
            visit(file)
    return sorted(found)
