"""The repository's pages, laid out as the site has them.

Pages are written to be read in the repository, where a link leads to a file. Here each gets its place in the site, links
follow, and a name of the library in code, such as `returns.gae`, leads to its entry.
"""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ._names import public_names
from ._notebooks import notebook_page

_PLACES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
    "docs/algorithms": "algorithms/index.md",
    "notebooks": "notebooks/index.md",
}
"""Where pages stand that are not under `docs`, and where links to folders lead."""

_HIDDEN = {
    "README.md": "navigation",
    "docs/getting_started.md": "navigation",
    "docs/algorithms/learning.md": "toc",
}
"""What the theme leaves out beside a page: the first two have no neighbours, the last needs the width for its table."""

_FENCED = re.compile(r"^(`{3,}).*?^\1[ ]*$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(
    r"(?P<maths>\$\$.*?\$\$|\$[^$\n]+\$)"
    r"|!?\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)"
    r"|(?P<code>`[^`\n]+`)",
    re.DOTALL,
)
_NAME = re.compile(r"`(?:bellmax\.)?([a-z]\w*(?:\.\w+)+)(?:\(.*\))?`")


def stage(root: Path, target: Path) -> None:
    """Writes what the site is built from.

    Args:
        root: The repository.
        target: A folder; what it holds is deleted.

    Raises:
        ValueError: If a link leads to a file that has no place in the site.
    """
    shutil.rmtree(target, ignore_errors=True)
    names = set(public_names(root / "src"))
    for path, text in _pages(root, target):
        place = target / _place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        front = f"---\nhide: [{_HIDDEN[str(path)]}]\n---\n\n" if str(path) in _HIDDEN else ""
        place.write_text(front + linked(text, path, root, names), encoding="utf-8")
    for path in (root / "docs").rglob("*"):
        if path.is_file() and path.suffix not in {".md", ".py", ".pyc"}:
            place = target / path.relative_to(root / "docs")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def linked(text: str, path: PurePosixPath, root: Path, names: set[str]) -> str:
    """Changes the links of a page to the site's; code between fences stays as it is.

    Args:
        text: The page.
        path: Where it stands in the repository.
        root: The repository.
        names: All public names.
    """

    def replaced(match: re.Match[str]) -> str:
        if match["target"]:
            return _link(match, path, root, names)
        name = _NAME.fullmatch(match["code"] or "")
        full = f"bellmax.{name[1]}" if name else ""
        return f"[{match[0]}][{full}]" if full in names else match[0]

    return _outside_fences(text, lambda part: _SPAN.sub(replaced, part))


def _outside_fences(text: str, change: Callable[[str], str]) -> str:
    parts, end = [], 0
    for fenced in _FENCED.finditer(text):
        parts += [change(text[end : fenced.start()]), fenced[0]]
        end = fenced.end()
    return "".join([*parts, change(text[end:])])


def _link(match: re.Match[str], path: PurePosixPath, root: Path, names: set[str]) -> str:
    """Writes a link anew: to an entry if it leads to source, else to the place of the page."""
    target, _, anchor = match["target"].partition("#")
    if not target or re.match(r"[a-z]+:", target):
        return match[0]
    there = PurePosixPath(os.path.normpath(path.parent / target))
    if there.parts[:2] == ("src", "bellmax"):
        folder = there.parts[2]
        for name in re.findall(r"(\w+)`", match["text"]):
            if f"bellmax.{folder}.{name}" in names:
                return f"[{match['text']}][bellmax.{folder}.{name}]"
        place = PurePosixPath(f"api/{folder}.md")
    elif not (root / there).exists():
        if match[0].startswith("!"):  # a picture of a notebook, which lies in it
            return match[0]
        raise ValueError(f"{path} has a link to {match['target']}, and there is no {there}")
    else:
        place = _place(there)
    relative = os.path.relpath(place, _place(path).parent)
    return match[0].replace(f"({match['target']})", f"({relative}{'#' * bool(anchor)}{anchor})")


def _place(path: PurePosixPath) -> PurePosixPath:
    """Returns where a file of the repository stands in the site."""
    if str(path) in _PLACES:
        return PurePosixPath(_PLACES[str(path)])
    place = path.relative_to("docs") if path.parts[0] == "docs" else path
    if path.parts[0] not in {"docs", "notebooks"}:
        raise ValueError(f"a link leads to {path}, which has no place in the site; docs/_build/_pages.py gives it one")
    if place.suffix == ".ipynb":
        return place.with_suffix(".md")
    return place.with_name("index.md") if place.name == "README.md" else place


def _pages(root: Path, target: Path):
    """Yields (path in the repository, text) of every page; pictures of notebooks are written at once."""
    pages = [*(name for name in _PLACES if name.endswith(".md")), "notebooks/README.md"]
    pages += sorted(path.relative_to(root).as_posix() for path in (root / "docs").rglob("*.md"))
    for page in pages:
        yield PurePosixPath(page), (root / page).read_text(encoding="utf-8")
    (target / "notebooks").mkdir(parents=True, exist_ok=True)
    for notebook in sorted((root / "notebooks").glob("*.ipynb")):
        text, pictures = notebook_page(notebook)
        for name, content in pictures.items():
            (target / "notebooks" / name).write_bytes(content)
        yield PurePosixPath("notebooks", notebook.name), text
