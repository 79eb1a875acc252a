"""Builds the site: `python docs/build.py`, into `build/site`; open `build/site/index.html`.

It fails where a link or an anchor leads nowhere, a page is missing in the navigation of `mkdocs.yml`, a notebook has an
output that cannot be shown, an equation does not end, or a public name has no entry in the pages of `docs/api`, or no
docstring.
"""

import importlib.util
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

from _build import public_names, stage, undescribed_names


def main() -> int:
    """Builds the site and returns 0, or says what is wrong and returns 1."""
    root = Path(__file__).resolve().parents[1]
    if importlib.util.find_spec("mkdocstrings_handlers") is None:
        print('the site needs the extra `docs`: pip install -c constraints.txt -e ".[docs]"', file=sys.stderr)
        return 1
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
    wrong = complaints(root)
    print("\n".join(wrong) or root / "build" / "site" / "index.html", file=sys.stderr if wrong else sys.stdout)
    return 1 if wrong else 0


def complaints(root: Path) -> list[str]:
    """Says what is wrong with a site that was built."""
    site, names = root / "build" / "site", public_names(root / "src")
    entries = inventory(site / "objects.inv")
    missing = [
        f"{name} has no entry: write `::: {name}` in docs/api/{name.split('.')[-2]}.md"
        for name in names
        if name not in entries
    ]
    silent = [f"{name} has no docstring" for name in undescribed_names(root / "src")]
    endless = [
        f"{page.relative_to(site)} has an equation that runs into the next: put an empty line between them"
        for page in sorted(site.rglob("*.html"))
        if re.search(r'class="arithmatex">[^<]*\$', page.read_text(encoding="utf-8"))
    ]
    return missing + silent + endless


def inventory(path: Path) -> set[str]:
    """Reads the names that have an entry, from the inventory that mkdocstrings writes (Sphinx's format, version 2)."""
    content = path.read_bytes()
    for _ in range(4):  # the header
        content = content[content.index(b"\n") + 1 :]
    return {line.split(" ")[0] for line in zlib.decompress(content).decode().splitlines()}


if __name__ == "__main__":
    sys.exit(main())
