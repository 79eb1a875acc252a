"""What is said where a name leads nowhere."""

import difflib
from collections.abc import Iterable


def unknown(prefix: str, name: str, known: Iterable[str], hint: str = "") -> ValueError:
    """Makes the error for a name that does not exist, with the nearest that do.

    Args:
        prefix: Put before the name and before each that is known.
        name: What was asked for.
        known: What there is.
        hint: Added at the end.
    """
    wanted, names = f"{prefix}{name}", [f"{prefix}{each}" for each in known]
    nearest = difflib.get_close_matches(wanted, names, n=3, cutoff=0.4)
    known_as = f"the nearest are {', '.join(nearest)}" if nearest else f"there are {', '.join(names)}"
    return ValueError(f"no environment is named {wanted!r}; {known_as}{hint}")
