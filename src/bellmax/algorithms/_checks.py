"""What hyperparameters may be."""

from typing import Any

from .._core import guard


def check_counts(algorithm: Any, *names: str) -> None:
    """Refuses sizes below 1."""
    for name in names:
        if getattr(algorithm, name) < 1:
            raise ValueError(f"{type(algorithm).__name__}: {name} must be at least 1; got {getattr(algorithm, name)}")


def check_fractions(algorithm: Any, *names: str) -> None:
    """Refuses numbers outside of 0 to 1."""
    for name in names:
        message = f"{type(algorithm).__name__}: {name} must be in [0, 1]"
        guard(getattr(algorithm, name), lambda x: (x >= 0) & (x <= 1), message)


def check_not_negative(algorithm: Any, *names: str) -> None:
    """Refuses numbers below 0."""
    for name in names:
        guard(getattr(algorithm, name), lambda x: x >= 0, f"{type(algorithm).__name__}: {name} must not be negative")


def check_choice(algorithm: Any, name: str, known: tuple[str, ...]) -> None:
    """Refuses a word that is none of those known."""
    if getattr(algorithm, name) not in known:
        kind, chosen = type(algorithm).__name__, getattr(algorithm, name)
        raise ValueError(f"{kind}: {name} must be one of {', '.join(known)}; got {chosen!r}")
