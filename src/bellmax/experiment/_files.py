"""Files that are there whole or not at all."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from ._configuration import UsageError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file that the user asked for, and the folders above it.

    Args:
        path: Where to; a file that is there stays until the new one is whole.
        write: Is given the path at which to write.

    Raises:
        UsageError: If that cannot be done.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
