"""Builds the site: `python docs/build.py`, into `build/site`; open `build/site/index.html`.

It fails where a link or an anchor leads nowhere, a page is missing in the navigation of `mkdocs.yml`, a notebook has an output
that cannot be shown, or a public name has no entry in the pages of `docs/api`, or no docstring.
"""

import os
import subprocess
import sys
import zlib
from pathlib import Path

from _build import public_names, stage, undescribed_names


def main() -> int:
    """Builds the site and returns 0, or says what is wrong and returns 1."""
    root = Path(__file__).resolve().parents[1]
    try:
        stage(root, root / "build" / "docs")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # of the theme, about its own future
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    made = subprocess.run(command, cwd=root, env=environment, check=False)
    if made.returncode != 0:
        return 1
    entries = inventory(root / "build" / "site" / "objects.inv")
    missing = [name for name in public_names(root / "src") if name not in entries]
    silent = undescribed_names(root / "src")
    for name in missing:
        print(f"{name} has no entry: write `::: {name}` in docs/api/{name.split('.')[1]}.md", file=sys.stderr)
    for name in silent:
        print(f"{name} has no docstring", file=sys.stderr)
    if not missing and not silent:
        print(f"{root / 'build' / 'site' / 'index.html'}: {len(entries)} names")
    return 1 if missing or silent else 0


def inventory(path: Path) -> set[str]:
    """Reads the names that have an entry, from the inventory that mkdocstrings writes (Sphinx's format, version 2)."""
    content = path.read_bytes()
    for _ in range(4):  # the header
        content = content[content.index(b"\n") + 1 :]
    return {line.split(" ")[0] for line in zlib.decompress(content).decode().splitlines()}


if __name__ == "__main__":
    sys.exit(main())
