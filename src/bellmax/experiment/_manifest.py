"""The list of what a folder holds, with which it is known to be whole."""

import contextlib
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from ._configuration import UsageError

MANIFEST = "manifest.json"
_FORMAT = 1
_LARGEST = 2**28
"""Bytes of a manifest that are read at most."""


def write_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Makes a folder count: its files are flushed to the disk and hashed, and the manifest is put there last, at once.

    Args:
        folder: What to list; nobody writes to it any more.
        content: What else the manifest says, as JSON. `format`, `files` and `sha256` are added.
    """
    files = {}
    for name in _files_of(folder):
        with (folder / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
            files[name] = {"size": os.fstat(file.fileno()).st_size, "sha256": digest}
    content = {"format": _FORMAT, **content, "files": files}
    temporary = folder / f".{MANIFEST}.tmp"
    with temporary.open("w") as file:
        file.write(json.dumps(content | {"sha256": _digest(content)}, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / MANIFEST)
    for directory in (folder, folder.parent):
        _flush_directory(directory)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads a manifest and compares it with its own hash, not the files with theirs.

    Raises:
        UsageError: If it is missing, damaged, or of a newer format.
    """
    path = folder / MANIFEST
    try:
        with _regular(path).open("rb") as file:
            content = json.loads(file.read(_LARGEST))
        version = content["format"]
        if isinstance(version, int) and version > _FORMAT:
            raise UsageError(
                f"{path} has format {version}, and this Bellmax reads formats up to {_FORMAT}: a newer one wrote it"
            )
        digest = content.pop("sha256")
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} is no manifest of a checkpoint: {error!r}") from None
    if digest != _digest(content):
        raise UsageError(f"{path} is damaged: it does not have the SHA-256 that it gives")
    return content


def verify(folder: Path) -> dict[str, Any]:
    """Reads a manifest and compares every file of the folder with it.

    Returns:
        The manifest.

    Raises:
        UsageError: If a file is missing, was changed or was added; the message names it.
    """
    content = read_manifest(folder)
    try:
        files = content["files"]
        there = set(_files_of(folder))
        for name in sorted(there ^ files.keys()):
            what = "is not in the manifest: remove it" if name in there else "is missing"
            raise UsageError(f"{folder / name} {what}")
        for name, written in files.items():
            _compare(folder / name, written)
    except (OSError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{folder} cannot be read: {error!r}") from None
    return content


def _compare(path: Path, written: dict[str, Any]) -> None:
    """Refuses a file that is not what was written."""
    size = _regular(path).stat().st_size
    if size != written["size"]:
        raise UsageError(f"{path} is damaged: it has {size} bytes, and {written['size']} were written")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != written["sha256"]:
            raise UsageError(f"{path} is damaged: it does not have the SHA-256 of what was written")


def _files_of(folder: Path) -> list[str]:
    """Lists all files below a folder but its manifest."""
    found = [
        Path(directory, name).relative_to(folder).as_posix()
        for directory, folders, names in os.walk(folder)
        for name in [*names, *(name for name in folders if Path(directory, name).is_symlink())]
    ]
    return sorted(name for name in found if name not in (MANIFEST, f".{MANIFEST}.tmp"))


def _regular(path: Path) -> Path:
    """Refuses what is no plain file: to open a pipe would wait for ever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise UsageError(f"{path} is not a file")
    return path


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _flush_directory(path: Path) -> None:
    """Makes names last too, where the system can."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    with contextlib.suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)
