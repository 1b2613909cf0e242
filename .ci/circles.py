"""Prints what each file of src/ imports from others, and fails if files import in a circle."""
import sys

from imports import Crate, circles

imports = Crate(sys.argv[1] if len(sys.argv) > 1 else "src").imports()


def say(names):
    return ", ".join(sorted(names))


for file in sorted(imports):
    others = imports[file]
    listed = [f"{other} ({say(others[other])})" for other in sorted(others)]
    print(f"{file}: {'; '.join(listed) or 'nothing'}")
found = circles(imports)
for ring in found:
    print(f"\ncircle of {len(ring)} files:")
    for file in ring:
        for other in ring:
            if names := imports[file].get(other):
                print(f"  {file} imports from {other}: {say(names)}")
print(f"\n{len(imports)} files, {len(found)} circles")
sys.exit(1 if found else 0)
