"""The public names of the library, read from its source, and those that have an entry or a docstring."""

import ast
import re
from pathlib import Path


def public_names(source: Path) -> list[str]:
    """Returns every public name, `bellmax.returns.gae` and so on, in the order of the contents pages.

    Args:
        source: The folder `src`.
    """
    return [
        f"{'.'.join(contents.parent.relative_to(source).parts)}.{name}"
        for contents in _contents_pages(source / "bellmax")
        for name in _exported(contents)
    ]


def documented_names(api: Path) -> list[str]:
    """Returns the names that have an entry in the pages of a folder: lines of `::: name`."""
    return [
        name
        for page in sorted(api.glob("*.md"))
        for name in re.findall(r"^::: (\S+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def undescribed_names(source: Path) -> list[str]:
    """Returns the public names without a docstring."""
    import griffe

    package = griffe.load("bellmax", search_paths=[str(source)])
    return [name for name in public_names(source) if not package[name.removeprefix("bellmax.")].has_docstring]


def _contents_pages(package: Path) -> list[Path]:
    """Returns the `__init__.py` of every public folder, and of the public folders inside."""
    folders = sorted(package.rglob("__init__.py"))
    return [
        path
        for path in folders
        if path.parent != package and not any(part.startswith("_") for part in path.relative_to(package).parts[:-1])
    ]


def _exported(contents: Path) -> list[str]:
    """Returns what a contents page exports: `from ._file import name as name`, but no folder inside."""
    return [
        alias.asname
        for node in ast.parse(contents.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
        if alias.asname is not None and not alias.asname.startswith("_")
    ]
